//! A small reproducible generator of numbers (splitmix64): the same seed gives the same circuits.

pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    pub fn shuffled<const N: usize>(&mut self) -> [usize; N] {
        let mut order = core::array::from_fn(|n| n);
        for n in (1..N).rev() {
            order.swap(n, self.below(n + 1));
        }
        order
    }
}
