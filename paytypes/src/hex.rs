//! Hexadecimal text, upper case on the way out. Allocation-free forms for the hot path.

use crate::ValueError;

/// The value of one upper- or lower-case hex digit.
pub const fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c ^ 0x30),
        b'A'..=b'F' => Some(c.wrapping_sub(b'A').wrapping_add(10)),
        b'a'..=b'f' => Some(c.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

/// The upper-case hex digit of the low half-byte.
pub const fn letter(nibble: u8) -> u8 {
    let n = nibble & 0x0F;
    if n < 10 { n | 0x30 } else { n.wrapping_add(b'A' - 10) }
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// The high bit of each byte that holds a hex digit. All eight are looked at together, whatever they are.
#[inline(always)]
const fn good_digits(x: u64) -> u64 {
    // Without its high bit no character reaches the next byte by a sum. The high bit of a sum tells whether
    // the character is not below the begin, and not below the end, of a range.
    const fn from(x: u64, begin: u8) -> u64 {
        x.wrapping_add(ONES.wrapping_mul(0x80u8.wrapping_sub(begin) as u64))
    }
    let low = x & ONES.wrapping_mul(0x7F);
    let lower = low | ONES.wrapping_mul(0x20);
    let digit = from(low, b'0') & !from(low, b':');
    let letter = from(lower, b'a') & !from(lower, b'g');
    (digit | letter) & !x & ONES.wrapping_mul(0x80)
}

/// True when all characters are hex digits. All are looked at, whatever they are. Sixteen at a time, and without
/// truth values, so that the compiler takes them as one vector.
#[inline(always)]
pub fn is_hex(text: &[u8]) -> bool {
    all_are(text, |c| c | 0x20, b'a')
}

/// True when all characters are hex digits of upper case, in the same manner.
#[inline(always)]
pub fn is_upper_hex(text: &[u8]) -> bool {
    all_are(text, |c| c, b'A')
}

// Decimal digits, or letters that are at most five behind `first` after they were folded.
#[inline(always)]
fn all_are(text: &[u8], folded: impl Fn(u8) -> u8, first: u8) -> bool {
    let bad = |c: u8| {
        let no_digit = c.wrapping_sub(b'0').saturating_sub(9);
        let no_letter = folded(c).wrapping_sub(first).saturating_sub(5);
        no_digit.min(no_letter)
    };
    let (wide, rest) = text.as_chunks::<16>();
    let mut found = [0u8; 16];
    for text in wide {
        for (found, c) in found.iter_mut().zip(text) {
            *found |= bad(*c);
        }
    }
    let good = rest.iter().fold(true, |good, c| good & (bad(*c) == 0));
    u128::from_ne_bytes(found) == 0 && good
}

/// The value of eight hex digits; `None` when one of them is another character.
#[inline(always)]
fn decode_eight(text: [u8; 8]) -> Option<u64> {
    let x = u64::from_be_bytes(text);
    (good_digits(x) == ONES.wrapping_mul(0x80)).then(|| value_of(x))
}

// Of eight hex digits.
#[inline(always)]
const fn value_of(x: u64) -> u64 {
    // Bit 6 tells letters from digits: a letter counts from 1 in its low half-byte.
    let values = (x & ONES.wrapping_mul(0x0F)).wrapping_add(((x >> 6) & ONES).wrapping_mul(9));
    let pairs = (values | (values >> 4)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs | (pairs >> 8)) & 0x0000_FFFF_0000_FFFF;
    (fours | (fours >> 16)) & 0xFFFF_FFFF
}

/// Upper-case hex text of eight bytes.
#[inline]
pub const fn encode_word(bytes: [u8; 8]) -> [u8; 16] {
    const fn eight(four: u32) -> u64 {
        let fours = (four as u64 | ((four as u64) << 16)) & 0x0000_FFFF_0000_FFFF;
        let pairs = (fours | (fours << 8)) & 0x00FF_00FF_00FF_00FF;
        let values = (pairs | (pairs << 4)) & ONES.wrapping_mul(0x0F);
        // One in each place that holds more than 9.
        let letters = (values.wrapping_add(ONES.wrapping_mul(6)) >> 4) & ONES;
        values.wrapping_add(ONES.wrapping_mul(0x30)).wrapping_add(letters.wrapping_mul(7))
    }
    let [a, b, c, d, e, f, g, h] = bytes;
    let (high, low) = (eight(u32::from_be_bytes([a, b, c, d])), eight(u32::from_be_bytes([e, f, g, h])));
    (((high as u128) << 64) | low as u128).to_be_bytes()
}

/// The eight bytes of 16 hex digits; `None` when one of them is another character.
#[inline(always)]
pub fn decode_word(text: &[u8; 16]) -> Option<[u8; 8]> {
    is_hex(text).then_some(word_of(text).to_be_bytes())
}

/// The number that 16 characters say of which [`is_hex`] has judged that they are hex digits; meaningless for
/// others.
#[inline(always)]
pub const fn word_of(digits: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *digits;
    let left = value_of(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    left << 32 | value_of(u64::from_be_bytes(rest))
}

/// Decodes `text` into `out`; the text must be exactly twice as long.
#[inline]
pub fn decode_into(text: &[u8], out: &mut [u8]) -> Result<(), ValueError> {
    let (eights, pairs) = text.as_chunks::<8>();
    let (fours, bytes) = out.as_chunks_mut::<4>();
    let (pairs, rest) = pairs.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != bytes.len() || eights.len() != fours.len() {
        return Err(ValueError::Length);
    }
    for (o, text) in fours.iter_mut().zip(eights) {
        let [.., a, b, c, d] = decode_eight(*text).ok_or(ValueError::Digit)?.to_be_bytes();
        *o = [a, b, c, d];
    }
    for (o, [high, low]) in bytes.iter_mut().zip(pairs) {
        let high = digit(*high).ok_or(ValueError::Digit)?;
        let low = digit(*low).ok_or(ValueError::Digit)?;
        *o = (high << 4) | low;
    }
    Ok(())
}

/// Decodes exactly `N` bytes.
pub fn decode<const N: usize>(text: &[u8]) -> Result<[u8; N], ValueError> {
    let mut out = [0; N];
    decode_into(text, &mut out)?;
    Ok(out)
}

/// Decodes text of any even length.
pub fn decode_vec(text: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut out = vec![0; text.len() >> 1];
    decode_into(text, &mut out)?;
    Ok(out)
}

/// Appends the upper-case hex text of `bytes` to `out`.
pub fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().flat_map(|b| [letter(b >> 4), letter(*b)]));
}

/// Upper-case hex text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|b| [letter(b >> 4), letter(*b)]).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_of_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_vec(encode(&all).as_bytes()).unwrap(), all);
        assert_eq!(decode_vec(encode(&all).to_lowercase().as_bytes()).unwrap(), all);
    }

    #[test]
    fn eight_digits_together_are_judged_like_each_alone() {
        for at in 0..8 {
            for c in 0..=255u8 {
                let mut text = *b"0aF9b1E8";
                text[at] = c;
                let [high, low] = [text[at & 6], text[at | 1]].map(digit);
                let pair = high.zip(low).map(|(high, low)| high << 4 | low);
                assert_eq!(is_hex(&text), pair.is_some());
                assert_eq!(is_hex(&[&text[..], b"0"].concat()), pair.is_some());
                let upper = *b"0AF9B1E8";
                for before in [&b""[..], b"0123456789ABCDEF"] {
                    let mut text = [before, &upper].concat();
                    text[before.len() + at] = c;
                    assert_eq!(is_upper_hex(&text), digit(c).is_some() && !c.is_ascii_lowercase());
                }
                assert_eq!(
                    decode_eight(text).map(|four| four.to_be_bytes()[4 + (at >> 1)]),
                    pair,
                    "{c:02X} at {at}"
                );
            }
        }
        let bytes = [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];
        assert_eq!(&encode_word(bytes), b"0123456789ABCDEF");
        assert_eq!(decode_word(b"0123456789ABCDEF"), Some(bytes));
        assert_eq!(decode_word(b"0123456789ABCDEf"), Some(bytes));
        assert_eq!(decode_word(b"0123456789ABCDEg"), None);
        assert_eq!(encode_word([0x9A; 8]), *b"9A9A9A9A9A9A9A9A");
    }

    #[test]
    fn odd_ends_are_judged_too() {
        assert!(is_hex(b"") && is_hex(b"0aF") && is_hex(b"0123456789abcdefF"));
        assert!(!is_hex(b"g") && !is_hex(b"01234567890123456 "));
    }

    #[test]
    fn refuses_odd_length_and_other_letters() {
        assert_eq!(decode::<1>(b"1"), Err(ValueError::Length));
        assert_eq!(decode::<1>(b"1G"), Err(ValueError::Digit));
        assert_eq!(decode::<2>(b"12"), Err(ValueError::Length));
    }
}
