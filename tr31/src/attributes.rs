//! Readable names of the codes in a header, for inspection, and small questions about them. An unknown code
//! has no name; it still prints as itself.

use crate::block_id::BlockId;
use crate::error::KeyBlockError;
use crate::header::Attributes;
use crate::matrix;
use paytypes::{Algorithm, Exportability, KeyUsage, ModeOfUse};

/// Name of a usage of X9.143 / ISO 20038. The usages of `S` blocks have their own table in
/// [`crate::sblock::usage_name`].
pub fn usage_name(usage: KeyUsage) -> Option<&'static str> {
    matrix::find(usage).map(|row| row.name)
}

/// All usages that have a name.
pub fn usages() -> impl Iterator<Item = KeyUsage> {
    matrix::usages()
}

/// Name of an algorithm.
pub fn algorithm_name(algorithm: Algorithm) -> Option<&'static str> {
    Some(match algorithm.0 {
        b'A' => "AES",
        b'D' => "DES",
        b'E' => "elliptic curve",
        b'H' => "HMAC",
        b'I' => "HMAC SHA-2 (ISO 20038)",
        b'J' => "HMAC SHA-3 (ISO 20038)",
        b'R' => "RSA",
        b'S' => "DSA",
        b'T' => "triple DES",
        _ => return None,
    })
}

/// Name of a mode of use.
pub fn mode_name(mode: ModeOfUse) -> Option<&'static str> {
    Some(match mode {
        ModeOfUse::BOTH => "encrypt and decrypt, wrap and unwrap",
        ModeOfUse::GENERATE_VERIFY => "generate and verify",
        ModeOfUse::DECRYPT => "decrypt or unwrap only",
        ModeOfUse::ENCRYPT => "encrypt or wrap only",
        ModeOfUse::GENERATE => "generate only",
        ModeOfUse::ANY => "no special restriction",
        ModeOfUse::SIGN => "sign only",
        ModeOfUse::SIGN_DECRYPT => "sign and decrypt",
        ModeOfUse::VERIFY => "verify only",
        ModeOfUse::DERIVE => "derive keys",
        ModeOfUse::VARIANT => "create key variants",
        _ => return None,
    })
}

/// Name of an exportability.
pub fn exportability_name(exportability: Exportability) -> Option<&'static str> {
    Some(match exportability {
        Exportability::EXPORTABLE => "exportable in a trusted key block",
        Exportability::NONE => "not exportable",
        Exportability::SENSITIVE => "sensitive: exportable in other forms too",
        _ => return None,
    })
}

/// Name of a key context (X9.143:2021 6.3).
pub const fn context_name(context: u8) -> Option<&'static str> {
    match context {
        b'0' => Some("storage and exchange"),
        b'1' => Some("storage only"),
        b'2' => Some("exchange only"),
        _ => None,
    }
}

/// Name of an optional block of X9.143.
pub fn block_name(id: BlockId) -> Option<&'static str> {
    Some(match id {
        BlockId::AL => "asymmetric key life",
        BlockId::BI => "base derivation key identifier",
        BlockId::CT => "public key certificate",
        BlockId::DA => "derivations allowed",
        BlockId::FL => "flags",
        BlockId::HM => "hash algorithm of the HMAC key",
        BlockId::IK => "initial key identifier (AES DUKPT)",
        BlockId::KC => "check value of the wrapped key",
        BlockId::KP => "check value of the protection key",
        BlockId::KS => "initial key serial number (TDES DUKPT)",
        BlockId::KV => "key block values version",
        BlockId::LB => "label",
        BlockId::PB => "padding",
        BlockId::PK => "check value of the export protection key",
        BlockId::TC => "time of creation",
        BlockId::TS => "time stamp",
        BlockId::WP => "wrapping pedigree",
        _ => return None,
    })
}

/// Judges usage, algorithm, mode and exportability together, without a block at hand: a key is about to be
/// made with them. Knows the usages of X9.143 and ISO 20038 only.
pub fn judge(attributes: &Attributes) -> Result<(), KeyBlockError> {
    matrix::judge(attributes, false)
}

/// True when a key with this exportability may leave: `in_key_block` when the form that leaves is a key
/// block under a trusted key, false for any weaker form.
pub fn may_leave(exportability: Exportability, in_key_block: bool) -> bool {
    match exportability {
        Exportability::SENSITIVE => true,
        Exportability::EXPORTABLE => in_key_block,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_have_names_and_unknown_ones_have_none() {
        assert_eq!(usage_name(KeyUsage(*b"P0")), Some("PIN encryption key"));
        assert_eq!(usage_name(KeyUsage(*b"99")), None);
        assert!(usages().count() > 40 && usages().all(|u| usage_name(u).is_some()));
        for c in 0..=255u8 {
            assert_eq!(mode_name(ModeOfUse(c)).is_some(), ModeOfUse(c).is_known());
            assert_eq!(exportability_name(Exportability(c)).is_some(), Exportability(c).is_known());
        }
        assert!(algorithm_name(Algorithm(b'A')).is_some() && algorithm_name(Algorithm(b'Q')).is_none());
        assert!(block_name(BlockId::KS).is_some() && block_name(BlockId(*b"10")).is_none());
        assert!(context_name(b'2').is_some() && context_name(b'3').is_none());
    }

    #[test]
    fn what_may_leave() {
        assert!(may_leave(Exportability::EXPORTABLE, true) && !may_leave(Exportability::EXPORTABLE, false));
        assert!(may_leave(Exportability::SENSITIVE, false));
        assert!(!may_leave(Exportability::NONE, true) && !may_leave(Exportability(b'?'), true));
    }
}
