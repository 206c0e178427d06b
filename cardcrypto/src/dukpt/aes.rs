//! AES DUKPT, ANSI X9.24-3:2017: base keys of 128, 192 and 256 bits, a KSN of twelve bytes with a 32-bit
//! counter, working keys for AES, TDES and HMAC.

use super::{DataUse, MacUse, PinUse, WorkingKey};
use crate::CardError;
use paytypes::bytes::left;
use paytypes::secret::KEY_LENGTH_MAX;
use paytypes::{Cipher, CipherKind, ClearKey, Direction, Ksn};
use zeroize::Zeroizing;

const BLOCK: usize = 16;
/// A device never shows a counter with more one bits than this.
pub const COUNTER_ONES_MAX: u32 = 16;

/// What a working key is for (key usage indicator of X9.24-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Key encryption.
    KeyEncryption,
    /// PIN encryption.
    Pin,
    /// MAC generation, seen from the device.
    MacGenerate,
    /// MAC verification.
    MacVerify,
    /// MAC in both directions.
    MacBoth,
    /// Data encryption.
    DataEncrypt,
    /// Data decryption.
    DataDecrypt,
    /// Data in both directions.
    DataBoth,
}

impl Usage {
    const fn indicator(self) -> u16 {
        match self {
            Self::KeyEncryption => 0x0002,
            Self::Pin => 0x1000,
            Self::MacGenerate => 0x2000,
            Self::MacVerify => 0x2001,
            Self::MacBoth => 0x2002,
            Self::DataEncrypt => 0x3000,
            Self::DataDecrypt => 0x3001,
            Self::DataBoth => 0x3002,
        }
    }

    const fn is_data(self) -> bool {
        matches!(self, Self::DataEncrypt | Self::DataDecrypt | Self::DataBoth)
    }

    const fn is_mac(self) -> bool {
        matches!(self, Self::MacGenerate | Self::MacVerify | Self::MacBoth)
    }
}

const USAGE_DERIVATION: u16 = 0x8000;
const USAGE_INITIAL_KEY: u16 = 0x8001;

/// Algorithm and length of a derived key (algorithm indicator of X9.24-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Two-key TDES.
    Tdes2,
    /// Three-key TDES.
    Tdes3,
    /// AES, 128 bits.
    Aes128,
    /// AES, 192 bits.
    Aes192,
    /// AES, 256 bits.
    Aes256,
    /// HMAC, 128 bits; MAC usages only.
    Hmac128,
    /// HMAC, 192 bits; MAC usages only.
    Hmac192,
    /// HMAC, 256 bits; MAC usages only.
    Hmac256,
}

impl KeyType {
    const fn indicator(self) -> u16 {
        match self {
            Self::Tdes2 => 0,
            Self::Tdes3 => 1,
            Self::Aes128 => 2,
            Self::Aes192 => 3,
            Self::Aes256 => 4,
            Self::Hmac128 | Self::Hmac192 | Self::Hmac256 => 5,
        }
    }

    /// Key length in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::Tdes2 | Self::Aes128 | Self::Hmac128 => 16,
            Self::Tdes3 | Self::Aes192 | Self::Hmac192 => 24,
            Self::Aes256 | Self::Hmac256 => 32,
        }
    }

    /// The cipher that takes the key; `None` for HMAC.
    pub const fn cipher_kind(self) -> Option<CipherKind> {
        match self {
            Self::Tdes2 | Self::Tdes3 => Some(CipherKind::Tdes),
            Self::Aes128 | Self::Aes192 | Self::Aes256 => Some(CipherKind::Aes),
            Self::Hmac128 | Self::Hmac192 | Self::Hmac256 => None,
        }
    }

    /// The AES type of a key of `length` bytes.
    pub const fn aes(length: usize) -> Option<Self> {
        match length {
            16 => Some(Self::Aes128),
            24 => Some(Self::Aes192),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }
}

/// Judges a counter: not zero, at most [`COUNTER_ONES_MAX`] one bits.
pub fn judge_counter(counter: u32) -> Result<u32, CardError> {
    let ones = counter.count_ones();
    if (1..=COUNTER_ONES_MAX).contains(&ones) { Ok(counter) } else { Err(CardError::Counter) }
}

