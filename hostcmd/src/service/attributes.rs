//! Attributes of key blocks that a command is told to make: reading them, holding them against the rules of
//! `tr31`, and changing them in one direction only.

use crate::Code;
use crate::service::exchange::block_code;
use crate::wire::{BlockGroup, OptionalBlocks};
use hsm::{BlockAttributes, LmkScheme};
use paytypes::{Algorithm, CipherKind, Exportability, KeyUsage, KeyVersion, ModeOfUse};
use tr31::{Attributes, sblock};

/// What the header of a block says beside the algorithm, with its optional blocks.
#[derive(Clone, Debug)]
pub struct Header {
    /// Usage, mode, version number, exportability.
    pub attributes: BlockAttributes,
    /// Optional blocks.
    pub optional: OptionalBlocks,
}

/// Letter of a cipher in a header.
pub const fn algorithm(kind: CipherKind) -> Algorithm {
    match kind {
        CipherKind::Aes => Algorithm::AES,
        CipherKind::Tdes | CipherKind::Des => Algorithm::TDES,
    }
}

/// From the characters of a group.
pub fn from_text(
    usage: [u8; 2],
    mode: [u8; 1],
    version: [u8; 2],
    exportability: [u8; 1],
) -> Result<BlockAttributes, Code> {
    let ([mode], [exportability]) = (mode, exportability);
    Ok(BlockAttributes {
        usage: KeyUsage::new(&usage).map_err(|_| Code::BLOCK_USAGE)?,
        mode: ModeOfUse(mode),
        version: KeyVersion::new(&version).map_err(|_| Code::BLOCK_VERSION)?,
        exportability: Exportability(exportability),
    })
}

/// From the `#` group of a command whose group has a usage.
pub fn from_group(group: &BlockGroup) -> Result<BlockAttributes, Code> {
    from_text(group.usage, group.mode, group.version, group.exportability)
}

/// Judges usage (A6), algorithm (A7), mode (A8), version number (A9) and exportability (AA) of a block for a
/// symmetric key, in the order of the header. A component has its number from the ceremony alone.
pub fn judge(attributes: &BlockAttributes, kind: CipherKind) -> Result<(), Code> {
    let usage = attributes.usage;
    if sblock::usage_name(usage).is_none() || is_asymmetric(usage) {
        return Err(Code::BLOCK_USAGE);
    }
    if is_hmac(usage) {
        return Err(Code::BLOCK_ALGORITHM);
    }
    if !attributes.mode.is_known() {
        return Err(Code::BLOCK_MODE);
    }
    if attributes.version.is_component() {
        return Err(Code::BLOCK_VERSION);
    }
    if !attributes.exportability.is_known() {
        return Err(Code::EXPORTABILITY);
    }
    match like(usage) {
        Some(usage) => tr31::attributes::judge(&whole(attributes, usage, kind)).map_err(block_code),
        None => Ok(()),
    }
}

/// With a usage and the algorithm, as `tr31` takes them.
pub const fn whole(attributes: &BlockAttributes, usage: KeyUsage, kind: CipherKind) -> Attributes {
    Attributes {
        usage,
        algorithm: algorithm(kind),
        mode: attributes.mode,
        key_version: attributes.version,
        exportability: attributes.exportability,
    }
}

fn is_asymmetric(usage: KeyUsage) -> bool {
    matches!(&usage.0, b"02" | b"03" | b"04" | b"05" | b"06")
}

fn is_hmac(usage: KeyUsage) -> bool {
    matches!(&usage.0, b"61" | b"62" | b"63" | b"64" | b"65")
}

// The usage of X9.143 whose algorithms and modes hold for a usage of our own blocks.
fn like(usage: KeyUsage) -> Option<KeyUsage> {
    match &usage.0 {
        b"54" | b"55" | b"24" => Some(KeyUsage(*b"K0")),
        _ => sblock::x9143_usage(usage),
    }
}

/// An AES key is not put under a 3DES LMK, nor under a variant LMK: neither is as strong as the key.
pub fn fits_lmk(scheme: LmkScheme, kind: CipherKind) -> Result<(), Code> {
    if kind == CipherKind::Aes && scheme != LmkScheme::AesBlock { Err(Code::BLOCK_ALGORITHM) } else { Ok(()) }
}

/// Exportability may be given up step by step, S to E to N, never regained.
pub fn restrict_exportability(from: Exportability, to: Exportability) -> Result<(), Code> {
    let rank = |e| match e {
        Exportability::SENSITIVE => Some(2),
        Exportability::EXPORTABLE => Some(1),
        Exportability::NONE => Some(0),
        _ => None,
    };
    match (rank(from), rank(to)) {
        (Some(from), Some(to)) if to <= from => Ok(()),
        _ => Err(Code::EXPORTABILITY),
    }
}

