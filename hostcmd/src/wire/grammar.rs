//! The grammar of fields that tell their own length, as nom parsers over complete frames.

use super::{Alphabet, Untagged};
use hsm::{KeyToken, LmkId, Scheme};
use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while_m_n};
use nom::character::complete::one_of;
use nom::combinator::{consumed, map_opt, opt, peek, verify};
use nom::error::Error;
use nom::sequence::preceded;
use nom::{IResult, Parser};

pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Error<&'a [u8]>>;

/// Mark in front of the message trailer.
pub const END_OF_MESSAGE: u8 = 0x19;

// Without a branch for each character, so that the compiler judges many at once.
fn all(text: &[u8], good: impl Fn(u8) -> bool) -> bool {
    text.iter().fold(0, |bad, c| bad | u8::from(!good(*c))) == 0
}

pub(super) fn belongs(alphabet: Alphabet, text: &[u8]) -> bool {
    let digit = |c: u8| c.wrapping_sub(b'0') < 10;
    match alphabet {
        Alphabet::Digits => all(text, digit),
        Alphabet::Hex => all(text, |c| digit(c) | ((c | 0x20).wrapping_sub(b'a') < 6)),
        Alphabet::Printable => all(text, |c| c.wrapping_sub(b' ') <= b'~'.wrapping_sub(b' ')),
        Alphabet::Characters | Alphabet::Binary => true,
    }
}

/// Exactly `length` characters of an alphabet.
pub(super) fn characters(alphabet: Alphabet, length: usize, input: &[u8]) -> Parsed<'_, &[u8]> {
    verify(take(length), |text: &[u8]| belongs(alphabet, text)).parse(input)
}

fn hex(length: usize) -> impl FnMut(&[u8]) -> Parsed<'_, &[u8]> {
    move |input| characters(Alphabet::Hex, length, input)
}

// `K` and three hexadecimal digits: an index of user storage.
fn index(input: &[u8]) -> Parsed<'_, &[u8]> {
    consumed(preceded(tag(&b"K"[..]), hex(3))).map(|(text, _)| text).parse(input)
}

// A key block tells its own length: version, four decimal digits, and so many characters in all.
fn block(input: &[u8]) -> Parsed<'_, &[u8]> {
    let length = map_opt((take(1usize), characters_of_length), |(_, length)| length);
    let (_, length) = peek(length).parse(input)?;
    characters(Alphabet::Printable, length, input)
}

fn characters_of_length(input: &[u8]) -> Parsed<'_, Option<usize>> {
    let number = |text: &[u8]| {
        let n = text.iter().fold(0usize, |n, c| n.wrapping_mul(10).wrapping_add(usize::from(c & 0x0F)));
        (n >= 16).then_some(n)
    };
    take_while_m_n(4, 4, |c: u8| c.is_ascii_digit()).map(number).parse(input)
}

/// A key field of host-commands.md section 3: the first character decides.
pub(super) fn key(untagged: Untagged, input: &[u8]) -> Parsed<'_, KeyToken> {
    let (rest, first) = peek(one_of(&b"UXTYSRKZ0123456789ABCDEFabcdef"[..])).parse(input)?;
    let behind = rest.get(1..).unwrap_or_default();
    let token = |scheme| move |text: &[u8]| KeyToken::new(scheme, text);
    match first {
        'U' => alt((hex(32), index)).map(token(Scheme::U)).parse(behind),
        'X' => alt((hex(32), index)).map(token(Scheme::X)).parse(behind),
        'T' => alt((hex(48), index)).map(token(Scheme::T)).parse(behind),
        'Y' => alt((hex(48), index)).map(token(Scheme::Y)).parse(behind),
        'S' => alt((block, index)).map(token(Scheme::S)).parse(behind),
        'R' => block.map(token(Scheme::R)).parse(behind),
        'Z' => hex(16).map(token(Scheme::Single)).parse(behind),
        'K' => hex(3).map(token(Scheme::K)).parse(behind),
        _ => match untagged {
            Untagged::Single => hex(16).map(token(Scheme::Single)).parse(input),
            Untagged::Pair => hex(32).map(token(Scheme::Pair)).parse(input),
        },
    }
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
        key(Untagged::Single, text).ok().map(|(rest, token)| (token.scheme, rest.len()))
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
