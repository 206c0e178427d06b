//! Sets of LMKs in clear, as the simulator loads them: the public test set or those of a key file.

use crate::lmk_check::check_value;
use hsm::{LmkId, LmkInfo, LmkScheme};
use paytypes::{ClearBytes, ValueError, parity};

/// Bytes of a variant LMK set: 20 pairs of 16 bytes.
pub const VARIANT_LENGTH: usize = 320;

/// Kind of an LMK, with its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LmkKind {
    /// Variant set: 20 pairs of 16 bytes.
    Variant,
    /// 3DES key-block LMK: 24 bytes.
    TdesBlock,
    /// AES key-block LMK: 32 bytes.
    AesBlock,
}

impl LmkKind {
    /// Length of the clear LMK in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::Variant => VARIANT_LENGTH,
            Self::TdesBlock => 24,
            Self::AesBlock => 32,
        }
    }

    /// How it wraps keys.
    pub const fn scheme(self) -> LmkScheme {
        match self {
            Self::Variant => LmkScheme::Variant,
            Self::TdesBlock => LmkScheme::TdesBlock,
            Self::AesBlock => LmkScheme::AesBlock,
        }
    }
}

/// One clear LMK. Wiped on drop.
#[derive(Debug)]
pub struct LmkSecret {
    /// Identifier.
    pub id: LmkId,
    /// Kind.
    pub kind: LmkKind,
    /// Free text.
    pub comment: String,
    /// One of the public test LMKs.
    pub test: bool,
    /// The key.
    pub clear: ClearBytes,
}

impl LmkSecret {
    /// From clear bytes of the length of its kind. DES parts get odd parity.
    pub fn new(id: LmkId, kind: LmkKind, comment: &str, mut clear: ClearBytes) -> Result<Self, ValueError> {
        if clear.len() != kind.length() {
            return Err(ValueError::Length);
        }
        if kind == LmkKind::TdesBlock {
            parity::make_odd(clear.expose_mut());
            if parity::weakness(clear.expose()) != parity::Weakness::None {
                return Err(ValueError::Digit);
            }
        }
        Ok(Self { id, kind, comment: comment.to_owned(), test: false, clear })
    }

    /// What commands may know of it.
    pub fn info(&self) -> LmkInfo {
        LmkInfo {
            id: self.id,
            scheme: self.kind.scheme(),
            test: self.test,
            check: check_value(self),
            comment: self.comment.clone(),
        }
    }
}

/// LMKs side by side, in ascending order of their identifiers, each identifier once.
#[derive(Debug, Default)]
pub struct LmkSet(Vec<LmkSecret>);

impl LmkSet {
    /// Adds an LMK; refuses an identifier that is taken.
    pub fn add(&mut self, lmk: LmkSecret) -> Result<(), ValueError> {
        match self.0.binary_search_by_key(&lmk.id, |l| l.id) {
            Ok(_) => Err(ValueError::Digit),
            Err(place) => {
                self.0.insert(place, lmk);
                Ok(())
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &LmkSecret> {
        self.0.iter()
    }

    /// True when one of the public test LMKs is in it.
    pub fn is_test(&self) -> bool {
        self.0.iter().any(|l| l.test)
    }

    /// The public test LMKs of host-commands.md sections 4 and 5, known to everybody: 00 the variant set,
    /// 01 the 3DES key-block LMK, 02 the AES key-block LMK.
    pub fn public_test() -> Self {
        let tests = [
            (LmkKind::Variant, "public variant test set", TEST_VARIANT.as_flattened()),
            (LmkKind::TdesBlock, "public 3DES key-block test LMK", TEST_TDES.as_slice()),
            (LmkKind::AesBlock, "public AES key-block test LMK", TEST_AES.as_slice()),
        ];
        let lmks = tests.into_iter().zip(0..).map(|((kind, comment, clear), id)| LmkSecret {
            id: LmkId(id),
            kind,
            comment: comment.to_owned(),
            test: true,
            clear: ClearBytes::new(clear.to_vec()),
        });
        Self(lmks.collect())
    }
}

const fn pair(left: u8, right: u8) -> [u8; 16] {
    let (l, r) = (left, right);
    [l, l, l, l, l, l, l, l, r, r, r, r, r, r, r, r]
}

// The double-length variant test set; three independent open simulators carry the same values.
const TEST_VARIANT: [[u8; 16]; 20] = [
    0x0101_0101_0101_0101_7902_CD1F_D36E_F8BA_u128.to_be_bytes(),
    pair(0x20, 0x31),
    pair(0x40, 0x51),
    pair(0x61, 0x70),
    pair(0x80, 0x91),
    pair(0xA1, 0xB0),
    0xC1C1_0101_0101_0101_D0D0_0101_0101_0101_u128.to_be_bytes(),
    0xE0E0_0101_0101_0101_F1F1_0101_0101_0101_u128.to_be_bytes(),
    0x1C58_7F1C_1392_4FEF_0101_0101_0101_0101_u128.to_be_bytes(),
    pair(0x01, 0x01),
    pair(0x02, 0x04),
    pair(0x07, 0x10),
    pair(0x13, 0x15),
    pair(0x16, 0x19),
    pair(0x1A, 0x1C),
    pair(0x23, 0x25),
    pair(0x26, 0x29),
    pair(0x2A, 0x2C),
    pair(0x2F, 0x31),
    pair(0x01, 0x01),
];

const TEST_TDES: [u8; 24] = [
    0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0xFE,
    0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10,
];

const TEST_AES: [u8; 32] = [
    0x9B, 0x71, 0x33, 0x3A, 0x13, 0xF9, 0xFA, 0xE7, 0x2F, 0x9D, 0x0E, 0x2D, 0xAB, 0x4A, 0xD6, 0x78, 0x47,
    0x18, 0x01, 0x2F, 0x92, 0x44, 0x03, 0x3F, 0x3F, 0x26, 0xA2, 0xDE, 0x0C, 0x8A, 0xA1, 0x1A,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_set_has_three_kinds_and_check_values() {
        let set = LmkSet::public_test();
        let infos: Vec<LmkInfo> = set.iter().map(LmkSecret::info).collect();
        assert_eq!(infos.len(), 3);
        assert!(infos.iter().all(|i| i.test));
        // Published with the keys: ECB check value of the 3DES LMK, CMAC check value of the AES LMK.
        assert_eq!(&infos[1].check, b"8E0EC0");
        assert_eq!(&infos[2].check, b"DB3FB6");
    }

    #[test]
    fn an_identifier_is_taken_once() {
        let mut set = LmkSet::public_test();
        let again = LmkSecret::new(LmkId(2), LmkKind::AesBlock, "", ClearBytes::zeroed(32)).unwrap();
        assert!(set.add(again).is_err());
        assert!(LmkSecret::new(LmkId(3), LmkKind::AesBlock, "", ClearBytes::zeroed(31)).is_err());
        assert!(LmkSecret::new(LmkId(3), LmkKind::TdesBlock, "", ClearBytes::zeroed(24)).is_err());
    }
}
