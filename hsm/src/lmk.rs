//! Local master keys as commands see them: an identifier, a scheme and a check value.

use core::fmt;

/// Identifier of an LMK, 00 to 19 as in the `%nn` selector and in the header of an `S` block.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LmkId(pub u8);

impl LmkId {
    /// The two decimal digits.
    pub const fn digits(self) -> [u8; 2] {
        let n = if self.0 > 99 { 99 } else { self.0 };
        [b'0'.wrapping_add(n / 10), b'0'.wrapping_add(n % 10)]
    }

    /// From two decimal digits.
    pub fn from_digits(text: [u8; 2]) -> Option<Self> {
        match text {
            [a @ b'0'..=b'9', b @ b'0'..=b'9'] => {
                Some(Self((a & 0x0F).wrapping_mul(10).wrapping_add(b & 0x0F)))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for LmkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

impl fmt::Display for LmkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// How an LMK wraps working keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LmkScheme {
    /// Pairs of double-length keys and their variants; nothing binds a key to its use but the variant.
    Variant,
    /// 3DES key-block LMK: `S` blocks of version 0.
    TdesBlock,
    /// AES key-block LMK: `S` blocks of version 1.
    AesBlock,
}

impl LmkScheme {
    /// True when keys travel in `S` blocks.
    pub const fn is_block(self) -> bool {
        !matches!(self, Self::Variant)
    }
}

/// An LMK that is loaded.
#[derive(Clone, Debug)]
pub struct LmkInfo {
    /// Identifier.
    pub id: LmkId,
    /// Scheme.
    pub scheme: LmkScheme,
    /// True for one of the public test LMKs.
    pub test: bool,
    /// Check value, six hex digits.
    pub check: [u8; 6],
    /// Free text for status replies.
    pub comment: String,
}

/// Working keys of an LMK that serve other things than wrapping keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LmkPurpose {
    /// PINs stored by hosts under the LMK (pair 02-03 of a variant set).
    PinStorage,
    /// Decimalisation tables stored by hosts under the LMK (type 104 of a variant set).
    DecimalisationTable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_round_trip() {
        for n in 0..=99 {
            assert_eq!(LmkId::from_digits(LmkId(n).digits()), Some(LmkId(n)));
        }
        assert_eq!(LmkId::from_digits(*b"1x"), None);
    }
}
