//! Keys and tokens, made of what came out of the ciphers.

use crate::block::{self, FromBlock};
use crate::material::Own;
use crate::sealed::Sealed;
use hsm::{Binding, HsmError, Hygiene, Key, KeyAttributes, KeyToken, Op, Outcome, SealAs};
use paytypes::parity::{parts_are_odd, weakness_of_parts};
use paytypes::soft::SoftKey;
use paytypes::{CipherKind, DesKey, KeyShape, hex};

/// A token whose parts came out of the lanes.
pub(crate) fn token_of_parts(op: &Op, parts: &[u8]) -> Result<Outcome, HsmError> {
    match op {
        Op::Seal { form, .. } => match form.as_ref() {
            SealAs::Variant { scheme, .. } => {
                Ok(Outcome::Token(Box::new(KeyToken::new(*scheme, hex::encode(parts).as_bytes()))))
            }
            SealAs::Block { .. } => Err(HsmError::Scheme),
        },
        _ => Err(HsmError::Backend),
    }
}

/// A key that was opened beside others, out of its key data.
pub(crate) fn key_of_block(sealed: &Sealed, data: &[u8]) -> Result<Key, HsmError> {
    let (key, kind) = block::key_inside(sealed, data)?;
    opened(kind, key, Binding::Block(sealed.attributes))
}

/// A key that came out of a block.
pub(crate) fn key_from_block((clear, kind, attributes): FromBlock) -> Result<Key, HsmError> {
    opened(kind, clear.expose(), Binding::Block(attributes))
}

/// A key for the moment of a command.
pub(crate) fn session_key(kind: CipherKind, clear: &[u8]) -> Result<Key, HsmError> {
    opened(kind, clear, Binding::Session)
}

/// A key whose parts came out of the lanes.
#[inline]
pub(crate) fn opened_tdes(key: DesKey, binding: Binding) -> Key {
    let parts = key.expose_parts();
    let hygiene = Hygiene { odd_parity: parts_are_odd(parts), weakness: weakness_of_parts(parts) };
    Key::des::<Own>(KeyAttributes { shape: key.shape(), binding, hygiene }, key)
}

fn opened(kind: CipherKind, clear: &[u8], binding: Binding) -> Result<Key, HsmError> {
    if !kind.takes(clear.len()) {
        return Err(HsmError::KeyLength);
    }
    if kind != CipherKind::Aes {
        let key = DesKey::new(clear).map_err(|_| HsmError::KeyLength)?;
        return Ok(opened_tdes(key, binding));
    }
    let aes = Own(SoftKey::new(kind, clear)?);
    let shape = KeyShape { kind, length: clear.len() };
    Ok(Key::new(KeyAttributes { shape, binding, hygiene: Hygiene::GOOD }, aes))
}
