//! A statistical look at time: does a pass take longer for some keys and blocks than for others?
//!
//! `cargo run --release -p tdes-lanes --example steady`
//!
//! Two classes of runs, one key and block in all lanes against random ones, in random order; Welch's t of
//! their times after the slowest tenth (interrupts) is dropped. Ends with 1 when a value is beyond 4.5 in each of
//! three rounds: one such value on a busy machine is noise. For a quiet machine (`just steady`), not for CI.
#![expect(clippy::print_stdout, reason = "a program that answers on standard output")]

use std::process::ExitCode;
use std::time::Instant;
use tdes_lanes::{Direction, Engine, Job, Lanes};

const RUNS: usize = 40_000;

/// Beyond it times of two classes differ by more than chance.
const THRESHOLD: f64 = 4.5;
const ROUNDS: usize = 3;

fn main() -> ExitCode {
    let mut good = true;
    for engine in Engine::ALL {
        let Some(mut lanes) = Lanes::with_engine(engine) else { continue };
        for count in [1, engine.lanes()] {
            let differs = (1..=ROUNDS as u64).all(|round| {
                let t = measure(engine, &mut lanes, count, round);
                t.is_nan() || t.abs() > THRESHOLD
            });
            if differs {
                println!("{engine:?}, {count} jobs: DIFFERENT in {ROUNDS} rounds");
            }
            good &= !differs;
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Welch's t of one round.
fn measure(engine: Engine, lanes: &mut Lanes, count: usize, mut state: u64) -> f64 {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        let class = (next(&mut state) & 1) as usize;
        let mut jobs: Vec<Job> = (0..count).map(|_| job(class, &mut state)).collect();
        let start = Instant::now();
        lanes.run(&mut jobs);
        times[class].push(start.elapsed().as_nanos() as f64);
    }
    let [fixed, random] = times.map(moments);
    let t = (fixed.mean - random.mean) / (fixed.error + random.error).sqrt();
    println!("{engine:?}, {count} jobs: {:.0} ns and {:.0} ns, t = {t:.2}", fixed.mean, random.mean);
    t
}

/// Both classes draw the same numbers, so that making the jobs is the same work.
fn job(class: usize, state: &mut u64) -> Job {
    let drawn = [next(state), next(state), next(state)];
    let [k1, k2, block] = if class == 0 { [0x0123_4567_89AB_CDEF, 0, 0] } else { drawn };
    Job::double([k1, k2], block, Direction::Encrypt)
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state ^ (*state >> 33)
}

struct Moments {
    mean: f64,
    /// Variance of the mean.
    error: f64,
}

fn moments(mut times: Vec<f64>) -> Moments {
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 9 / 10);
    let n = times.len() as f64;
    let mean = times.iter().sum::<f64>() / n;
    let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Moments { mean, error: variance / n }
}
