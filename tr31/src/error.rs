//! One error per check. It says which check, which field and where, and never what the block held.

use core::fmt;
use paytypes::CipherError;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $class:literal, $code:literal, $hint:literal;)*) => {
        /// Which check refused a block. The classes are those of the known-answer vectors.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $name,)* }

        impl ErrorKind {
            /// All kinds, in the order in which the checks are made.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Class name, as in the vectors.
            pub const fn class(self) -> &'static str {
                match self { $(Self::$name => $class),* }
            }

            /// Stable code for documents and searches.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint),* }
            }
        }
    };
}

kinds! {
    /// Fewer characters than a header.
    TooShort = "too_short", "E_TR31_TOO_SHORT", "a header has 16 characters";
    /// A character outside printable ASCII.
    BadChar = "bad_char", "E_TR31_BAD_CHAR", "only printable ASCII is allowed";
    /// Unknown version letter.
    Version = "version", "E_TR31_VERSION", "version not known here";
    /// The length field is not decimal or not the real length.
    LengthField = "length_field", "E_TR31_LENGTH_FIELD", "must be the decimal length of the whole block, at most 9999";
    /// A header field outside its alphabet or, under a policy, a reserved code.
    HeaderField = "header_field", "E_TR31_HEADER_FIELD", "code not allowed in this field";
    /// The number of optional blocks is not decimal.
    OptCount = "opt_count", "E_TR31_OPT_COUNT", "must be two decimal digits";
    /// An optional block's id is not alphanumeric.
    OptId = "opt_id", "E_TR31_OPT_ID", "an id is two letters or digits";
    /// An optional block's length is not hex, too small, or beyond the text.
    OptLength = "opt_length", "E_TR31_OPT_LENGTH", "two hex digits for the whole block, or 00 04 and four hex digits";
    /// The same id twice.
    OptDuplicate = "opt_duplicate", "E_TR31_OPT_DUPLICATE", "an id may occur once";
    /// Optional blocks do not end at a cipher block, or PB is not last.
    OptPadding = "opt_padding", "E_TR31_OPT_PADDING", "the optional blocks end at a multiple of 8 (A B C, S0) or 16 (D E, S1), PB last";
    /// Key data or MAC is not hex.
    PayloadEncoding = "payload_encoding", "E_TR31_PAYLOAD_ENCODING", "key data and MAC are upper-case hex";
    /// Key data is not whole cipher blocks, or there is no room for key and MAC.
    PayloadLength = "payload_length", "E_TR31_PAYLOAD_LENGTH", "key data must be whole cipher blocks, followed by the MAC";
    /// The protection key's cipher does not fit the version.
    KbpkAlgorithm = "kbpk_algorithm", "E_TR31_KBPK_ALGORITHM", "A B C and S0 take a TDES key, D E and S1 an AES key";
    /// The protection key's length does not fit the version.
    KbpkLength = "kbpk_length", "E_TR31_KBPK_LENGTH", "TDES 16 or 24 bytes, AES 16, 24 or 32 bytes";
    /// KP names another protection key.
    KpMismatch = "kp_mismatch", "E_TR31_KP_MISMATCH", "the block names another protection key: compare its KP with the key selected";
    /// Authentication failed. Also given for an impossible inner length, so that the two cannot be told apart.
    MacMismatch = "mac_mismatch", "E_TR31_MAC_MISMATCH", "wrong protection key or changed block";
    /// The key's length does not fit its algorithm.
    KeyLength = "key_length", "E_TR31_KEY_LENGTH", "length does not fit the algorithm of the key";
    /// Content of an optional block.
    OptData = "opt_data", "E_TR31_OPT_DATA", "content does not have the form that X9.143 gives this block";
    /// The policy refuses the attributes.
    Policy = "policy", "E_TR31_POLICY", "refused by the profile in use";
    /// The protection key is weaker than the key.
    KbpkStrength = "kbpk_strength", "E_TR31_KBPK_STRENGTH", "the protection key must be at least as strong as the key";
    /// A weak, semi-weak or zero key, or equal parts.
    WeakKey = "weak_key", "E_TR31_WEAK_KEY", "weak DES part, equal parts or all zero";
    /// KC names another key.
    KcMismatch = "kc_mismatch", "E_TR31_KC_MISMATCH", "the key's check value differs from KC";
    /// The cipher could not do its work (token lost). Says nothing about the block.
    Backend = "backend", "E_TR31_BACKEND", "the cipher could not be used";
}

