//! Key check values (X9.24-1:2017 annex A): three bytes of an encrypted zero block for DES and TDES, CMAC of
//! a zero block for AES. A check value is not secret, but is compared in constant time all the same.

use core::fmt;
use paytypes::bytes::left;
use paytypes::{Cipher, CipherError, CipherKind, Direction, MacAlgorithm, hex};
use subtle::ConstantTimeEq;

/// Bytes kept of a check value.
const KEPT: usize = 8;

/// How a check value is made; written as two digits in KC and KP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KcvMethod {
    /// `00`: a zero block encrypted.
    Legacy,
    /// `01`: CMAC over a zero block of 16 bytes (AES).
    Cmac,
}

impl KcvMethod {
    /// The two digits.
    pub const fn code(self) -> [u8; 2] {
        match self {
            Self::Legacy => *b"00",
            Self::Cmac => *b"01",
        }
    }

    /// Bytes of check value that X9.143 writes: 3 or 5.
    pub const fn length(self) -> usize {
        match self {
            Self::Legacy => 3,
            Self::Cmac => 5,
        }
    }
}

/// The first 8 bytes of a check value.
#[derive(Clone, Copy)]
pub struct Kcv([u8; KEPT]);

impl Kcv {
    /// The first `length` bytes, at most 8.
    pub fn bytes(&self, length: usize) -> &[u8] {
        self.0.get(..length).unwrap_or(&self.0)
    }

    /// The usual 6 hex digits.
    pub fn hex6(&self) -> [u8; 6] {
        left(&self.hex16())
    }

    /// All 16 hex digits; a host that wants more than 6 must be authorised.
    pub fn hex16(&self) -> [u8; 16] {
        let mut text = [0; 16];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [hex::letter(byte >> 4), hex::letter(byte)];
        }
        text
    }

    /// Constant-time comparison with the first bytes of a check value; 1 to 8 bytes, otherwise false.
    pub fn matches(&self, prefix: &[u8]) -> bool {
        match self.0.get(..prefix.len()) {
            Some(own) if !prefix.is_empty() => own.ct_eq(prefix).into(),
            _ => false,
        }
    }

    /// As [`Kcv::matches`], with 2 to 16 hex digits, an even number of them.
    pub fn matches_hex(&self, text: &[u8]) -> bool {
        let mut bytes = [0; KEPT];
        match bytes.get_mut(..text.len() >> 1) {
            Some(room) => hex::decode_into(text, room).is_ok() && self.matches(room),
            None => false,
        }
    }
}

impl PartialEq for Kcv {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Kcv {}

impl fmt::Debug for Kcv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.hex6()).unwrap_or_default())
    }
}

/// The check value of the key's own kind: legacy for DES and TDES, CMAC for AES.
pub async fn kcv<C: Cipher>(cipher: &C, key: &C::Key) -> Result<Kcv, CipherError> {
    match cipher.shape(key).kind {
        CipherKind::Des | CipherKind::Tdes => kcv_legacy(cipher, key).await,
        CipherKind::Aes => kcv_cmac(cipher, key).await,
    }
}

/// A zero block encrypted, whatever the cipher.
pub async fn kcv_legacy<C: Cipher>(cipher: &C, key: &C::Key) -> Result<Kcv, CipherError> {
    let mut block = [0; 16];
    let block = block.get_mut(..cipher.shape(key).kind.block_length()).unwrap_or_default();
    cipher.ecb(key, Direction::Encrypt, block).await?;
    Ok(Kcv(left(block)))
}

/// CMAC of one zero block, whatever the cipher.
pub async fn kcv_cmac<C: Cipher>(cipher: &C, key: &C::Key) -> Result<Kcv, CipherError> {
    let zero = [0; 16];
    let block = zero.get(..cipher.shape(key).kind.block_length()).unwrap_or_default();
    Ok(Kcv(left(cipher.mac(key, MacAlgorithm::Cmac, block, block).await?.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::{now, soft::Soft, soft::SoftKey};

    #[test]
    fn text_forms_and_comparison() {
        let key = hex::decode::<16>(b"3F419E1CB7079442AA37474C2EFBF8B8").unwrap();
        let key = SoftKey::new(CipherKind::Aes, &key).unwrap();
        let value = now(kcv(&Soft, &key)).unwrap().unwrap();
        assert_eq!(&value.hex6(), b"08793E");
        assert_eq!(&value.hex16()[..10], b"08793E25AB");
        assert!(value.matches(&[0x08, 0x79]) && !value.matches(&[0x08, 0x78]) && !value.matches(&[]));
        assert!(value.matches_hex(b"08793e25ab") && !value.matches_hex(b"08793") && !value.matches_hex(b""));
        assert!(!value.matches_hex(&[b'0'; 18]));
        assert_eq!(format!("{value:?}"), "08793E");
    }
}
