//! Time of a run by engine and number of jobs: `cargo bench -p tdes-lanes`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tdes_lanes::{Direction, Engine, Job, Lanes};

fn jobs(count: usize, mixed: bool) -> Vec<Job> {
    (0..count as u64)
        .map(|n| {
            let way = if mixed && n % 2 == 1 { Direction::Decrypt } else { Direction::Encrypt };
            let word = |m: u64| (n + m).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            Job::double([word(1), word(2)], word(3), way)
        })
        .collect()
}

fn runs(c: &mut Criterion) {
    let mut group = c.benchmark_group("run");
    for engine in Engine::ALL {
        for (count, mixed) in [(1, false), (engine.lanes(), false), (engine.lanes(), true)] {
            let Some(mut lanes) = Lanes::with_engine(engine) else { continue };
            let mut jobs = jobs(count, mixed);
            group.throughput(Throughput::Elements(count as u64));
            let name = format!("{engine:?}{}", if mixed { "-mixed" } else { "" });
            group.bench_function(BenchmarkId::new(name, count), |b| b.iter(|| lanes.run(&mut jobs)));
        }
    }
    group.finish();
}

/// Where 512 lanes begin to pay: the two widths at sizes around the threshold.
fn threshold(c: &mut Criterion) {
    let mut group = c.benchmark_group("threshold");
    for count in [256, 288, 320, 384, 448, 512] {
        for engine in [Engine::Avx512Vl, Engine::Avx512] {
            let Some(mut lanes) = Lanes::with_engine(engine) else { continue };
            let mut jobs = jobs(count, false);
            group.bench_function(BenchmarkId::new(format!("{engine:?}"), count), |b| {
                b.iter(|| lanes.run(&mut jobs))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, runs, threshold);
criterion_main!(benches);
