//! The grammar of fields that tell their own length, as nom parsers over complete frames.

use super::{Alphabet, Untagged};
use hsm::{LmkId, Scheme};
use nom::bytes::complete::{tag, take, take_while_m_n};
use nom::combinator::{consumed, map_opt, opt, verify};
use nom::error::Error;
use nom::sequence::preceded;
use nom::{IResult, Parser};

pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Error<&'a [u8]>>;

/// Mark in front of the message trailer.
pub const END_OF_MESSAGE: u8 = 0x19;

#[inline(always)]
const fn is_digit(c: u8) -> bool {
    c.wrapping_sub(b'0') < 10
}

/// True for decimal digits only. Eight are looked at together: the high half-byte of each is that of a digit, and
/// adding 6 to the low one does not reach it. A sum that goes beyond its byte comes from one that is wrong already.
#[inline(always)]
pub(super) fn are_digits(text: &[u8]) -> bool {
    const fn wrong(x: u64) -> u64 {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let y = x ^ ONES.wrapping_mul(0x30);
        (y | y.wrapping_add(ONES.wrapping_mul(6))) & ONES.wrapping_mul(0xF0)
    }
    let (eights, rest) = text.as_chunks::<8>();
    let (fours, rest) = rest.as_chunks::<4>();
    let mut bad = eights.iter().fold(0, |bad, eight| bad | wrong(u64::from_le_bytes(*eight)));
    // Characters that are not there count as digits.
    for four in fours {
        bad |= wrong(u64::from(u32::from_le_bytes(*four)) | 0x3030_3030_0000_0000);
    }
    bad == 0 && rest.iter().fold(true, |good, c| good & is_digit(*c))
}

#[inline]
pub(super) fn belongs(alphabet: Alphabet, text: &[u8]) -> bool {
    match alphabet {
        Alphabet::Digits => are_digits(text),
        Alphabet::Hex => paytypes::hex::is_hex(text),
        Alphabet::Printable => paytypes::bytes::is_printable(text),
        Alphabet::Characters | Alphabet::Binary => true,
    }
}

/// Exactly `length` characters of an alphabet.
pub(super) fn characters(alphabet: Alphabet, length: usize, input: &[u8]) -> Parsed<'_, &[u8]> {
    verify(take(length), |text: &[u8]| belongs(alphabet, text)).parse(input)
}

// So many hexadecimal digits, or what else may stand behind a tag. Keys are long, and most are of this form,
// so that the digits are looked at as one piece.
#[inline(always)]
fn hex<const N: usize>(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, rest) = input.split_first_chunk::<N>()?;
    paytypes::hex::is_hex(text).then_some((rest, text))
}

#[cold]
fn or_index<'a>(input: &'a [u8], scheme: Scheme) -> Option<KeyField<'a>> {
    index(input).ok().map(|(rest, text)| KeyField { rest, scheme, text })
}

// `K` and three hexadecimal digits: an index of user storage.
fn index(input: &[u8]) -> Parsed<'_, &[u8]> {
    consumed(preceded(tag(&b"K"[..]), |input| characters(Alphabet::Hex, 3, input)))
        .map(|(text, _)| text)
        .parse(input)
}

// A key block tells its own length: version, four decimal digits, and so many characters in all.
#[inline]
fn block(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, length @ ..] = input.first_chunk::<5>()?;
    if !are_digits(length) {
        return None;
    }
    let length = length.iter().fold(0usize, |n, c| n.wrapping_mul(10).wrapping_add(usize::from(c & 0x0F)));
    let (text, rest) = input.split_at_checked(length)?;
    (length >= 16 && belongs(Alphabet::Printable, text)).then_some((rest, text))
}

/// A key field: what it is, the text behind its tag, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyField<'a> {
    pub(super) rest: &'a [u8],
    pub(super) scheme: Scheme,
    pub(super) text: &'a [u8],
}

