//! Why a formula of this crate was refused.

paytypes::formula_errors! {
    /// One kind per check. Carries no byte of a key, a PAN or a message.
    CardError, "E_CARD_CIPHER";

    /// Cipher or length of the key does not fit the formula.
    KeySize = "key_size", "E_CARD_KEY_SIZE", "key",
        "key does not fit the formula", "cipher and length that the formula asks for";
    /// DUKPT counter is zero, or has more one bits than a device ever shows.
    Counter = "counter", "E_CARD_COUNTER", "ksn",
        "DUKPT counter not allowed", "a counter that a device shows: TDES 1 to 1FFFFF with at most 10 one bits, AES at most 16";
    /// The KSN is not one of this kind of DUKPT, or not as long as its descriptor says.
    Ksn = "bad_char", "E_CARD_KSN", "ksn",
        "KSN does not fit", "8 to 10 bytes for TDES, 12 for AES";
    /// The KSN descriptor is not three hex digits that add up to a KSN.
    Descriptor = "bad_char", "E_CARD_DESCRIPTOR", "ksn descriptor",
        "KSN descriptor malformed", "three hex digits: lengths of base key, sub-key and device identifiers";
    /// A derived key would be stronger than the base key.
    Strength = "kbpk_strength", "E_CARD_STRENGTH", "key type",
        "derived key stronger than the base key", "a working key no stronger than the base key";
    /// No key of this type is derived for this usage.
    KeyType = "policy", "E_CARD_KEY_TYPE", "key type",
        "key type not derived for this usage", "the usages and key types of X9.24-3; HMAC keys are for MACs only";
    /// The segment has no such padding or length (a first or middle part is whole blocks, unpadded).
    Segment = "block_length", "E_CARD_SEGMENT", "message",
        "message part does not fit its position", "first and middle parts are whole blocks; padding method 3 takes the whole message";
    /// MAC length is not 4 bytes to the whole.
    MacLength = "block_length", "E_CARD_MAC_LENGTH", "mac",
        "MAC length not allowed", "4 bytes to the whole block";
    /// PAN sequence number is not two decimal digits.
    PanSequence = "bad_char", "E_CARD_PAN_SEQUENCE", "pan sequence number",
        "PAN sequence number is not two digits", "two decimal digits";
    /// The PAN has not the length that the formula takes its digits from.
    PanLength = "pan_length", "E_CARD_PAN_LENGTH", "pan",
        "PAN has the wrong length for the formula", "the number of digits that the scheme issues";
    /// A field of the formula is too short, too long or outside its range.
    DataLength = "block_length", "E_CARD_DATA_LENGTH", "data",
        "field of the formula outside its range", "length and range that the formula states";
    /// The session key tree has not a leaf for every counter.
    Tree = "policy", "E_CARD_TREE", "tree",
        "session key tree too small for the counter", "branch factor and height with a leaf for every counter";
    /// Amount is negative, finer than its currency, or has more than twelve digits.
    Amount = "bad_char", "E_CARD_AMOUNT", "amount",
        "amount is not whole minor units of up to twelve digits", "not negative, no finer than the currency, up to twelve digits";
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
        let error = CardError::from(CipherError::DataLength);
        assert_eq!(error.to_string(), CipherError::DataLength.to_string());
        assert_eq!(error.code(), "E_CARD_CIPHER");
    }
}