/// Names of fields as they stand in [`KeyBlockError::field`]; a caller may match on them.
pub mod field {
    /// Whole text.
    pub const BLOCK: &str = "block";
    /// Version letter.
    pub const VERSION: &str = "version";
    /// Length of the whole block.
    pub const LENGTH: &str = "length";
    /// Key usage.
    pub const USAGE: &str = "key usage";
    /// Algorithm.
    pub const ALGORITHM: &str = "algorithm";
    /// Mode of use.
    pub const MODE: &str = "mode of use";
    /// Key version number.
    pub const KEY_VERSION: &str = "key version";
    /// Exportability.
    pub const EXPORTABILITY: &str = "exportability";
    /// Number of optional blocks.
    pub const OPT_COUNT: &str = "optional block count";
    /// Optional blocks as a whole, or one whose id is not a standard one.
    pub const OPT: &str = "optional block";
    /// Status of the key, of an `S` block.
    pub const STATUS: &str = "status (00)";
    /// Start of validity, of an `S` block.
    pub const START: &str = "start date (03)";
    /// End of validity, of an `S` block.
    pub const END: &str = "end date (04)";
    /// Key context.
    pub const CONTEXT: &str = "key context";
    /// Reserved character.
    pub const RESERVED: &str = "reserved";
    /// LMK id of an `S` block.
    pub const LMK: &str = "lmk id";
    /// Encrypted key data.
    pub const PAYLOAD: &str = "key data";
    /// Authenticator.
    pub const MAC: &str = "mac";
    /// The wrapped key.
    pub const KEY: &str = "key";
    /// The key that protects the block.
    pub const KBPK: &str = "protection key";
}

/// Why a block was refused: check, field, and byte offset into the block's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBlockError {
    /// The check.
    pub kind: ErrorKind,
    /// The field, one of [`field`] or the id of an optional block.
    pub field: &'static str,
    /// Offset in characters from the start of the block (an `S` block: without the tag).
    pub offset: usize,
    reason: Option<&'static str>,
}

impl KeyBlockError {
    pub(crate) const fn new(kind: ErrorKind, field: &'static str, offset: usize) -> Self {
        Self { kind, field, offset, reason: None }
    }

    pub(crate) const fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    pub(crate) const fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// What to look at, in words; never content of the block.
    pub const fn hint(&self) -> &'static str {
        match self.reason {
            Some(reason) => reason,
            None => self.kind.hint(),
        }
    }
}

impl fmt::Display for KeyBlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {} ({}): {}", self.kind.code(), self.offset, self.field, self.hint())
    }
}

impl core::error::Error for KeyBlockError {}

impl From<CipherError> for KeyBlockError {
    fn from(error: CipherError) -> Self {
        let reason = match error {
            CipherError::KeyLength => "the cipher refused a key length",
            CipherError::DataLength => "the cipher refused a data length",
            CipherError::Unsupported => "the cipher has no such operation",
            CipherError::NotOffered => "the backend does not offer the cipher",
            CipherError::Backend => "the backend failed",
        };
        Self::new(ErrorKind::Backend, field::BLOCK, 0).because(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn classes_and_codes_are_unique_and_correspond() {
        let classes: HashSet<_> = ErrorKind::ALL.iter().map(|k| k.class()).collect();
        assert_eq!(classes.len(), ErrorKind::ALL.len());
        for kind in ErrorKind::ALL {
            assert_eq!(kind.code(), format!("E_TR31_{}", kind.class().to_uppercase()));
        }
    }

    #[test]
    fn display_names_check_place_and_hint() {
        let error = KeyBlockError::new(ErrorKind::OptLength, "KS", 18);
        assert_eq!(
            error.to_string(),
            "E_TR31_OPT_LENGTH at byte 18 (KS): two hex digits for the whole block, or 00 04 and four hex digits"
        );
        assert_eq!(error.because("short").hint(), "short");
    }
}
