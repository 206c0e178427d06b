//! TDES DUKPT, ANSI X9.24-1:2009 annex A: two-key TDES, a KSN of ten bytes with a 21-bit counter.

mod device;

pub use device::Device;

use super::{DataUse, MacUse, PinUse, Way, WorkingKey};
use crate::CardError;
use paytypes::bytes::{left, right, xor_into};
use paytypes::{Cipher, CipherError, CipherKind, ClearKey, Direction, DukptKey, KeyShape, Ksn};
use zeroize::Zeroizing;

const KEY_LENGTH: usize = 16;
const COUNTER_BITS: u32 = 21;
/// Largest counter of 21 bits.
pub const COUNTER_LAST: u32 = 0x001F_FFFF;
/// A device never shows a counter with more one bits than this.
pub const COUNTER_ONES_MAX: u32 = 10;

// Makes the second key of a derivation step and the right half of the initial key.
const DERIVATION_MASK: [u8; KEY_LENGTH] =
    [0xC0, 0xC0, 0xC0, 0xC0, 0, 0, 0, 0, 0xC0, 0xC0, 0xC0, 0xC0, 0, 0, 0, 0];

/// What a working key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// PIN encryption.
    Pin,
    /// MAC of the request, or of both directions in older systems.
    MacRequest,
    /// MAC of the response.
    MacResponse,
    /// Data encryption of the request, or of both directions.
    DataRequest,
    /// Data encryption of the response.
    DataResponse,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] =
        [Self::Pin, Self::MacRequest, Self::MacResponse, Self::DataRequest, Self::DataResponse];

    // What is XORed to each key half: the variant constant of annex A.
    const fn mask(self) -> [u8; 8] {
        match self {
            Self::Pin => [0, 0, 0, 0, 0, 0, 0, 0xFF],
            Self::MacRequest => [0, 0, 0, 0, 0, 0, 0xFF, 0],
            Self::MacResponse => [0, 0, 0, 0, 0xFF, 0, 0, 0],
            Self::DataRequest => [0, 0, 0, 0, 0, 0xFF, 0, 0],
            Self::DataResponse => [0, 0, 0, 0xFF, 0, 0, 0, 0],
        }
    }

    const fn is_data(self) -> bool {
        matches!(self, Self::DataRequest | Self::DataResponse)
    }
}

/// Judges a counter: 1 to [`COUNTER_LAST`] with at most [`COUNTER_ONES_MAX`] one bits. Zero stands for the
/// initial key, which has no transaction.
#[inline]
pub fn judge_counter(counter: u32) -> Result<u32, CardError> {
    let in_range = (1..=COUNTER_LAST).contains(&counter);
    if in_range && counter.count_ones() <= COUNTER_ONES_MAX { Ok(counter) } else { Err(CardError::Counter) }
}

/// The counter that a device uses after `counter`; `None` when it is exhausted.
pub fn next_counter(counter: u32) -> Option<u32> {
    super::advance(counter, COUNTER_ONES_MAX, COUNTER_LAST)
}

/// The working key of a transaction for one purpose, untyped: in one operation where the cipher offers that
/// ([`Cipher::dukpt`]), else as [`TransactionKey::derive`] and [`TransactionKey::working_key`] do it.
pub async fn working_key<C: Cipher>(
    cipher: &C,
    bdk: &C::Key,
    ksn: &Ksn,
    purpose: Purpose,
) -> Result<C::Key, CardError> {
    let which = in_one(cipher.shape(bdk), ksn, purpose)?;
    match cipher.dukpt(bdk, &which).await {
        Err(CipherError::NotOffered) => {
            TransactionKey::derive(cipher, bdk, ksn).await?.working_key(cipher, purpose).await
        }
        made => Ok(made?),
    }
}

