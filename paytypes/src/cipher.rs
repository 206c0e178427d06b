//! The one trait over which every formula is written: clear keys ([`crate::soft`]), the gathered operations
//! of a backend and a token serve it alike.
//!
//! All functions are `async` because a backend gathers the work of many commands; in software they are
//! ready at once, and [`now`] turns such a future into its value.

use crate::Algorithm;
use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// A block cipher that keys of this system are used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CipherKind {
    /// Single DES, 8-byte key: only inside formulas (DUKPT, retail MAC), never for a stored key in strict mode.
    Des,
    /// Two- or three-key triple DES in EDE order, 16- or 24-byte key.
    Tdes,
    /// AES with a 16-, 24- or 32-byte key.
    Aes,
}

impl CipherKind {
    /// Block length in bytes.
    pub const fn block_length(self) -> usize {
        match self {
            Self::Des | Self::Tdes => 8,
            Self::Aes => 16,
        }
    }

    /// True when a key of `len` bytes fits the cipher.
    pub const fn takes(self, len: usize) -> bool {
        match self {
            Self::Des => len == 8,
            Self::Tdes => matches!(len, 16 | 24),
            Self::Aes => matches!(len, 16 | 24 | 32),
        }
    }

    /// Cipher of a key that a block names with an algorithm and holds in so many bytes. `None` when the two do not fit
    /// each other, and for what is no key of a block cipher. A single-length key may be named `T` (X9.143).
    pub const fn of_block(algorithm: Algorithm, len: usize) -> Option<Self> {
        let kind = match algorithm {
            Algorithm::AES => Self::Aes,
            Algorithm::TDES if len == 8 => Self::Des,
            Algorithm::TDES => Self::Tdes,
            Algorithm::DES => Self::Des,
            _ => return None,
        };
        if kind.takes(len) { Some(kind) } else { None }
    }

    /// How a key block names it.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Aes => Algorithm::AES,
            Self::Tdes => Algorithm::TDES,
            Self::Des => Algorithm::DES,
        }
    }
}

/// What may be known of a key without seeing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyShape {
    /// Cipher of the key.
    pub kind: CipherKind,
    /// Key length in bytes, parity bits included.
    pub length: usize,
}

/// Direction of a cipher operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Clear to cipher text.
    Encrypt,
    /// Cipher text to clear.
    Decrypt,
}

/// Message authentication algorithms. Padding is the caller's (ISO/IEC 9797-1 padding methods live in
/// `cardcrypto`); all but CMAC take whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacAlgorithm {
    /// ISO/IEC 9797-1 algorithm 1: CBC-MAC with the whole key.
    Iso1,
    /// ISO/IEC 9797-1 algorithm 3 (retail MAC): single DES with the left part, the last block also
    /// decrypted with the middle part and encrypted with the left (two-key) or right (three-key) part.
    Iso3,
    /// The chaining value of algorithm 3 before its last step: single-DES CBC-MAC with the left part.
    Iso3Chain,
    /// CMAC (ISO/IEC 9797-1 algorithm 5, NIST SP 800-38B); takes any length, also zero.
    Cmac,
}

/// A MAC of one block: 8 bytes (DES, TDES) or 16 (AES).
#[derive(Clone, Copy)]
pub struct MacValue {
    bytes: [u8; 16],
    len: u8,
}

impl MacValue {
    /// From one whole block of 8 or 16 bytes; anything longer is cut.
    #[inline]
    pub fn new(block: &[u8]) -> Self {
        Self { bytes: crate::bytes::left(block), len: if block.len() > 8 { 16 } else { 8 } }
    }

    /// The block.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for MacValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacValue({} bytes)", self.len)
    }
}

