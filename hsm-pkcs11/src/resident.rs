//! Keys that live on the token under a label of their officers: what `K` and an index name. They are used as
//! they are, and never leave. One object may carry each use, or one object both directions of a cipher; an
//! object that also wraps or derives is refused, since what it wraps could be decrypted with it.

use crate::error::TokenError;
use crate::fault::Fault;
use crate::lmk::find;
use crate::objects::{ObjectFacts, facts};
use crate::template::Purpose;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;
use hsm::HsmError;
use paytypes::{CipherError, CipherKind, KeyShape};

fn all(session: &Session, label: &str) -> Result<Vec<(ObjectHandle, ObjectFacts)>, HsmError> {
    let found = find(session, label).map_err(|e| inner(&e))?;
    let with_facts = found.into_iter().map(|object| Ok((object, facts(session, object)?)));
    let with_facts: Result<Vec<_>, TokenError> = with_facts.collect();
    let mut with_facts = with_facts.map_err(|e| inner(&e))?;
    with_facts.retain(|(_, facts)| is_sound(facts));
    if with_facts.is_empty() { Err(HsmError::EmptyIndex) } else { Ok(with_facts) }
}

fn inner(error: &TokenError) -> HsmError {
    match error {
        TokenError::Token(error) => Fault::from(error).into(),
        _ => HsmError::Backend,
    }
}

fn is_sound(facts: &ObjectFacts) -> bool {
    let keeps = ["CKA_ENCRYPT", "CKA_DECRYPT", "CKA_SIGN", "CKA_VERIFY"];
    facts.sensitive && !facts.extractable && facts.uses.iter().all(|one| keeps.contains(one))
}

/// Cipher and length of the key behind a label.
pub(crate) fn shape(session: &Session, label: &str) -> Result<KeyShape, HsmError> {
    let objects = all(session, label)?;
    let (object, facts) = objects.first().ok_or(HsmError::EmptyIndex)?;
    let (kind, length) = match facts.cipher {
        "DES2" => (CipherKind::Tdes, 16),
        "DES3" => (CipherKind::Tdes, 24),
        "AES" => {
            let length = session.get_attributes(*object, &[AttributeType::ValueLen]);
            match length.ok().as_deref() {
                Some([Attribute::ValueLen(length)]) => {
                    (CipherKind::Aes, usize::try_from(u64::from(*length)).unwrap_or_default())
                }
                _ => return Err(HsmError::Backend),
            }
        }
        _ => return Err(HsmError::KeyLength),
    };
    if kind.takes(length) { Ok(KeyShape { kind, length }) } else { Err(HsmError::KeyLength) }
}

/// The object of a label that does what is asked.
pub(crate) fn object(session: &Session, label: &str, purpose: Purpose) -> Result<ObjectHandle, HsmError> {
    let wanted = match purpose {
        Purpose::Encrypt => "CKA_ENCRYPT",
        Purpose::Decrypt => "CKA_DECRYPT",
        Purpose::Sign => "CKA_SIGN",
        // The left part of a key that nobody sees cannot be had.
        Purpose::Left => return Err(HsmError::Cipher(CipherError::Unsupported)),
    };
    let objects = all(session, label)?;
    let fits = objects.iter().find(|(_, facts)| facts.uses.contains(&wanted));
    fits.map(|(object, _)| *object).ok_or(HsmError::NotRevealed)
}
