//! Three-character key types of a variant LMK: a variant digit and the code of an LMK pair.

use core::fmt;

/// Number of an LMK pair: 0 is pair 00-01, 1 is pair 02-03, up to 19 (pair 38-39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LmkPair(pub u8);

/// A key type of the variant scheme, such as `001` (ZPK).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyType(pub [u8; 3]);

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $code:literal),* $(,)?) => {
        impl KeyType {
            $($(#[$doc])* pub const $name: Self = Self(*$code);)*
        }
    };
}

types! {
    /// Zone master key.
    ZMK = b"000",
    /// Zone PIN key.
    ZPK = b"001",
    /// PIN verification key; TMK and TPK too when their separation is off.
    PVK = b"002",
    /// Terminal authentication key.
    TAK = b"003",
    /// Zone authentication key.
    ZAK = b"008",
    /// Base derivation key, type 1.
    BDK1 = b"009",
    /// Base derivation key, type 2.
    BDK2 = b"609",
    /// Base derivation key, type 3.
    BDK3 = b"809",
    /// Base derivation key, type 4.
    BDK4 = b"909",
    /// Zone encryption key.
    ZEK = b"00A",
    /// Data encryption key.
    DEK = b"00B",
    /// Terminal encryption key.
    TEK = b"30B",
    /// Card verification key.
    CVK = b"402",
    /// Initial key of DUKPT (IKEY, IPEK).
    IKEY = b"302",
    /// TPK when it has a pair of its own.
    TPK = b"70D",
    /// TMK when it has a pair of its own.
    TMK = b"80D",
    /// The key block tells the type: key-block LMKs only.
    FROM_BLOCK = b"FFF",
}

// Variant digit (0 = none) and pair for the types of host-commands.md section 4. A type that is not listed
// is refused: deriving pairs for any hexadecimal code would let a host cast keys between unnamed types.
const KNOWN: &[&[u8; 3]] = &[
    b"000", b"001", b"002", b"003", b"006", b"008", b"009", b"00A", b"00B", b"00C", b"00D", b"100", b"103",
    b"104", b"107", b"108", b"109", b"10A", b"10C", b"200", b"203", b"207", b"208", b"209", b"20A", b"302",
    b"307", b"309", b"30B", b"30D", b"402", b"407", b"409", b"40D", b"507", b"509", b"50D", b"607", b"609",
    b"709", b"70D", b"807", b"809", b"80D", b"907", b"909", b"90D", b"105", b"205", b"305", b"405", b"505",
    b"605", b"705", b"805", b"905", b"106", b"206", b"306", b"406", b"506", b"606",
];

impl KeyType {
    /// From three characters; `None` for a type that is not in the catalogue.
    pub fn new(text: [u8; 3]) -> Option<Self> {
        (text == Self::FROM_BLOCK.0 || KNOWN.contains(&&text)).then_some(Self(text))
    }

    /// The variant digit, 0 to 9; 0 is no variant.
    pub const fn variant(self) -> u8 {
        self.0[0].wrapping_sub(b'0')
    }

    /// The LMK pair that wraps keys of this type; `None` for `FFF`.
    pub const fn pair(self) -> Option<LmkPair> {
        // Pair codes skip pairs 00-01, 02-03 and 08-09 to 12-13, which serve other things.
        let pair = match (self.0[1], self.0[2]) {
            (b'0', b'0') => 2,
            (b'0', b'1') => 3,
            (b'0', b'2') => 7,
            (b'0', b'3') => 8,
            (b'0', b'4') => 9,
            (b'0', b'5') => 10,
            (b'0', b'6') => 11,
            (b'0', b'7') => 12,
            (b'0', b'8') => 13,
            (b'0', b'9') => 14,
            (b'0', b'A') => 15,
            (b'0', b'B') => 16,
            (b'0', b'C') => 17,
            (b'0', b'D') => 18,
            (b'0', b'E') => 19,
            _ => return None,
        };
        Some(LmkPair(pair))
    }

    /// The three characters.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl fmt::Debug for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_follow_the_table() {
        assert_eq!(KeyType::ZMK.pair(), Some(LmkPair(2))); // 04-05
        assert_eq!(KeyType::ZPK.pair(), Some(LmkPair(3))); // 06-07
        assert_eq!(KeyType::PVK.pair(), Some(LmkPair(7))); // 14-15
        assert_eq!(KeyType::new(*b"209").and_then(KeyType::pair), Some(LmkPair(14))); // 28-29
        assert_eq!(KeyType::CVK.variant(), 4);
        assert_eq!(KeyType::FROM_BLOCK.pair(), None);
    }

    #[test]
    fn every_known_type_has_a_pair_and_a_variant() {
        for code in KNOWN {
            let t = KeyType::new(**code).unwrap();
            assert!(t.pair().is_some() && t.variant() <= 9, "{t:?}");
        }
        assert!(KeyType::new(*b"0F9").is_none());
        assert!(KeyType::new(*b"999").is_none());
    }
}
