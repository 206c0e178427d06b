//! Dynamic card values of contactless magnetic-stripe mode: CVC3 (Mastercard) and dCVV (Visa).

use super::is_tdes_pair;
use crate::CardError;
use crate::cvv::{Cvv, cvv};
use crate::mac::{Algorithm, Padding, Part, mac};
use paytypes::bytes::right;
use paytypes::{Cipher, Direction, Expiry, Pan, ServiceCode};
use subtle::ConstantTimeEq;

/// A CVC3: five ASCII digits, leading zeros kept, of which the track carries the right-most ones.
pub type Cvc3 = [u8; 5];

/// CVC3 of a transaction. `track` is the static track data as the card holds it: track 1 in ASCII, track 2
/// packed, filled with F to whole bytes. The card key is two-key TDES ([`CardError::KeySize`] otherwise).
///
/// The two right-most bytes of the MAC over the track are the card's static part; with unpredictable number
/// and counter they make the block whose encryption ends in the value.
pub async fn cvc3<C: Cipher>(
    cipher: &C,
    card_key: &C::Key,
    track: &[u8],
    counter: u16,
    unpredictable: [u8; 4],
) -> Result<Cvc3, CardError> {
    if !is_tdes_pair(cipher, card_key) {
        return Err(CardError::KeySize);
    }
    let fixed = mac(cipher, card_key, Algorithm::Retail, Padding::Bit, Part::Only, track).await?;
    let ([a, b], [c, d, e, f], [g, h]) = (right::<2>(fixed.as_bytes()), unpredictable, counter.to_be_bytes());
    let mut block = [a, b, c, d, e, f, g, h];
    cipher.ecb(card_key, Direction::Encrypt, &mut block).await?;
    Ok(five_digits(u16::from_be_bytes(right(&block))))
}

/// Compares the right-most digits in constant time with the 1 to 5 that the track carried
/// ([`CardError::DataLength`] for another number).
pub async fn verify_cvc3<C: Cipher>(
    cipher: &C,
    card_key: &C::Key,
    track: &[u8],
    counter: u16,
    unpredictable: [u8; 4],
    sent: &[u8],
) -> Result<bool, CardError> {
    let start = 5usize.checked_sub(sent.len()).filter(|n| *n < 5).ok_or(CardError::DataLength)?;
    let own = cvc3(cipher, card_key, track, counter, unpredictable).await?;
    Ok(own.get(start..).unwrap_or_default().ct_eq(sent).into())
}

/// The four digits of the counter that a Visa card writes on the track: decimal, right-most ones.
pub fn dcvv_counter(counter: u16) -> [u8; 4] {
    let [_, digits @ ..] = five_digits(counter);
    digits
}

/// dCVV: the CVV formula under the card's own key, over the PAN whose four left-most digits are those of the
/// counter. A PAN of fewer than four digits has no room ([`CardError::PanLength`]).
pub async fn dcvv<C: Cipher>(
    cipher: &C,
    card_key: &C::Key,
    pan: &Pan,
    expiry: Expiry,
    service: ServiceCode,
    counter: u16,
) -> Result<Cvv, CardError> {
    let rest = pan.digits().get(4..).ok_or(CardError::PanLength)?;
    let mut digits = [0u8; 19];
    let fields = dcvv_counter(counter);
    for (d, f) in digits.iter_mut().zip(fields.iter().chain(rest)) {
        *d = *f;
    }
    let changed = digits.get(..pan.digits().len()).unwrap_or_default();
    let changed = Pan::new(changed).map_err(|_| CardError::PanLength)?;
    cvv(cipher, card_key, &changed, expiry, service).await
}

fn five_digits(value: u16) -> [u8; 5] {
    [10_000u16, 1000, 100, 10, 1].map(|unit| {
        let digit = value.checked_div(unit).unwrap_or_default() % 10;
        u8::try_from(digit).unwrap_or_default() | b'0'
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::soft::{Soft, SoftKey};
    use paytypes::{CipherKind, now};

    fn key() -> SoftKey {
        SoftKey::new(CipherKind::Tdes, &[0x5B; 16]).unwrap()
    }

    fn value(counter: u16) -> Cvc3 {
        now(cvc3(&Soft, &key(), b"track", counter, [1, 2, 3, 4])).unwrap().unwrap()
    }

    // pyemv prints such a value without its zeros.
    #[test]
    fn leading_zeros_stay() {
        assert_eq!(&five_digits(7), b"00007");
        assert_eq!(&five_digits(65_535), b"65535");
        assert!((0..2000).any(|n| value(n).starts_with(b"00")));
        assert_eq!(&dcvv_counter(65_535), b"5535");
        assert_eq!(&dcvv_counter(9), b"0009");
    }

    #[test]
    fn right_most_digits_are_compared() {
        let own = value(7);
        let check = |sent: &[u8]| now(verify_cvc3(&Soft, &key(), b"track", 7, [1, 2, 3, 4], sent)).unwrap();
        for length in 1..=5 {
            let mut sent = own[5 - length..].to_vec();
            assert_eq!(check(&sent), Ok(true));
            sent[0] ^= 1;
            assert_eq!(check(&sent), Ok(false));
        }
        assert_eq!((check(b""), check(b"123456")), (Err(CardError::DataLength), Err(CardError::DataLength)));
    }

    #[test]
    fn dcvv_is_the_cvv_of_the_changed_pan() {
        let (expiry, service) = (Expiry::new(b"2512").unwrap(), ServiceCode::new(b"201").unwrap());
        let of = |pan: &[u8]| Pan::new(pan).unwrap();
        let made = now(dcvv(&Soft, &key(), &of(b"4123456789012345"), expiry, service, 94)).unwrap().unwrap();
        let same = now(cvv(&Soft, &key(), &of(b"0094456789012345"), expiry, service)).unwrap().unwrap();
        assert_eq!(made, same);
        let short = now(dcvv(&Soft, &key(), &of(b"123"), expiry, service, 1)).unwrap();
        assert_eq!(short, Err(CardError::PanLength));
        let aes = SoftKey::new(CipherKind::Aes, &[1; 16]).unwrap();
        assert_eq!(now(cvc3(&Soft, &aes, b"", 1, [0; 4])).unwrap(), Err(CardError::KeySize));
    }
}
