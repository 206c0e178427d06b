//! What must hold for all keys and blocks, whatever the engine.

use proptest::prelude::*;
use tdes_lanes::{Direction, Engine, Job, Lanes};

/// The odd-parity bits of a DES key, which DES ignores.
const PARITY: u64 = 0x0101_0101_0101_0101;

fn one(lanes: &mut Lanes, job: Job) -> u64 {
    let mut jobs = [job];
    lanes.run(&mut jobs);
    jobs[0].block()
}

fn every_engine() -> impl Iterator<Item = Lanes> {
    Engine::ALL.into_iter().filter_map(Lanes::with_engine)
}

proptest! {
    #[test]
    fn decryption_undoes_encryption(keys: [u64; 3], block: u64) {
        for mut lanes in every_engine() {
            let enciphered = one(&mut lanes, Job::triple(keys, block, Direction::Encrypt));
            prop_assert_eq!(one(&mut lanes, Job::triple(keys, enciphered, Direction::Decrypt)), block);
            let enciphered = one(&mut lanes, Job::double([keys[0], keys[1]], block, Direction::Decrypt));
            prop_assert_eq!(one(&mut lanes, Job::double([keys[0], keys[1]], enciphered, Direction::Encrypt)), block);
        }
    }

    #[test]
    fn parity_bits_do_not_matter(keys: [u64; 3], flips: [u64; 3], block: u64) {
        let flipped: [u64; 3] = core::array::from_fn(|n| keys[n] ^ (flips[n] & PARITY));
        for mut lanes in every_engine() {
            let a = one(&mut lanes, Job::triple(keys, block, Direction::Encrypt));
            prop_assert_eq!(a, one(&mut lanes, Job::triple(flipped, block, Direction::Encrypt)));
        }
    }

    #[test]
    fn complementing_key_and_block_complements_the_result(keys: [u64; 3], block: u64) {
        for mut lanes in every_engine() {
            let a = one(&mut lanes, Job::triple(keys, block, Direction::Encrypt));
            let b = one(&mut lanes, Job::triple(keys.map(|k| !k), !block, Direction::Encrypt));
            prop_assert_eq!(a, !b);
        }
    }

    /// Neighbours in other lanes change nothing, whichever kinds they are.
    #[test]
    fn lanes_are_independent(seed: u64, size in 1usize..700, place in 0usize..700) {
        let mut state = seed;
        let mut word = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 31)
        };
        let mut make = || {
            let way = if word() & 1 == 0 { Direction::Encrypt } else { Direction::Decrypt };
            match word() % 3 {
                0 => Job::single(word(), word(), way),
                1 => Job::double([word(), word()], word(), way),
                _ => Job::triple([word(), word(), word()], word(), way),
            }
        };
        let place = place % size;
        let (key, block) = ([1u64, 2, 3], 4u64);
        let alone = one(&mut Lanes::new(), Job::triple(key, block, Direction::Encrypt));
        let mut jobs: Vec<Job> = (0..size).map(|_| make()).collect();
        jobs[place] = Job::triple(key, block, Direction::Encrypt);
        Lanes::new().run(&mut jobs);
        prop_assert_eq!(jobs[place].block(), alone);
    }
}

#[test]
fn no_jobs_is_no_work() {
    Lanes::new().run(&mut []);
}
