//! Why a token could not be opened or an LMK not made. What a module says is shown by its return code.

use crate::uri::UriError;
use cryptoki::error::Error as ModuleError;
use hsm::LmkId;
use std::path::PathBuf;
use thiserror::Error;

/// Why a token cannot be used.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The URI is refused.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// No module is named and none is where packages put it.
    #[error("no PKCS#11 module: name one with `module-path=…`, or install one (apt package softhsm2)")]
    NoModule,
    /// The module does not load.
    #[error("module {0}: {1}")]
    Module(PathBuf, ModuleError),
    /// No token matches the URI.
    #[error("no token in any slot matches the URI")]
    NoToken,
    /// More than one token matches.
    #[error("{0} tokens match the URI: name a serial number")]
    Ambiguous(usize),
    /// The token is not ready for use.
    #[error("the token is not initialised, or has no user PIN yet")]
    NotInitialised,
    /// The PIN was refused.
    #[error("the token refused the PIN")]
    PinRefused,
    /// The token is locked, or the next wrong PIN would lock it.
    #[error("the token's PIN is locked, or one more failure would lock it: not tried")]
    PinLocked,
    /// Too many or too recent failures of this process.
    #[error(
        "login not tried: it failed {0} times with this PIN, which must not be locked: mend the PIN file, or wait five seconds after one failure"
    )]
    LoginSpared(u32),
    /// No token that could be initialised.
    #[error("no token of that label, and none that is not initialised yet")]
    NoSlot,
    /// The token is in use already.
    #[error("token `{0}` is initialised: what is on it would be lost")]
    Initialised(String),
    /// A label that no token can have.
    #[error("a label has 1 to 32 bytes")]
    Label,
    /// A PIN of a length that the token does not take.
    #[error("the token takes user PINs of {0} to {1} characters")]
    PinLength(usize, usize),
    /// One PIN for two roles.
    #[error("the security officer and the user need different PINs")]
    SamePins,
    /// The login was lost, and this process is to make no other.
    #[error("the login was lost")]
    LoginLost,
    /// The LMK is there already.
    #[error("LMK {0}: already on the token")]
    LmkExists(LmkId),
    /// Parts of an LMK are missing or there twice.
    #[error("LMK {0}: `{1}` is missing or there twice")]
    LmkParts(LmkId, String),
    /// An object of an LMK has attributes that it must not have.
    #[error("LMK {0}: object `{1}` has attributes that it must not have: {2}")]
    LmkAttributes(LmkId, String, String),
    /// An identifier above 19.
    #[error("an LMK identifier is 0 to 19")]
    LmkNumber,
    /// The key cannot be an LMK.
    #[error("the LMK has a wrong length or is weak")]
    LmkWeak,
    /// The token has no such cipher.
    #[error("the token does not offer {0}")]
    NotOffered(&'static str),
    /// A signing key of this label is there already.
    #[error("the token holds a signing key `{0}` already")]
    KeyExists(String),
    /// No sound signing key of this label.
    #[error("the token holds no signing key `{0}` that cannot be extracted")]
    NoKey(String),
    /// No session to spare.
    #[error("the token gives no more sessions")]
    Sessions,
    /// No randomness.
    #[error("the operating system gave no random bytes")]
    Random,
    /// A formula over the new LMK failed.
    #[error("a key of the LMK could not be derived")]
    Derivation,
    /// Anything else that the module said.
    #[error("token: {0}")]
    Token(ModuleError),
}

impl From<ModuleError> for TokenError {
    fn from(error: ModuleError) -> Self {
        Self::Token(error)
    }
}
