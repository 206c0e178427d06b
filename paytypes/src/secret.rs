//! Clear key bytes. Quiet types: no `Clone`, no `PartialEq`, no content in `Debug`, wiped on drop.
//! Reading them takes the word `expose`, which can be searched for.

use crate::ValueError;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Longest symmetric key held inline: AES-256.
pub const KEY_LENGTH_MAX: usize = 32;

/// A clear symmetric key of 1 to 32 bytes, held inline and wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClearKey {
    bytes: [u8; KEY_LENGTH_MAX],
    len: u8,
}

impl ClearKey {
    /// Takes a copy of `bytes`; the caller wipes its own. Refuses 0 and more than 32 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        let len = u8::try_from(bytes.len()).map_err(|_| ValueError::Length)?;
        let mut key = Self { bytes: [0; KEY_LENGTH_MAX], len };
        match key.bytes.get_mut(..bytes.len()) {
            Some(room) if !bytes.is_empty() => room.copy_from_slice(bytes),
            _ => return Err(ValueError::Length),
        }
        Ok(key)
    }

    /// The clear bytes.
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The clear bytes, to be changed in place (parity, XOR).
    pub fn expose_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..usize::from(self.len)).unwrap_or_default()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Never true for a key that was made by [`ClearKey::new`].
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A second copy, made on purpose.
    pub fn duplicate(&self) -> Self {
        Self { bytes: self.bytes, len: self.len }
    }

    /// Constant-time comparison of the bytes; lengths are not secret.
    pub fn same_as(&self, other: &Self) -> bool {
        self.len == other.len && bool::from(self.expose().ct_eq(other.expose()))
    }
}

impl core::fmt::Debug for ClearKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ClearKey({} bytes)", self.len)
    }
}

/// Clear secret bytes of any length (RSA, EC and HMAC payloads, decrypted buffers), wiped on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct ClearBytes(Vec<u8>);

impl ClearBytes {
    /// Takes ownership of `bytes`. Do not grow a vector of secrets before: reallocation leaves copies.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// `len` zero bytes, to be filled in place.
    pub fn zeroed(len: usize) -> Self {
        Self(vec![0; len])
    }

    /// The clear bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The clear bytes, to be changed in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl core::fmt::Debug for ClearBytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ClearBytes({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_length_only() {
        let key = ClearKey::new(&[0xAB; 16]).unwrap();
        assert_eq!(format!("{key:?}"), "ClearKey(16 bytes)");
        assert_eq!(format!("{:?}", ClearBytes::new(vec![1, 2, 3])), "ClearBytes(3 bytes)");
    }

    #[test]
    fn refuses_empty_and_long_keys() {
        assert_eq!(ClearKey::new(&[]).err(), Some(ValueError::Length));
        assert_eq!(ClearKey::new(&[0; 33]).err(), Some(ValueError::Length));
        assert!(ClearKey::new(&[0; 32]).is_ok());
    }
}
