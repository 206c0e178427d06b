//! The version letter of a key block for exchange, and sets of them.

use crate::scheme::{self, Scheme};
use paytypes::CipherKind;

/// Version of a TR-31 / X9.143 / ISO 20038 key block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// TDES, key variant binding (TR-31:2005); 4-byte MAC, deprecated.
    A,
    /// TDES, key derivation binding (TR-31:2010); 8-byte CMAC.
    B,
    /// TDES, key variant binding (TR-31:2010); 4-byte MAC, as A.
    C,
    /// AES, key derivation binding, CBC (TR-31:2018, ISO 20038); 16-byte CMAC.
    D,
    /// AES, key derivation binding, CTR (ISO 20038); 16-byte CMAC.
    E,
}

impl Version {
    /// All versions.
    pub const ALL: [Self; 5] = [Self::A, Self::B, Self::C, Self::D, Self::E];

    /// From the letter.
    pub const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'A' => Some(Self::A),
            b'B' => Some(Self::B),
            b'C' => Some(Self::C),
            b'D' => Some(Self::D),
            b'E' => Some(Self::E),
            _ => None,
        }
    }

    /// The letter.
    pub const fn letter(self) -> u8 {
        match self {
            Self::A => b'A',
            Self::B => b'B',
            Self::C => b'C',
            Self::D => b'D',
            Self::E => b'E',
        }
    }

    /// Cipher of the protection key.
    pub const fn kind(self) -> CipherKind {
        self.scheme().kind
    }

    /// Length of the MAC in bytes.
    pub const fn mac_length(self) -> usize {
        self.scheme().mac_length
    }

    /// The optional blocks end at a multiple of this many characters (8 or 16).
    pub const fn alignment(self) -> usize {
        self.kind().block_length()
    }

    pub(crate) const fn scheme(self) -> &'static Scheme {
        match self {
            Self::A | Self::C => &scheme::VARIANT,
            Self::B => &scheme::TDES_DERIVED,
            Self::D => &scheme::AES_CBC,
            Self::E => &scheme::AES_CTR,
        }
    }
}

/// A set of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions(u8);

impl Versions {
    /// All of A to E.
    pub const ALL: Self = Self(0b1_1111);

    /// The versions of `list`.
    pub const fn of(list: &[Version]) -> Self {
        let mut bits = 0;
        let mut rest = list;
        while let [first, tail @ ..] = rest {
            bits |= Self::bit(*first);
            rest = tail;
        }
        Self(bits)
    }

    const fn bit(version: Version) -> u8 {
        match version {
            Version::A => 1,
            Version::B => 2,
            Version::C => 4,
            Version::D => 8,
            Version::E => 16,
        }
    }

    /// True when `version` is in the set.
    pub const fn has(self, version: Version) -> bool {
        self.0 & Self::bit(version) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_round_trip() {
        for version in Version::ALL {
            assert_eq!(Version::from_letter(version.letter()), Some(version));
            assert!(Versions::ALL.has(version));
        }
        assert_eq!(Version::from_letter(b'F'), None);
        assert!(!Versions::of(&[Version::B, Version::D]).has(Version::C));
    }
}
