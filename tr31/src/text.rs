//! Scans and hex of a block's text without a branch for each character, so that the compiler takes many at a
//! time: on a short block they cost as much as the cipher otherwise.

use paytypes::bytes::{is_printable, left};
use paytypes::hex;

/// Position of the first character outside printable ASCII.
#[inline]
pub(crate) fn unprintable(text: &[u8]) -> Option<usize> {
    if is_printable(text) { None } else { text.iter().position(|c| !matches!(c, b' '..=b'~')) }
}

/// Position of the first character that is no hex digit.
#[inline]
pub(crate) fn no_hex(text: &[u8]) -> Option<usize> {
    if hex::is_hex(text) { None } else { text.iter().position(|c| hex::digit(*c).is_none()) }
}

/// Position of the first lower-case letter in text whose hex digits were judged.
#[inline]
pub(crate) fn lower_case(text: &[u8]) -> Option<usize> {
    if hex::is_upper_hex(text) { None } else { text.iter().position(u8::is_ascii_lowercase) }
}

// A byte in every one of eight.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

// Four bytes of eight hex digits of either case, the first of which is the lowest byte; meaningless for other
// characters.
const fn packed(digits: u64) -> u32 {
    let letters = (digits >> 6) & each(1);
    let halves = (digits & each(0x0F)).wrapping_add(letters.wrapping_mul(9));
    let pairs = (halves << 4 | halves >> 8) & 0x00FF_00FF_00FF_00FF;
    let quads = (pairs | pairs >> 8) & 0x0000_FFFF_0000_FFFF;
    (quads | quads >> 16) as u32
}

// Eight upper-case hex digits of four bytes, the first of which is the lowest byte.
const fn spread(bytes: u32) -> u64 {
    let quads = (bytes as u64 | (bytes as u64) << 16) & 0x0000_FFFF_0000_FFFF;
    let pairs = (quads | quads << 8) & 0x00FF_00FF_00FF_00FF;
    let halves = (pairs >> 4 | pairs << 8) & each(0x0F);
    let letters = (halves.wrapping_add(each(6)) >> 4) & each(1);
    halves.wrapping_add(each(b'0')).wrapping_add(letters.wrapping_mul(7))
}

/// Decodes `text`, whose digits were judged by [`no_hex`], into `out`; false when that is not half as long.
pub(crate) fn decode(text: &[u8], out: &mut [u8]) -> bool {
    let fits = out.len().checked_mul(2) == Some(text.len());
    let (digits, rest) = text.as_chunks::<8>();
    let (bytes, tail) = out.as_chunks_mut::<4>();
    for (o, digits) in bytes.iter_mut().zip(digits) {
        *o = packed(u64::from_le_bytes(*digits)).to_le_bytes();
    }
    let [a, b, c, _] = packed(u64::from_le_bytes(left(rest))).to_le_bytes();
    for (o, byte) in tail.iter_mut().zip([a, b, c]) {
        *o = byte;
    }
    fits
}

/// Appends upper-case hex of `bytes`.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let (quads, rest) = bytes.as_chunks::<4>();
    let start = out.len();
    out.resize(start.saturating_add(bytes.len().saturating_mul(2)), 0);
    let (room, tail) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<8>();
    for (o, quad) in room.iter_mut().zip(quads) {
        *o = spread(u32::from_le_bytes(*quad)).to_le_bytes();
    }
    for (o, digit) in tail.iter_mut().zip(spread(u32::from_le_bytes(left(rest))).to_le_bytes()) {
        *o = digit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_judged_wherever_it_stands() {
        for c in 0..=255u8 {
            // In what is taken as a vector, and behind it.
            for at in [17, 33] {
                let mut text = vec![b'A'; 40];
                text[at] = c;
                assert_eq!(unprintable(&text), (!matches!(c, b' '..=b'~')).then_some(at));
                assert_eq!(no_hex(&text), hex::digit(c).is_none().then_some(at));
                assert_eq!(lower_case(&text), c.is_ascii_lowercase().then_some(at));
            }
        }
    }

    #[test]
    fn hex_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in [0, 1, 2, 3, 4, 5, 31, 256] {
            for start in 0..=256 - length {
                let bytes = &bytes[start..start + length];
                let mut text = b"head".to_vec();
                encode(bytes, &mut text);
                assert_eq!(&text[4..], hex::encode(bytes).as_bytes());
                let mut back = vec![0; length];
                assert!(decode(&text[4..], &mut back) && back == bytes);
                assert!(decode(&text[4..].to_ascii_lowercase(), &mut back) && back == bytes);
                assert!(!decode(&text[3..], &mut back) && !decode(&text[4..], &mut vec![0; length + 1]));
            }
        }
    }
}