/// What [`Cipher::dukpt`] takes for a working key. Refuses a base key that is not two-key TDES
/// ([`CardError::KeySize`]), an AES KSN ([`CardError::Ksn`]) and a counter that no device shows.
#[inline]
pub fn in_one(base: KeyShape, ksn: &Ksn, purpose: Purpose) -> Result<DukptKey, CardError> {
    judge_base(base)?;
    let Ksn::Tdes(bytes) = *ksn else { return Err(CardError::Ksn) };
    judge_counter(ksn.counter())?;
    Ok(DukptKey { ksn: bytes, mask: purpose.mask(), enciphered: purpose.is_data() })
}

fn judge_base(shape: KeyShape) -> Result<(), CardError> {
    let fits = shape.kind == CipherKind::Tdes && shape.length == KEY_LENGTH;
    if fits { Ok(()) } else { Err(CardError::KeySize) }
}

/// The initial key of one device (IPEK), bound to the device's KSN. It derives and does nothing else.
pub struct InitialKey {
    key: ClearKey,
    ksn: [u8; 10],
}

impl InitialKey {
    /// Derives it from the base derivation key, which must be two-key TDES ([`CardError::KeySize`]). The
    /// counter of `ksn` does not count; an AES KSN is refused ([`CardError::Ksn`]).
    pub async fn derive<C: Cipher>(cipher: &C, bdk: &C::Key, ksn: &Ksn) -> Result<Self, CardError> {
        judge_base(cipher.shape(bdk))?;
        let ksn = without_counter(ksn)?;
        let mut clear = Zeroizing::new([0u8; KEY_LENGTH]);
        let (left_half, right_half) = clear.split_at_mut(8);
        left_half.copy_from_slice(&left::<8>(&ksn));
        right_half.copy_from_slice(&left::<8>(&ksn));
        cipher.ecb(bdk, Direction::Encrypt, left_half).await?;
        let masked = cipher.variant(bdk, &DERIVATION_MASK).await?;
        cipher.ecb(&masked, Direction::Encrypt, right_half).await?;
        Ok(Self { key: clear_key(clear.as_slice())?, ksn })
    }

    /// From a key that was loaded into the device before, and any KSN of that device.
    pub fn from_clear(key: ClearKey, ksn: &Ksn) -> Result<Self, CardError> {
        if key.len() != KEY_LENGTH {
            return Err(CardError::KeySize);
        }
        Ok(Self { key, ksn: without_counter(ksn)? })
    }

    /// The clear key, for loading it into a device.
    pub const fn expose(&self) -> &ClearKey {
        &self.key
    }

    /// The key of one transaction: one derivation step for each one bit of the counter, from the left.
    pub async fn transaction_key<C: Cipher>(
        &self,
        cipher: &C,
        counter: u32,
    ) -> Result<TransactionKey, CardError> {
        judge_counter(counter)?;
        let base: [u8; 8] = right(&self.ksn);
        let mut shown = 0u32;
        let mut key = self.key.duplicate();
        for bit in (0..COUNTER_BITS).rev().map(|n| 1u32.wrapping_shl(n)).filter(|bit| counter & bit != 0) {
            shown |= bit;
            let register = u64::from_be_bytes(base) | u64::from(shown);
            key = step(cipher, &key, register.to_be_bytes()).await?;
        }
        Ok(TransactionKey(key))
    }
}

impl core::fmt::Debug for InitialKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("InitialKey(TDES)")
    }
}

/// The key of one transaction. It has no cipher operation: only its variants are used.
pub struct TransactionKey(ClearKey);

impl TransactionKey {
    /// From the base key and the KSN of the message: [`InitialKey::derive`] and the counter's steps.
    pub async fn derive<C: Cipher>(cipher: &C, bdk: &C::Key, ksn: &Ksn) -> Result<Self, CardError> {
        InitialKey::derive(cipher, bdk, ksn).await?.transaction_key(cipher, ksn.counter()).await
    }

    /// The PIN key, which nothing but a PIN block is enciphered with.
    pub async fn pin_key<C: Cipher>(&self, cipher: &C) -> Result<WorkingKey<PinUse, C::Key>, CardError> {
        Ok(WorkingKey::new(self.working_key(cipher, Purpose::Pin).await?))
    }

