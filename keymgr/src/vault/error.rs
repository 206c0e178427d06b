//! Why the vault refused.

use hsm::HsmError;
use paytypes::CipherError;
use thiserror::Error;
use tr31::{ErrorKind, KeyBlockError};

/// Why the vault refused. No key byte is in any of these.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The backend has no AES key-block LMK of the identifier that was asked for.
    #[error("the backend holds no AES master key of this identifier")]
    NoMasterKey,
    /// The block is not under the master key, or was altered.
    #[error("the key block cannot be opened under the master key: {0:?}")]
    Block(HsmError),
    /// The block is another key's: its label is not the expected one.
    #[error("the key block belongs to another key: expected label {expected}")]
    Label {
        /// Label that the row asks for.
        expected: String,
    },
    /// The block's usage, algorithm or length is not that of the row.
    #[error("the key block is of another kind than its row says")]
    Kind,
    /// A wrapping key must be at least as strong as the key that it wraps.
    #[error("the wrapping key is weaker than the key: {wrapping} bits under {wrapped}")]
    Weaker {
        /// Effective strength of the wrapping key.
        wrapping: u16,
        /// Effective strength of the key.
        wrapped: u16,
    },
    /// The check value does not match.
    #[error("the check value does not match")]
    CheckValue,
    /// A key block of a partner was refused.
    #[error("the partner's key block is refused: {0}")]
    Exchange(KeyBlockError),
    /// Components do not make a key: too few, of different lengths, equal, or all zero.
    #[error("the components do not make a key: {0}")]
    Components(&'static str),
    /// A sealed component or an agreement message cannot be opened.
    #[error("the sealed message cannot be opened by this key")]
    Sealed,
    /// The backend does not do this cipher.
    #[error("the backend offers no such cipher: a token without DES holds no DES or TDES keys")]
    NotOffered,
    /// The backend failed; it is asked again when it answers.
    #[error("the backend does not answer: the master key is away; try again")]
    Backend,
}

impl From<HsmError> for VaultError {
    fn from(error: HsmError) -> Self {
        match error {
            HsmError::Backend => Self::Backend,
            HsmError::Cipher(CipherError::NotOffered) => Self::NotOffered,
            other => Self::Block(other),
        }
    }
}

impl From<KeyBlockError> for VaultError {
    fn from(error: KeyBlockError) -> Self {
        // What a token did not answer says nothing about the block.
        if error.kind == ErrorKind::Backend { Self::Backend } else { Self::Exchange(error) }
    }
}
