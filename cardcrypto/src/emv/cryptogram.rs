//! Application cryptograms of the card and response cryptograms of the issuer (EMV Book 2 section 8).

use super::is_tdes_pair;
use crate::CardError;
use crate::mac::{Algorithm, Padding, Part, mac};
use paytypes::bytes::{left, xor_into};
use paytypes::{Cipher, CipherKind, Direction};
use subtle::ConstantTimeEq;

/// How the data of a TDES cryptogram is brought to whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcPadding {
    /// ISO/IEC 9797-1 method 2: EMV, Mastercard, Visa CVN 18.
    Emv,
    /// Zeros, none on whole blocks: Visa CVN 10.
    Visa,
}

/// ARQC, TC or AAC over `data` (the elements that the scheme lists, one after the other). TDES: retail MAC
/// under a two-key session key. AES: CMAC, left half, with [`AcPadding::Emv`] only.
///
/// Errors: [`CardError::KeySize`] for another key, [`CardError::Segment`] for Visa's padding with AES.
pub async fn application_cryptogram<C: Cipher>(
    cipher: &C,
    session: &C::Key,
    padding: AcPadding,
    data: &[u8],
) -> Result<[u8; 8], CardError> {
    let whole = match (cipher.shape(session).kind, padding) {
        (CipherKind::Aes, AcPadding::Emv) => {
            mac(cipher, session, Algorithm::Cmac, Padding::None, Part::Only, data).await?
        }
        (CipherKind::Aes, AcPadding::Visa) => return Err(CardError::Segment),
        _ if !is_tdes_pair(cipher, session) => return Err(CardError::KeySize),
        (_, AcPadding::Emv) => {
            mac(cipher, session, Algorithm::Retail, Padding::Bit, Part::Only, data).await?
        }
        (_, AcPadding::Visa) => {
            mac(cipher, session, Algorithm::Retail, Padding::Zeros, Part::Only, data).await?
        }
    };
    Ok(left(whole.as_bytes()))
}

/// Makes the cryptogram and compares it with the card's in constant time.
pub async fn verify_cryptogram<C: Cipher>(
    cipher: &C,
    session: &C::Key,
    padding: AcPadding,
    data: &[u8],
    sent: &[u8; 8],
) -> Result<bool, CardError> {
    Ok(application_cryptogram(cipher, session, padding, data).await?.ct_eq(sent).into())
}

/// Response cryptogram, method 1 (8.2.1): the request's cryptogram XOR the authorisation response code,
/// encrypted. Two-key TDES: for AES, use method 2.
pub async fn arpc_1<C: Cipher>(
    cipher: &C,
    session: &C::Key,
    arqc: &[u8; 8],
    response_code: [u8; 2],
) -> Result<[u8; 8], CardError> {
    if !is_tdes_pair(cipher, session) {
        return Err(CardError::KeySize);
    }
    let mut block = *arqc;
    xor_into(&mut block, &response_code);
    cipher.ecb(session, Direction::Encrypt, &mut block).await?;
    Ok(block)
}

/// Response cryptogram, method 2 (8.2.2): a four-byte MAC over the request's cryptogram, the card status
/// update and up to eight bytes of proprietary data ([`CardError::DataLength`] for more).
pub async fn arpc_2<C: Cipher>(
    cipher: &C,
    session: &C::Key,
    arqc: &[u8; 8],
    status_update: [u8; 4],
    proprietary: &[u8],
) -> Result<[u8; 4], CardError> {
    let length = proprietary.len().saturating_add(12);
    let mut data = [0; 20];
    let fields = arqc.iter().chain(&status_update).chain(proprietary);
    for (d, f) in data.iter_mut().zip(fields) {
        *d = *f;
    }
    let data = data.get(..length).ok_or(CardError::DataLength)?;
    Ok(left(&application_cryptogram(cipher, session, AcPadding::Emv, data).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::now;
    use paytypes::soft::{Soft, SoftKey};

    fn key(kind: CipherKind, length: usize) -> SoftKey {
        SoftKey::new(kind, &[0x5B; 32][..length]).unwrap()
    }

    #[test]
    fn keys_that_do_not_fit() {
        let make = |k: &SoftKey, p| now(application_cryptogram(&Soft, k, p, &[1; 20])).unwrap();
        for k in [key(CipherKind::Des, 8), key(CipherKind::Tdes, 24)] {
            assert_eq!(make(&k, AcPadding::Emv), Err(CardError::KeySize));
            assert_eq!(now(arpc_1(&Soft, &k, &[0; 8], [0; 2])).unwrap(), Err(CardError::KeySize));
        }
        let aes = key(CipherKind::Aes, 16);
        assert!(make(&aes, AcPadding::Emv).is_ok());
        assert_eq!(make(&aes, AcPadding::Visa), Err(CardError::Segment));
        assert_eq!(now(arpc_1(&Soft, &aes, &[0; 8], [0; 2])).unwrap(), Err(CardError::KeySize));
        assert!(now(arpc_2(&Soft, &aes, &[0; 8], [0; 4], &[])).unwrap().is_ok());
    }

    #[test]
    fn proprietary_data_has_eight_bytes_at_most() {
        let k = key(CipherKind::Tdes, 16);
        assert!(now(arpc_2(&Soft, &k, &[0; 8], [0; 4], &[0; 8])).unwrap().is_ok());
        assert_eq!(now(arpc_2(&Soft, &k, &[0; 8], [0; 4], &[0; 9])).unwrap(), Err(CardError::DataLength));
    }

    #[test]
    fn every_wrong_bit_is_seen() {
        let k = key(CipherKind::Tdes, 16);
        let good = now(application_cryptogram(&Soft, &k, AcPadding::Emv, b"data")).unwrap().unwrap();
        let check = |sent: [u8; 8]| {
            now(verify_cryptogram(&Soft, &k, AcPadding::Emv, b"data", &sent)).unwrap().unwrap()
        };
        assert!(check(good));
        for bit in 0..64 {
            let mut wrong = good;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!check(wrong));
        }
    }
}
