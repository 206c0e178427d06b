//! A clear PIN.

use crate::ValueError;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Shortest PIN of ISO 9564-1.
pub const PIN_LENGTH_MIN: usize = 4;
/// Longest PIN of ISO 9564-1.
pub const PIN_LENGTH_MAX: usize = 12;

// The lowest bit of every half-byte.
const EACH_DIGIT: u64 = 0x1111_1111_1111_1111;

// Eight half-bytes, the first in bits 28 to 31, as a byte each.
const fn spread(digits: u64) -> [u8; 8] {
    let quads = (digits | digits << 16) & 0x0000_FFFF_0000_FFFF;
    let pairs = (quads | quads << 8) & 0x00FF_00FF_00FF_00FF;
    ((pairs | pairs << 4) & 0x0F0F_0F0F_0F0F_0F0F).to_be_bytes()
}

// The reverse.
const fn gathered(digits: [u8; 8]) -> u64 {
    let digits = u64::from_be_bytes(digits);
    let pairs = (digits | digits >> 4) & 0x00FF_00FF_00FF_00FF;
    let quads = (pairs | pairs >> 8) & 0x0000_FFFF_0000_FFFF;
    (quads | quads >> 16) & 0xFFFF_FFFF
}

/// A PIN of 4 to 12 decimal digits (ISO 9564-1), wiped on drop. `Debug` shows nothing of it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Pin {
    digits: [u8; PIN_LENGTH_MAX],
    len: u8,
}

impl Pin {
    /// From digit values 0 to 9 (not ASCII).
    #[inline]
    pub fn from_values(values: &[u8]) -> Result<Self, ValueError> {
        if !(PIN_LENGTH_MIN..=PIN_LENGTH_MAX).contains(&values.len()) {
            return Err(ValueError::Length);
        }
        if values.iter().any(|v| *v > 9) {
            return Err(ValueError::Digit);
        }
        let mut pin = Self { digits: [0; PIN_LENGTH_MAX], len: 0 };
        for (d, v) in pin.digits.iter_mut().zip(values) {
            *d = *v;
            pin.len = pin.len.saturating_add(1);
        }
        Ok(pin)
    }

    /// From packed digits: the last `len` half-bytes of `packed`, as a PIN block holds them. Makes no copy
    /// that would have to be wiped.
    #[inline]
    pub fn from_packed(packed: u64, len: usize) -> Result<Self, ValueError> {
        let bits = u32::try_from(len).ok().filter(|_| (PIN_LENGTH_MIN..=PIN_LENGTH_MAX).contains(&len));
        let bits = bits.and_then(|len| len.checked_mul(4)).ok_or(ValueError::Length)?;
        // The first digit in the highest half-byte, zeros behind the last.
        let digits = packed.rotate_right(bits) & !(u64::MAX >> bits);
        if (digits >> 3) & ((digits >> 2) | (digits >> 1)) & EACH_DIGIT != 0 {
            return Err(ValueError::Digit);
        }
        let [a, b, c, d, e, f, g, h] = spread(digits >> 32);
        let [i, j, k, l, ..] = spread(digits & 0xFFFF_FFFF);
        let len = u8::try_from(len).map_err(|_| ValueError::Length)?;
        Ok(Self { digits: [a, b, c, d, e, f, g, h, i, j, k, l], len })
    }

    /// From ASCII digits.
    pub fn from_ascii(text: &[u8]) -> Result<Self, ValueError> {
        let mut values = [0xFF; PIN_LENGTH_MAX];
        let room = values.get_mut(..text.len()).ok_or(ValueError::Length)?;
        for (v, c) in room.iter_mut().zip(text) {
            *v = c.wrapping_sub(b'0');
        }
        let pin = Self::from_values(room);
        values.zeroize();
        pin
    }

    /// The digits as half-bytes, the last one in the lowest: what [`Pin::from_packed`] takes.
    #[inline]
    pub fn expose_packed(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.digits;
        let all = gathered([a, b, c, d, e, f, g, h]) << 16 | gathered([0, 0, 0, 0, i, j, k, l]);
        let absent = PIN_LENGTH_MAX.saturating_sub(self.len()).saturating_mul(4);
        all.checked_shr(u32::try_from(absent).unwrap_or_default()).unwrap_or_default()
    }

    /// The digit values 0 to 9.
    pub fn expose(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Number of digits, 4 to 12.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Never true: a PIN has at least four digits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Constant-time comparison over the full width, length included.
    pub fn same_as(&self, other: &Self) -> bool {
        bool::from(self.digits.ct_eq(&other.digits) & self.len.ct_eq(&other.len))
    }
}

impl core::fmt::Debug for Pin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_digits() {
        assert_eq!(Pin::from_ascii(b"123").unwrap_err(), ValueError::Length);
        assert_eq!(Pin::from_ascii(b"1234567890123").unwrap_err(), ValueError::Length);
        assert_eq!(Pin::from_ascii(b"12A4").unwrap_err(), ValueError::Digit);
        assert_eq!(Pin::from_ascii(b"0123").unwrap().expose(), &[0, 1, 2, 3]);
    }

    #[test]
    fn packed_digits_are_the_last_ones() {
        assert_eq!(Pin::from_packed(0xFF_0123, 4).unwrap().expose(), &[0, 1, 2, 3]);
        assert_eq!(Pin::from_packed(0x1234_5678_9012, 12).unwrap().len(), 12);
        assert_eq!(Pin::from_packed(0x12A4, 4).unwrap_err(), ValueError::Digit);
        assert_eq!(Pin::from_packed(0xA1234, 4).unwrap().expose(), &[1, 2, 3, 4]);
        for text in ["0123456789", "1234", "98765", "999999999999", "000001"] {
            let pin = Pin::from_ascii(text.as_bytes()).unwrap();
            assert_eq!(pin.expose_packed(), u64::from_str_radix(text, 16).unwrap());
            assert!(Pin::from_packed(pin.expose_packed(), text.len()).unwrap().same_as(&pin));
        }
        for place in 0..12 {
            for value in 0..16 {
                let made = Pin::from_packed(value << (place * 4), 12);
                assert_eq!(made.is_ok(), value < 10, "{place} {value}");
            }
        }
        for len in [0, 3, 13, 99] {
            assert_eq!(Pin::from_packed(0, len).unwrap_err(), ValueError::Length);
        }
    }

    #[test]
    fn comparison_counts_the_length() {
        let short = Pin::from_ascii(b"1234").unwrap();
        let long = Pin::from_ascii(b"12340").unwrap();
        assert!(!short.same_as(&long));
        assert!(short.same_as(&Pin::from_ascii(b"1234").unwrap()));
    }

    #[test]
    fn debug_is_quiet() {
        assert_eq!(format!("{:?}", Pin::from_ascii(b"1234").unwrap()), "Pin");
    }
}
