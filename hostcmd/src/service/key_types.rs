//! Key types of a variant LMK as the key management commands take them, and which usages of a key block say
//! the same: a block may become a key of a type, and a key of a type a block, only where the two agree.

use crate::{Code, Cx};
use hsm::{Binding, Key, KeyType};
use paytypes::KeyUsage;

/// Reads a key type field. Unknown codes answer 04. Under a key-block LMK it says `FFF`, since the block
/// tells the use; under a variant LMK never: 28 otherwise.
pub fn read(cx: &Cx, code: [u8; 3]) -> Result<KeyType, Code> {
    let key_type = KeyType::new(code).ok_or(Code::KEY_TYPE_CODE)?;
    let fits = if cx.scheme.is_block() { key_type == KeyType::FROM_BLOCK } else { is_tdes(key_type) };
    if fits { Ok(key_type) } else { Err(Code::KEY_TYPE) }
}

/// Two characters: the variant digit and the pair code without its zero, as in `42` for type 402.
pub fn read_short(cx: &Cx, code: [u8; 2]) -> Result<KeyType, Code> {
    let [variant, pair] = code;
    if cx.scheme.is_block() { Err(Code::KEY_TYPE) } else { read(cx, [variant, b'0', pair]) }
}

// Types that are no DES or TDES keys of a host. 104 wraps decimalisation tables: a host that could import
// under it would choose its own table, which is the attack of security.md 2 row 1. 00C and 00D hold RSA
// keys, 10C an HMAC key.
fn is_tdes(key_type: KeyType) -> bool {
    key_type != KeyType::FROM_BLOCK && !matches!(&key_type.0, b"104" | b"00C" | b"00D" | b"10C")
}

const PIN_AND_TERMINAL: &[&[u8; 2]] = &[b"V0", b"V1", b"V2", b"P0", b"71", b"K0", b"51"];
const MAC: &[&[u8; 2]] = &[b"M0", b"M1", b"M3", b"M5", b"M6", b"36"];

// host-commands.md sections 4 and 5. A type that is not listed has no usage that says the same.
fn usages(key_type: KeyType) -> &'static [&'static [u8; 2]] {
    match &key_type.0 {
        b"000" => &[b"K0", b"K1", b"52", b"54"],
        b"001" => &[b"P0", b"72"],
        b"002" => PIN_AND_TERMINAL,
        b"003" | b"103" | b"203" | b"008" | b"108" | b"208" => MAC,
        b"006" => &[b"01"],
        b"009" => &[b"B0", b"41"],
        b"609" => &[b"B0", b"42"],
        b"809" => &[b"B0", b"43"],
        b"909" => &[b"B0", b"44"],
        b"302" => &[b"B1"],
        b"402" => &[b"C0", b"11", b"12", b"13"],
        b"109" => &[b"E0"],
        b"209" => &[b"E2"],
        b"309" => &[b"E1"],
        b"409" => &[b"E3"],
        b"509" => &[b"E4"],
        b"709" => &[b"E6", b"32"],
        b"207" => &[b"E5"],
        b"107" => &[b"K0", b"54"],
        b"607" => &[b"53"],
        b"00A" | b"10A" | b"20A" => &[b"D0", b"22"],
        b"00B" => &[b"D0", b"21"],
        b"30B" => &[b"D0", b"23"],
        b"70D" => &[b"P0", b"71"],
        b"80D" => &[b"K0", b"51"],
        b"90D" => &[b"P0", b"73"],
        _ => &[],
    }
}

/// True when a key with this usage in a block may be a key of this type.
pub fn agree(key_type: KeyType, usage: KeyUsage) -> bool {
    usages(key_type).contains(&&usage.0)
}

/// Every bit of an initial key of DUKPT enters what is derived from it, the parity bits too: it has whatever
/// parity the derivation gave (ANSI X9.24-1 annex A).
pub fn has_parity(key_type: KeyType, usage: Option<KeyUsage>) -> bool {
    key_type != KeyType::IKEY && usage != Some(KeyUsage(*b"B1"))
}

/// [`has_parity`] of an opened key.
pub fn key_has_parity(key: &Key) -> bool {
    match key.attributes().binding {
        Binding::Variant(key_type) => has_parity(key_type, None),
        Binding::Block(block) => has_parity(KeyType::FROM_BLOCK, Some(block.usage)),
        Binding::Session => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tr31::sblock::usage_name;

    #[test]
    fn every_usage_is_known_and_every_type_with_usages_is_a_tdes_type() {
        for a in b"0123456789" {
            for c in b"0123456789ABCDE" {
                let Some(key_type) = KeyType::new([*a, b'0', *c]) else { continue };
                assert!(usages(key_type).iter().all(|u| usage_name(KeyUsage(**u)).is_some()), "{key_type:?}");
                assert!(usages(key_type).is_empty() || is_tdes(key_type), "{key_type:?}");
            }
        }
    }

    #[test]
    fn agreement() {
        let agrees = |t: &[u8; 3], u: &[u8; 2]| agree(KeyType::new(*t).unwrap(), KeyUsage(*u));
        assert!(agrees(b"001", b"P0") && agrees(b"001", b"72") && !agrees(b"001", b"71"));
        assert!(agrees(b"609", b"42") && !agrees(b"609", b"41"));
        assert!(!agrees(b"001", b"D0") && !agrees(b"00B", b"P0") && !agrees(b"000", b"P0"));
    }
}