/// The counter that a device uses after `counter`; `None` when it is exhausted.
pub fn next_counter(counter: u32) -> Option<u32> {
    super::advance(counter, COUNTER_ONES_MAX, u32::MAX)
}

/// The initial key of one device, with its initial key identifier. It derives and does nothing else.
pub struct InitialKey {
    key: ClearKey,
    kind: KeyType,
    identifier: [u8; 8],
}

impl InitialKey {
    /// Derives it from an AES base derivation key ([`CardError::KeySize`] otherwise); it is as long as the
    /// base key. `identifier` is base key identifier and derivation identifier, the left 8 bytes of a KSN.
    pub async fn derive<C: Cipher>(cipher: &C, bdk: &C::Key, identifier: [u8; 8]) -> Result<Self, CardError> {
        let shape = cipher.shape(bdk);
        let kind = KeyType::aes(shape.length).filter(|_| shape.kind == CipherKind::Aes);
        let kind = kind.ok_or(CardError::KeySize)?;
        let key = derive(cipher, bdk, USAGE_INITIAL_KEY, kind, identifier).await?;
        Ok(Self { key, kind, identifier })
    }

    /// From a key that was loaded into the device before.
    pub fn from_clear(key: ClearKey, identifier: [u8; 8]) -> Result<Self, CardError> {
        let kind = KeyType::aes(key.len()).ok_or(CardError::KeySize)?;
        Ok(Self { key, kind, identifier })
    }

    /// The clear key, for loading it into a device.
    pub const fn expose(&self) -> &ClearKey {
        &self.key
    }

    /// The key of one transaction.
    pub async fn transaction_key<C: Cipher>(
        &self,
        cipher: &C,
        counter: u32,
    ) -> Result<TransactionKey, CardError> {
        self.walk(cipher, judge_counter(counter)?).await
    }

    /// The key under which the device gets its next initial key: usage key encryption, from the transaction
    /// key of counter FFFFFFFF, which no transaction has (X9.24-3 6.5.3).
    pub async fn update_key<C: Cipher>(&self, cipher: &C, kind: KeyType) -> Result<ClearKey, CardError> {
        let last = self.walk(cipher, u32::MAX).await?;
        last.working_clear(cipher, Usage::KeyEncryption, kind).await
    }

    // One derivation step for each one bit of the counter, from the left.
    async fn walk<C: Cipher>(&self, cipher: &C, counter: u32) -> Result<TransactionKey, CardError> {
        let mut shown = 0u32;
        let mut key = self.key.duplicate();
        for bit in (0..u32::BITS).rev().map(|n| 1u32.wrapping_shl(n)).filter(|bit| counter & bit != 0) {
            shown |= bit;
            let deriving = cipher.load(CipherKind::Aes, key.expose()).await?;
            key = derive(cipher, &deriving, USAGE_DERIVATION, self.kind, self.context(shown)).await?;
        }
        Ok(TransactionKey { key, context: self.context(counter) })
    }

    // Derivation identifier and counter.
    const fn context(&self, counter: u32) -> [u8; 8] {
        let [_, _, _, _, a, b, c, d] = self.identifier;
        let [e, f, g, h] = counter.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

impl core::fmt::Debug for InitialKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "InitialKey({:?})", self.kind)
    }
}

/// The key of one transaction. It has no cipher operation: only keys derived from it are used.
pub struct TransactionKey {
    key: ClearKey,
    context: [u8; 8],
}

impl TransactionKey {
    /// From the base key and the KSN of the message. A TDES KSN is refused ([`CardError::Ksn`]).
    pub async fn derive<C: Cipher>(cipher: &C, bdk: &C::Key, ksn: &Ksn) -> Result<Self, CardError> {
        let Ksn::Aes(bytes) = ksn else {
            return Err(CardError::Ksn);
        };
        let initial = InitialKey::derive(cipher, bdk, left(bytes)).await?;
        initial.transaction_key(cipher, ksn.counter()).await
    }

    /// The PIN key, which nothing but a PIN block is enciphered with.
    pub async fn pin_key<C: Cipher>(
        &self,
        cipher: &C,
        kind: KeyType,
    ) -> Result<WorkingKey<PinUse, C::Key>, CardError> {
        Ok(WorkingKey::new(self.working_key(cipher, Usage::Pin, kind).await?))
    }

