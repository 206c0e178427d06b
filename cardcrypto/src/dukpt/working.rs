//! Working keys that can do what they are for, and nothing else.
//!
//! ```compile_fail
//! use cardcrypto::dukpt::{MacUse, WorkingKey};
//! use paytypes::soft::SoftKey;
//!
//! // A key for MACs hands out no PIN key.
//! fn misuse(key: &WorkingKey<MacUse, SoftKey>) -> &SoftKey {
//!     key.pin_key()
//! }
//! ```

use crate::CardError;
use crate::mac::{self, Algorithm, Padding, Part};
use core::fmt;
use core::marker::PhantomData;
use paytypes::{Cipher, Direction, MacValue};

/// PIN encryption.
#[derive(Debug)]
pub enum PinUse {}
/// Message authentication.
#[derive(Debug)]
pub enum MacUse {}
/// Data encryption.
#[derive(Debug)]
pub enum DataUse {}

/// A working key of one use.
pub struct WorkingKey<U, K> {
    key: K,
    marker: PhantomData<U>,
}

impl<U, K> WorkingKey<U, K> {
    pub(super) const fn new(key: K) -> Self {
        Self { key, marker: PhantomData }
    }
}

impl<U, K> fmt::Debug for WorkingKey<U, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkingKey")
    }
}

impl<K> WorkingKey<PinUse, K> {
    /// The key, for the formulas of PIN blocks.
    pub const fn pin_key(&self) -> &K {
        &self.key
    }
}

impl<K> WorkingKey<MacUse, K> {
    /// See [`mac::mac`].
    pub async fn mac<C: Cipher<Key = K>>(
        &self,
        cipher: &C,
        algorithm: Algorithm,
        padding: Padding,
        part: Part<'_>,
        data: &[u8],
    ) -> Result<MacValue, CardError> {
        mac::mac(cipher, &self.key, algorithm, padding, part, data).await
    }

    /// Compares the MAC of a whole message with a sent one; see [`mac::verify`].
    pub async fn verify<C: Cipher<Key = K>>(
        &self,
        cipher: &C,
        algorithm: Algorithm,
        padding: Padding,
        data: &[u8],
        sent: &[u8],
    ) -> Result<bool, CardError> {
        mac::verify(cipher, &self.key, algorithm, padding, Part::Only, data, sent).await
    }
}

impl<K> WorkingKey<DataUse, K> {
    /// Encrypts whole blocks in place, chained from `iv` (one block).
    pub async fn encrypt<C: Cipher<Key = K>>(
        &self,
        cipher: &C,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<(), CardError> {
        Ok(cipher.cbc(&self.key, Direction::Encrypt, iv, data).await?)
    }

    /// Decrypts whole blocks in place, chained from `iv` (one block).
    pub async fn decrypt<C: Cipher<Key = K>>(
        &self,
        cipher: &C,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<(), CardError> {
        Ok(cipher.cbc(&self.key, Direction::Decrypt, iv, data).await?)
    }
}
