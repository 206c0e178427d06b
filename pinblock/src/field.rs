//! Sixteen half-bytes as one number: positions 0 to 15 from the left.

const ONES: u64 = 0x1111_1111_1111_1111;

/// All ones from position `start` to the end; nothing when it lies beyond.
#[inline]
pub(crate) const fn from(start: usize) -> u64 {
    match bits(start) {
        Some(shift) => u64::MAX >> shift,
        None => 0,
    }
}

/// `value` in every position.
#[inline]
pub(crate) fn repeated(value: u8) -> u64 {
    ONES.wrapping_mul(u64::from(value & 0xF))
}

/// `value` moved so that its last half-byte stands just before position `end` (1 to 16).
#[inline]
pub(crate) const fn shifted(value: u64, end: usize) -> u64 {
    match bits(16usize.saturating_sub(end)) {
        Some(shift) => value << shift,
        None => 0,
    }
}

/// `length` half-bytes from position `start`, right justified.
#[inline]
pub(crate) const fn digits_of(word: u64, start: usize, length: usize) -> u64 {
    let kept = word & from(start);
    match bits(16usize.saturating_sub(start.saturating_add(length))) {
        Some(shift) => kept >> shift,
        None => 0,
    }
}

/// A one in each position that holds no decimal digit.
#[inline]
pub(crate) const fn non_decimal(word: u64) -> u64 {
    (word >> 3) & ((word >> 2) | (word >> 1)) & ONES
}

/// Position of the first half-byte that is F; 16 when none is. Looks at all of them always.
#[inline]
pub(crate) const fn first_f(word: u64) -> usize {
    let pairs = word & (word >> 1);
    ((pairs & (pairs >> 2) & ONES).leading_zeros() >> 2) as usize
}

/// Twelve ASCII digits, right justified.
#[inline]
pub(crate) fn digits_to(digits: &[u8; 12]) -> u64 {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *digits;
    packed([0, 0, 0, 0, a, b, c, d]) << 32 | packed([e, f, g, h, i, j, k, l])
}

/// True for twelve ASCII digits. Looks at all of them together, whatever they are.
#[inline]
pub(crate) const fn are_digits(text: &[u8; 12]) -> bool {
    // The high half-byte is that of a digit, and adding 6 to the low one does not reach it. A sum that goes
    // beyond its byte comes from one whose high half is wrong already.
    const fn wrong(x: u128) -> u128 {
        const REPEAT: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
        let y = x ^ REPEAT.wrapping_mul(0x30);
        (y | y.wrapping_add(REPEAT.wrapping_mul(6))) & REPEAT.wrapping_mul(0xF0)
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *text;
    wrong(u128::from_be_bytes([b'0', b'0', b'0', b'0', a, b, c, d, e, f, g, h, i, j, k, l])) == 0
}

// The low half-bytes of eight characters, next to each other.
#[inline]
const fn packed(text: [u8; 8]) -> u64 {
    let values = u64::from_be_bytes(text) & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = (values | (values >> 4)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs | (pairs >> 8)) & 0x0000_FFFF_0000_FFFF;
    (fours | (fours >> 16)) & 0xFFFF_FFFF
}

/// The first eight bytes.
#[inline]
pub(crate) fn word_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

// Bits of `count` half-bytes, when a number can be shifted by so many.
#[allow(clippy::cast_possible_truncation)] // below 16
const fn bits(count: usize) -> Option<u32> {
    if count < 16 { Some((count as u32) << 2) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::bytes::nibble;

    const WORD: u64 = 0x0123_4567_89AB_CDEF;

    #[test]
    fn the_first_f_is_found_wherever_it_is() {
        let others = 0x7BDE_0123_4567_89ACu64;
        assert_eq!(first_f(others), 16);
        for at in 0..16 {
            assert_eq!(first_f(others | shifted(0xF, at + 1)), at);
            assert_eq!(first_f(others | from(at)), at);
        }
    }

    #[test]
    fn digits_are_judged_together_like_each_alone() {
        for at in 0..12 {
            for c in 0..=255u8 {
                let mut text = *b"098765432109";
                text[at] = c;
                assert_eq!(are_digits(&text), c.is_ascii_digit(), "{c:02X} at {at}");
            }
        }
    }

    #[test]
    fn positions_are_those_of_the_bytes() {
        let bytes = WORD.to_be_bytes();
        assert_eq!(word_of(&bytes), WORD);
        for i in 0..16 {
            assert_eq!(digits_of(WORD, i, 1), u64::from(nibble(&bytes, i)));
            assert_eq!(shifted(u64::from(nibble(&bytes, i)), i + 1), WORD & from(i) & !from(i + 1));
            let flagged = non_decimal(WORD) & from(i) & !from(i + 1) != 0;
            assert_eq!(flagged, nibble(&bytes, i) > 9, "{i}");
        }
        assert_eq!((from(0), from(15), from(16), from(99)), (u64::MAX, 0xF, 0, 0));
        assert_eq!(digits_of(WORD, 2, 4), 0x2345);
        assert_eq!(shifted(0x2345, 6), 0x0023_4500_0000_0000);
        assert_eq!((shifted(1, 16), shifted(1, 0)), (1, 0));
        assert_eq!(repeated(0xA), 0xAAAA_AAAA_AAAA_AAAA);
        assert_eq!(digits_to(b"400000123456"), 0x4000_0012_3456);
    }
}
