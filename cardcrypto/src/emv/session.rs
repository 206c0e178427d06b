//! Session keys, and the data that makes each one different.

use crate::CardError;
use core::fmt;
use paytypes::{Cipher, CipherKind, ClearKey};

/// What a session key is derived from: eight bytes for TDES, sixteen for AES. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    bytes: [u8; 16],
    length: Length,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Eight,
    Sixteen,
    // Made by a rule that fills with zeros for the longer block.
    Either,
}

impl Seed {
    /// Eight bytes, or sixteen for AES ([`CardError::DataLength`] otherwise). Byte 2 is replaced when the
    /// key is derived, as EMV Book 2 A1.3.1 says.
    pub fn new(bytes: &[u8]) -> Result<Self, CardError> {
        let length = match bytes.len() {
            8 => Length::Eight,
            16 => Length::Sixteen,
            _ => return Err(CardError::DataLength),
        };
        Ok(Self { bytes: paytypes::bytes::left(bytes), length })
    }

    /// Application transaction counter, then zeros: cryptograms under the common session key.
    pub const fn of_counter(counter: u16) -> Self {
        let [high, low] = counter.to_be_bytes();
        Self::either([high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Application cryptogram: secure messaging under the common session key. Each further script command
    /// of one transaction adds one to it where the scheme says so.
    pub const fn of_cryptogram(cryptogram: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = cryptogram;
        Self::either([a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Counter, zeros, unpredictable number: Mastercard's own derivation (M/Chip, SKD). TDES only.
    pub const fn of_counter_and_number(counter: u16, unpredictable: [u8; 4]) -> Self {
        let [high, low] = counter.to_be_bytes();
        let [a, b, c, d] = unpredictable;
        let bytes = [high, low, 0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0];
        Self { bytes, length: Length::Eight }
    }

    const fn either(bytes: [u8; 16]) -> Self {
        Self { bytes, length: Length::Either }
    }

    pub(super) const fn fits(&self, kind: CipherKind) -> bool {
        match self.length {
            Length::Eight => !matches!(kind, CipherKind::Aes),
            Length::Sixteen => matches!(kind, CipherKind::Aes),
            Length::Either => true,
        }
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    pub(super) const fn marked(&self, mark: u8) -> [u8; 16] {
        let [a, b, _, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.bytes;
        [a, b, mark, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

/// The key of one transaction or script. It has no operation of its own: load it for its one purpose.
pub struct SessionKey {
    key: ClearKey,
    kind: CipherKind,
}

impl SessionKey {
    pub(super) const fn new(key: ClearKey, kind: CipherKind) -> Self {
        Self { key, kind }
    }

    /// The key of the cipher.
    pub async fn load<C: Cipher>(&self, cipher: &C) -> Result<C::Key, CardError> {
        Ok(cipher.load(self.kind, self.key.expose()).await?)
    }

    /// The clear key, for tools and tests.
    pub const fn expose(&self) -> &ClearKey {
        &self.key
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({:?}, {} bytes)", self.kind, self.key.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    assert_lacks!(SessionKey: Clone, PartialEq, core::fmt::Display);

    #[test]
    fn seeds() {
        let of = |seed: Seed| paytypes::hex::encode(&seed.marked(0xF0)[..8]);
        assert_eq!(of(Seed::of_counter(0x0102)), "0102F00000000000");
        assert_eq!(of(Seed::of_cryptogram([1, 2, 3, 4, 5, 6, 7, 8])), "0102F00405060708");
        assert_eq!(of(Seed::of_counter_and_number(0x0102, [9, 8, 7, 6])), "0102F00009080706");
        assert_eq!(Seed::new(&[0; 9]), Err(CardError::DataLength));
        let short = Seed::new(&[7; 8]).unwrap();
        assert_eq!(short.as_bytes(), Seed::of_cryptogram([7; 8]).as_bytes());
        assert!(short.fits(CipherKind::Tdes) && !short.fits(CipherKind::Aes));
        assert!(!Seed::new(&[7; 16]).unwrap().fits(CipherKind::Tdes));
        assert!(Seed::of_counter(1).fits(CipherKind::Aes) && Seed::of_counter(1).fits(CipherKind::Tdes));
    }
}