    /// A MAC key; [`CardError::KeyType`] for a usage that is none, and for HMAC.
    pub async fn mac_key<C: Cipher>(
        &self,
        cipher: &C,
        usage: Usage,
        kind: KeyType,
    ) -> Result<WorkingKey<MacUse, C::Key>, CardError> {
        if !usage.is_mac() {
            return Err(CardError::KeyType);
        }
        Ok(WorkingKey::new(self.working_key(cipher, usage, kind).await?))
    }

    /// A data key; [`CardError::KeyType`] for a usage that is none.
    pub async fn data_key<C: Cipher>(
        &self,
        cipher: &C,
        usage: Usage,
        kind: KeyType,
    ) -> Result<WorkingKey<DataUse, C::Key>, CardError> {
        if !usage.is_data() {
            return Err(CardError::KeyType);
        }
        Ok(WorkingKey::new(self.working_key(cipher, usage, kind).await?))
    }

    /// The working key for one usage, untyped. [`CardError::KeyType`] for an HMAC key, which no cipher takes: see
    /// [`TransactionKey::working_clear`].
    pub async fn working_key<C: Cipher>(
        &self,
        cipher: &C,
        usage: Usage,
        kind: KeyType,
    ) -> Result<C::Key, CardError> {
        let cipher_kind = kind.cipher_kind().ok_or(CardError::KeyType)?;
        let clear = self.working_clear(cipher, usage, kind).await?;
        Ok(cipher.load(cipher_kind, clear.expose()).await?)
    }

    /// The working key in clear: HMAC keys, tools and tests.
    ///
    /// [`CardError::KeyType`] for HMAC outside the MAC usages; [`CardError::Strength`] for an AES or HMAC key
    /// longer than the base key, which X9.24-3 does not allow.
    pub async fn working_clear<C: Cipher>(
        &self,
        cipher: &C,
        usage: Usage,
        kind: KeyType,
    ) -> Result<ClearKey, CardError> {
        if kind.cipher_kind().is_none() && !usage.is_mac() {
            return Err(CardError::KeyType);
        }
        let is_tdes = kind.cipher_kind() == Some(CipherKind::Tdes);
        if !is_tdes && kind.length() > self.key.len() {
            return Err(CardError::Strength);
        }
        let deriving = cipher.load(CipherKind::Aes, self.key.expose()).await?;
        derive(cipher, &deriving, usage.indicator(), kind, self.context).await
    }

    /// The clear key, for tools and tests.
    pub const fn expose(&self) -> &ClearKey {
        &self.key
    }
}

impl core::fmt::Debug for TransactionKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TransactionKey(AES)")
    }
}

// The key derivation function: one or two blocks of derivation data, encrypted and cut to the key length.
async fn derive<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    usage: u16,
    kind: KeyType,
    context: [u8; 8],
) -> Result<ClearKey, CardError> {
    let mut blocks = Zeroizing::new([0u8; KEY_LENGTH_MAX]);
    for (number, block) in (1u8..).zip(blocks.chunks_exact_mut(BLOCK)) {
        block.copy_from_slice(&derivation_data(number, usage, kind, context));
    }
    let used = if kind.length() > BLOCK { KEY_LENGTH_MAX } else { BLOCK };
    let data = blocks.get_mut(..used).ok_or(CardError::KeySize)?;
    cipher.ecb(key, Direction::Encrypt, data).await?;
    let clear = data.get(..kind.length()).ok_or(CardError::KeySize)?;
    ClearKey::new(clear).map_err(|_| CardError::KeySize)
}

