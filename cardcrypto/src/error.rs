//! Why a formula of this crate was refused.

use core::fmt;
use paytypes::CipherError;

/// One kind per check. Carries no byte of a key, a PAN or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardError {
    /// Cipher or length of the key does not fit the formula.
    KeySize,
    /// DUKPT counter is zero, or has more one bits than a device ever shows.
    Counter,
    /// The KSN is not one of this kind of DUKPT, or not as long as its descriptor says.
    Ksn,
    /// The KSN descriptor is not three hex digits that add up to a KSN.
    Descriptor,
    /// A derived key would be stronger than the base key.
    Strength,
    /// No key of this type is derived for this usage.
    KeyType,
    /// The segment has no such padding or length (a first or middle part is whole blocks, unpadded).
    Segment,
    /// MAC length is not 4 bytes to the whole.
    MacLength,
    /// PAN sequence number is not two decimal digits.
    PanSequence,
    /// The PAN has not the length that the formula takes its digits from.
    PanLength,
    /// A field of the formula is too short, too long or outside its range.
    DataLength,
    /// The session key tree has not a leaf for every counter.
    Tree,
    /// Amount is negative, finer than its currency, or has more than twelve digits.
    Amount,
    /// The cipher refused.
    Cipher(CipherError),
}

impl CardError {
    /// Error class of the known-answer vectors (`tests/vectors/schema.json`).
    pub const fn class(self) -> &'static str {
        match self {
            Self::KeySize | Self::Cipher(_) => "key_size",
            Self::Counter => "counter",
            Self::Ksn | Self::Descriptor | Self::PanSequence | Self::Amount => "bad_char",
            Self::PanLength => "pan_length",
            Self::Strength => "kbpk_strength",
            Self::KeyType | Self::Tree => "policy",
            Self::Segment | Self::MacLength | Self::DataLength => "block_length",
        }
    }

    /// Stable code for documents and searches.
    pub const fn code(self) -> &'static str {
        match self {
            Self::KeySize => "E_CARD_KEY_SIZE",
            Self::Counter => "E_CARD_COUNTER",
            Self::Ksn => "E_CARD_KSN",
            Self::Descriptor => "E_CARD_DESCRIPTOR",
            Self::Strength => "E_CARD_STRENGTH",
            Self::KeyType => "E_CARD_KEY_TYPE",
            Self::Segment => "E_CARD_SEGMENT",
            Self::MacLength => "E_CARD_MAC_LENGTH",
            Self::PanSequence => "E_CARD_PAN_SEQUENCE",
            Self::PanLength => "E_CARD_PAN_LENGTH",
            Self::DataLength => "E_CARD_DATA_LENGTH",
            Self::Tree => "E_CARD_TREE",
            Self::Amount => "E_CARD_AMOUNT",
            Self::Cipher(_) => "E_CARD_CIPHER",
        }
    }
}

impl fmt::Display for CardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeySize => "key does not fit the formula",
            Self::Counter => "DUKPT counter not allowed",
            Self::Ksn => "KSN does not fit",
            Self::Descriptor => "KSN descriptor malformed",
            Self::Strength => "derived key stronger than the base key",
            Self::KeyType => "key type not derived for this usage",
            Self::Segment => "message part does not fit its position",
            Self::MacLength => "MAC length not allowed",
            Self::PanSequence => "PAN sequence number is not two digits",
            Self::PanLength => "PAN has the wrong length for the formula",
            Self::DataLength => "field of the formula outside its range",
            Self::Tree => "session key tree too small for the counter",
            Self::Amount => "amount is not whole minor units of up to twelve digits",
            Self::Cipher(cause) => return cause.fmt(f),
        })
    }
}

impl core::error::Error for CardError {}

impl From<CipherError> for CardError {
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
            CardError::KeySize,
            CardError::Counter,
            CardError::Ksn,
            CardError::Descriptor,
            CardError::Strength,
            CardError::KeyType,
            CardError::Segment,
            CardError::MacLength,
            CardError::PanSequence,
            CardError::PanLength,
            CardError::DataLength,
            CardError::Tree,
            CardError::Amount,
            CardError::Cipher(CipherError::Backend),
        ];
        let codes: std::collections::HashSet<_> = all.iter().map(|error| error.code()).collect();
        assert_eq!(codes.len(), all.len());
        assert!(all.iter().all(|error| !error.to_string().is_empty() && !error.class().is_empty()));
    }
}
