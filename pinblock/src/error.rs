//! Why a block, a PIN or its verification data was refused.

use core::fmt;
use paytypes::CipherError;

/// One kind per check. Carries no digit of a PIN, an account or a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinBlockError {
    /// PIN length outside what ISO 9564-1 (4 to 12) or the format allows, or shorter than the check length.
    PinLength,
    /// A PIN position holds no decimal digit.
    PinDigit,
    /// The account has not the length that the format takes its digits from.
    PanLength,
    /// A character of the account is no decimal digit.
    PanDigit,
    /// The block is not 8 bytes (16 for ISO 4).
    BlockLength,
    /// First half-byte is not the one of the format.
    ControlField,
    /// A filler half-byte is not one of the format.
    Filler,
    /// A block in translation has a wrong control field or PIN length. Deliberately one kind for both, and
    /// the only judgement that translation makes (see [`crate::reformat`]).
    BlockContent,
    /// The format is not formed or read by this function (46, 41 and 42).
    Format,
    /// Cipher or length of the key does not fit the formula.
    KeySize,
    /// Decimalisation table is not 16 digits, or not diverse enough.
    Table,
    /// Offset is not decimal digits followed by F, or shorter than the check length.
    Offset,
    /// PVV key index is no decimal digit.
    Index,
    /// Check length is not 4 to 12.
    CheckLength,
    /// PIN validation data is not 12 characters with one `N`, nor `P` and 16 hex digits.
    ValidationData,
    /// The window into the PAN lies outside it, or is longer than 16 digits.
    PanWindow,
    /// Pad character is no hex digit.
    PadChar,
    /// The cipher refused.
    Cipher(CipherError),
}

impl PinBlockError {
    /// Error class of the known-answer vectors (`tests/vectors/schema.json`).
    pub const fn class(self) -> &'static str {
        match self {
            Self::PinLength | Self::CheckLength => "pin_length",
            Self::PinDigit => "pin_digit",
            Self::PanLength => "pan_length",
            Self::PanDigit => "pan_digit",
            Self::BlockLength => "block_length",
            Self::ControlField | Self::BlockContent => "control_field",
            Self::Filler => "filler",
            Self::Format => "policy",
            Self::KeySize | Self::Cipher(_) => "key_size",
            Self::Table => "table",
            Self::Offset => "offset",
            Self::Index => "index",
            Self::ValidationData => "bad_char",
            Self::PanWindow => "pan_window",
            Self::PadChar => "pad_char",
        }
    }

    /// Stable code for documents and searches. There is no offset: the place of a wrong digit is a secret's.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PinLength => "E_PIN_PIN_LENGTH",
            Self::PinDigit => "E_PIN_PIN_DIGIT",
            Self::PanLength => "E_PIN_PAN_LENGTH",
            Self::PanDigit => "E_PIN_PAN_DIGIT",
            Self::BlockLength => "E_PIN_BLOCK_LENGTH",
            Self::ControlField => "E_PIN_CONTROL_FIELD",
            Self::Filler => "E_PIN_FILLER",
            Self::BlockContent => "E_PIN_BLOCK_CONTENT",
            Self::Format => "E_PIN_FORMAT",
            Self::KeySize => "E_PIN_KEY_SIZE",
            Self::Table => "E_PIN_TABLE",
            Self::Offset => "E_PIN_OFFSET",
            Self::Index => "E_PIN_INDEX",
            Self::CheckLength => "E_PIN_CHECK_LENGTH",
            Self::ValidationData => "E_PIN_VALIDATION_DATA",
            Self::PanWindow => "E_PIN_PAN_WINDOW",
            Self::PadChar => "E_PIN_PAD_CHAR",
            Self::Cipher(_) => "E_PIN_CIPHER",
        }
    }
}

impl fmt::Display for PinBlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PinLength => "PIN length not allowed",
            Self::PinDigit => "PIN holds a non-decimal digit",
            Self::PanLength => "account has the wrong length for the format",
            Self::PanDigit => "account holds a non-decimal digit",
            Self::BlockLength => "PIN block has the wrong length",
            Self::ControlField => "control field is not the one of the format",
            Self::Filler => "filler is not the one of the format",
            Self::BlockContent => "PIN block content",
            Self::Format => "format not supported by this function",
            Self::KeySize => "key does not fit the formula",
            Self::Table => "decimalisation table not allowed",
            Self::Offset => "offset malformed",
            Self::Index => "PVV key index malformed",
            Self::CheckLength => "check length not 4 to 12",
            Self::ValidationData => "PIN validation data malformed",
            Self::PanWindow => "window outside the PAN",
            Self::PadChar => "pad character is no hex digit",
            Self::Cipher(cause) => return cause.fmt(f),
        })
    }
}

impl core::error::Error for PinBlockError {}

impl From<CipherError> for PinBlockError {
    fn from(cause: CipherError) -> Self {
        Self::Cipher(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let all = [
            PinBlockError::PinLength,
            PinBlockError::PinDigit,
            PinBlockError::PanLength,
            PinBlockError::PanDigit,
            PinBlockError::BlockLength,
            PinBlockError::ControlField,
            PinBlockError::Filler,
            PinBlockError::BlockContent,
            PinBlockError::Format,
            PinBlockError::KeySize,
            PinBlockError::Table,
            PinBlockError::Offset,
            PinBlockError::Index,
            PinBlockError::CheckLength,
            PinBlockError::ValidationData,
            PinBlockError::PanWindow,
            PinBlockError::PadChar,
            PinBlockError::Cipher(CipherError::Backend),
        ];
        let codes: std::collections::HashSet<_> = all.iter().map(|error| error.code()).collect();
        assert_eq!(codes.len(), all.len());
        assert!(all.iter().all(|error| !error.to_string().is_empty() && !error.class().is_empty()));
    }
}