/// The most frequent form of a key by far, a double-length key under a variant LMK: its digits, or nothing when
/// it is another form or another one has to say what is wrong.
#[inline(always)]
pub(super) fn double_key(input: &[u8]) -> Option<&[u8; 32]> {
    let (tag, rest) = input.split_first()?;
    rest.first_chunk().filter(|digits| *tag == b'U' && paytypes::hex::is_hex(*digits))
}

/// A key field of host-commands.md section 3: the first character decides.
#[inline]
pub(super) fn key(untagged: Untagged, input: &[u8]) -> Option<KeyField<'_>> {
    let (first, behind) = input.split_first()?;
    let (scheme, taken) = match first {
        b'U' => (Scheme::U, hex::<32>(behind)),
        b'X' => (Scheme::X, hex::<32>(behind)),
        b'T' => (Scheme::T, hex::<48>(behind)),
        b'Y' => (Scheme::Y, hex::<48>(behind)),
        b'S' => (Scheme::S, block(behind)),
        b'R' => return field(Scheme::R, block(behind)),
        b'Z' => return field(Scheme::Single, hex::<16>(behind)),
        b'K' => return field(Scheme::K, hex::<3>(behind)),
        b'0'..=b'9' | b'A'..=b'F' | b'a'..=b'f' => {
            return match untagged {
                Untagged::Single => field(Scheme::Single, hex::<16>(input)),
                Untagged::Pair => field(Scheme::Pair, hex::<32>(input)),
            };
        }
        _ => return None,
    };
    match taken {
        Some(_) => field(scheme, taken),
        None => or_index(behind, scheme),
    }
}

#[inline]
fn field<'a>(scheme: Scheme, taken: Option<(&'a [u8], &'a [u8])>) -> Option<KeyField<'a>> {
    taken.map(|(rest, text)| KeyField { rest, scheme, text })
}

/// The LMK selector; malformed is an error, missing is `None`.
pub(super) fn selector(input: &[u8]) -> Parsed<'_, Option<LmkId>> {
    match input.first() {
        Some(b'%') => {
            let two = take_while_m_n(2, 2, |c: u8| c.is_ascii_digit());
            let id = map_opt(two, |d: &[u8]| d.try_into().ok().and_then(LmkId::from_digits));
            opt(preceded(tag(&b"%"[..]), id)).parse(input).and_then(|(rest, id)| match id {
                Some(id) => Ok((rest, Some(id))),
                None => Err(nom::Err::Error(Error::new(input, nom::error::ErrorKind::Digit))),
            })
        }
        _ => Ok((input, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(text: &[u8]) -> Option<(Scheme, usize)> {
        key(Untagged::Single, text).map(|field| (field.scheme, field.rest.len()))
    }

    #[test]
    fn the_first_character_decides() {
        let hex = [b'A'; 60];
        let with = |tag: &[u8], n: usize| [tag, hex.get(..n).unwrap()].concat();
        assert_eq!(scheme(&with(b"U", 34)), Some((Scheme::U, 2)));
        assert_eq!(scheme(&with(b"T", 48)), Some((Scheme::T, 0)));
        assert_eq!(scheme(&with(b"", 20)), Some((Scheme::Single, 4)));
        assert_eq!(scheme(b"K123"), Some((Scheme::K, 0)));
        assert_eq!(scheme(b"UK123x"), Some((Scheme::U, 1)));
        assert_eq!(scheme(&with(b"U", 31)), None);
        assert_eq!(scheme(b"Q"), None);
        assert_eq!(scheme(b""), None);
    }

    #[test]
    fn blocks_tell_their_length() {
        let block = [b"S00072".as_slice(), &[b'0'; 67], b"rest"].concat();
        assert_eq!(scheme(&block), Some((Scheme::S, 4)));
        assert_eq!(scheme(block.get(..60).unwrap()), None);
        assert_eq!(scheme(b"S00007AB"), None);
        assert_eq!(scheme(b"S0zzzzAB"), None);
    }

    #[test]
    fn selectors() {
        assert_eq!(selector(b"%01#").unwrap().1, Some(LmkId(1)));
        assert_eq!(selector(b"#").unwrap().1, None);
        assert!(selector(b"%1").is_err());
        assert!(selector(b"%1x").is_err());
    }
}
