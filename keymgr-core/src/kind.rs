//! What the centre must know of a kind of key besides its usage: which shapes it has, whether it wraps others,
//! how long it protects by default. A new kind (CVK, PVK, BDK) is a row here and one in keylink.

pub use keylink::message::{KeyKind, Overlap, Shape};

/// Security strength in bits (SP 800-57 part 1, table 2): a wrapping key has at least that of the key it wraps.
pub const fn strength_bits(shape: Shape) -> u16 {
    match shape {
        Shape::Tdes2 => 80,
        Shape::Tdes3 => 112,
        Shape::Aes128 => 128,
        Shape::Aes192 => 192,
        Shape::Aes256 => 256,
    }
}

/// Strength of the centre's master key: AES-256.
pub const MASTER_STRENGTH_BITS: u16 = 256;

/// The row of a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindFacts {
    /// The kind.
    pub kind: KeyKind,
    /// Wraps other keys; then a double-length key is too weak for it.
    pub wraps: bool,
    /// Default originator period in days: a rule of this house, editable by policy.
    pub originator_days: u32,
}

/// Every kind.
pub const KINDS: [KindFacts; 4] = [
    KindFacts { kind: KeyKind::Zmk, wraps: true, originator_days: 365 },
    KindFacts { kind: KeyKind::Zpk, wraps: false, originator_days: 30 },
    KindFacts { kind: KeyKind::Tmk, wraps: true, originator_days: 365 },
    KindFacts { kind: KeyKind::Tpk, wraps: false, originator_days: 1 },
];

/// The facts of a kind.
pub fn facts(kind: KeyKind) -> &'static KindFacts {
    let [zmk, zpk, tmk, tpk] = &KINDS;
    match kind {
        KeyKind::Zmk => zmk,
        KeyKind::Zpk => zpk,
        KeyKind::Tmk => tmk,
        KeyKind::Tpk => tpk,
    }
}

/// Whether keys of this kind exist in this shape.
pub fn allows(kind: KeyKind, shape: Shape) -> bool {
    !(facts(kind).wraps && shape == Shape::Tdes2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_kind() {
        for row in &KINDS {
            assert_eq!(facts(row.kind).kind, row.kind);
        }
        assert_eq!(KINDS.len(), KeyKind::ALL.len());
    }

    #[test]
    fn a_wrapping_kind_has_no_double_length_key() {
        for row in KINDS.iter().filter(|row| row.wraps) {
            assert!(!allows(row.kind, Shape::Tdes2));
        }
    }

    #[test]
    fn longer_keys_are_never_weaker() {
        let strengths = Shape::ALL.map(strength_bits);
        assert!(strengths.is_sorted() && strengths.last() == Some(&MASTER_STRENGTH_BITS));
    }
}
