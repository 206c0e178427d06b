//! A fixed number of passes on one engine, to be counted by callgrind:
//!
//! `cargo build --release -p tdes-lanes --example count`
//! `valgrind --tool=callgrind target/release/examples/count avx2 256 1`
//!
//! Arguments: engine (`portable`, `avx2`), number of jobs, seed of keys and blocks. The count must not change
//! with the seed. (valgrind knows no AVX-512.)
#![allow(clippy::print_stdout)] // a program for people

use tdes_lanes::{Direction, Engine, Job, Lanes};

const RUNS: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |n: usize| arguments.get(n).and_then(|text| text.parse::<u64>().ok());
    let engine = match arguments.get(1).map(String::as_str) {
        Some("portable") => Engine::Portable,
        _ => Engine::Avx2,
    };
    let (count, seed) = (number(2).unwrap_or(256), number(3).unwrap_or(1));
    let Some(mut lanes) = Lanes::with_engine(engine) else {
        println!("this CPU has no {engine:?}");
        return;
    };
    let word = |n: u64| (n ^ seed.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut jobs: Vec<Job> = (0..count)
        .map(|n| Job::double([word(3 * n), word(3 * n + 1)], word(3 * n + 2), Direction::Encrypt))
        .collect();
    for _ in 0..RUNS {
        lanes.run(&mut jobs);
    }
}