/// A working key of TDES DUKPT (ANSI X9.24-1 annex A): what is derived from a base key, for a cipher that does
/// all of it in one operation, see [`Cipher::dukpt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DukptKey {
    /// KSN with its 21-bit counter, which has been judged.
    pub ksn: [u8; 10],
    /// XORed to each half of the transaction key: what the working key is for.
    pub mask: [u8; 8],
    /// The result is enciphered under itself, half by half: keys for data.
    pub enciphered: bool,
}

/// Why a cipher operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherError {
    /// Key length does not fit the cipher.
    KeyLength,
    /// Data is not a whole number of blocks, or the initial value is not one block.
    DataLength,
    /// The key's cipher has no such operation (retail MAC with AES).
    Unsupported,
    /// The backend does not offer this cipher at all (a token without DES).
    NotOffered,
    /// The backend could not do it (token removed, session lost).
    Backend,
}

impl fmt::Display for CipherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyLength => "key length does not fit the cipher",
            Self::DataLength => "data is not whole blocks",
            Self::Unsupported => "operation not defined for this cipher",
            Self::NotOffered => "cipher not offered by the backend",
            Self::Backend => "backend failed",
        })
    }
}

impl core::error::Error for CipherError {}

/// Keys and the primitives that formulas use, without ever showing a key.
#[allow(async_fn_in_trait)] // single-threaded by design: nothing here asks for Send
pub trait Cipher {
    /// An opened key.
    type Key;

    /// Cipher and length of an opened key.
    fn shape(&self, key: &Self::Key) -> KeyShape;

    /// Makes a key from clear bytes that a formula derived.
    async fn load(&self, kind: CipherKind, clear: &[u8]) -> Result<Self::Key, CipherError>;

    /// The key XOR `mask`, which must be as long as the key (key variants of DUKPT, ZMK variants).
    async fn variant(&self, key: &Self::Key, mask: &[u8]) -> Result<Self::Key, CipherError>;

    /// Electronic code book over whole blocks, in place.
    async fn ecb(&self, key: &Self::Key, way: Direction, data: &mut [u8]) -> Result<(), CipherError>;

    /// Cipher block chaining over whole blocks, in place; `iv` is one block.
    async fn cbc(
        &self,
        key: &Self::Key,
        way: Direction,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<(), CipherError>;

    /// A MAC that continues from `iv` (one block; zeros to begin with).
    async fn mac(
        &self,
        key: &Self::Key,
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> Result<MacValue, CipherError>;

    /// A working key of TDES DUKPT from a two-key TDES base key. Most ciphers do not offer it, and the formula
    /// goes step by step; a backend that gathers operations does all steps in one of them, and keys in between
    /// never leave it.
    async fn dukpt(&self, _base: &Self::Key, _which: &DukptKey) -> Result<Self::Key, CipherError> {
        Err(CipherError::NotOffered)
    }
}

/// The value of a future that is ready at the first poll, as all of [`crate::soft`] is; `None` otherwise.
#[inline(always)] // a future of a key block is large: as a call's argument it would be copied
pub fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_blocks_and_lengths_fit() {
        let fits = |algorithm: u8, len| CipherKind::of_block(Algorithm(algorithm), len);
        assert_eq!(
            [8, 16, 24, 32].map(|len| fits(b'T', len)),
            [Some(CipherKind::Des), Some(CipherKind::Tdes), Some(CipherKind::Tdes), None]
        );
        assert_eq!([8, 16].map(|len| fits(b'D', len)), [Some(CipherKind::Des), None]);
        assert_eq!(
            [8, 16, 24, 32, 33].map(|len| fits(b'A', len).is_some()),
            [false, true, true, true, false]
        );
        assert_eq!([b'H', b'R', b'E', b'0'].map(|other| fits(other, 16)), [None; 4]);
        for kind in [CipherKind::Des, CipherKind::Tdes, CipherKind::Aes] {
            let len = if kind == CipherKind::Des { 8 } else { 16 };
            assert_eq!(CipherKind::of_block(kind.algorithm(), len), Some(kind));
        }
    }
}
