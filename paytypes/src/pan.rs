//! Primary account number, expiry date and service code.

use crate::ValueError;

const PAN_LENGTH_MAX: usize = 19;
/// Length of the account field of ISO 9564 formats 0 and 3 and of most host commands.
pub const ACCOUNT_LENGTH: usize = 12;

/// A primary account number of 1 to 19 decimal digits, check digit included (ISO/IEC 7812-1). The check
/// digit is not judged: hosts send test numbers. `Debug` shows first six and last four at most.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pan {
    digits: [u8; PAN_LENGTH_MAX],
    len: u8,
}

impl Pan {
    /// From ASCII digits.
    pub fn new(text: &[u8]) -> Result<Self, ValueError> {
        let len = u8::try_from(text.len()).map_err(|_| ValueError::Length)?;
        if !text.iter().all(u8::is_ascii_digit) {
            return Err(ValueError::Digit);
        }
        let mut digits = [0; PAN_LENGTH_MAX];
        match digits.get_mut(..text.len()) {
            Some(room) if !text.is_empty() => room.copy_from_slice(text),
            _ => return Err(ValueError::Length),
        }
        Ok(Self { digits, len })
    }

    /// All digits, ASCII.
    pub fn digits(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The twelve right-most digits without the check digit, zero filled on the left: the account field of
    /// ISO 9564-1 formats 0 and 3.
    pub fn account(&self) -> [u8; ACCOUNT_LENGTH] {
        let (_check, rest) = self.digits().split_last().unwrap_or((&0, &[]));
        let mut out = [b'0'; ACCOUNT_LENGTH];
        for (o, d) in out.iter_mut().rev().zip(rest.iter().rev()) {
            *o = *d;
        }
        out
    }
}

impl core::fmt::Debug for Pan {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let digits = self.digits();
        if digits.len() < 13 {
            return write!(f, "Pan({} digits)", self.len);
        }
        let first = digits.get(..6).unwrap_or_default();
        let last = digits.last_chunk::<4>().map_or(&[][..], |d| d);
        write!(f, "Pan({}…{})", String::from_utf8_lossy(first), String::from_utf8_lossy(last))
    }
}

/// Card expiry as four digits in the order that the host sends them (YYMM on the wire; some issuers use
/// MMYY for the second CVV). The order is the issuer's choice and is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry([u8; 4]);

impl Expiry {
    /// From four ASCII digits.
    pub fn new(text: &[u8]) -> Result<Self, ValueError> {
        four_digits(text).map(Self)
    }

    /// The ASCII digits.
    pub fn digits(&self) -> &[u8; 4] {
        &self.0
    }
}

/// Three-digit service code of the track; `000` for CVV2, `999` for iCVV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCode([u8; 3]);

impl ServiceCode {
    /// From three ASCII digits.
    pub fn new(text: &[u8]) -> Result<Self, ValueError> {
        let digits: [u8; 3] = text.try_into().map_err(|_| ValueError::Length)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(ValueError::Digit) }
    }

    /// The ASCII digits.
    pub fn digits(&self) -> &[u8; 3] {
        &self.0
    }
}

fn four_digits(text: &[u8]) -> Result<[u8; 4], ValueError> {
    let digits: [u8; 4] = text.try_into().map_err(|_| ValueError::Length)?;
    if digits.iter().all(u8::is_ascii_digit) { Ok(digits) } else { Err(ValueError::Digit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_excludes_the_check_digit() {
        assert_eq!(&Pan::new(b"4000001234562").unwrap().account(), b"400000123456");
        assert_eq!(&Pan::new(b"12345").unwrap().account(), b"000000001234");
    }

    #[test]
    fn debug_masks() {
        assert_eq!(format!("{:?}", Pan::new(b"4000001234567899").unwrap()), "Pan(400000…7899)");
        assert_eq!(format!("{:?}", Pan::new(b"40000012").unwrap()), "Pan(8 digits)");
    }

    #[test]
    fn refusals() {
        assert_eq!(Pan::new(b"").unwrap_err(), ValueError::Length);
        assert_eq!(Pan::new(&[b'1'; 20]).unwrap_err(), ValueError::Length);
        assert_eq!(Pan::new(b"12A4").unwrap_err(), ValueError::Digit);
        assert_eq!(Expiry::new(b"12A4").unwrap_err(), ValueError::Digit);
        assert_eq!(ServiceCode::new(b"12").unwrap_err(), ValueError::Length);
    }
}
