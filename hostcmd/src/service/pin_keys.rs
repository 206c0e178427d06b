//! The keys that PIN blocks come under, as types and as type fields: commands that differ in nothing else
//! share their layout and their work.

use super::keys::{Ciphers, KeyRule, TPK, ZPK};
use crate::{Code, Cx};
use core::fmt::Debug;
use hsm::KeyType;
use paytypes::KeyUsage;

/// The PIN key of a command.
pub trait PinKey: Debug + Default + 'static {
    /// What the key field takes.
    const RULE: KeyRule;
}

/// Commands whose blocks come under a terminal PIN key.
#[derive(Debug, Default)]
pub struct Terminal;

impl PinKey for Terminal {
    const RULE: KeyRule = TPK;
}

/// Commands whose blocks come under a zone PIN key.
#[derive(Debug, Default)]
pub struct Zone;

impl PinKey for Zone {
    const RULE: KeyRule = ZPK;
}

const IN_BLOCK: KeyRule = KeyRule {
    name: "ZPK or TPK",
    key_type: KeyType::FROM_BLOCK,
    usages: &[KeyUsage(*b"P0"), KeyUsage(*b"71"), KeyUsage(*b"72")],
    ciphers: Ciphers::Any,
};

/// The rule that a type field in front of a PIN key names: `001` ZPK, `002` and `70D` TPK; `FFF` under a
/// key-block LMK, whose blocks tell their own use. Anything else answers 04.
pub fn named(cx: &Cx, key_type: [u8; 3]) -> Result<KeyRule, Code> {
    match (KeyType::new(key_type), cx.scheme.is_block()) {
        (Some(KeyType::FROM_BLOCK), true) => Ok(IN_BLOCK),
        (Some(KeyType::ZPK), false) => Ok(ZPK),
        (Some(KeyType::PVK), false) => Ok(TPK),
        (Some(KeyType::TPK), false) => Ok(KeyRule { key_type: KeyType::TPK, ..TPK }),
        _ => Err(Code::KEY_TYPE_CODE),
    }
}