// Version, block counter, usage, algorithm, key length in bits, context.
const fn derivation_data(number: u8, usage: u16, kind: KeyType, context: [u8; 8]) -> [u8; BLOCK] {
    let [usage_high, usage_low] = usage.to_be_bytes();
    let [kind_high, kind_low] = kind.indicator().to_be_bytes();
    let [bits_high, bits_low] = match kind.length() {
        16 => 128u16.to_be_bytes(),
        24 => 192u16.to_be_bytes(),
        _ => 256u16.to_be_bytes(),
    };
    let [a, b, c, d, e, f, g, h] = context;
    [1, number, usage_high, usage_low, kind_high, kind_low, bits_high, bits_low, a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::now;
    use paytypes::soft::{Soft, SoftKey};

    assert_lacks!(InitialKey: Clone, PartialEq, core::fmt::Display);
    assert_lacks!(TransactionKey: Clone, PartialEq, core::fmt::Display);

    fn transaction(bdk_length: usize) -> TransactionKey {
        let bdk = SoftKey::new(CipherKind::Aes, &[0x3B; 32][..bdk_length]).unwrap();
        let ksn = Ksn::new(&[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9]).unwrap();
        now(TransactionKey::derive(&Soft, &bdk, &ksn)).unwrap().unwrap()
    }

    fn refusal(bdk_length: usize, usage: Usage, kind: KeyType) -> Option<CardError> {
        now(transaction(bdk_length).working_key(&Soft, usage, kind)).unwrap().err()
    }

    #[test]
    fn counters() {
        assert_eq!(judge_counter(0), Err(CardError::Counter));
        assert_eq!(judge_counter(0x1_FFFF), Err(CardError::Counter));
        assert_eq!(judge_counter(u32::MAX), Err(CardError::Counter));
        assert_eq!(judge_counter(0xFFFF), Ok(0xFFFF));
        assert_eq!(judge_counter(0xFFFF_0000), Ok(0xFFFF_0000));
        assert_eq!(next_counter(0xFFFF), Some(0x1_0000));
        assert_eq!(next_counter(0x1_FFFE), Some(0x2_0000));
        assert_eq!(next_counter(0xFFFF_0000), None);
    }

    #[test]
    fn derived_keys_are_not_stronger_than_the_base_key() {
        assert_eq!(refusal(16, Usage::Pin, KeyType::Aes192), Some(CardError::Strength));
        assert_eq!(refusal(24, Usage::MacBoth, KeyType::Aes256), Some(CardError::Strength));
        assert_eq!(refusal(24, Usage::Pin, KeyType::Aes192), None);
        assert_eq!(refusal(16, Usage::Pin, KeyType::Tdes3), None);
        let hmac = now(transaction(16).working_clear(&Soft, Usage::MacBoth, KeyType::Hmac256)).unwrap();
        assert_eq!(hmac.unwrap_err(), CardError::Strength);
    }

    #[test]
    fn hmac_keys_are_for_macs_and_for_no_cipher() {
        assert_eq!(refusal(16, Usage::MacBoth, KeyType::Hmac128), Some(CardError::KeyType));
        for usage in [Usage::Pin, Usage::DataBoth, Usage::KeyEncryption] {
            let clear = now(transaction(16).working_clear(&Soft, usage, KeyType::Hmac128)).unwrap();
            assert_eq!(clear.unwrap_err(), CardError::KeyType);
        }
    }

    #[test]
    fn base_key_and_ksn_must_be_aes() {
        let tdes = SoftKey::new(CipherKind::Tdes, &[1; 16]).unwrap();
        let aes = SoftKey::new(CipherKind::Aes, &[1; 16]).unwrap();
        let derive = |key: &SoftKey, ksn: &Ksn| now(TransactionKey::derive(&Soft, key, ksn)).unwrap().err();
        assert_eq!(derive(&tdes, &Ksn::Aes([1; 12])), Some(CardError::KeySize));
        assert_eq!(derive(&aes, &Ksn::Tdes([1; 10])), Some(CardError::Ksn));
        assert_eq!(derive(&aes, &Ksn::Aes([0xFF; 12])), Some(CardError::Counter));
        let double = ClearKey::new(&[1; 8]).unwrap();
        assert_eq!(InitialKey::from_clear(double, [0; 8]).unwrap_err(), CardError::KeySize);
    }

    #[test]
    fn a_reloaded_initial_key_gives_the_same_transactions() {
        let bdk = SoftKey::new(CipherKind::Aes, &[0x3B; 32]).unwrap();
        let initial = now(InitialKey::derive(&Soft, &bdk, [1, 2, 3, 4, 5, 6, 7, 8])).unwrap().unwrap();
        let again = InitialKey::from_clear(initial.expose().duplicate(), [1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let key = now(again.transaction_key(&Soft, 9)).unwrap().unwrap();
        assert!(key.expose().same_as(transaction(32).expose()));
        assert_eq!(format!("{again:?} {key:?}"), "InitialKey(Aes256) TransactionKey(AES)");
    }
}
