//! Which gate tables a basis has, and which of them fit a partly fixed table.

use crate::circuit::Basis;

/// Gate tables by what they must (`on`) and must not (`off`) contain.
pub struct Choices {
    /// For each `256 * on + off`, the allowed tables that fit.
    fits: Vec<Vec<u8>>,
}

const A: u8 = 0xF0;
const B: u8 = 0xCC;
const C: u8 = 0xAA;

impl Choices {
    pub fn new(basis: Basis) -> Self {
        let allowed = match basis {
            Basis::Two => vec![A & B, A | B, A ^ B, A & !B, B & !A],
            Basis::Three => ternary(),
        };
        let fits = (0..=0xFFFFu32)
            .map(|n| {
                let [off, on, ..] = n.to_le_bytes();
                allowed.iter().copied().filter(|t| t & on == on && t & off == 0).collect()
            })
            .collect();
        Self { fits }
    }

    pub fn fitting(&self, on: u8, off: u8) -> &[u8] {
        &self.fits[256 * on as usize + off as usize]
    }
}

/// Functions of three signals that take the compiler one ternary-logic instruction: every signal at most
/// once in an expression of two operations (any complement), and the multiplexer. Not majority and its
/// like, which take two.
fn ternary() -> Vec<u8> {
    let mut found = [false; 256];
    let ops: [fn(u8, u8) -> u8; 3] = [|x, y| x & y, |x, y| x | y, |x, y| x ^ y];
    for [x, y, z] in [[A, B, C], [B, A, C], [C, A, B]] {
        for flips in 0..8u8 {
            let flip = |v: u8, n: u8| if (flips >> n) & 1 == 1 { !v } else { v };
            let (x, y, z) = (flip(x, 0), flip(y, 1), flip(z, 2));
            for outer in ops {
                found[outer(x, y) as usize] = true;
                found[outer(y, z) as usize] = true;
                for inner in ops {
                    found[outer(x, inner(y, z)) as usize] = true;
                }
            }
        }
        found[((x & y) | (!x & z)) as usize] = true;
        found[((x & z) | (!x & y)) as usize] = true;
    }
    (0..=255u8).filter(|&t| found[t as usize] && !AWKWARD.contains(&t)).collect()
}

/// Read-once functions that took three instructions in a trial of every function by itself (rustc 1.95,
/// LLVM 22): an or whose one side is a plain complement. The complement of each is fine.
const AWKWARD: [u8; 17] =
    [0x6F, 0x7B, 0x7D, 0x8F, 0xAB, 0xB3, 0xBF, 0xCD, 0xD5, 0xEB, 0xED, 0xF1, 0xF9, 0xFD, 0xF3, 0xDD, 0xBB];
