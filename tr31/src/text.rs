//! Scans and hex of a block's text without a branch for each character, so that the compiler takes many at a
//! time: on a short block they cost as much as the cipher otherwise.

use paytypes::hex;

const fn is_printable(c: u8) -> bool {
    c.wrapping_sub(b' ') <= b'~' - b' '
}

const fn is_hex(c: u8) -> bool {
    c.wrapping_sub(b'0') <= 9 || (c | 0x20).wrapping_sub(b'a') <= 5
}

// True when all characters have the property; looks at all of them always.
fn all(text: &[u8], has: fn(u8) -> bool) -> bool {
    text.iter().fold(true, |all, c| all & has(*c))
}

/// Position of the first character outside printable ASCII.
pub(crate) fn unprintable(text: &[u8]) -> Option<usize> {
    if all(text, is_printable) { None } else { text.iter().position(|c| !is_printable(*c)) }
}

/// Position of the first character that is no hex digit.
pub(crate) fn no_hex(text: &[u8]) -> Option<usize> {
    if all(text, is_hex) { None } else { text.iter().position(|c| !is_hex(*c)) }
}

/// Position of the first lower-case letter.
pub(crate) fn lower_case(text: &[u8]) -> Option<usize> {
    if all(text, |c| !c.is_ascii_lowercase()) { None } else { text.iter().position(u8::is_ascii_lowercase) }
}

// Of a hex digit of either case; meaningless for other characters.
const fn value(c: u8) -> u8 {
    (c & 0x0F).wrapping_add((c >> 6).wrapping_mul(9))
}

/// Decodes `text` into `out`, which is half as long; false when the lengths or the digits do not fit.
pub(crate) fn decode(text: &[u8], out: &mut [u8]) -> bool {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return false;
    }
    let mut good = true;
    for (o, [high, low]) in out.iter_mut().zip(pairs) {
        good &= is_hex(*high) & is_hex(*low);
        *o = value(*high) << 4 | (value(*low) & 0x0F);
    }
    good
}

/// Appends upper-case hex of `bytes`.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start.saturating_add(bytes.len().saturating_mul(2)), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    for (pair, byte) in room.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [hex::letter(*byte >> 4), hex::letter(*byte)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_judged_as_the_slow_way_does() {
        for c in 0..=255u8 {
            assert_eq!(is_printable(c), matches!(c, b' '..=b'~'));
            assert_eq!(is_hex(c), hex::digit(c).is_some());
            if let Some(digit) = hex::digit(c) {
                assert_eq!(value(c) & 0x0F, digit);
            }
            let mut text = vec![b'A'; 40];
            text[33] = c;
            assert_eq!(unprintable(&text), (!matches!(c, b' '..=b'~')).then_some(33));
            assert_eq!(no_hex(&text), hex::digit(c).is_none().then_some(33));
            assert_eq!(lower_case(&text), c.is_ascii_lowercase().then_some(33));
        }
    }

    #[test]
    fn hex_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut text = b"head".to_vec();
        encode(&bytes, &mut text);
        assert_eq!(&text[4..], hex::encode(&bytes).as_bytes());
        let mut back = vec![0; 256];
        assert!(decode(&text[4..], &mut back) && back == bytes);
        assert!(decode(&text[4..].to_ascii_lowercase(), &mut back) && back == bytes);
        assert!(!decode(&text[4..], &mut back[..255]) && !decode(&text[5..], &mut back));
        text[100] = b'G';
        assert!(!decode(&text[4..], &mut back));
        assert!(decode(b"", &mut []));
    }
}