    /// The MAC key of a direction.
    pub async fn mac_key<C: Cipher>(
        &self,
        cipher: &C,
        way: Way,
    ) -> Result<WorkingKey<MacUse, C::Key>, CardError> {
        let purpose = match way {
            Way::Request => Purpose::MacRequest,
            Way::Response => Purpose::MacResponse,
        };
        Ok(WorkingKey::new(self.working_key(cipher, purpose).await?))
    }

    /// The data key of a direction.
    pub async fn data_key<C: Cipher>(
        &self,
        cipher: &C,
        way: Way,
    ) -> Result<WorkingKey<DataUse, C::Key>, CardError> {
        let purpose = match way {
            Way::Request => Purpose::DataRequest,
            Way::Response => Purpose::DataResponse,
        };
        Ok(WorkingKey::new(self.working_key(cipher, purpose).await?))
    }

    /// The working key for one purpose, untyped.
    pub async fn working_key<C: Cipher>(&self, cipher: &C, purpose: Purpose) -> Result<C::Key, CardError> {
        let clear = self.working_clear(cipher, purpose).await?;
        Ok(cipher.load(CipherKind::Tdes, clear.expose()).await?)
    }

    /// The working key in clear, for tools and tests. Data keys are the variant encrypted under itself, half
    /// by half, so that they tell nothing about the other variants.
    pub async fn working_clear<C: Cipher>(
        &self,
        cipher: &C,
        purpose: Purpose,
    ) -> Result<ClearKey, CardError> {
        let mut clear = self.0.duplicate();
        for half in clear.expose_mut().chunks_exact_mut(8) {
            xor_into(half, &purpose.mask());
        }
        if purpose.is_data() {
            let variant = cipher.load(CipherKind::Tdes, clear.expose()).await?;
            cipher.ecb(&variant, Direction::Encrypt, clear.expose_mut()).await?;
        }
        Ok(clear)
    }

    /// The clear key, for tools and tests.
    pub const fn expose(&self) -> &ClearKey {
        &self.0
    }
}

impl core::fmt::Debug for TransactionKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TransactionKey(TDES)")
    }
}

fn without_counter(ksn: &Ksn) -> Result<[u8; 10], CardError> {
    let Ksn::Tdes([a, b, c, d, e, f, g, h, _, _]) = *ksn else {
        return Err(CardError::Ksn);
    };
    Ok([a, b, c, d, e, f, g, h & 0xE0, 0, 0])
}

// The non-reversible key generation of annex A: right half from the key, left half from its masked form.
async fn step<C: Cipher>(cipher: &C, key: &ClearKey, register: [u8; 8]) -> Result<ClearKey, CardError> {
    let mut masked = key.duplicate();
    xor_into(masked.expose_mut(), &DERIVATION_MASK);
    let mut next = Zeroizing::new([0u8; KEY_LENGTH]);
    let (left_half, right_half) = next.split_at_mut(8);
    half(cipher, &masked, register, left_half).await?;
    half(cipher, key, register, right_half).await?;
    clear_key(next.as_slice())
}

async fn half<C: Cipher>(
    cipher: &C,
    key: &ClearKey,
    register: [u8; 8],
    out: &mut [u8],
) -> Result<(), CardError> {
    let (key_left, key_right) = key.expose().split_at_checked(8).ok_or(CardError::KeySize)?;
    out.copy_from_slice(&register);
    xor_into(out, key_right);
    let single = cipher.load(CipherKind::Des, key_left).await?;
    cipher.ecb(&single, Direction::Encrypt, out).await?;
    xor_into(out, key_right);
    Ok(())
}

