//! What a person asks to be registered with: a public file, signed by the approval key that is in it.

use crate::person::Identity;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keylink::envelope::{Body, EnvelopeError, Signed};
use keylink::ids::{Digest, PublicKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// Public half of a person's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonRequest {
    /// Name the person gave.
    pub name: String,
    /// Ed25519 key that will sign approvals.
    pub approval_key: PublicKey,
    /// Certificate of the channel, DER in base64. It is not trusted for who signed it: its key is registered.
    pub channel: String,
}

impl Body for PersonRequest {
    const KIND: &'static str = "person-request";
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not a request, or altered.
    #[error("not a person's request: {0}")]
    Message(#[from] EnvelopeError),
    /// The certificate cannot be read.
    #[error("the channel certificate cannot be read")]
    Certificate,
    /// A name that cannot be shown safely, or none.
    #[error("a name has 1 to 64 letters, digits, spaces, dots, dashes or underlines")]
    Name,
}

impl PersonRequest {
    /// The request of an identity, signed.
    pub fn of(identity: &Identity) -> Signed {
        let body = Self {
            name: identity.name.clone(),
            approval_key: identity.public_key(),
            channel: STANDARD.encode(&identity.channel_certificate),
        };
        Signed::seal(&body, identity)
    }

    /// Reads and proves a request.
    pub fn read(text: &[u8]) -> Result<Self, RequestError> {
        let signed = Signed::parse(text)?;
        let claimed: Self = signed.peek()?;
        let request: Self = signed.open(&claimed.approval_key)?;
        check_name(&request.name)?;
        request.channel_key()?;
        Ok(request)
    }

    /// The certificate of the channel, DER.
    pub fn certificate(&self) -> Result<Vec<u8>, RequestError> {
        STANDARD.decode(&self.channel).map_err(|_| RequestError::Certificate)
    }

    /// SHA-256 of the channel certificate's public key (SubjectPublicKeyInfo): what the server knows the
    /// person's connection by.
    pub fn channel_key(&self) -> Result<Digest, RequestError> {
        spki_digest(&self.certificate()?).ok_or(RequestError::Certificate)
    }
}

/// SHA-256 of the SubjectPublicKeyInfo of a certificate in DER.
pub fn spki_digest(certificate: &[u8]) -> Option<Digest> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(Digest::of(&certificate.tbs_certificate().subject_public_key_info().to_der().ok()?))
}

pub(super) fn check_name(name: &str) -> Result<(), RequestError> {
    let fits = |c: char| c.is_alphanumeric() || " .-_".contains(c);
    let long = name.chars().count();
    if (1..=64).contains(&long) && name.chars().all(fits) && name.trim() == name {
        Ok(())
    } else {
        Err(RequestError::Name)
    }
}