/// What an import may change: the usage becomes more particular (P0 to 72), mode and exportability become
/// narrower, the version number is the owner's.
pub fn restrict(from: &BlockAttributes, to: &BlockAttributes) -> Result<(), Code> {
    particular(from.usage, to.usage)?;
    let modes: &[ModeOfUse] = match from.mode {
        ModeOfUse::ANY => return restrict_exportability(from.exportability, to.exportability),
        ModeOfUse::BOTH => &[ModeOfUse::ENCRYPT, ModeOfUse::DECRYPT],
        ModeOfUse::GENERATE_VERIFY => &[ModeOfUse::GENERATE, ModeOfUse::VERIFY],
        _ => &[],
    };
    if to.mode != from.mode && !modes.contains(&to.mode) {
        return Err(Code::BLOCK_MODE);
    }
    restrict_exportability(from.exportability, to.exportability)
}

/// The same usage, or one of our own that leaves as this one.
pub fn particular(from: KeyUsage, to: KeyUsage) -> Result<(), Code> {
    if from == to || sblock::x9143_usage(to) == Some(from) { Ok(()) } else { Err(Code::BLOCK_USAGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8; 4]) -> BlockAttributes {
        from_text([text[0], text[1]], [text[2]], *b"00", [text[3]]).unwrap()
    }

    #[test]
    fn each_field_has_its_code() {
        let judged = |text, kind| judge(&of(text), kind).err();
        for good in [b"P0BE", b"72NN", b"B1XS", b"52DS", b"37XE", b"13CE", b"54BE"] {
            assert_eq!(judged(good, CipherKind::Tdes), None, "{good:?}");
        }
        assert_eq!(judged(b"ZZBE", CipherKind::Tdes), Some(Code::BLOCK_USAGE));
        assert_eq!(judged(b"03NE", CipherKind::Tdes), Some(Code::BLOCK_USAGE));
        assert_eq!(judged(b"63CE", CipherKind::Aes), Some(Code::BLOCK_ALGORITHM));
        assert_eq!(judged(b"M7CE", CipherKind::Aes), Some(Code::BLOCK_ALGORITHM));
        assert_eq!(judged(b"M3CE", CipherKind::Aes), Some(Code::BLOCK_ALGORITHM));
        assert_eq!(judged(b"72CE", CipherKind::Tdes), Some(Code::BLOCK_MODE));
        assert_eq!(judged(b"72QE", CipherKind::Tdes), Some(Code::BLOCK_MODE));
        assert_eq!(judged(b"P0BQ", CipherKind::Tdes), Some(Code::EXPORTABILITY));
        let component = BlockAttributes { version: KeyVersion(*b"c1"), ..of(b"P0BE") };
        assert_eq!(judge(&component, CipherKind::Tdes), Err(Code::BLOCK_VERSION));
        assert_eq!(from_text(*b"P0", *b"B", *b"*0", *b"E").err(), Some(Code::BLOCK_VERSION));
    }

    #[test]
    fn imports_only_narrow() {
        let change = |from, to| restrict(&of(from), &of(to)).err();
        for (from, to) in [
            (b"P0BE", b"P0BE"),
            (b"P0BE", b"72DE"),
            (b"C0CS", b"13VN"),
            (b"D0NE", b"21BE"),
            (b"P0BS", b"P0BE"),
        ] {
            assert_eq!(change(from, to), None);
        }
        assert_eq!(change(b"72BE", b"P0BE"), Some(Code::BLOCK_USAGE));
        assert_eq!(change(b"P0BE", b"D0BE"), Some(Code::BLOCK_USAGE));
        assert_eq!(change(b"P0DE", b"P0BE"), Some(Code::BLOCK_MODE));
        assert_eq!(change(b"P0BE", b"P0NE"), Some(Code::BLOCK_MODE));
        assert_eq!(change(b"P0BN", b"P0BE"), Some(Code::EXPORTABILITY));
        assert_eq!(change(b"P0NE", b"P0BS"), Some(Code::EXPORTABILITY));
    }

    #[test]
    fn aes_keys_need_an_aes_lmk() {
        for (scheme, good) in
            [(LmkScheme::Variant, false), (LmkScheme::TdesBlock, false), (LmkScheme::AesBlock, true)]
        {
            assert_eq!(fits_lmk(scheme, CipherKind::Aes).is_ok(), good);
            assert!(fits_lmk(scheme, CipherKind::Tdes).is_ok());
        }
    }
}
