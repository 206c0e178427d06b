//! Which replies are verified. Knows numbers, nothing of what they stand for.

/// Whether the reply of this number is verified when one of `every` is. In every block of so many numbers it is
/// one, at a place that looks random: requests are taken in turn, and a place that was always the same would meet
/// the same few of them for ever.
pub(super) const fn is_verified(sequence: u64, every: u64) -> bool {
    every > 0 && sequence % every == mixed(sequence / every) % every
}

// SplitMix64.
const fn mixed(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_so_many_is_verified() {
        for every in [1, 2, 10, 100, 997] {
            assert_eq!((0..every * 50).filter(|n| is_verified(*n, every)).count(), 50, "{every}");
        }
        assert!((0..1_000).all(|n| is_verified(n, 1) && !is_verified(n, 0)));
    }

    // Requests are taken in turn from lists of any length, most of them a multiple of what is left out.
    #[test]
    fn no_request_of_a_list_is_left_out_for_ever() {
        for every in [2, 10, 16, 100] {
            for length in [1, 2, 10, 100, 256, 2_560] {
                let mut met = vec![false; length as usize];
                let rounds = length * every * 20;
                (0..rounds)
                    .filter(|n| is_verified(*n, every))
                    .for_each(|n| met[(n % length) as usize] = true);
                assert!(met.iter().all(|met| *met), "one of {every}, {length} requests");
            }
        }
    }
}
