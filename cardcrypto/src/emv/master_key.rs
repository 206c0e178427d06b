//! The card's own master key, derived from the issuer's (EMV Book 2 A1.4).

use super::{Seed, SessionKey, Tree, aes_blocks, clear_key, is_tdes_pair, tdes_pair};
use crate::CardError;
use core::fmt;
use paytypes::bytes::{left, nibble, set_nibble};
use paytypes::{Cipher, CipherKind, ClearKey, Pan};
use sha1::{Digest, Sha1};

/// How the card's key is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterKeyOption {
    /// TDES, sixteen right-most digits of PAN and sequence number.
    A,
    /// TDES, for a PAN of more than sixteen digits: hashed and decimalised. Shorter ones are as option A.
    B,
    /// AES.
    C,
}

/// PAN sequence number: two decimal digits, `00` when the card has none (tag 5F34).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PanSequence([u8; 2]);

impl PanSequence {
    /// A card without a sequence number.
    pub const NONE: Self = Self(*b"00");

    /// From two ASCII digits ([`CardError::PanSequence`] otherwise).
    pub fn new(text: &[u8]) -> Result<Self, CardError> {
        let digits: [u8; 2] = text.try_into().map_err(|_| CardError::PanSequence)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(CardError::PanSequence) }
    }

    /// The ASCII digits.
    pub const fn digits(&self) -> &[u8; 2] {
        &self.0
    }
}

impl fmt::Debug for PanSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanSequence")
    }
}

/// The block that makes a TDES card key: what hosts send as PAN/PSN field. `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CardData([u8; 8]);

impl CardData {
    /// A block that the host prepared.
    pub const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Option A: the sixteen right-most digits of PAN and sequence number, zero filled on the left.
    pub fn option_a(pan: &Pan, sequence: PanSequence) -> Self {
        let mut block = [0; 8];
        let digits = sequence.0.iter().rev().chain(pan.digits().iter().rev());
        for (i, digit) in (0..16).rev().zip(digits) {
            set_nibble(&mut block, i, *digit);
        }
        Self(block)
    }

    /// Option B: SHA-1 over PAN and sequence number as packed digits, of which the decimal half-bytes are
    /// taken from the left, then the others less ten. A PAN of at most sixteen digits is taken as option A.
    pub fn option_b(pan: &Pan, sequence: PanSequence) -> Self {
        if pan.digits().len() <= 16 {
            return Self::option_a(pan, sequence);
        }
        let packed = packed_right(pan, sequence);
        let used = pan.digits().len().saturating_add(3) >> 1;
        let start = packed.len().saturating_sub(used);
        let hash = Sha1::digest(packed.get(start..).unwrap_or_default());
        let half_bytes = (0..40).map(|i| nibble(&hash, i));
        let low = half_bytes.clone().filter(|n| *n < 10);
        let high = half_bytes.filter(|n| *n >= 10).map(|n| n.wrapping_sub(10));
        let mut block = [0; 8];
        for (i, digit) in low.chain(high).enumerate().take(16) {
            set_nibble(&mut block, i, digit);
        }
        Self(block)
    }

    /// The eight bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Debug for CardData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardData")
    }
}

// PAN and sequence number as packed digits, zero filled on the left to 16 bytes.
fn packed_right(pan: &Pan, sequence: PanSequence) -> [u8; 16] {
    let mut block = [0; 16];
    let digits = sequence.0.iter().rev().chain(pan.digits().iter().rev());
    for (i, digit) in (0..32).rev().zip(digits) {
        set_nibble(&mut block, i, *digit);
    }
    block
}

/// The master key of one card for one purpose (cryptograms, integrity, confidentiality, dynamic values).
pub struct IccMasterKey {
    key: ClearKey,
    kind: CipherKind,
}

