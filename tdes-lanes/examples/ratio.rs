//! Lanes against the `des` crate with 256 random keys, in one process: interleaved rounds, medians.
//!
//! `cargo run --release -p tdes-lanes --example ratio`
//!
//! The `des` side is what a gateway without lanes does: key schedules ready, one block per call. Its
//! figures with the schedule made for every block are printed too, since lanes take any key at no cost.
#![allow(clippy::print_stdout)] // a program for people

use des::TdesEde2;
use des::cipher::{Block, BlockCipherEncrypt, KeyInit};
use std::hint::black_box;
use std::time::Instant;
use tdes_lanes::{Direction, Engine, Job, Lanes};

const KEYS: usize = 256;
const ROUNDS: usize = 41;

fn main() {
    let keys: Vec<[u64; 2]> = (1..=KEYS as u64).map(|n| [mix(n), mix(n ^ 0xFFFF_0000)]).collect();
    let bytes: Vec<[u8; 16]> = keys.iter().map(|key| to_bytes(*key)).collect();
    let ciphers: Vec<TdesEde2> = bytes.iter().map(|key| TdesEde2::new(key.into())).collect();
    let mut sides: Vec<Side> = vec![
        Side::new("des crate, schedules ready", move || des_ready(&ciphers)),
        Side::new("des crate, schedule each time", move || des_fresh(&bytes)),
    ];
    for engine in Engine::ALL {
        for (what, mixed, jobs) in [("", false, engine.lanes()), (", mixed", true, engine.lanes())] {
            let Some(mut lanes) = Lanes::with_engine(engine) else { continue };
            let mut jobs: Vec<Job> = (0..jobs).map(|n| job(&keys, n, mixed)).collect();
            sides.push(Side::new(&format!("{engine:?}{what}"), move || {
                lanes.run(black_box(&mut jobs));
                jobs.len()
            }));
        }
    }
    for _ in 0..ROUNDS {
        sides.iter_mut().for_each(Side::measure);
    }
    let base = sides[0].median();
    println!("{:32} {:>10} {:>12} {:>10}", "", "ns/block", "us/pass", "ratio");
    for side in &sides {
        let ns = side.median();
        println!("{:32} {ns:10.2} {:12.3} {:10.1}", side.name, ns * side.blocks as f64 / 1000.0, base / ns);
    }
}

fn job(keys: &[[u64; 2]], n: usize, mixed: bool) -> Job {
    let way = if mixed && n % 2 == 1 { Direction::Decrypt } else { Direction::Encrypt };
    Job::double(keys[n % KEYS], mix(n as u64), way)
}

fn des_ready(ciphers: &[TdesEde2]) -> usize {
    for (n, cipher) in ciphers.iter().enumerate() {
        let mut block = Block::<TdesEde2>::from(mix(n as u64).to_be_bytes());
        cipher.encrypt_block(&mut block);
        black_box(block);
    }
    ciphers.len()
}

fn des_fresh(keys: &[[u8; 16]]) -> usize {
    for (n, key) in keys.iter().enumerate() {
        let mut block = Block::<TdesEde2>::from(mix(n as u64).to_be_bytes());
        TdesEde2::new(key.into()).encrypt_block(&mut block);
        black_box(block);
    }
    keys.len()
}

fn to_bytes(key: [u64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, word) in bytes.chunks_exact_mut(8).zip(key) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

fn mix(n: u64) -> u64 {
    let x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

/// One thing measured: nanoseconds per block of each round, the best of a few repetitions.
struct Side {
    name: String,
    run: Box<dyn FnMut() -> usize>,
    blocks: usize,
    rounds: Vec<f64>,
}

impl Side {
    fn new(name: &str, run: impl FnMut() -> usize + 'static) -> Self {
        Self { name: name.to_string(), run: Box::new(run), blocks: 0, rounds: Vec::new() }
    }

    fn measure(&mut self) {
        let best = (0..9)
            .map(|_| {
                let start = Instant::now();
                self.blocks = (self.run)();
                start.elapsed().as_nanos() as f64 / self.blocks as f64
            })
            .fold(f64::MAX, f64::min);
        self.rounds.push(best);
    }

    fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}
