//! A DES key of one, two or three parts as words: what ciphers that take many blocks at once are given. It has no
//! schedule.

use crate::{CipherKind, ClearKey, KeyShape, ValueError};
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A DES key as big-endian words. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DesKey {
    parts: [u64; 3],
    #[zeroize(skip)]
    count: u8,
}

/// Shows the length.
impl fmt::Debug for DesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DesKey({} bytes)", self.length())
    }
}

impl DesKey {
    /// No key: all zero.
    pub const NONE: Self = Self { parts: [0; 3], count: 1 };

    /// From 8, 16 or 24 bytes.
    #[inline]
    pub fn new(clear: &[u8]) -> Result<Self, ValueError> {
        let (words, []) = clear.as_chunks::<8>() else { return Err(ValueError::Length) };
        let count = match words.len() {
            1 => 1,
            2 => 2,
            3 => 3,
            _ => return Err(ValueError::Length),
        };
        let mut key = Self { parts: [0; 3], count };
        for (part, word) in key.parts.iter_mut().zip(words) {
            *part = u64::from_be_bytes(*word);
        }
        Ok(key)
    }

    /// From one, two or three big-endian words; what is behind `count` of them does not count.
    #[inline]
    pub fn of_parts(parts: [u64; 3], count: usize) -> Self {
        match (parts, count) {
            ([a, ..], 1) => Self { parts: [a, 0, 0], count: 1 },
            ([a, b, _], 2) => Self { parts: [a, b, 0], count: 2 },
            _ => Self { parts, count: 3 },
        }
    }

    /// The parts.
    #[inline]
    pub fn expose_parts(&self) -> &[u64] {
        match (&self.parts, self.count) {
            ([a, ..], 1) => core::slice::from_ref(a),
            ([two @ .., _], 2) => two,
            (all, _) => all,
        }
    }

    /// The parts, and nothing behind them.
    #[inline]
    pub const fn expose_words(&self) -> [u64; 3] {
        self.parts
    }

    /// Number of parts.
    #[inline]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// Length in bytes.
    #[inline]
    pub const fn length(&self) -> usize {
        match self.count {
            1 => 8,
            2 => 16,
            _ => 24,
        }
    }

    /// Cipher and length.
    #[inline]
    pub const fn shape(&self) -> KeyShape {
        let kind = if self.count == 1 { CipherKind::Des } else { CipherKind::Tdes };
        KeyShape { kind, length: self.length() }
    }

    /// The clear bytes, made for whoever has to have them.
    pub fn expose(&self) -> Result<ClearKey, ValueError> {
        let bytes = Zeroizing::new(self.parts.map(u64::to_be_bytes));
        ClearKey::new(bytes.as_flattened().get(..self.length()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_say_nothing() {
        let clear: Vec<u8> = (1..=24).collect();
        for (length, count) in [(8, 1), (16, 2), (24, 3)] {
            let key = DesKey::new(&clear[..length]).unwrap();
            assert_eq!(key.expose().unwrap().expose(), &clear[..length]);
            assert_eq!(
                (key.length(), usize::from(key.count()), key.expose_parts().len()),
                (length, count, count)
            );
            assert_eq!(DesKey::of_parts(key.expose_words(), count).expose_words(), key.expose_words());
            assert_eq!(DesKey::of_parts([u64::MAX; 3], count).expose_parts(), vec![u64::MAX; count]);
            assert_eq!(format!("{key:?}"), format!("DesKey({length} bytes)"));
        }
        assert_eq!(DesKey::new(&clear[..8]).unwrap().shape().kind, CipherKind::Des);
        assert_eq!(DesKey::new(&clear).unwrap().shape(), KeyShape { kind: CipherKind::Tdes, length: 24 });
        for length in [0, 7, 9, 15, 23] {
            assert_eq!(DesKey::new(&clear[..length]).err(), Some(ValueError::Length));
        }
    }
}
