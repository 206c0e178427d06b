//! Why a backend refused. One function of `hostcmd` turns these into host codes.

use core::fmt;
use paytypes::CipherError;

/// What is wrong with a key block (`S`), field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockFault {
    /// Not a key block of the version that this LMK wraps.
    Format,
    /// The block names another LMK.
    LmkId,
    /// MAC or inner length: wrong key or altered block.
    Authentication,
    /// Length field.
    Length,
    /// Key usage.
    Usage,
    /// Algorithm, or key length that does not fit it.
    Algorithm,
    /// Mode of use.
    Mode,
    /// Key version number.
    Version,
    /// Exportability.
    Exportability,
    /// Number of optional blocks.
    OptionalCount,
    /// Identifier or length of an optional block.
    OptionalHeader,
    /// Content of an optional block.
    OptionalData,
    /// Status of the key (optional block 00).
    Status,
    /// Start of its validity (optional block 03).
    StartDate,
    /// End of its validity (optional block 04).
    EndDate,
}

/// Why an operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HsmError {
    /// No such LMK is loaded.
    NoSuchLmk,
    /// The token's scheme is not one of this LMK's.
    Scheme,
    /// The key type cannot be wrapped under this LMK.
    KeyType,
    /// The token is not hexadecimal, or has a wrong length.
    Token,
    /// The key block is refused.
    Block(BlockFault),
    /// A key cannot leave the backend.
    NotRevealed,
    /// Length of the key does not fit the scheme or algorithm.
    KeyLength,
    /// User storage holds nothing at this index.
    EmptyIndex,
    /// A cipher operation was refused.
    Cipher(CipherError),
    /// The backend failed: token removed, session lost, process gone.
    Backend,
}

impl From<CipherError> for HsmError {
    fn from(error: CipherError) -> Self {
        match error {
            CipherError::Backend => Self::Backend,
            other => Self::Cipher(other),
        }
    }
}

impl From<BlockFault> for HsmError {
    fn from(fault: BlockFault) -> Self {
        Self::Block(fault)
    }
}

impl fmt::Display for HsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchLmk => f.write_str("no such LMK"),
            Self::Scheme => f.write_str("key scheme not allowed under this LMK"),
            Self::KeyType => f.write_str("key type not allowed under this LMK"),
            Self::Token => f.write_str("key token malformed"),
            Self::Block(fault) => write!(f, "key block refused: {fault:?}"),
            Self::NotRevealed => f.write_str("key cannot leave the backend"),
            Self::KeyLength => f.write_str("key length not allowed"),
            Self::EmptyIndex => f.write_str("user storage is empty at this index"),
            Self::Cipher(error) => write!(f, "{error}"),
            Self::Backend => f.write_str("backend failed"),
        }
    }
}

impl core::error::Error for HsmError {}

/// For formulas over [`paytypes::Cipher`], whose trait knows cipher errors only.
pub(crate) fn as_cipher_error(error: HsmError) -> CipherError {
    match error {
        HsmError::Cipher(inner) => inner,
        HsmError::KeyLength => CipherError::KeyLength,
        _ => CipherError::Backend,
    }
}
