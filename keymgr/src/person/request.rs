//! What a person asks to be registered with: a public file, signed by the approval key that is in it.

use crate::core::names;
use crate::core::people::CredentialKind;
use crate::person::Identity;
use keylink::envelope::{Body, EnvelopeError, Signed};
use keylink::ids::PublicKey;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Public half of a person's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonRequest {
    /// Name the person gave.
    pub name: String,
    /// Ed25519 key that will sign approvals, and that certifies the person's channel keys.
    pub approval_key: PublicKey,
    /// The key is in a token, by the person's own word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_token: bool,
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
    /// A name that cannot be shown safely, or none.
    #[error("{}", names::RULE)]
    Name,
}

impl PersonRequest {
    /// The request of an identity, signed.
    pub fn of(identity: &Identity) -> Signed {
        let (name, approval_key) = (identity.name.clone(), identity.public_key());
        Signed::seal(&Self { name, approval_key, in_token: identity.in_token }, identity)
    }

    /// How the secret half is kept, as it is registered.
    pub const fn kind(&self) -> CredentialKind {
        if self.in_token { CredentialKind::Token } else { CredentialKind::File }
    }

    /// Reads and proves a request.
    pub fn read(text: &[u8]) -> Result<Self, RequestError> {
        let signed = Signed::parse(text)?;
        let claimed: Self = signed.peek()?;
        let request: Self = signed.open(&claimed.approval_key)?;
        check_name(&request.name)?;
        Ok(request)
    }
}

pub(super) fn check_name(name: &str) -> Result<(), RequestError> {
    if names::is_plain(name) { Ok(()) } else { Err(RequestError::Name) }
}
