//! Keys of the MAC and data commands: which types under a variant LMK and which usages in a key block they
//! take. A key that wraps keys, encrypts or verifies PINs is refused here, or an exported key or a PIN block
//! could be read with a data command (security.md section 2, row 12).

use super::keys::{self, Ciphers, KeyRule, Place, Use};
use crate::wire::{Step, Wire};
use crate::{Code, Cx};
use hsm::{Key, KeyToken, KeyType};
use paytypes::{CipherKind, KeyUsage};

/// A key type field: the types that a command takes, as they stand on the wire.
pub type Types = &'static [&'static [u8; 3]];

/// Walks a key type field. Another type answers 05.
pub fn walk_type<W: Wire>(wire: &mut W, types: Types, value: &mut [u8; 3]) -> Step {
    wire.choice("key type", value, types, Code::LENGTH_FLAG)
}

/// The type under the LMK of the command: `FFF` belongs to key-block LMKs, the others to variant LMKs.
fn key_type(cx: &Cx, value: [u8; 3]) -> Result<KeyType, Code> {
    KeyType::new(value)
        .filter(|known| (*known == KeyType::FROM_BLOCK) == cx.scheme.is_block())
        .ok_or(Code::LENGTH_FLAG)
}

/// Opens the key of a type field.
pub async fn open(cx: &Cx, value: [u8; 3], token: &KeyToken, rule: &KeyRule, how: Use) -> Result<Key, Code> {
    let key_type = key_type(cx, value)?;
    let key = keys::open_as(cx, token, rule, key_type, how, Place::Source).await?;
    // The token of a key block does not tell that its key is single length.
    if key.attributes().shape.kind == CipherKind::Des && !cx.settings().single_des {
        return Err(Code::KEY_LENGTH);
    }
    Ok(key)
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $key_type:ident, [$($usage:literal),*], $ciphers:ident;)*) => {
        $($(#[$doc])* pub const $name: KeyRule = KeyRule {
            name: $text,
            key_type: KeyType::$key_type,
            usages: &[$(KeyUsage(*$usage)),*],
            ciphers: Ciphers::$ciphers,
        };)*
    };
}

// The type is the first of those that the command takes; its key type field tells which one it is.
rules! {
    /// CBC-MAC: algorithms 1 and 5.
    MAC_CBC = "MAC key", TAK, [b"M0", b"M1"], Any;
    /// Retail MAC: algorithm 3, which is defined over single DES. `36` is the proprietary code of `M3`.
    MAC_RETAIL = "MAC key", TAK, [b"M0", b"M3", b"36"], Tdes;
    /// CMAC: algorithm 6.
    MAC_CMAC = "MAC key", TAK, [b"M0", b"M6"], Any;
    /// Data encryption keys: DEK, ZEK, TEK.
    DATA = "data key", DEK, [b"D0", b"21", b"22", b"23"], Any;
    /// Base derivation key whose data keys serve both directions.
    BDK_BOTH = "BDK-1", BDK1, [b"B0", b"41"], Any;
    /// Base derivation key with a data key for each direction.
    BDK_EACH = "BDK-2", BDK2, [b"42"], Any;
}
