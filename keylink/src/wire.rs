//! How values stand in JSON: 64-bit numbers as decimal strings (a reader that knows only doubles must not round
//! them), fixed bytes in lower-case hexadecimal, other bytes in base64. One spelling for each value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest message that is looked at.
pub const MESSAGE_MAX: usize = 4 << 20;

/// A 64-bit number, written as a decimal string without leading zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct U64(pub u64);

impl From<u64> for U64 {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl fmt::Display for U64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for U64 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for U64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let plain = text.bytes().all(|c| c.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        match text.parse() {
            Ok(value) if plain => Ok(Self(value)),
            _ => Err(D::Error::custom("a 64-bit number is a decimal string without leading zeros")),
        }
    }
}

/// Bytes of a fixed length, written in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Default for Hex<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> zeroize::DefaultIsZeroes for Hex<N> {}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        unhex(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("bytes are lower-case hexadecimal, all of them"))
    }
}

/// The two digits of a byte.
pub(crate) const fn hex_of(byte: u8) -> [u8; 2] {
    const fn digit(nibble: u8) -> u8 {
        if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
    }
    [digit(byte >> 4), digit(byte & 0xF)]
}

/// Writes bytes as lower-case hexadecimal, all at once: messages are full of it.
pub(crate) fn write_hex<const N: usize>(bytes: &[u8; N], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let pairs = bytes.map(hex_of);
    f.write_str(core::str::from_utf8(pairs.as_flattened()).map_err(|_| fmt::Error)?)
}

/// Exactly `N` bytes of lower-case hexadecimal.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    let mut bytes = [0; N];
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// Bytes of any length, written in base64 with padding.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(|_| D::Error::custom("bytes are base64 with padding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_each_value() {
        assert_eq!(serde_json::to_string(&U64(u64::MAX)).unwrap(), "\"18446744073709551615\"");
        for good in ["\"0\"", "\"7\"", "\"18446744073709551615\""] {
            let value: U64 = serde_json::from_str(good).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), good);
        }
        for bad in ["7", "\"\"", "\"07\"", "\"+7\"", "\"-1\"", "\"18446744073709551616\"", "\" 7\"", "7.0"] {
            assert!(serde_json::from_str::<U64>(bad).is_err(), "{bad}");
        }
        for bad in ["\"AB\"", "\"a\"", "\"abcd\"", "\"zz\"", "\"\""] {
            assert!(serde_json::from_str::<Hex<1>>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<Hex<2>>("\"0aff\"").unwrap(), Hex([10, 255]));
        let blob = Blob(vec![1, 2, 3, 4]);
        let text = serde_json::to_string(&blob).unwrap();
        assert_eq!(serde_json::from_str::<Blob>(&text).unwrap(), blob);
        assert!(serde_json::from_str::<Blob>("\"AQIDBA\"").is_err() && format!("{blob:?}") == "4 bytes");
    }
}
