//! The token of a node's backend as the place of its signature key.

use crate::exit::Failure;
use crate::token;
use gateway::node::{Custody, KeyToken, TokenFault};
use hsm_pkcs11::{SigningKeys, Token, TokenError};
use keylink::PublicKey;

struct InToken(SigningKeys);

fn said(error: TokenError) -> TokenFault {
    TokenFault(error.to_string())
}

impl KeyToken for InToken {
    fn make(&mut self) -> Result<PublicKey, TokenFault> {
        self.0.make().map(PublicKey).map_err(said)
    }

    fn keep(&mut self, key: &PublicKey, label: &str) -> Result<(), TokenFault> {
        self.0.keep(&key.0, label).map_err(said)
    }

    fn holds(&mut self, key: &PublicKey) -> Result<bool, TokenFault> {
        self.0.label(&key.0).map(|label| label.is_some()).map_err(said)
    }

    fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], TokenFault> {
        self.0.sign(&key.0, message).map_err(said)
    }

    fn destroy(&mut self, key: &PublicKey) -> Result<(), TokenFault> {
        self.0.destroy(&key.0).map_err(said)
    }
}

/// Where a node's signature key is made, if its backend is of a token that offers it. A token without Ed25519 leaves it
/// in a file, sealed under the token's LMK.
pub fn custody(token: Option<&Token>) -> Result<Option<Custody>, Failure> {
    let Some(token) = token else { return Ok(None) };
    match SigningKeys::new(token) {
        Ok(keys) => Custody::start(Box::new(InToken(keys))).map(Some).map_err(Failure::environment),
        Err(error @ TokenError::NotOffered(_)) => {
            tracing::warn!(%error, "a node's signature key lies in a sealed file");
            Ok(None)
        }
        Err(error) => Err(token::failure(error)),
    }
}
