//! IBM 3624 PIN generation and verification with offset.
//!
//! The natural PIN is the decimalised encryption of the validation data. Offset, PIN and natural PIN are
//! related digit by digit: `PIN = natural + offset mod 10`. The check length counts digits from the left;
//! PIN digits beyond it are not looked at.

mod offset;
mod table;
mod validation;

pub use offset::Offset;
pub use table::DecimalisationTable;
pub use validation::ValidationData;

use crate::PinBlockError;
use core::fmt;
use paytypes::bytes::nibble;
use paytypes::pin::{PIN_LENGTH_MAX, PIN_LENGTH_MIN};
use paytypes::{Cipher, CipherKind, Direction, Pin};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Sixteen decimalised digits, of which the left ones are the natural PIN. As secret as the PIN.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct NaturalPin([u8; 16]);

impl NaturalPin {
    /// The digit values 0 to 9.
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for NaturalPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NaturalPin")
    }
}

/// The natural PIN. The PVK is a DES or TDES key ([`PinBlockError::KeySize`] otherwise); whether a
/// single-length one is allowed is the caller's policy.
pub async fn natural_pin<C: Cipher>(
    cipher: &C,
    pvk: &C::Key,
    data: &ValidationData,
    table: &DecimalisationTable,
) -> Result<NaturalPin, PinBlockError> {
    if cipher.shape(pvk).kind == CipherKind::Aes {
        return Err(PinBlockError::KeySize);
    }
    let mut block = Zeroizing::new(*data.bytes());
    cipher.ecb(pvk, Direction::Encrypt, block.as_mut_slice()).await?;
    let mut natural = NaturalPin([0; 16]);
    for (i, digit) in natural.0.iter_mut().enumerate() {
        *digit = table.decimal(nibble(block.as_slice(), i));
    }
    Ok(natural)
}

/// The offset of a chosen PIN over `check_length` digits (4 to 12). [`PinBlockError::PinLength`] when the PIN
/// is shorter.
pub fn offset(pin: &Pin, natural: &NaturalPin, check_length: u8) -> Result<Offset, PinBlockError> {
    let length = judged(check_length)?;
    if pin.len() < length {
        return Err(PinBlockError::PinLength);
    }
    let mut digits = [0u8; PIN_LENGTH_MAX];
    for ((o, p), n) in digits.iter_mut().zip(pin.expose()).zip(&natural.0).take(length) {
        *o = p.wrapping_add(10).wrapping_sub(*n) % 10;
    }
    Offset::from_values(digits.get(..length).unwrap_or_default())
}

/// The PIN of `check_length` digits (4 to 12) that belongs to an offset. [`PinBlockError::Offset`] when the
/// offset is shorter.
pub fn pin_from_offset(
    natural: &NaturalPin,
    offset: &Offset,
    check_length: u8,
) -> Result<Pin, PinBlockError> {
    let length = judged(check_length)?;
    if offset.digits().len() < length {
        return Err(PinBlockError::Offset);
    }
    let digits = expected(natural, offset, length);
    Pin::from_values(digits.get(..length).unwrap_or_default()).map_err(|_| PinBlockError::PinDigit)
}

/// True when the first `check_length` digits (4 to 12) of the PIN are natural PIN plus offset. A PIN that is
/// shorter is simply wrong, so that its length tells nothing more than a wrong digit. Constant time.
pub fn verify(
    pin: &Pin,
    natural: &NaturalPin,
    offset: &Offset,
    check_length: u8,
) -> Result<bool, PinBlockError> {
    let length = judged(check_length)?;
    if offset.digits().len() < length {
        return Err(PinBlockError::Offset);
    }
    let digits = expected(natural, offset, length);
    let long_enough = Choice::from(u8::from(pin.len() >= length));
    let same = digits
        .iter()
        .zip(pin.expose())
        .take(length)
        .fold(long_enough, |same, (own, entered)| same & own.ct_eq(entered));
    Ok(same.into())
}

fn judged(check_length: u8) -> Result<usize, PinBlockError> {
    let length = usize::from(check_length);
    if (PIN_LENGTH_MIN..=PIN_LENGTH_MAX).contains(&length) {
        Ok(length)
    } else {
        Err(PinBlockError::CheckLength)
    }
}

fn expected(natural: &NaturalPin, offset: &Offset, length: usize) -> Zeroizing<[u8; PIN_LENGTH_MAX]> {
    let mut digits = Zeroizing::new([0u8; PIN_LENGTH_MAX]);
    for ((d, n), o) in digits.iter_mut().zip(&natural.0).zip(offset.digits()).take(length) {
        *d = n.wrapping_add(*o) % 10;
    }
    digits
}

#[cfg(test)]
mod tests;
