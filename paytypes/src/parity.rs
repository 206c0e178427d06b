//! DES key hygiene: odd parity, weak keys, equal parts (NIST SP 800-67 section 3.3).

use crate::ClearKey;

/// True when every byte has an odd number of one bits.
#[inline]
pub fn is_odd(key: &[u8]) -> bool {
    let (words, rest) = key.as_chunks::<8>();
    let words = words.iter().fold(LOW_BITS, |all, word| all & parities(u64::from_be_bytes(*word)));
    rest.iter().fold(words, |all, b| all & parities(u64::from(*b) | (LOW_BITS << 8))) == LOW_BITS
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;

// In the low bit of each byte whether it has an odd number of one bits; all bytes at once.
const fn parities(mut word: u64) -> u64 {
    word ^= word >> 4;
    word ^= word >> 2;
    word ^= word >> 1;
    word & LOW_BITS
}

/// Forces odd parity in place: bit 0 of each byte is set as needed.
pub fn make_odd(key: &mut [u8]) {
    for b in key {
        let even = u8::from((*b >> 1).count_ones() & 1 == 0);
        *b = (*b & 0xFE) | even;
    }
}

/// Number of one bits in each byte is judged as above; this is what hygiene finds in a DES or TDES key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Nothing found.
    None,
    /// One part is a weak or semi-weak DES key.
    Weak,
    /// Two parts are equal, so the key is weaker than its length says.
    EqualParts,
}

const PARITY_MASK: u64 = 0xFEFE_FEFE_FEFE_FEFE;

// The 4 weak and 12 semi-weak DES keys of SP 800-67 are exactly those whose two 28-bit halves after PC-1 are
// each all zero, all one or alternating. In bytes: the first four are a b a b, the last four c d c d; of a, parity
// bit aside, the upper three bits are equal and the lower four, and c has the bits of a, four upper and three
// lower, as d has those of b. So a key is weak when no two bits differ that must be equal: no table is walked
// through, and nothing branches on the key.
const fn part_is_weak(part: u64) -> bool {
    // Bytes two apart in each half; neighbours within a group of bits; a with c, and b with d.
    let period = (part ^ (part >> 16)) & 0x0000_FEFE_0000_FEFE;
    let groups = (part ^ (part >> 1)) & 0x6E6E_6E6E_7676_7676;
    let halves = (part ^ (part >> 32)) & 0x0000_0000_8282_8282;
    period | groups | halves == 0
}

/// Judges a DES or TDES key of 8, 16 or 24 bytes; parity bits do not count. Other lengths have no parts.
#[inline]
pub fn weakness(key: &[u8]) -> Weakness {
    let (parts, _) = key.as_chunks::<8>();
    match *parts {
        [a] => weakness_of_parts(&[a].map(u64::from_be_bytes)),
        [a, b] => weakness_of_parts(&[a, b].map(u64::from_be_bytes)),
        [a, b, c] => weakness_of_parts(&[a, b, c].map(u64::from_be_bytes)),
        _ => Weakness::None,
    }
}

/// [`is_odd`] of a key whose parts are big-endian words.
#[inline]
pub fn parts_are_odd(parts: &[u64]) -> bool {
    let all = match *parts {
        // By far the most frequent, without a loop.
        [a, b] => parities(a) & parities(b),
        _ => parts.iter().fold(LOW_BITS, |all, part| all & parities(*part)),
    };
    all == LOW_BITS
}

/// [`weakness`] of a key whose one to three parts are big-endian words.
#[inline]
pub fn weakness_of_parts(parts: &[u64]) -> Weakness {
    let same = |a: u64, b: u64| (a ^ b) & PARITY_MASK == 0;
    let weak = part_is_weak;
    let (found, equal) = match *parts {
        [a] => (weak(a), false),
        [a, b] => (weak(a) | weak(b), same(a, b)),
        [a, b, c] => (weak(a) | weak(b) | weak(c), same(a, b) | same(b, c) | same(a, c)),
        _ => (false, false),
    };
    match (found, equal) {
        (true, _) => Weakness::Weak,
        (_, true) => Weakness::EqualParts,
        _ => Weakness::None,
    }
}

