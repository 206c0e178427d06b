//! The lanes against the `des` crate, in one process: 256 random keys, schedules of the crate ready, interleaved
//! rounds. The ratio hardly moves with the load of a machine, so that it can be a gate.

use crate::stats::Spread;
use cipher::{Block, BlockCipherEncrypt, KeyInit};
use des::TdesEde2;
use std::hint::black_box;
use std::time::Instant;
use tdes_lanes::{Direction, Engine, Job, Lanes};

const KEYS: u64 = 256;
/// The best of so many is one round: what an interruption adds is not of the code.
const REPEATS: usize = 7;

/// How many times as fast as the `des` crate an engine of the lanes is, and nanoseconds for a block of each;
/// `None` where the processor does not have it.
pub fn measure(engine: Engine, rounds: usize) -> Option<(Spread, f64, f64)> {
    let mut lanes = Lanes::with_engine(engine)?;
    let keys: Vec<[u64; 2]> = (1..=KEYS).map(|n| [scattered(n), scattered(!n)]).collect();
    let ciphers: Vec<TdesEde2> = keys.iter().map(cipher).collect();
    let job = |n: usize| Job::double(keys[n % keys.len()], scattered(n as u64), Direction::Encrypt);
    let mut jobs: Vec<Job> = (0..engine.lanes()).map(job).collect();
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        let other = best(|| {
            for (n, cipher) in ciphers.iter().enumerate() {
                let mut block = Block::<TdesEde2>::from((n as u64).to_be_bytes());
                cipher.encrypt_block(&mut block);
                black_box(block);
            }
            ciphers.len()
        });
        let own = best(|| {
            lanes.run(black_box(&mut jobs));
            jobs.len()
        });
        pairs.push((other, own));
    }
    let median = |pick: fn(&(f64, f64)) -> f64| Spread::of(pairs.iter().map(pick)).median;
    let ratio = Spread::of(pairs.iter().map(|(other, own)| other / own));
    Some((ratio, median(|pair| pair.0), median(|pair| pair.1)))
}

fn best(mut run: impl FnMut() -> usize) -> f64 {
    let once = |_| {
        let start = Instant::now();
        let blocks = run();
        start.elapsed().as_nanos() as f64 / blocks as f64
    };
    (0..REPEATS).map(once).fold(f64::MAX, f64::min)
}

fn cipher(key: &[u64; 2]) -> TdesEde2 {
    let mut bytes = [0; 16];
    for (to, half) in bytes.chunks_exact_mut(8).zip(key) {
        to.copy_from_slice(&half.to_be_bytes());
    }
    TdesEde2::new(&bytes.into())
}

const fn scattered(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}
