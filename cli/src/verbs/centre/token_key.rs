//! An approval key in a PKCS#11 token: where it is, as the home folder remembers it, and how it signs.

use crate::exit::Failure;
use crate::token;
use gateway::config::TokenSource;
use hsm_pkcs11::TokenSigner;
use keylink::PublicKey;
use keylink::envelope::Sign;
use keymgr::person::Approval;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a person's approval key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// URI of the token (RFC 7512).
    pub uri: String,
    /// File with its PIN; asked for when missing.
    pub pin_file: Option<PathBuf>,
    /// Label of the key.
    pub label: String,
}

struct Key(TokenSigner);

impl Sign for Key {
    fn key(&self) -> PublicKey {
        PublicKey(self.0.public_key())
    }

    // A token that is away signs nothing: the zeros are no signature, and whoever asked finds that out before
    // anything is handed in.
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).unwrap_or_else(|error| {
            eprintln!("payhsm: the token did not sign: {error}");
            [0; 64]
        })
    }
}

impl TokenKey {
    fn token(&self) -> Result<hsm_pkcs11::Token, Failure> {
        token::open(&TokenSource { uri: self.uri.clone(), pin_file: self.pin_file.clone() })
    }

    /// Makes the key.
    pub fn make(&self) -> Result<Approval, Failure> {
        let made = TokenSigner::make(&self.token()?, &self.label).map_err(token::failure)?;
        Ok(Box::new(Key(made)))
    }

    /// Finds it.
    pub fn open(&self) -> Result<Approval, Failure> {
        let found = TokenSigner::find(&self.token()?, &self.label).map_err(token::failure)?;
        Ok(Box::new(Key(found)))
    }
}
