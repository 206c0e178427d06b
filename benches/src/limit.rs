//! What the `des` crate alone could do for one CC: two blocks under two keys whose schedules are ready.

use cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::TdesEde2;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Nanoseconds for the two blocks of one CC.
pub fn des_crate_ns(duration: Duration) -> f64 {
    let keys: Vec<TdesEde2> =
        (0..64u8).map(|n| TdesEde2::new(&[n.wrapping_mul(37) | 1; 16].into())).collect();
    let mut block = Block::<TdesEde2>::default();
    let start = Instant::now();
    let mut done = 0u64;
    while start.elapsed() < duration {
        for pair in keys.chunks_exact(2) {
            pair[0].decrypt_block(&mut block);
            pair[1].encrypt_block(black_box(&mut block));
            done += 1;
        }
    }
    start.elapsed().as_secs_f64() * 1e9 / done as f64
}
