//! Amounts as cards and hosts carry them: twelve decimal digits in minor units, without a point (tags 9F02
//! and 9F03, ISO 8583 field 4). Arithmetic is decimal: a float has no business with money.

use crate::CardError;
use core::fmt;
use paytypes::bytes::set_nibble;
use rust_decimal::Decimal;

const DIGITS: usize = 12;
const LIMIT: u64 = 1_000_000_000_000;

/// An amount of zero to 999,999,999,999 minor units.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(u64);

impl Amount {
    /// From minor units ([`CardError::Amount`] for more than twelve digits).
    pub const fn from_minor_units(units: u64) -> Result<Self, CardError> {
        if units < LIMIT { Ok(Self(units)) } else { Err(CardError::Amount) }
    }

    /// From an amount of money and the decimal places of its currency (see [`super::exponent`]). It must not
    /// be negative, and not finer than the currency: nothing is rounded.
    ///
    /// ```
    /// use cardcrypto::emv::{Amount, exponent};
    /// let yen = exponent(392).and_then(|places| Amount::new("1500".parse().ok()?, places).ok());
    /// assert_eq!(yen.map(|amount| amount.digits()), Some(*b"000000001500"));
    /// let euro = exponent(978).and_then(|places| Amount::new("15.00".parse().ok()?, places).ok());
    /// assert_eq!(euro, yen);
    /// ```
    pub fn new(amount: Decimal, exponent: u8) -> Result<Self, CardError> {
        minor_units(amount, exponent).and_then(Self::from_minor_units)
    }

    /// The minor units.
    pub const fn minor_units(self) -> u64 {
        self.0
    }

    /// The amount of money.
    pub fn to_decimal(self, exponent: u8) -> Result<Decimal, CardError> {
        let units = i64::try_from(self.0).map_err(|_| CardError::Amount)?;
        Decimal::try_new(units, u32::from(exponent)).map_err(|_| CardError::Amount)
    }

    /// Twelve ASCII digits.
    pub fn digits(self) -> [u8; DIGITS] {
        let mut rest = self.0;
        let mut out = [b'0'; DIGITS];
        for digit in out.iter_mut().rev() {
            *digit = u8::try_from(rest % 10).unwrap_or_default() | b'0';
            rest = rest.checked_div(10).unwrap_or_default();
        }
        out
    }

    /// Six bytes of packed digits, as a card takes them.
    pub fn packed(self) -> [u8; 6] {
        let mut out = [0; 6];
        for (i, digit) in self.digits().iter().enumerate() {
            set_nibble(&mut out, i, *digit);
        }
        out
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({} minor units)", self.0)
    }
}

/// `amount` in minor units of a currency with `exponent` decimal places, exactly ([`CardError::Amount`] when
/// it is negative, finer than the currency or too large).
pub fn minor_units(amount: Decimal, exponent: u8) -> Result<u64, CardError> {
    let scale = 10u64.checked_pow(u32::from(exponent)).ok_or(CardError::Amount)?;
    let units = amount.checked_mul(Decimal::from(scale)).ok_or(CardError::Amount)?;
    if units.is_sign_negative() || !units.fract().is_zero() {
        return Err(CardError::Amount);
    }
    u64::try_from(units).map_err(|_| CardError::Amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str, exponent: u8) -> Result<Amount, CardError> {
        Amount::new(text.parse().unwrap(), exponent)
    }

    #[test]
    fn exact_or_refused() {
        assert_eq!(of("12.34", 2).unwrap().digits(), *b"000000001234");
        assert_eq!(of("1234", 0).unwrap().packed(), [0, 0, 0, 0, 0x12, 0x34]);
        assert_eq!(of("1.234", 3).unwrap(), of("12.34", 2).unwrap());
        assert_eq!(of("9999999999.99", 2).unwrap().minor_units(), 999_999_999_999);
        for (text, exponent) in [("12.345", 2), ("-1", 2), ("10000000000.00", 2), ("0.5", 0), ("1", 20)] {
            assert_eq!(of(text, exponent), Err(CardError::Amount), "{text}");
        }
        assert_eq!(Amount::from_minor_units(LIMIT), Err(CardError::Amount));
    }

    proptest! {
        #[test]
        fn every_amount_comes_back(units in 0..LIMIT, exponent in 0u8..5) {
            let amount = Amount::from_minor_units(units).unwrap();
            let money = amount.to_decimal(exponent).unwrap();
            prop_assert_eq!(Amount::new(money, exponent).unwrap(), amount);
            let text = amount.digits();
            let text = core::str::from_utf8(&text).unwrap();
            prop_assert_eq!(text.parse::<u64>().unwrap(), units);
        }
    }
}
