//! Counters of status replies, which are longer than the numbers of other fields.

use super::{Alphabet, Show, Step, Wire};

/// A count of exactly `N` decimal digits, at most 19. A count that has grown beyond its field stays at the
/// field's largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count<const N: usize>(pub u64);

impl<const N: usize> Count<N> {
    fn to_digits(self) -> [u8; N] {
        let mut out = [b'0'; N];
        let mut rest = self.0;
        for o in out.iter_mut().rev() {
            *o = paytypes::hex::letter(u8::try_from(rest % 10).unwrap_or_default());
            rest /= 10;
        }
        if rest > 0 { [b'9'; N] } else { out }
    }

    fn from_digits(text: [u8; N]) -> Self {
        Self(text.iter().fold(0u64, |n, c| n.wrapping_mul(10).wrapping_add(u64::from(c & 0x0F))))
    }

    /// Walks the field.
    pub fn walk<W: Wire>(&mut self, wire: &mut W, name: &'static str) -> Step {
        let mut text = self.to_digits();
        wire.fixed(name, Alphabet::Digits, Show::All, &mut text)?;
        *self = Self::from_digits(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_their_width_and_stop_at_its_end() {
        assert_eq!(Count::<12>(123_456_789_012).to_digits(), *b"123456789012");
        assert_eq!(Count::<5>(100_000).to_digits(), *b"99999");
        assert_eq!(Count::<10>::from_digits(*b"0000000042"), Count(42));
    }
}
