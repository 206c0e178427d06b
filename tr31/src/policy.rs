//! What a reader or maker of blocks accepts, said explicitly by the caller. The named profiles are starting
//! points: every field can be changed for one partner.

use crate::content;
use crate::error::{ErrorKind, KeyBlockError, field};
use crate::header::Header;
use crate::matrix;
use crate::strength::strength_bits;
use crate::version::{Version, Versions};
use paytypes::Algorithm;
use paytypes::parity::{Weakness, weakness};

/// Judgement of a block beyond its proof. `..Policy::X9_143_STRICT` gives a variation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name for messages and status.
    pub name: &'static str,
    /// Versions that may be opened.
    pub import: Versions,
    /// Versions that may be made.
    pub export: Versions,
    /// Key contexts that the header may have (`0`, `1`, `2`); empty: any, and reserved codes in algorithm,
    /// mode and exportability pass too.
    pub contexts: &'static [u8],
    /// Accept lower-case hex in key data and MAC.
    pub lower_case: bool,
    /// Judge usage, algorithm, mode and exportability together.
    pub matrix: bool,
    /// Accept proprietary (numeric) codes, which the matrix cannot judge.
    pub proprietary: bool,
    /// Judge the content of standard optional blocks.
    pub block_content: bool,
    /// Demand HM with an HMAC key.
    pub hmac_hash: bool,
    /// Verify KP and KC.
    pub check_values: bool,
    /// The protection key must be at least as strong as the key.
    pub strength: bool,
    /// Refuse weak, semi-weak and all-zero keys and equal parts.
    pub weak_keys: bool,
    /// Accept single DES keys.
    pub single_des: bool,
}

impl Policy {
    /// X9.143:2021 with what this project adds: A and C are not accepted, since a 4-byte MAC can be forged
    /// and the key length shows; single DES is not accepted.
    pub const X9_143_STRICT: Self = Self {
        name: "x9.143-strict",
        import: Versions::of(&[Version::B, Version::D]),
        export: Versions::of(&[Version::B, Version::D]),
        contexts: b"012",
        lower_case: false,
        matrix: true,
        proprietary: false,
        block_content: true,
        hmac_hash: true,
        check_values: true,
        strength: true,
        weak_keys: true,
        single_des: false,
    };

    /// TR-31:2018: A and C may be opened, never made; there is no key context; proprietary codes pass.
    pub const TR31_2018: Self = Self {
        name: "tr31-2018",
        import: Versions::of(&[Version::A, Version::B, Version::C, Version::D]),
        contexts: b"0",
        proprietary: true,
        ..Self::X9_143_STRICT
    };

    /// ISO 20038: AES protection keys only; HMAC keys need no HM block.
    pub const ISO_20038: Self = Self {
        name: "iso-20038",
        import: Versions::of(&[Version::D, Version::E]),
        export: Versions::of(&[Version::D, Version::E]),
        contexts: b"0",
        hmac_hash: false,
        ..Self::X9_143_STRICT
    };

    /// No judgement at all: the block is proved and opened, or made as asked.
    pub const NONE: Self = Self {
        name: "none",
        import: Versions::ALL,
        export: Versions::ALL,
        contexts: b"",
        lower_case: true,
        matrix: false,
        proprietary: true,
        block_content: false,
        hmac_hash: false,
        check_values: false,
        strength: false,
        weak_keys: false,
        single_des: true,
    };

    /// For a partner whose blocks do not keep to the standards: opens all versions, makes B, D and E; still
    /// verifies check values and refuses weak keys. `partner` names it in messages and status.
    pub const fn lenient(partner: &'static str) -> Self {
        Self {
            name: partner,
            export: Versions::of(&[Version::B, Version::D, Version::E]),
            check_values: true,
            weak_keys: true,
            ..Self::NONE
        }
    }

    // Before any key is used: what the text alone shows.
    pub(crate) fn judge_text(&self, header: &Header<'_>, allowed: Versions) -> Result<(), KeyBlockError> {
        if !allowed.has(header.version) {
            return Err(KeyBlockError::new(ErrorKind::Policy, field::VERSION, 0)
                .because("version is refused by the profile in use"));
        }
        if self.contexts.is_empty() {
            return Ok(());
        }
        let attributes = &header.attributes;
        let known = |known: bool, code: u8| known || code.is_ascii_digit();
        let (name, at) = if !known(is_algorithm(attributes.algorithm), attributes.algorithm.0) {
            (field::ALGORITHM, 7)
        } else if !known(attributes.mode.is_known(), attributes.mode.0) {
            (field::MODE, 8)
        } else if !attributes.exportability.is_known() {
            (field::EXPORTABILITY, 11)
        } else if !self.contexts.contains(&header.context) {
            (field::CONTEXT, 14)
        } else if header.reserved != b'0' {
            (field::RESERVED, 15)
        } else {
            return Ok(());
        };
        Err(KeyBlockError::new(ErrorKind::HeaderField, name, at)
            .because("reserved code, refused by the profile in use"))
    }

    // With the key in hand: content of optional blocks, attributes, strength, hygiene.
    pub(crate) fn judge_key(
        &self,
        header: &Header<'_>,
        kbpk_bits: u16,
        key: &[u8],
    ) -> Result<(), KeyBlockError> {
        let algorithm = header.attributes.algorithm;
        if self.block_content {
            content::judge(&header.blocks, algorithm, self.hmac_hash)?;
        }
        if self.matrix {
            matrix::judge(&header.attributes, self.proprietary)?;
        }
        let des = matches!(algorithm, Algorithm::DES | Algorithm::TDES);
        if !self.single_des && (algorithm == Algorithm::DES || (des && key.len() <= 8)) {
            return Err(KeyBlockError::new(ErrorKind::Policy, field::ALGORITHM, 7)
                .because("single DES is refused by the profile in use"));
        }
        let needed = strength_bits(algorithm, key.len()).unwrap_or_default();
        if self.strength && needed > kbpk_bits {
            return Err(KeyBlockError::new(ErrorKind::KbpkStrength, field::KBPK, 0));
        }
        let zero = key.iter().fold(0, |all, b| all | b) == 0;
        if self.weak_keys && (zero || (des && weakness(key) != Weakness::None)) {
            return Err(KeyBlockError::new(ErrorKind::WeakKey, field::KEY, 0));
        }
        Ok(())
    }
}

// ISO 20038 adds J to the letters that paytypes names.
fn is_algorithm(algorithm: Algorithm) -> bool {
    algorithm.is_known() || algorithm.0 == b'J'
}