impl IccMasterKey {
    /// Derives it. Options A and B take a two-key TDES issuer key, C an AES one, whose length the card key
    /// has; [`CardError::KeySize`] otherwise.
    pub async fn derive<C: Cipher>(
        cipher: &C,
        imk: &C::Key,
        option: MasterKeyOption,
        pan: &Pan,
        sequence: PanSequence,
    ) -> Result<Self, CardError> {
        match option {
            MasterKeyOption::A => Self::from_data(cipher, imk, &CardData::option_a(pan, sequence)).await,
            MasterKeyOption::B => Self::from_data(cipher, imk, &CardData::option_b(pan, sequence)).await,
            MasterKeyOption::C => Self::aes(cipher, imk, packed_right(pan, sequence)).await,
        }
    }

    /// Derives a TDES card key from a prepared block; its right half comes from the inverted block.
    pub async fn from_data<C: Cipher>(cipher: &C, imk: &C::Key, data: &CardData) -> Result<Self, CardError> {
        if !is_tdes_pair(cipher, imk) {
            return Err(CardError::KeySize);
        }
        let key = tdes_pair(cipher, imk, data.0, data.0.map(|b| !b)).await?;
        Ok(Self { key, kind: CipherKind::Tdes })
    }

    async fn aes<C: Cipher>(cipher: &C, imk: &C::Key, block: [u8; 16]) -> Result<Self, CardError> {
        if cipher.shape(imk).kind != CipherKind::Aes {
            return Err(CardError::KeySize);
        }
        let key = aes_blocks(cipher, imk, block, block.map(|b| !b)).await?;
        Ok(Self { key, kind: CipherKind::Aes })
    }

    /// A card key that was derived elsewhere: two-key TDES or AES.
    pub fn from_clear(kind: CipherKind, key: ClearKey) -> Result<Self, CardError> {
        match (kind, key.len()) {
            (CipherKind::Tdes, 16) | (CipherKind::Aes, 16 | 24 | 32) => Ok(Self { key, kind }),
            _ => Err(CardError::KeySize),
        }
    }

    /// The clear key, for personalisation.
    pub const fn expose(&self) -> &ClearKey {
        &self.key
    }

    /// The key itself, where a scheme uses it without a session key (Visa CVN 10, dynamic card values).
    pub async fn load<C: Cipher>(&self, cipher: &C) -> Result<C::Key, CardError> {
        Ok(cipher.load(self.kind, self.key.expose()).await?)
    }

    /// Common session key (EMV Book 2 A1.3.1). TDES takes eight bytes of seed, of which byte 2 becomes F0
    /// and 0F; AES sixteen, changed in the same way when the key is longer than a block
    /// ([`CardError::DataLength`] for a seed of the other length).
    pub async fn common_session<C: Cipher>(&self, cipher: &C, seed: &Seed) -> Result<SessionKey, CardError> {
        if !seed.fits(self.kind) {
            return Err(CardError::DataLength);
        }
        let master = self.load(cipher).await?;
        let key = if self.kind == CipherKind::Tdes {
            tdes_pair(cipher, &master, left(&seed.marked(0xF0)), left(&seed.marked(0x0F))).await?
        } else if self.key.len() == 16 {
            aes_blocks(cipher, &master, *seed.as_bytes(), [0; 16]).await?
        } else {
            aes_blocks(cipher, &master, seed.marked(0xF0), seed.marked(0x0F)).await?
        };
        Ok(SessionKey::new(key, self.kind))
    }

    /// Visa secure messaging session key (VIS): the right of each half XOR the counter, inverted for the
    /// second. TDES only.
    pub fn visa_session(&self, counter: u16) -> Result<SessionKey, CardError> {
        if self.kind != CipherKind::Tdes {
            return Err(CardError::KeySize);
        }
        let mut key = self.key.duplicate();
        let [high, low] = counter.to_be_bytes();
        let mask = [0, 0, 0, 0, 0, 0, high, low, 0, 0, 0, 0, 0, 0, !high, !low];
        paytypes::bytes::xor_into(key.expose_mut(), &mask);
        paytypes::parity::make_odd(key.expose_mut());
        Ok(SessionKey::new(key, self.kind))
    }

    /// Session key of the EMV2000 tree, for cards that were issued before 2005. TDES only.
    pub async fn tree_session<C: Cipher>(
        &self,
        cipher: &C,
        counter: u16,
        tree: &Tree,
    ) -> Result<SessionKey, CardError> {
        if self.kind != CipherKind::Tdes {
            return Err(CardError::KeySize);
        }
        let key = tree.session_key(cipher, &self.key, counter).await?;
        Ok(SessionKey::new(key, self.kind))
    }

