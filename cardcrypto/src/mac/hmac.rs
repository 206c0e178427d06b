//! HMAC (FIPS 198-1) over SHA-1 and SHA-2. Outside the cipher: the key is clear bytes.

use crate::CardError;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};

/// Hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacHash {
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HmacHash {
    /// From the two ASCII digits of host commands (01, 05, 06, 07, 08).
    pub const fn from_code(code: [u8; 2]) -> Option<Self> {
        match &code {
            b"01" => Some(Self::Sha1),
            b"05" => Some(Self::Sha224),
            b"06" => Some(Self::Sha256),
            b"07" => Some(Self::Sha384),
            b"08" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// A whole HMAC of 20 to 64 bytes. `Debug` shows the length. Cut and compare it with
/// [`super::truncated`] and [`super::same`].
#[derive(Clone, Copy)]
pub struct HmacValue {
    bytes: [u8; 64],
    len: u8,
}

impl HmacValue {
    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for HmacValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacValue({} bytes)", self.len)
    }
}

/// The HMAC of `data`. Any key length is taken; what is long enough is the caller's policy.
pub fn hmac(hash: HmacHash, key: &[u8], data: &[u8]) -> Result<HmacValue, CardError> {
    match hash {
        HmacHash::Sha1 => over::<Hmac<sha1::Sha1>>(key, data),
        HmacHash::Sha224 => over::<Hmac<sha2::Sha224>>(key, data),
        HmacHash::Sha256 => over::<Hmac<sha2::Sha256>>(key, data),
        HmacHash::Sha384 => over::<Hmac<sha2::Sha384>>(key, data),
        HmacHash::Sha512 => over::<Hmac<sha2::Sha512>>(key, data),
    }
}

fn over<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Result<HmacValue, CardError> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|_| CardError::KeySize)?;
    mac.update(data);
    let whole = mac.finalize().into_bytes();
    let len = u8::try_from(whole.len()).map_err(|_| CardError::MacLength)?;
    Ok(HmacValue { bytes: paytypes::bytes::left(&whole), len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::{same, truncated};
    use paytypes::hex;

    // RFC 2202 case 1, the one hash the vectors leave out.
    #[test]
    fn sha1() {
        let value = hmac(HmacHash::Sha1, &[0x0B; 20], b"Hi There").unwrap();
        assert_eq!(hex::encode(value.as_bytes()), "B617318655057264E28BC0B6FB378C8EF146BE00");
        assert_eq!(format!("{value:?}"), "HmacValue(20 bytes)");
        assert_eq!(truncated(value.as_bytes(), 10).unwrap().len(), 10);
        assert!(same(value.as_bytes(), &value.as_bytes()[..16]).unwrap());
        assert_eq!(same(value.as_bytes(), &[0; 21]), Err(CardError::MacLength));
    }

    #[test]
    fn codes() {
        assert_eq!(HmacHash::from_code(*b"08"), Some(HmacHash::Sha512));
        assert_eq!(HmacHash::from_code(*b"02"), None, "MD5");
    }
}
