//! Why a block, a PIN or its verification data was refused.

paytypes::formula_errors! {
    /// One kind per check. Carries no digit of a PIN, an account or a block.
    PinBlockError, "E_PIN_CIPHER";

    /// PIN length outside what ISO 9564-1 (4 to 12) or the format allows, or shorter than the check length.
    PinLength = "pin_length", "E_PIN_PIN_LENGTH", "pin",
        "PIN length not allowed", "4 to 12 digits, and as many as the format takes";
    /// A PIN position holds no decimal digit.
    PinDigit = "pin_digit", "E_PIN_PIN_DIGIT", "pin",
        "PIN holds a non-decimal digit", "key, format and account with which the block was made";
    /// The account has not the length that the format takes its digits from.
    PanLength = "pan_length", "E_PIN_PAN_LENGTH", "account",
        "account has the wrong length for the format", "formats 0, 3 and 35 take a PAN of 13 digits or more, or the 12-digit account field; format 04 the PAN";
    /// A character of the account is no decimal digit.
    PanDigit = "pan_digit", "E_PIN_PAN_DIGIT", "account",
        "account holds a non-decimal digit", "decimal digits only";
    /// The block is not 8 bytes (16 for ISO 4).
    BlockLength = "block_length", "E_PIN_BLOCK_LENGTH", "block",
        "PIN block has the wrong length", "8 bytes, 16 for ISO 4";
    /// First half-byte is not the one of the format.
    ControlField = "control_field", "E_PIN_CONTROL_FIELD", "block",
        "control field is not the one of the format", "key and format with which the block was made";
    /// A filler half-byte is not one of the format.
    Filler = "filler", "E_PIN_FILLER", "block",
        "filler is not the one of the format", "account with which the block was made";
    /// A block in translation has a wrong control field or PIN length. Deliberately one kind for both, and
    /// the only judgement that translation makes (see [`crate::reformat`]).
    BlockContent = "control_field", "E_PIN_BLOCK_CONTENT", "block",
        "PIN block content", "key and format with which the block was made";
    /// The format is not formed or read by this function (46, 41 and 42).
    Format = "policy", "E_PIN_FORMAT", "format",
        "format not supported by this function", "46 has no public layout; 41 and 42 are made with the key of the card";
    /// Cipher or length of the key does not fit the formula.
    KeySize = "key_size", "E_PIN_KEY_SIZE", "key",
        "key does not fit the formula", "cipher and length that the formula asks for";
    /// Decimalisation table is not 16 digits, or not diverse enough.
    Table = "table", "E_PIN_TABLE", "table",
        "decimalisation table not allowed", "16 digits, at least 8 different ones, none more than 4 times";
    /// Offset is not decimal digits followed by F, or shorter than the check length.
    Offset = "offset", "E_PIN_OFFSET", "offset",
        "offset malformed", "decimal digits, filled with F, at least as many as are checked";
    /// PVV key index is no decimal digit.
    Index = "index", "E_PIN_INDEX", "key index",
        "PVV key index malformed", "one decimal digit";
    /// Check length is not 4 to 12.
    CheckLength = "pin_length", "E_PIN_CHECK_LENGTH", "check length",
        "check length not 4 to 12", "4 to 12";
    /// PIN validation data is not 12 characters with one `N`, nor `P` and 16 hex digits.
    ValidationData = "bad_char", "E_PIN_VALIDATION_DATA", "validation data",
        "PIN validation data malformed", "12 characters with one N, or P and 16 hex digits";
    /// The window into the PAN lies outside it, or is longer than 16 digits.
    PanWindow = "pan_window", "E_PIN_PAN_WINDOW", "validation data",
        "window outside the PAN", "start and length inside the PAN, at most 16 digits";
    /// Pad character is no hex digit.
    PadChar = "pad_char", "E_PIN_PAD_CHAR", "validation data",
        "pad character is no hex digit", "one hex digit";
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::CipherError;
    use std::collections::HashSet;

    #[test]
    fn codes_and_texts_are_unique_and_none_is_empty() {
        let codes: HashSet<_> = ALL.iter().map(|error| error.code()).collect();
        let texts: HashSet<_> = ALL.iter().map(ToString::to_string).collect();
        assert_eq!((codes.len(), texts.len()), (ALL.len(), ALL.len()));
        for error in ALL {
            assert!(
                [error.class(), error.field(), error.hint()].iter().all(|text| text.len() > 2),
                "{error:?}"
            );
        }
    }

    #[test]
    fn an_error_of_the_cipher_keeps_its_cause() {
        let error = PinBlockError::from(CipherError::DataLength);
        assert_eq!(error.to_string(), CipherError::DataLength.to_string());
        assert_eq!(error.code(), "E_PIN_CIPHER");
    }
}
