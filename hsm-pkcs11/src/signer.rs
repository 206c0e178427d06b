//! A person's approval key in a token: Ed25519 made inside, never extractable, used to sign and for nothing else.
//! The token needs `CKM_EDDSA` and `CKM_EC_EDWARDS_KEY_PAIR_GEN` (PKCS#11 3.0 section 6.3); where it lacks them, it is
//! refused and nothing is put in their place.

use crate::error::TokenError;
use crate::token::Token;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use std::sync::{Mutex, PoisonError};

/// What the token must offer.
const NEEDED: [MechanismType; 2] = [MechanismType::EDDSA, MechanismType::ECC_EDWARDS_KEY_PAIR_GEN];
pub(crate) const NEEDED_WHAT: &str = "Ed25519 (CKM_EDDSA and CKM_EC_EDWARDS_KEY_PAIR_GEN)";

/// The curve by object identifier (RFC 8410), and by name as modules before PKCS#11 3.0 have it.
const CURVES: [&[u8]; 2] = [&[0x06, 0x03, 0x2B, 0x65, 0x70], b"\x13\x0cedwards25519"];

/// A signing key in a token.
pub struct TokenSigner {
    session: Mutex<Session>,
    private: ObjectHandle,
    public: [u8; 32],
}

impl core::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenSigner")
    }
}

impl TokenSigner {
    /// Makes a key under a label that no key has yet.
    pub fn make(token: &Token, label: &str) -> Result<Self, TokenError> {
        offered(token)?;
        if label.is_empty() || label.len() > 64 {
            return Err(TokenError::Label);
        }
        let session = token.open_ceremony()?;
        if !session.find_objects(&wanted(ObjectClass::PRIVATE_KEY, label))?.is_empty() {
            return Err(TokenError::KeyExists(label.to_owned()));
        }
        generate(&session, label, true)?;
        drop(session);
        Self::find(token, label)
    }

    /// The key under a label.
    pub fn find(token: &Token, label: &str) -> Result<Self, TokenError> {
        offered(token)?;
        let session = token.open_session()?;
        let one = |class| -> Result<ObjectHandle, TokenError> {
            match session.find_objects(&wanted(class, label))?.as_slice() {
                [key] => Ok(*key),
                _ => Err(TokenError::NoKey(label.to_owned())),
            }
        };
        let (private, public) = (one(ObjectClass::PRIVATE_KEY)?, one(ObjectClass::PUBLIC_KEY)?);
        let unsound = || TokenError::NoKey(label.to_owned());
        if !sound(&session, private)? {
            return Err(unsound());
        }
        let public = point(&session, public)?.ok_or_else(unsound)?;
        Ok(Self { session: Mutex::new(session), private, public })
    }

    /// The verifying key.
    pub const fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], TokenError> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let signature = session.sign(&pure, self.private, message)?;
        signature.try_into().map_err(|_| TokenError::NotOffered(NEEDED_WHAT))
    }
}

pub(crate) fn offered(token: &Token) -> Result<(), TokenError> {
    let all = token.mechanisms()?;
    if NEEDED.iter().all(|needed| all.contains(needed)) {
        Ok(())
    } else {
        Err(TokenError::NotOffered(NEEDED_WHAT))
    }
}

fn wanted(class: ObjectClass, label: &str) -> [Attribute; 2] {
    [Attribute::Class(class), Attribute::Label(label.as_bytes().to_vec())]
}

/// False for a private half that could leave the token.
pub(crate) fn sound(session: &Session, private: ObjectHandle) -> Result<bool, TokenError> {
    let facts = session.get_attributes(private, &[AttributeType::Sensitive, AttributeType::Extractable])?;
    Ok(!facts.iter().any(|fact| matches!(fact, Attribute::Sensitive(false) | Attribute::Extractable(true))))
}

/// Makes a pair, public half first; on the token, or for this session only.
pub(crate) fn generate(
    session: &Session,
    label: &str,
    on_token: bool,
) -> Result<(ObjectHandle, ObjectHandle), TokenError> {
    let name = || Attribute::Label(label.as_bytes().to_vec());
    let private = [
        name(),
        Attribute::Token(on_token),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(!on_token),
        Attribute::Sign(true),
    ];
    let mut last = TokenError::NotOffered(NEEDED_WHAT);
    for curve in CURVES {
        let public = [
            name(),
            Attribute::Token(on_token),
            Attribute::Verify(true),
            Attribute::EcParams(curve.to_vec()),
        ];
        match session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private) {
            Ok(pair) => return Ok(pair),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// The public half itself; none if it is no point of the curve.
pub(crate) fn point(session: &Session, public: ObjectHandle) -> Result<Option<[u8; 32]>, TokenError> {
    let facts = session.get_attributes(public, &[AttributeType::EcPoint])?;
    Ok(facts.into_iter().find_map(|fact| match fact {
        Attribute::EcPoint(point) => point_of(&point),
        _ => None,
    }))
}

// Bare, or as a DER octet string.
fn point_of(point: &[u8]) -> Option<[u8; 32]> {
    match point {
        [0x04, 0x20, rest @ ..] => rest.try_into().ok(),
        bare => bare.try_into().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_32_bytes() {
        let bare = [7; 32];
        let wrapped = [&[0x04, 0x20][..], &bare].concat();
        assert_eq!((point_of(&bare), point_of(&wrapped)), (Some(bare), Some(bare)));
        assert_eq!((point_of(&bare[..31]), point_of(&wrapped[..33]), point_of(&[])), (None, None, None));
    }
}
