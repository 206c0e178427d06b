//! Turning blocks into rows and back: 64 by 64 bit matrices, as many side by side as a row has words.

use crate::kernel::Row;

/// Swaps lane and bit: afterwards bit `n` of a word of row `b` is what bit `b` of that word of row `n` was,
/// bits counted from the least significant. Its own inverse.
///
/// Six levels of swapping quarters of ever smaller squares, three levels at a time on eight rows.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "eight rows of eight, and words below N")]
#[expect(clippy::needless_range_loop, reason = "a loop over words is what becomes a vector")]
pub fn transpose<const N: usize>(rows: &mut [Row<N>; 64]) {
    let (eights, _) = rows.as_chunks_mut::<8>();
    let Some(eights) = eights.first_chunk_mut::<8>() else { return };
    for row in 0..8 {
        for word in 0..N {
            let values = three_levels::<8>(core::array::from_fn(|n| eights[n][row][word]));
            for n in 0..8 {
                eights[n][row][word] = values[n];
            }
        }
    }
    for eight in eights {
        for word in 0..N {
            let values = three_levels::<1>(core::array::from_fn(|n| eight[n][word]));
            for n in 0..8 {
                eight[n][word] = values[n];
            }
        }
    }
}

/// The levels with sides `4 * STRIDE`, `2 * STRIDE` and `STRIDE` on words of rows `STRIDE` apart.
#[inline(always)]
#[expect(clippy::arithmetic_side_effects, reason = "sides of at most 32")]
fn three_levels<const STRIDE: usize>(
    [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h]: [u64; 8],
) -> [u64; 8] {
    for (upper, lower) in [(&mut a, &mut e), (&mut b, &mut f), (&mut c, &mut g), (&mut d, &mut h)] {
        swap_quarters(upper, lower, 4 * STRIDE);
    }
    for (upper, lower) in [(&mut a, &mut c), (&mut b, &mut d), (&mut e, &mut g), (&mut f, &mut h)] {
        swap_quarters(upper, lower, 2 * STRIDE);
    }
    for (upper, lower) in [(&mut a, &mut b), (&mut c, &mut d), (&mut e, &mut f), (&mut g, &mut h)] {
        swap_quarters(upper, lower, STRIDE);
    }
    [a, b, c, d, e, f, g, h]
}

/// In two rows that are `side` apart, swaps the bits above the diagonal of a square with those below.
#[inline(always)]
fn swap_quarters(upper: &mut u64, lower: &mut u64, side: usize) {
    let low = match side {
        32 => 0x0000_0000_FFFF_FFFF,
        16 => 0x0000_FFFF_0000_FFFF,
        8 => 0x00FF_00FF_00FF_00FF,
        4 => 0x0F0F_0F0F_0F0F_0F0F,
        2 => 0x3333_3333_3333_3333,
        _ => 0x5555_5555_5555_5555,
    };
    let swap = ((*upper >> side) ^ *lower) & low;
    *lower ^= swap;
    *upper ^= swap << side;
}

#[cfg(test)]
mod tests {
    use super::transpose;

    #[test]
    fn swaps_lane_and_bit_in_every_word() {
        let mut state = 1u64;
        let before: [[u64; 3]; 64] = core::array::from_fn(|_| {
            core::array::from_fn(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state ^ (state >> 29)
            })
        });
        let mut after = before;
        transpose(&mut after);
        for (row, bit, word) in
            (0..64).flat_map(|r| (0..64).flat_map(move |b| (0..3).map(move |w| (r, b, w))))
        {
            assert_eq!((after[row][word] >> bit) & 1, (before[bit][word] >> row) & 1);
        }
        transpose(&mut after);
        assert_eq!(after, before);
    }
}