    /// The four right-most bytes of the left half, which a Visa PIN change block is laid over: a part of the
    /// key, as secret as it. TDES only.
    pub fn pin_change_part(&self) -> Result<[u8; 4], CardError> {
        match (self.kind, self.key.expose()) {
            (CipherKind::Tdes, [_, _, _, _, a, b, c, d, ..]) => Ok([*a, *b, *c, *d]),
            _ => Err(CardError::KeySize),
        }
    }

    /// A second copy, made on purpose.
    pub fn duplicate(&self) -> Result<Self, CardError> {
        Ok(Self { key: clear_key(self.key.expose())?, kind: self.kind })
    }
}

impl fmt::Debug for IccMasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IccMasterKey({:?}, {} bytes)", self.kind, self.key.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::now;
    use paytypes::soft::{Soft, SoftKey};

    assert_lacks!(IccMasterKey: Clone, PartialEq, core::fmt::Display);

    fn pan(text: &[u8]) -> Pan {
        Pan::new(text).unwrap()
    }

    #[test]
    fn option_a_takes_digits_from_the_right() {
        let data = |p: &[u8], s: &[u8]| {
            paytypes::hex::encode(CardData::option_a(&pan(p), PanSequence::new(s).unwrap()).as_bytes())
        };
        assert_eq!(data(b"5413330089020011", b"07"), "1333008902001107");
        assert_eq!(data(b"4000001234562", b"07"), "0400000123456207");
        assert_eq!(data(b"1", b"00"), "0000000000000100");
    }

    #[test]
    fn option_b_is_option_a_up_to_sixteen_digits() {
        let sequence = PanSequence::NONE;
        let short = pan(b"5413330089020011");
        let long = pan(b"54133300890200110");
        assert_eq!(CardData::option_a(&short, sequence), CardData::option_b(&short, sequence));
        assert_ne!(CardData::option_a(&long, sequence), CardData::option_b(&long, sequence));
    }

    #[test]
    fn key_kinds_are_held_to_their_option() {
        let derive = |kind, length: usize, option| {
            let imk = SoftKey::new(kind, &[0x5B; 32][..length]).unwrap();
            now(IccMasterKey::derive(&Soft, &imk, option, &pan(b"123456789"), PanSequence::NONE))
                .unwrap()
                .map(|key| key.expose().len())
        };
        assert_eq!(derive(CipherKind::Tdes, 16, MasterKeyOption::A), Ok(16));
        assert_eq!(derive(CipherKind::Aes, 24, MasterKeyOption::C), Ok(24));
        for (kind, length, option) in [
            (CipherKind::Tdes, 24, MasterKeyOption::A),
            (CipherKind::Des, 8, MasterKeyOption::B),
            (CipherKind::Aes, 16, MasterKeyOption::A),
            (CipherKind::Tdes, 16, MasterKeyOption::C),
        ] {
            assert_eq!(derive(kind, length, option), Err(CardError::KeySize));
        }
        let aes = ClearKey::new(&[1; 16]).unwrap();
        let card = IccMasterKey::from_clear(CipherKind::Aes, aes).unwrap();
        assert_eq!(card.visa_session(1).unwrap_err(), CardError::KeySize);
        assert_eq!(card.pin_change_part().unwrap_err(), CardError::KeySize);
        assert_eq!(format!("{:?}", card.duplicate().unwrap()), "IccMasterKey(Aes, 16 bytes)");
        let long = ClearKey::new(&[1; 24]).unwrap();
        assert_eq!(IccMasterKey::from_clear(CipherKind::Tdes, long).unwrap_err(), CardError::KeySize);
    }

    #[test]
    fn sequence_numbers() {
        for bad in [&b"1"[..], b"123", b"1A", b""] {
            assert_eq!(PanSequence::new(bad), Err(CardError::PanSequence));
        }
        assert_eq!(PanSequence::new(b"42").unwrap().digits(), b"42");
    }
}
