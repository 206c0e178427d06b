//! Effective strength in bits, to hold a protection key against the key it protects.

use paytypes::{Algorithm, CipherKind, KeyShape};

/// Strength of a key of `length` bytes (NIST SP 800-57 part 1, tables 2 and 3; two-key TDES 80, three-key
/// 112). An HMAC key counts its own length, at most 256. `None` for asymmetric keys, whose modulus or curve
/// this crate does not read, and for algorithms it does not know.
pub fn strength_bits(algorithm: Algorithm, length: usize) -> Option<u16> {
    match algorithm {
        Algorithm::DES | Algorithm::TDES => Some(match length {
            0..=8 => 56,
            9..=16 => 80,
            _ => 112,
        }),
        Algorithm::AES | Algorithm::HMAC | Algorithm::HMAC_SHA3 => {
            u16::try_from(length.saturating_mul(8).min(256)).ok()
        }
        _ => None,
    }
}

/// Strength of an opened key.
pub fn strength_of(shape: KeyShape) -> u16 {
    let algorithm = match shape.kind {
        CipherKind::Des | CipherKind::Tdes => Algorithm::TDES,
        CipherKind::Aes => Algorithm::AES,
    };
    strength_bits(algorithm, shape.length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_strength() {
        let bits: Vec<_> =
            [(Algorithm::DES, 8), (Algorithm::TDES, 16), (Algorithm::TDES, 24), (Algorithm::AES, 16)]
                .iter()
                .map(|(a, l)| strength_bits(*a, *l).unwrap())
                .collect();
        assert_eq!(bits, [56, 80, 112, 128]);
        assert_eq!(strength_bits(Algorithm::HMAC, 64), Some(256));
        assert_eq!(strength_bits(Algorithm::RSA, 1200), None);
        assert_eq!(strength_of(KeyShape { kind: CipherKind::Aes, length: 32 }), 256);
    }
}
