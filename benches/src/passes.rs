//! Passes of the lanes and nothing else, for whoever counts their instructions.

use std::hint::black_box;
use std::io;
use tdes_lanes::{Direction, Engine, Job, Lanes};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Blocks of a pass.
    jobs: u64,
    /// Keys and blocks are made of it.
    seed: u64,
}

/// The name of the function that is counted, as a pattern of callgrind: starting a program is not the same twice.
pub const COUNTED: &str = "*passes_to_be_counted*";
const PASSES: usize = 100;

/// Runs them, on the widest lanes that valgrind knows.
pub fn run(args: &Args) -> io::Result<()> {
    let mut lanes =
        Lanes::with_engine(Engine::Avx2).ok_or_else(|| io::Error::other("this processor has no AVX2"))?;
    let word =
        |n: u64| (n ^ args.seed.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let job = |n| Job::double([word(3 * n), word(3 * n + 1)], word(3 * n + 2), Direction::Encrypt);
    let mut jobs: Vec<Job> = (0..args.jobs).map(job).collect();
    passes_to_be_counted(&mut lanes, &mut jobs);
    black_box(jobs);
    Ok(())
}

#[inline(never)]
fn passes_to_be_counted(lanes: &mut Lanes, jobs: &mut [Job]) {
    for _ in 0..PASSES {
        lanes.run(jobs);
    }
}
