//! Values that prove a cardholder's authentication for an e-commerce payment (3-D Secure 1): Visa's CAVV and
//! Mastercard's AAV with an HMAC. The AAV over a CVC2 and the values of 3-D Secure 2 (SPA2) are left out:
//! their formulas are not public.

use crate::CardError;
use crate::cvv::{Cvv, cvv};
use crate::mac::{HmacHash, hmac};
use core::fmt;
use paytypes::bytes::{set_nibble, xor_into};
use paytypes::{Cipher, Expiry, Pan, ServiceCode};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

const LENGTH: usize = 20;
const ATN_DIGITS: usize = 16;

/// A value of twenty bytes, as field 126.9 or UCAF carries it. `Debug` shows the length only.
#[derive(Clone, Copy)]
pub struct AuthenticationValue([u8; LENGTH]);

impl AuthenticationValue {
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Constant-time comparison with a sent value.
    pub fn matches(&self, sent: &[u8; LENGTH]) -> bool {
        self.0.ct_eq(sent).into()
    }
}

impl fmt::Debug for AuthenticationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthenticationValue(20 bytes)")
    }
}

/// What the issuer's access control server states in a CAVV, beside the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CavvData {
    /// Authentication tracking number, sixteen ASCII digits; its last four are the formula's date.
    pub tracking: [u8; ATN_DIGITS],
    /// Authentication results code, one digit (0 to 9).
    pub result: u8,
    /// Second-factor authentication code, two digits (0 to 99).
    pub second_factor: u8,
    /// Key indicator.
    pub key_index: u8,
}

impl CavvData {
    fn fields(&self) -> Result<(Expiry, ServiceCode), CardError> {
        let refused = |_| CardError::DataLength;
        let [.., a, b, c, d] = self.tracking;
        let digits = Expiry::new(&[a, b, c, d]).map_err(refused)?;
        if !self.tracking.iter().all(u8::is_ascii_digit) || self.result > 9 {
            return Err(CardError::DataLength);
        }
        let [tens, units] = two_digits(self.second_factor).ok_or(CardError::DataLength)?;
        let service = ServiceCode::new(&[self.result | b'0', tens, units]).map_err(refused)?;
        Ok((digits, service))
    }
}

/// Three digits of a CAVV: the CVV formula with the tracking number in place of the expiry and result and
/// second-factor code in place of the service code. [`CardError::DataLength`] for a field outside its range.
pub async fn cavv_output<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    pan: &Pan,
    data: &CavvData,
) -> Result<Cvv, CardError> {
    let (tracking, service) = data.fields()?;
    cvv(cipher, key, pan, tracking, service).await
}

/// A whole CAVV: result, second factor, key indicator, output, tracking number, version 0, zeros.
pub async fn cavv<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    pan: &Pan,
    data: &CavvData,
) -> Result<AuthenticationValue, CardError> {
    let output = cavv_output(cipher, key, pan, data).await?;
    let mut value = [0; LENGTH];
    let [tens, units] = two_digits(data.second_factor).ok_or(CardError::DataLength)?;
    xor_into(&mut value, &[data.result, (tens & 0x0F) << 4 | (units & 0x0F), data.key_index]);
    let last_four = data.tracking.iter().skip(12);
    let digits = [&b'0'].into_iter().chain(&output).chain(last_four).chain(&data.tracking);
    for (i, digit) in digits.enumerate() {
        set_nibble(&mut value, i.saturating_add(6), *digit);
    }
    Ok(AuthenticationValue(value))
}

fn two_digits(value: u8) -> Option<[u8; 2]> {
    let tens = value.checked_div(10).filter(|tens| *tens < 10)?;
    Some([tens | b'0', (value % 10) | b'0'])
}

