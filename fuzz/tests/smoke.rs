//! The targets on a stable compiler: every seed, and random changes of them. `PAYHSM_FUZZ_RUNS` sets how many
//! changes each target gets.

use payhsm_fuzz::{TARGETS, seeds};

// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % (limit.max(1) as u64)).expect("small")
    }
}

fn change(input: &mut Vec<u8>, other: &[u8], n: &mut Numbers) {
    let at = n.below(input.len());
    match n.below(5) {
        0 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << n.below(8)),
        1 => input.truncate(at),
        2 => input.insert(at.min(input.len()), b"0F9;%#&!*~\x19US"[n.below(13)]),
        3 => input.truncate(at),
        _ => {
            input.truncate(at);
            input.extend_from_slice(&other[n.below(other.len())..]);
        }
    }
}

#[test]
fn seeds_and_their_neighbours_break_no_promise() {
    let runs = std::env::var("PAYHSM_FUZZ_RUNS").map_or(20_000, |text| text.parse().expect("a number"));
    for (name, target) in TARGETS {
        let seeds = seeds::of(name);
        assert!(seeds.len() > 3, "{name} has {} seeds", seeds.len());
        seeds.iter().for_each(|seed| target(seed));
        let mut n = Numbers(1);
        for _ in 0..runs {
            let mut input = seeds[n.below(seeds.len())].clone();
            for _ in 0..=n.below(3) {
                let other = n.below(seeds.len());
                change(&mut input, &seeds[other], &mut n);
            }
            target(&input);
        }
    }
}
