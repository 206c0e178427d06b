//! The table of PINs that an issuer does not give out.

use crate::PinBlockError;
use paytypes::Pin;
use paytypes::pin::PIN_LENGTH_MAX;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

/// True when `pin` is in `table`: ASCII digits, entries of `pin_length` (4 to 12) one after the other, as
/// the `*` field of host commands carries them. A PIN of another length is not in it. Takes the same time
/// wherever the PIN stands in the table.
pub fn is_excluded(pin: &Pin, pin_length: usize, table: &[u8]) -> Result<bool, PinBlockError> {
    if !(4..=PIN_LENGTH_MAX).contains(&pin_length) || table.len().checked_rem(pin_length) != Some(0) {
        return Err(PinBlockError::PinLength);
    }
    if !table.iter().all(u8::is_ascii_digit) {
        return Err(PinBlockError::PinDigit);
    }
    let mut ascii = [0u8; PIN_LENGTH_MAX];
    for (a, value) in ascii.iter_mut().zip(pin.expose()) {
        *a = value | b'0';
    }
    let wanted = ascii.get(..pin.len()).unwrap_or_default();
    let found =
        table.chunks_exact(pin_length).fold(Choice::from(0), |found, entry| found | entry.ct_eq(wanted));
    ascii.zeroize();
    Ok(found.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whole_entries_only() {
        let pin = |text: &[u8]| Pin::from_ascii(text).unwrap();
        let table = b"000011112345";
        assert!(is_excluded(&pin(b"1111"), 4, table).unwrap());
        assert!(is_excluded(&pin(b"2345"), 4, table).unwrap());
        assert!(!is_excluded(&pin(b"1123"), 4, table).unwrap());
        assert!(!is_excluded(&pin(b"00001"), 4, table).unwrap());
        assert!(!is_excluded(&pin(b"0000"), 4, b"").unwrap());
        assert_eq!(is_excluded(&pin(b"0000"), 5, table), Err(PinBlockError::PinLength));
        assert_eq!(is_excluded(&pin(b"0000"), 3, table), Err(PinBlockError::PinLength));
        assert_eq!(is_excluded(&pin(b"0000"), 4, b"000A"), Err(PinBlockError::PinDigit));
    }
}