/// [`weakness`] of a clear key.
pub fn weakness_of(key: &ClearKey) -> Weakness {
    weakness(key.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The list of SP 800-67 section 3.3.
    const WEAK: [u64; 16] = [
        0x0101_0101_0101_0101,
        0xFEFE_FEFE_FEFE_FEFE,
        0xE0E0_E0E0_F1F1_F1F1,
        0x1F1F_1F1F_0E0E_0E0E,
        0x011F_011F_010E_010E,
        0x1F01_1F01_0E01_0E01,
        0x01E0_01E0_01F1_01F1,
        0xE001_E001_F101_F101,
        0x01FE_01FE_01FE_01FE,
        0xFE01_FE01_FE01_FE01,
        0x1FE0_1FE0_0EF1_0EF1,
        0xE01F_E01F_F10E_F10E,
        0x1FFE_1FFE_0EFE_0EFE,
        0xFE1F_FE1F_FE0E_FE0E,
        0xE0FE_E0FE_F1FE_F1FE,
        0xFEE0_FEE0_FEF1_FEF1,
    ];

    #[test]
    fn parity_of_every_byte() {
        for b in 0..=255u8 {
            let mut k = [b];
            make_odd(&mut k);
            assert!(is_odd(&k));
            assert_eq!(k[0] & 0xFE, b & 0xFE);
        }
        assert!(!is_odd(&[0x01, 0x03]));
        for length in 0..=24 {
            let mut key = vec![0x01; length];
            assert!(is_odd(&key));
            if let Some(last) = key.last_mut() {
                *last = 0x03;
                assert!(!is_odd(&key));
            }
        }
    }

    #[test]
    fn weak_and_semi_weak_keys_are_found_in_each_part() {
        let good = [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];
        for weak in WEAK {
            for flip in [0u64, 0x0101_0101_0101_0101] {
                let bytes = (weak ^ flip).to_be_bytes();
                assert_eq!(weakness(&[good, bytes].concat()), Weakness::Weak);
                assert_eq!(weakness(&[bytes, good].concat()), Weakness::Weak);
            }
        }
        assert_eq!(weakness(&[0; 16]), Weakness::Weak);
    }

    #[test]
    fn nothing_else_is_weak() {
        let weak = |word: u64| weakness(&word.to_be_bytes()) == Weakness::Weak;
        let listed = |word: u64| WEAK.iter().any(|w| (w ^ word) & PARITY_MASK == 0);
        // One and two bits away from each, and keys of the same structure that are not on the list.
        for word in WEAK {
            for (a, b) in (0..64).flat_map(|a| (0..64).map(move |b| (a, b))) {
                let near = word ^ (1 << a) ^ (1 << b);
                assert_eq!(weak(near), listed(near), "{near:016X}");
            }
        }
        for [a, b, c, d] in (0..=u32::MAX).step_by(65_521).map(u32::to_be_bytes) {
            let word = u64::from_be_bytes([a, b, a, b, c, d, c, d]);
            assert_eq!(weak(word), listed(word), "{word:016X}");
        }
        let halves = [0x00u8, 0x1E, 0xE0, 0xFE, 0x0E, 0xF0];
        for [a, b, c, d] in halves
            .iter()
            .flat_map(|a| halves.map(|b| (*a, b)))
            .flat_map(|(a, b)| halves.iter().flat_map(move |c| halves.map(move |d| [a, b, *c, d])))
        {
            let word = u64::from_be_bytes([a, b, a, b, c, d, c, d]);
            assert_eq!(weak(word), listed(word), "{word:016X}");
        }
    }

    #[test]
    fn equal_parts_are_found_whatever_the_parity_bits() {
        let a = [0x02, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];
        let mut b = a;
        b[0] ^= 1;
        let c = [0x11; 8];
        assert_eq!(weakness(&[a, b].concat()), Weakness::EqualParts);
        assert_eq!(weakness(&[a, c, b].concat()), Weakness::EqualParts);
        assert_eq!(weakness(&[c, a, b].concat()), Weakness::EqualParts);
        assert_eq!(weakness(&[a, c].concat()), Weakness::None);
    }
}
