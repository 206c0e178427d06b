//! How values stand in JSON: 64-bit numbers as decimal strings (a reader that knows only doubles must not round
//! them), fixed bytes in lower-case hexadecimal, other bytes in base64. One spelling for each value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest message that is looked at.
pub const MESSAGE_MAX: usize = 4 << 20;

/// A value from JSON, with nothing behind it. The text is judged as UTF-8 once, and every program reads its types by
/// this one reader: another would be compiled for each of them again.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_str(std::str::from_utf8(json).map_err(Error::custom)?)
}

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
        read_text(from, "a 64-bit number is a decimal string without leading zeros", |text| {
            let plain =
                text.bytes().all(|c| c.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
            text.parse().ok().filter(|_| plain).map(Self)
        })
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
        with_hex(&self.0, |text| f.write_str(text))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        with_hex(&self.0, |text| to.serialize_str(text))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read_text(from, "bytes are lower-case hexadecimal, all of them", |text| unhex(text).map(Self))
    }
}

/// The text of bytes in lower-case hexadecimal. States and messages hold hundreds of these, so it is made on the
/// stack and at once, not byte by byte through a formatter.
pub(crate) fn with_hex<const N: usize, T>(bytes: &[u8; N], take: impl FnOnce(&str) -> T) -> T {
    const fn digit(value: u8) -> u8 {
        if value < 10 { b'0' + value } else { b'a' + value - 10 }
    }
    let pairs = bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    take(core::str::from_utf8(pairs.as_flattened()).unwrap_or_default())
}

/// Reads a value from a JSON string without keeping the string; `what` is said when it is none.
pub(crate) fn read_text<'de, D: Deserializer<'de>, T>(
    from: D,
    what: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Text<F>(&'static str, F);

    impl<T, F: FnOnce(&str) -> Option<T>> serde::de::Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string: ")?;
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            let Self(what, read) = self;
            read(text).ok_or_else(|| E::custom(what))
        }
    }

    from.deserialize_str(Text(what, read))
}

/// Exactly `N` bytes of lower-case hexadecimal.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex_digits(text.as_bytes())
}

// Names are read by the million when a centre starts: all digits first, judged once at the end.
pub(crate) fn unhex_digits<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let halves = pairs.map(|pair| pair.map(half));
    let all = halves.iter().fold(0_u8, |all, [high, low]| all | high | low);
    (all < 0x10).then(|| halves.map(|[high, low]| (high << 4) | low))
}

// The value of a lower-case hexadecimal digit; more than any for what is none.
const fn half(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0xFF,
    }
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
        read_text(from, "bytes are base64 with padding", |text| STANDARD.decode(text).ok().map(Self))
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
        for bad in [
            "\"AB\"", "\"a\"", "\"abcd\"", "\"abc\"", "\"zz\"", "\"0g\"", "\"/0\"", "\"0:\"", "\"`0\"",
            "\"\"",
        ] {
            assert!(serde_json::from_str::<Hex<1>>(bad).is_err(), "{bad}");
        }
        for value in 0..=u8::MAX {
            assert_eq!(unhex(&format!("{value:02x}")), Some([value]));
        }
        assert_eq!(serde_json::from_str::<Hex<2>>("\"0aff\"").unwrap(), Hex([10, 255]));
        let blob = Blob(vec![1, 2, 3, 4]);
        let text = serde_json::to_string(&blob).unwrap();
        assert_eq!(serde_json::from_str::<Blob>(&text).unwrap(), blob);
        assert!(serde_json::from_str::<Blob>("\"AQIDBA\"").is_err() && format!("{blob:?}") == "4 bytes");
    }
}
