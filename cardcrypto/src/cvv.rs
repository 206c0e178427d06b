//! Card verification values: CVV and CVC of the stripe, CVV2 and CVC2 (service code `000`), iCVV (`999`).
//! One formula for all of them (Visa Payment Technology Standards Manual).

use crate::CardError;
use paytypes::bytes::{nibble, set_nibble};
use paytypes::{Cipher, CipherKind, Expiry, MacAlgorithm, Pan, ServiceCode};
use subtle::ConstantTimeEq;

/// Three ASCII digits.
pub type Cvv = [u8; 3];

/// The card verification value. `expiry` is taken in the order given (stripe YYMM; some issuers print the
/// second value over MMYY). The CVK pair is one two-key TDES key ([`CardError::KeySize`] otherwise).
pub async fn cvv<C: Cipher>(
    cipher: &C,
    cvk: &C::Key,
    pan: &Pan,
    expiry: Expiry,
    service: ServiceCode,
) -> Result<Cvv, CardError> {
    let shape = cipher.shape(cvk);
    if shape.kind != CipherKind::Tdes || shape.length != 16 {
        return Err(CardError::KeySize);
    }
    // Single DES with key A over the first block, the pair over the sum with the second: that is the retail
    // MAC of the two blocks, so the formula needs no half of the key.
    let mut blocks = [0; 16];
    let digits = pan.digits().iter().chain(expiry.digits()).chain(service.digits());
    for (i, digit) in digits.enumerate() {
        set_nibble(&mut blocks, i, *digit);
    }
    let mac = cipher.mac(cvk, MacAlgorithm::Iso3, &[0; 8], &blocks).await?;
    Ok(decimal(mac.as_bytes()))
}

/// Compares in constant time with the value that the host sent.
pub async fn verify<C: Cipher>(
    cipher: &C,
    cvk: &C::Key,
    pan: &Pan,
    expiry: Expiry,
    service: ServiceCode,
    sent: &Cvv,
) -> Result<bool, CardError> {
    let own = cvv(cipher, cvk, pan, expiry, service).await?;
    Ok(own.ct_eq(sent).into())
}

// Three digits from the left: the decimal half-bytes first, then the others less ten.
fn decimal(block: &[u8]) -> Cvv {
    let half_bytes = (0..16).map(|i| nibble(block, i));
    let low = half_bytes.clone().filter(|n| *n < 10);
    let high = half_bytes.filter(|n| *n >= 10).map(|n| n.wrapping_sub(10));
    let mut out = [b'0'; 3];
    for (o, digit) in out.iter_mut().zip(low.chain(high)) {
        *o = digit | b'0';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::now;
    use paytypes::soft::{Soft, SoftKey};

    fn value(kind: CipherKind, key: &[u8], expiry: &[u8]) -> Result<Cvv, CardError> {
        let key = SoftKey::new(kind, key).unwrap();
        let pan = Pan::new(b"4123456789012345").unwrap();
        let (expiry, service) = (Expiry::new(expiry).unwrap(), ServiceCode::new(b"101").unwrap());
        now(cvv(&Soft, &key, &pan, expiry, service)).unwrap()
    }

    #[test]
    fn second_pass_takes_letters_less_ten() {
        assert_eq!(&decimal(&[0xAB, 0xCD, 0xEF, 0xA1, 0xBC, 0xDE, 0xFA, 0xFF]), b"101");
        assert_eq!(&decimal(&[0xFF; 8]), b"555");
    }

    #[test]
    fn only_a_pair_of_keys_is_a_cvk() {
        assert_eq!(value(CipherKind::Des, &[1; 8], b"8701"), Err(CardError::KeySize));
        assert_eq!(value(CipherKind::Tdes, &[1; 24], b"8701"), Err(CardError::KeySize));
        assert_eq!(value(CipherKind::Aes, &[1; 16], b"8701"), Err(CardError::KeySize));
        assert!(value(CipherKind::Tdes, &[1; 16], b"8701").is_ok());
    }

    #[test]
    fn every_wrong_digit_is_seen() {
        let key = SoftKey::new(CipherKind::Tdes, &[0x5B; 16]).unwrap();
        let pan = Pan::new(b"4123456789012345").unwrap();
        let (expiry, service) = (Expiry::new(b"8701").unwrap(), ServiceCode::new(b"101").unwrap());
        let good = now(cvv(&Soft, &key, &pan, expiry, service)).unwrap().unwrap();
        let check = |sent: Cvv| now(verify(&Soft, &key, &pan, expiry, service, &sent)).unwrap().unwrap();
        assert!(check(good));
        for i in 0..3 {
            let mut wrong = good;
            wrong[i] ^= 1;
            assert!(!check(wrong));
        }
    }
}
