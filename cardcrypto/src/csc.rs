//! Card security codes of American Express: five, four and three digits.
//!
//! No open source gives the formulas. Version 1 was worked out from the figures of a calculator's example
//! (EFTlab BP-Tools, quoted from memory; all twelve digits of the test agree): the TDES encryption of expiry
//! and account, read as decimal digits. Version 2 also takes the service code and is an assumption: the
//! formula of the CVV, read in the same three parts. It agrees with itself, which is what a test bed needs;
//! compare both with the scheme's own values before relying on them elsewhere.

use crate::CardError;
use core::fmt;
use paytypes::bytes::{nibble, set_nibble};
use paytypes::{Cipher, CipherKind, Direction, Expiry, MacAlgorithm, Pan, ServiceCode};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

const PAN_LENGTH: usize = 15;

/// Which formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CscVersion {
    /// Expiry and account.
    V1,
    /// Expiry, account and service code.
    V2(ServiceCode),
}

/// The three codes of one card. `Debug` shows nothing.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Csc([u8; 12]);

impl Csc {
    /// Five ASCII digits (stripe).
    pub fn five(&self) -> &[u8] {
        self.0.get(..5).unwrap_or_default()
    }

    /// Four ASCII digits (printed on the front).
    pub fn four(&self) -> &[u8] {
        self.0.get(5..9).unwrap_or_default()
    }

    /// Three ASCII digits (signature panel).
    pub fn three(&self) -> &[u8] {
        self.0.get(9..).unwrap_or_default()
    }

    /// Compares in constant time with a sent code of three, four or five digits; another length is wrong.
    pub fn matches(&self, sent: &[u8]) -> bool {
        let own = match sent.len() {
            5 => self.five(),
            4 => self.four(),
            3 => self.three(),
            _ => return false,
        };
        own.ct_eq(sent).into()
    }
}

impl fmt::Debug for Csc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Csc")
    }
}

/// The codes of a card. The key is two-key TDES ([`CardError::KeySize`]), the account has fifteen digits
/// ([`CardError::PanLength`]); `expiry` is taken in the order given (YYMM).
pub async fn csc<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    version: CscVersion,
    pan: &Pan,
    expiry: Expiry,
) -> Result<Csc, CardError> {
    let shape = cipher.shape(key);
    if shape.kind != CipherKind::Tdes || shape.length != 16 {
        return Err(CardError::KeySize);
    }
    if pan.digits().len() != PAN_LENGTH {
        return Err(CardError::PanLength);
    }
    match version {
        CscVersion::V1 => {
            // The two digits that every card of the scheme begins with and the check digit stay out.
            let account = pan.digits().get(2..14).unwrap_or_default();
            let mut block = [0; 8];
            for (i, digit) in expiry.digits().iter().chain(account).enumerate() {
                set_nibble(&mut block, i, *digit);
            }
            cipher.ecb(key, Direction::Encrypt, &mut block).await?;
            Ok(decimal(&block, 9))
        }
        CscVersion::V2(service) => {
            let mut blocks = [0; 16];
            let digits = pan.digits().iter().chain(expiry.digits()).chain(service.digits());
            for (i, digit) in digits.enumerate() {
                set_nibble(&mut blocks, i, *digit);
            }
            let mac = cipher.mac(key, MacAlgorithm::Iso3, &[0; 8], &blocks).await?;
            Ok(decimal(mac.as_bytes(), 10))
        }
    }
}

// Twelve digits from the left: the decimal half-bytes first, then the others less `less`.
fn decimal(block: &[u8], less: u8) -> Csc {
    let half_bytes = (0..16).map(|i| nibble(block, i));
    let low = half_bytes.clone().filter(|n| *n < 10);
    let high = half_bytes.filter(|n| *n >= 10).map(|n| n.wrapping_sub(less));
    let mut out = Csc([b'0'; 12]);
    for (o, digit) in out.0.iter_mut().zip(low.chain(high)) {
        *o = digit | b'0';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::soft::{Soft, SoftKey};
    use paytypes::{hex, now};

    assert_lacks!(Csc: Clone, PartialEq, core::fmt::Display);

    fn key() -> SoftKey {
        SoftKey::new(CipherKind::Tdes, &hex::decode::<16>(b"0123456789ABCDEFFEDCBA9876543210").unwrap())
            .unwrap()
    }

    fn codes(version: CscVersion, pan: &[u8]) -> Result<Csc, CardError> {
        let expiry = Expiry::new(b"9912").unwrap();
        now(csc(&Soft, &key(), version, &Pan::new(pan).unwrap(), expiry)).unwrap()
    }

    // See the module: figures of a calculator's example.
    #[test]
    fn published_example() {
        let made = codes(CscVersion::V1, b"371234567890123").unwrap();
        assert_eq!((made.five(), made.four(), made.three()), (&b"61247"[..], &b"8720"[..], &b"552"[..]));
    }

    #[test]
    fn each_length_is_compared_with_its_own_code() {
        for version in [CscVersion::V1, CscVersion::V2(ServiceCode::new(b"702").unwrap())] {
            let made = codes(version, b"371234567890123").unwrap();
            for good in [made.five().to_vec(), made.four().to_vec(), made.three().to_vec()] {
                assert!(made.matches(&good));
                for i in 0..good.len() {
                    let mut wrong = good.clone();
                    wrong[i] ^= 1;
                    assert!(!made.matches(&wrong));
                }
            }
            assert!(!made.matches(b"") && !made.matches(b"12"));
        }
    }

    #[test]
    fn refusals_and_service_code() {
        assert_eq!(codes(CscVersion::V1, b"4123456789012345").unwrap_err(), CardError::PanLength);
        let aes = SoftKey::new(CipherKind::Aes, &[1; 16]).unwrap();
        let (pan, expiry) = (Pan::new(b"371234567890123").unwrap(), Expiry::new(b"9912").unwrap());
        let refused = now(csc(&Soft, &aes, CscVersion::V1, &pan, expiry)).unwrap().unwrap_err();
        assert_eq!(refused, CardError::KeySize);
        let five = |service: &[u8]| {
            let version = CscVersion::V2(ServiceCode::new(service).unwrap());
            codes(version, b"371234567890123").unwrap().five().to_vec()
        };
        assert_ne!(five(b"000"), five(b"702"));
        assert_eq!(format!("{:?}", codes(CscVersion::V1, b"371234567890123").unwrap()), "Csc");
    }
}
