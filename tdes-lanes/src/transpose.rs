//! Turning blocks into rows and back: 64 by 64 bit matrices, as many side by side as a row has words.

use crate::kernel::Row;

/// Swaps lane and bit: afterwards bit `n` of a word of row `b` is what bit `b` of that word of row `n` was,
/// bits counted from the least significant. Its own inverse.
#[inline(always)]
pub fn transpose<const N: usize>(rows: &mut [Row<N>; 64]) {
    swap_quarters::<N, 32>(rows, 0x0000_0000_FFFF_FFFF);
    swap_quarters::<N, 16>(rows, 0x0000_FFFF_0000_FFFF);
    swap_quarters::<N, 8>(rows, 0x00FF_00FF_00FF_00FF);
    swap_quarters::<N, 4>(rows, 0x0F0F_0F0F_0F0F_0F0F);
    swap_quarters::<N, 2>(rows, 0x3333_3333_3333_3333);
    swap_quarters::<N, 1>(rows, 0x5555_5555_5555_5555);
}

/// In every square of `2 * SIDE` rows and bits, swaps the quarter above the diagonal with the one below.
#[inline(always)]
fn swap_quarters<const N: usize, const SIDE: usize>(rows: &mut [Row<N>; 64], low: u64) {
    let (pairs, _) = rows.as_chunks_mut::<SIDE>().0.as_chunks_mut::<2>();
    for [upper, lower] in pairs {
        for (a, b) in upper.as_flattened_mut().iter_mut().zip(lower.as_flattened_mut()) {
            let swap = ((*a >> SIDE) ^ *b) & low;
            *b ^= swap;
            *a ^= swap << SIDE;
        }
    }
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
