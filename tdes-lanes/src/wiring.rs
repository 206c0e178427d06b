//! The permutations of FIPS 46-3 as tables of positions. Bit-sliced, a permutation costs nothing: it only
//! says which row is read.
//!
//! Positions count from 0 at the first (most significant) bit, one less than in the standard.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "computed while compiling: what goes wrong here does not compile"
)]

/// Turns positions of the standard, which count from 1, into ours.
const fn from_zero<const N: usize>(mut table: [u8; N]) -> [u8; N] {
    let mut n = 0;
    while n < N {
        table[n] -= 1;
        n += 1;
    }
    table
}

/// Initial permutation: block position of each bit of the left, then of the right half.
pub const IP: [u8; 64] = from_zero([
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48,
    40, 32, 24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21,
    13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
]);

/// Permuted choice 1: key position of each bit of the registers C (first 28) and D. Parity bits are absent.
pub const PC1: [u8; 56] = from_zero([
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44,
    36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20,
    12, 4,
]);

/// Permuted choice 2: position in C and D of each bit of a round key.
const PC2: [u8; 48] = from_zero([
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37,
    47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
]);

/// Permutation P: position in the eight box outputs of each bit that is added to the left half.
const P: [u8; 32] = from_zero([
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6,
    22, 11, 4, 25,
]);

/// How far C and D are turned to the left in each round of an encryption, counted from the start; two
/// rounds to an entry.
pub const TURNS: [[u8; 2]; 8] = [[1, 2], [4, 6], [8, 10], [12, 14], [15, 17], [19, 21], [23, 25], [27, 28]];

/// The same for a decryption, which takes the round keys from the last to the first.
pub const TURNS_BACK: [[u8; 2]; 8] =
    [[28, 27], [25, 23], [21, 19], [17, 15], [14, 12], [10, 8], [6, 4], [2, 1]];

/// Bits in each of the registers C and D.
pub const REGISTER: usize = 28;

/// Everything that box `S` is wired to.
pub struct BoxWires {
    /// Positions in the right half that it reads (the expansion E).
    pub data: [usize; 6],
    /// Positions of its round key bits in C and D.
    pub key: [usize; 6],
    /// Positions in the left half that its outputs are added to.
    pub out: [usize; 4],
}

/// Wires of the eight boxes.
pub const BOXES: [BoxWires; 8] = {
    let mut all = [const { BoxWires { data: [0; 6], key: [0; 6], out: [0; 4] } }; 8];
    let mut s = 0;
    while s < 8 {
        let mut n = 0;
        while n < 6 {
            // E takes four neighbouring bits and one more on each side, around the end.
            all[s].data[n] = (4 * s + n + 31) % 32;
            all[s].key[n] = PC2[6 * s + n] as usize;
            n += 1;
        }
        let mut at = 0;
        while at < 32 {
            if P[at] as usize / 4 == s {
                all[s].out[P[at] as usize % 4] = at;
            }
            at += 1;
        }
        s += 1;
    }
    all
};
