//! The KSN descriptor of host commands: how a KSN is put together.

use crate::CardError;
use paytypes::{Ksn, hex};

const COUNTER_DIGITS_TDES: usize = 5;
const COUNTER_DIGITS_AES: usize = 8;

/// Three hex digits: lengths, in hex digits, of base key identifier, sub-key identifier and device
/// identifier. The counter follows them: 5 digits for TDES (its 21st bit is the last of the device
/// identifier), 8 for AES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KsnDescriptor {
    /// Hex digits of the base key identifier.
    pub base_key: u8,
    /// Hex digits of the sub-key identifier.
    pub sub_key: u8,
    /// Hex digits of the device identifier.
    pub device: u8,
}

impl KsnDescriptor {
    /// From three ASCII hex digits.
    pub fn new(text: &[u8; 3]) -> Result<Self, CardError> {
        let [base_key, sub_key, device] = text.map(hex::digit);
        match (base_key, sub_key, device) {
            (Some(base_key), Some(sub_key), Some(device)) => Ok(Self { base_key, sub_key, device }),
            _ => Err(CardError::Descriptor),
        }
    }

    fn identifiers(self) -> usize {
        [self.base_key, self.sub_key, self.device].into_iter().map(usize::from).sum()
    }

    /// Hex digits of a whole TDES KSN: 12 to 20 ([`CardError::Descriptor`] otherwise).
    #[inline]
    pub fn tdes_length(self) -> Result<usize, CardError> {
        let length = self.identifiers().saturating_add(COUNTER_DIGITS_TDES);
        if (12..=20).contains(&length) { Ok(length) } else { Err(CardError::Descriptor) }
    }

    /// Hex digits of a whole AES KSN: always 24 ([`CardError::Descriptor`] otherwise).
    pub fn aes_length(self) -> Result<usize, CardError> {
        let length = self.identifiers().saturating_add(COUNTER_DIGITS_AES);
        if length == 24 { Ok(length) } else { Err(CardError::Descriptor) }
    }

    /// The TDES KSN in `text`, which must be as long as the descriptor says. A short one is filled with F on
    /// the left to 20 digits.
    #[inline]
    pub fn read_tdes(self, text: &[u8]) -> Result<Ksn, CardError> {
        if text.len() != self.tdes_length()? {
            return Err(CardError::Ksn);
        }
        let mut whole = [b'F'; 20];
        if let Some(room) = whole.get_mut(20usize.saturating_sub(text.len())..) {
            room.copy_from_slice(text);
        }
        hex::decode(&whole).map(Ksn::Tdes).map_err(|_| CardError::Ksn)
    }

    /// The AES KSN in `text`, 24 hex digits.
    pub fn read_aes(self, text: &[u8]) -> Result<Ksn, CardError> {
        self.aes_length()?;
        hex::decode(text).map(Ksn::Aes).map_err(|_| CardError::Ksn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8; 3]) -> KsnDescriptor {
        KsnDescriptor::new(text).unwrap()
    }

    #[test]
    fn lengths() {
        assert_eq!(of(b"A05"), KsnDescriptor { base_key: 10, sub_key: 0, device: 5 });
        assert_eq!(of(b"A05").tdes_length(), Ok(20));
        assert_eq!(of(b"605").tdes_length(), Ok(16));
        assert_eq!(of(b"808").aes_length(), Ok(24));
        assert_eq!(of(b"A06").tdes_length(), Err(CardError::Descriptor));
        assert_eq!(of(b"600").tdes_length(), Err(CardError::Descriptor));
        assert_eq!(of(b"A05").aes_length(), Err(CardError::Descriptor));
        assert_eq!(KsnDescriptor::new(b"A0G"), Err(CardError::Descriptor));
    }

    #[test]
    fn reads_a_ksn_of_the_announced_length_only() {
        let ksn = of(b"A05").read_tdes(b"FFFF000001315240003A").unwrap();
        assert_eq!((hex::encode(ksn.as_bytes()).as_str(), ksn.counter()), ("FFFF000001315240003A", 0x3A));
        let short = of(b"605").read_tdes(b"1234567890E00001").unwrap();
        assert_eq!(hex::encode(short.as_bytes()), "FFFF1234567890E00001");
        assert_eq!(of(b"A05").read_tdes(b"FFFF000001315240003"), Err(CardError::Ksn));
        assert_eq!(of(b"A05").read_tdes(b"GGGGGGGGGGGGGGGGGGGG"), Err(CardError::Ksn));
        assert!(of(b"808").read_aes(b"123456789012345600000001").is_ok());
        assert_eq!(of(b"808").read_aes(b"12345678901234560000001"), Err(CardError::Ksn));
    }
}
