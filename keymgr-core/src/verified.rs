//! A message whose signature has been judged. The only way to make one is to judge it, so that a machine that
//! takes `Verified` cannot be given anything else; the judging itself can run on any thread.
//!
//! Which key was used stays with the message: whose key that is, is for the machine to know.

use super::ids::{Digest, PublicKey};
use keylink::Signed;
use keylink::envelope::{Body, EnvelopeError};
use serde::{Serialize, Serializer};

/// A body, the exact message it came in, and the key under which the signature holds.
#[derive(Clone, Debug)]
pub struct Verified<B> {
    body: B,
    signed: Signed,
    key: PublicKey,
}

impl<B: Body> Verified<B> {
    /// Judges a message.
    pub fn open(signed: Signed, key: &PublicKey) -> Result<Self, EnvelopeError> {
        Ok(Self { body: signed.open(key)?, signed, key: *key })
    }
}

impl<B> Verified<B> {
    /// What was said.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The message as received.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// The key under which it holds.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The message's name.
    pub fn hash(&self) -> Digest {
        self.signed.hash()
    }
}

impl<B> Serialize for Verified<B> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.signed.serialize(to)
    }
}
