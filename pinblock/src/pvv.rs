//! Visa PIN verification value (Visa Payment Technology Standards Manual; ISO 9564-1 names it as a method).

use crate::PinBlockError;
use paytypes::bytes::{nibble, set_nibble};
use paytypes::pan::ACCOUNT_LENGTH;
use paytypes::{Cipher, CipherKind, Direction, Pin};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// A PVV: four ASCII digits.
pub type Pvv = [u8; 4];

/// The PVV of the four left-most PIN digits. `account` is the twelve-digit account field (ASCII), of which
/// the eleven right-most count; `index` is the PVV key index, one ASCII digit. The PVK is a two-key TDES key
/// ([`PinBlockError::KeySize`] otherwise).
pub async fn pvv<C: Cipher>(
    cipher: &C,
    pvk: &C::Key,
    pin: &Pin,
    account: &[u8; ACCOUNT_LENGTH],
    index: u8,
) -> Result<Pvv, PinBlockError> {
    let shape = cipher.shape(pvk);
    if shape.kind != CipherKind::Tdes || shape.length != 16 {
        return Err(PinBlockError::KeySize);
    }
    let mut block = Zeroizing::new(security_parameter(pin, account, index)?);
    cipher.ecb(pvk, Direction::Encrypt, block.as_mut_slice()).await?;
    Ok(decimal(&block))
}

/// Compares in constant time with the PVV that the host holds.
pub async fn verify<C: Cipher>(
    cipher: &C,
    pvk: &C::Key,
    pin: &Pin,
    account: &[u8; ACCOUNT_LENGTH],
    index: u8,
    held: &Pvv,
) -> Result<bool, PinBlockError> {
    let mut own = pvv(cipher, pvk, pin, account, index).await?;
    let same = own.ct_eq(held).into();
    own.zeroize();
    Ok(same)
}

// Transformed security parameter: eleven account digits, key index, four PIN digits.
fn security_parameter(
    pin: &Pin,
    account: &[u8; ACCOUNT_LENGTH],
    index: u8,
) -> Result<[u8; 8], PinBlockError> {
    if !account.iter().all(u8::is_ascii_digit) {
        return Err(PinBlockError::PanDigit);
    }
    if !index.is_ascii_digit() {
        return Err(PinBlockError::Index);
    }
    let mut block = [0; 8];
    let digits = account.iter().skip(1).chain([&index]).chain(pin.expose().iter().take(4));
    for (i, digit) in digits.enumerate() {
        set_nibble(&mut block, i, *digit);
    }
    Ok(block)
}

// Four digits from the left: the decimal half-bytes first, then the others less ten.
fn decimal(block: &[u8; 8]) -> Pvv {
    let half_bytes = (0..16).map(|i| nibble(block, i));
    let low = half_bytes.clone().filter(|n| *n < 10);
    let high = half_bytes.filter(|n| *n >= 10).map(|n| n.wrapping_sub(10));
    let mut out = [b'0'; 4];
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

    #[test]
    fn second_pass_takes_letters_less_ten() {
        assert_eq!(&decimal(&[0xAB, 0xCD, 0xEF, 0x1A, 0xBC, 0xDE, 0xF2, 0xFF]), b"1201");
        assert_eq!(&decimal(&[0xFF; 8]), b"5555");
    }

    #[test]
    fn refusals_and_verification() {
        let account = b"112233445566";
        let pin = Pin::from_ascii(b"12345").unwrap();
        let key = |kind, len: usize| SoftKey::new(kind, &[0x5A; 24][..len]).unwrap();
        let value = |k: &SoftKey, a: &[u8; 12], i| now(pvv(&Soft, k, &pin, a, i)).unwrap();
        let good = key(CipherKind::Tdes, 16);
        for bad in [key(CipherKind::Tdes, 24), key(CipherKind::Aes, 16), key(CipherKind::Des, 8)] {
            assert_eq!(value(&bad, account, b'1'), Err(PinBlockError::KeySize));
        }
        assert_eq!(value(&good, b"11223344556A", b'1'), Err(PinBlockError::PanDigit));
        assert_eq!(value(&good, account, b'A'), Err(PinBlockError::Index));

        let held = value(&good, account, b'1').unwrap();
        let check = |held: Pvv| now(verify(&Soft, &good, &pin, account, b'1', &held)).unwrap().unwrap();
        assert!(check(held));
        for i in 0..4 {
            let mut wrong = held;
            wrong[i] ^= 1;
            assert!(!check(wrong));
        }
    }
}