fn clear_key(bytes: &[u8]) -> Result<ClearKey, CardError> {
    ClearKey::new(bytes).map_err(|_| CardError::KeySize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::now;
    use paytypes::soft::{Soft, SoftKey};

    assert_lacks!(InitialKey: Clone, PartialEq, core::fmt::Display);
    assert_lacks!(TransactionKey: Clone, PartialEq, core::fmt::Display);

    fn bdk() -> SoftKey {
        SoftKey::new(CipherKind::Tdes, &[0x3B; 16]).unwrap()
    }

    fn ksn(counter: u32) -> Ksn {
        let tail = (0x1234_5678_90E0_0000u64 | u64::from(counter)).to_be_bytes();
        Ksn::new(&[&[0xFF, 0xFF][..], &tail].concat()).unwrap()
    }

    #[test]
    fn counters() {
        assert_eq!(judge_counter(0), Err(CardError::Counter));
        assert_eq!(judge_counter(0x7FF), Err(CardError::Counter));
        assert_eq!(judge_counter(0x20_0000), Err(CardError::Counter));
        assert_eq!(judge_counter(0x3FF), Ok(0x3FF));
        assert_eq!(next_counter(0x3FF), Some(0x400));
        assert_eq!(next_counter(0x7FE), Some(0x800));
        assert_eq!(next_counter(0x1F_F800), None);
    }

    // X9.24-1: a device makes 1,048,575 transactions, every one with a counter that the host accepts.
    #[test]
    fn a_device_lives_for_a_million_transactions() {
        let mut counter = 0;
        let mut transactions = 0;
        while let Some(next) = next_counter(counter) {
            assert!(next > counter && judge_counter(next).is_ok());
            counter = next;
            transactions += 1;
        }
        assert_eq!(transactions, 1_048_575);
    }

    #[test]
    fn working_keys_are_all_different_and_never_the_transaction_key() {
        let transaction = now(TransactionKey::derive(&Soft, &bdk(), &ksn(5))).unwrap().unwrap();
        let mut seen = vec![transaction.expose().expose().to_vec()];
        for purpose in Purpose::ALL {
            let clear = now(transaction.working_clear(&Soft, purpose)).unwrap().unwrap();
            let loaded = now(transaction.working_key(&Soft, purpose)).unwrap().unwrap();
            assert!(loaded.expose().same_as(&clear));
            assert!(!seen.contains(&clear.expose().to_vec()), "{purpose:?}");
            seen.push(clear.expose().to_vec());
        }
        assert_eq!(format!("{transaction:?}"), "TransactionKey(TDES)");
    }

    #[test]
    fn the_counter_does_not_enter_the_initial_key() {
        let initial = |n| now(InitialKey::derive(&Soft, &bdk(), &ksn(n))).unwrap().unwrap();
        assert!(initial(0).expose().same_as(initial(0x1F_FFFF).expose()));
        let reloaded = InitialKey::from_clear(initial(0).expose().duplicate(), &ksn(77)).unwrap();
        let one = now(reloaded.transaction_key(&Soft, 3)).unwrap().unwrap();
        let other = now(TransactionKey::derive(&Soft, &bdk(), &ksn(3))).unwrap().unwrap();
        assert!(one.expose().same_as(other.expose()));
    }

    #[test]
    fn refusals() {
        let derive = |key: &SoftKey, ksn: &Ksn| now(TransactionKey::derive(&Soft, key, ksn)).unwrap().err();
        let aes = SoftKey::new(CipherKind::Aes, &[1; 16]).unwrap();
        let triple = SoftKey::new(CipherKind::Tdes, &[1; 24]).unwrap();
        assert_eq!(derive(&aes, &ksn(1)), Some(CardError::KeySize));
        assert_eq!(derive(&triple, &ksn(1)), Some(CardError::KeySize));
        assert_eq!(derive(&bdk(), &Ksn::Aes([1; 12])), Some(CardError::Ksn));
        assert_eq!(derive(&bdk(), &ksn(0)), Some(CardError::Counter));
        let short = ClearKey::new(&[1; 8]).unwrap();
        assert_eq!(InitialKey::from_clear(short, &ksn(0)).unwrap_err(), CardError::KeySize);
    }
}