/// What the access control server states in an AAV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AavData<'a> {
    /// 8C after a successful authentication, 86 after an attempt.
    pub control: u8,
    /// Merchant name as the request gave it.
    pub merchant: &'a [u8],
    /// Number of the access control server.
    pub server: u8,
    /// How the cardholder was authenticated, 0 to 15 ([`CardError::DataLength`]).
    pub method: u8,
    /// Which of the issuer's keys, 0 to 15 ([`CardError::DataLength`]).
    pub key_index: u8,
    /// Transaction sequence number.
    pub sequence: u32,
}

/// An AAV with HMAC: control, half a SHA-1 of the merchant, server, method and key, sequence number, and the
/// five left-most bytes of HMAC-SHA-1 over the PAN (packed, filled with F to ten bytes) and all of that.
pub fn aav(key: &[u8], pan: &Pan, data: &AavData<'_>) -> Result<AuthenticationValue, CardError> {
    if data.method > 15 || data.key_index > 15 {
        return Err(CardError::DataLength);
    }
    let hash = Sha1::digest(data.merchant);
    let head = [data.server, data.method << 4 | data.key_index];
    let mut value = [0; LENGTH];
    let sequence = data.sequence.to_be_bytes();
    let fields = [&data.control].into_iter().chain(hash.iter().take(8)).chain(&head).chain(&sequence);
    for (v, f) in value.iter_mut().zip(fields) {
        *v = *f;
    }
    let mut message = [0xFF; 25];
    for (i, digit) in pan.digits().iter().enumerate() {
        set_nibble(&mut message, i, *digit);
    }
    for (m, v) in message.iter_mut().skip(10).zip(&value) {
        *m = *v;
    }
    let mac = hmac(HmacHash::Sha1, key, &message)?;
    for (v, m) in value.iter_mut().skip(15).zip(mac.as_bytes()) {
        *v = *m;
    }
    Ok(AuthenticationValue(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::soft::{Soft, SoftKey};
    use paytypes::{CipherKind, hex, now};

    const DATA: CavvData =
        CavvData { tracking: *b"9602231034727993", result: 7, second_factor: 0, key_index: 1 };

    fn visa(data: &CavvData) -> Result<AuthenticationValue, CardError> {
        let key = hex::decode::<16>(b"0123456789ABCDEFFEDCBA9876543210").unwrap();
        let key = SoftKey::new(CipherKind::Tdes, &key).unwrap();
        now(cavv(&Soft, &key, &Pan::new(b"4123456789012345").unwrap(), data)).unwrap()
    }

    // Figures of the tests of the open library gocavv.
    #[test]
    fn cavv_of_an_open_library() {
        let made = visa(&DATA).unwrap();
        assert_eq!(hex::encode(made.as_bytes()), "0700010972799396022310347279930000000000");
        assert!(made.matches(made.as_bytes()) && !made.matches(&[0; 20]));
    }

    #[test]
    fn cavv_fields_have_their_range() {
        for bad in [
            CavvData { tracking: *b"96022310347279A3", ..DATA },
            CavvData { result: 10, ..DATA },
            CavvData { second_factor: 100, ..DATA },
        ] {
            assert_eq!(visa(&bad).unwrap_err(), CardError::DataLength);
        }
    }

    // Figures of the tests of the open library gocavv.
    #[test]
    fn aav_of_an_open_library() {
        let data = AavData {
            control: 0x8C,
            merchant: b"SPA Merchant, Inc.",
            server: 1,
            method: 1,
            key_index: 1,
            sequence: 0x2F,
        };
        let pan = Pan::new(b"5432109876543210").unwrap();
        let made = |key: &[u8]| hex::encode(aav(key, &pan, &data).unwrap().as_bytes());
        assert_eq!(made(&[0x0B; 20]), "8C7CA7FBB6058B511401110000002F3547BA1EFF");
        let key = hex::decode::<16>(b"00112233445566778899AABBCCDDEEFF").unwrap();
        assert_eq!(made(&key), "8C7CA7FBB6058B511401110000002FEB27FC7FAB");
        let wrong = AavData { method: 16, ..data };
        assert_eq!(aav(&key, &pan, &wrong).unwrap_err(), CardError::DataLength);
    }
}
