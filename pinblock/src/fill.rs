//! Random fill of PIN blocks.

use paytypes::Random;
use zeroize::Zeroize;

/// Random bytes to draw beforehand when the source cannot be asked during the call
/// ([`paytypes::Drawn`]). Format 3 accepts 6 of 16 half-byte values, so ten of them need 27 on average; out
/// of 128 they are missing in less than one case of 10^12.
pub const RANDOM_LENGTH: usize = 64;

// A true source misses six of sixteen values this often in a row once in 10^26 draws. The bound is there
// for a broken source, which must not hang the unit.
const TRIES: usize = 128;

/// Half-bytes from a source, in order.
pub(crate) struct Nibbles<'a, R> {
    source: &'a mut R,
    bytes: [u8; 8],
    next: usize,
}

impl<'a, R: Random> Nibbles<'a, R> {
    pub(crate) const fn new(source: &'a mut R) -> Self {
        Self { source, bytes: [0; 8], next: 16 }
    }

    fn any(&mut self) -> u8 {
        if self.next >= 16 {
            self.source.fill(&mut self.bytes);
            self.next = 0;
        }
        let nibble = paytypes::bytes::nibble(&self.bytes, self.next);
        self.next = self.next.saturating_add(1);
        nibble
    }

    /// The next half-byte inside `low..=high`; others are skipped, so all values stay equally likely.
    pub(crate) fn within(&mut self, low: u8, high: u8) -> u8 {
        for _ in 0..TRIES {
            let nibble = self.any();
            if (low..=high).contains(&nibble) {
                return nibble;
            }
        }
        low
    }
}

impl<R> Drop for Nibbles<'_, R> {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_values_outside_and_survives_a_broken_source() {
        let mut source = paytypes::Drawn::new(&[0xA1, 0x2B, 0xFF]);
        let mut fill = Nibbles::new(&mut source);
        assert_eq!([fill.within(10, 15), fill.within(10, 15), fill.within(0, 9)], [0xA, 0xB, 1]);
        let mut zeros = |out: &mut [u8]| out.fill(0);
        assert_eq!(Nibbles::new(&mut zeros).within(10, 15), 10);
    }

    // Chi-square with five degrees of freedom: 25.7 is passed by chance once in ten thousand.
    #[test]
    fn fill_of_a_to_f_is_even() {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut source = |out: &mut [u8]| {
            for o in out {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *o = state.to_be_bytes()[0];
            }
        };
        let mut fill = Nibbles::new(&mut source);
        let mut seen = [0f64; 6];
        for _ in 0..60_000 {
            seen[usize::from(fill.within(10, 15) - 10)] += 1.0;
        }
        let chi_square: f64 = seen.iter().map(|n| (n - 10_000.0) * (n - 10_000.0) / 10_000.0).sum();
        assert!(chi_square < 25.7, "{chi_square}");
    }
}
