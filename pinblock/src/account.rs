//! The account a PIN block is bound to, in the forms that hosts send it.

use crate::PinBlockError;
use crate::field::{are_digits, digits_to};
use core::fmt;
use paytypes::bytes::set_nibble;
use paytypes::pan::ACCOUNT_LENGTH;
use paytypes::{Pan, ValueError};

const TOKEN_LENGTH: usize = 18;
// ISO 9564-1 formats 0 and 3 take twelve digits beside the check digit. A shorter text given as a PAN is
// nearly always an account field in the wrong place, so it is refused instead of zero filled.
const PAN_LENGTH_MIN: usize = 13;

// Digits fill 48 bits.
const NO_DIGITS: u64 = u64::MAX;

/// Whose PIN: nobody's, a twelve-digit account field, or a whole PAN. `Debug` shows the form only.
#[derive(Clone, Copy)]
pub struct Account {
    form: Form,
    // The twelve digits that formats 0 and 3 bind, packed once: every block needs them. All ones for none.
    right12: u64,
}

#[derive(Clone, Copy)]
enum Form {
    None,
    Field([u8; ACCOUNT_LENGTH]),
    Pan(Pan),
}

/// Whether source and destination of a translation name the same account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRelation {
    /// One account, or two that are equal.
    Same,
    /// Two different accounts.
    Changed,
}

impl Account {
    /// For formats that bind no account.
    pub const NONE: Self = Self { form: Form::None, right12: NO_DIGITS };

    /// The usual field of host commands: twelve ASCII digits, the right-most of the PAN without its check
    /// digit. ISO 4 takes them as a PAN of twelve digits, zero filled, because nothing more is known.
    #[inline]
    pub fn from_field(text: &[u8]) -> Result<Self, ValueError> {
        let digits: [u8; ACCOUNT_LENGTH] = text.try_into().map_err(|_| ValueError::Length)?;
        if !are_digits(&digits) {
            return Err(ValueError::Digit);
        }
        Ok(Self { form: Form::Field(digits), right12: digits_to(&digits) })
    }

    /// The 18-character field that accompanies format 04: the PAN right justified, filled with F on the left.
    pub fn from_token(text: &[u8]) -> Result<Self, ValueError> {
        if text.len() != TOKEN_LENGTH {
            return Err(ValueError::Length);
        }
        let fillers = text.iter().take_while(|c| matches!(c, b'F' | b'f')).count();
        let pan = Pan::new(text.get(fillers..).unwrap_or_default())?;
        Ok(Self::from_pan(pan))
    }

    /// A whole PAN, check digit included.
    pub fn from_pan(pan: Pan) -> Self {
        let long_enough = pan.digits().len() >= PAN_LENGTH_MIN;
        Self {
            form: Form::Pan(pan),
            right12: if long_enough { digits_to(&pan.account()) } else { NO_DIGITS },
        }
    }

    /// A whole PAN of which only the twelve right-most digits without the check digit are bound, also by
    /// ISO 4: the rule of some services, where ISO 9564-1 binds the whole PAN. State which rule a peer
    /// follows; blocks of the one are no PINs under the other. A PAN of fewer than 13 digits is refused.
    pub fn from_pan_right12(pan: &Pan) -> Result<Self, PinBlockError> {
        let digits = Self::from_pan(*pan).right12()?;
        Ok(Self { form: Form::Field(digits), right12: digits_to(&digits) })
    }

    /// The twelve right-most digits without the check digit (formats 01, 35, 47), ASCII.
    /// A PAN of fewer than 13 digits is refused.
    pub fn right12(&self) -> Result<[u8; ACCOUNT_LENGTH], PinBlockError> {
        match &self.form {
            Form::Field(digits) => Ok(*digits),
            Form::Pan(pan) if pan.digits().len() >= PAN_LENGTH_MIN => Ok(pan.account()),
            _ => Err(PinBlockError::PanLength),
        }
    }

    /// As [`Account::right12`], packed: four bits for a digit, the last one lowest.
    #[inline]
    pub fn right12_packed(&self) -> Result<u64, PinBlockError> {
        if self.right12 == NO_DIGITS { Err(PinBlockError::PanLength) } else { Ok(self.right12) }
    }

    /// The twelve left-most digits of the PAN (format 04), ASCII. A twelve-digit field does not hold them.
    pub fn left12(&self) -> Result<[u8; ACCOUNT_LENGTH], PinBlockError> {
        match &self.form {
            Form::Pan(pan) => pan.digits().first_chunk().copied().ok_or(PinBlockError::PanLength),
            _ => Err(PinBlockError::PanLength),
        }
    }

    /// PAN field of ISO 9564-1 format 4, 16 bytes: PAN length less twelve, the PAN, zeros. A PAN of fewer
    /// than twelve digits counts as twelve, filled with zeros on the left.
    pub fn pan_field(&self) -> Result<[u8; 16], PinBlockError> {
        let digits = match &self.form {
            Form::Field(digits) => digits.as_slice(),
            Form::Pan(pan) => pan.digits(),
            Form::None => return Err(PinBlockError::PanLength),
        };
        let zeros = ACCOUNT_LENGTH.saturating_sub(digits.len());
        let beyond = u8::try_from(digits.len().saturating_sub(ACCOUNT_LENGTH)).unwrap_or_default();
        let mut field = [0; 16];
        set_nibble(&mut field, 0, beyond);
        for (i, digit) in digits.iter().enumerate() {
            set_nibble(&mut field, i.saturating_add(zeros).saturating_add(1), *digit);
        }
        Ok(field)
    }

    /// Compares two accounts; a field equals the PAN it was taken from.
    #[inline]
    pub fn relation(&self, other: &Self) -> AccountRelation {
        let same = match (&self.form, &other.form) {
            (Form::Pan(a), Form::Pan(b)) => a == b,
            (Form::None, Form::None) => true,
            (Form::Field(a), Form::Field(b)) => a == b,
            (Form::Field(field), Form::Pan(pan)) | (Form::Pan(pan), Form::Field(field)) => {
                *field == pan.account()
            }
            _ => false,
        };
        if same { AccountRelation::Same } else { AccountRelation::Changed }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::None => f.write_str("Account(none)"),
            Form::Field(_) => f.write_str("Account(12 digits)"),
            Form::Pan(pan) => write!(f, "Account({} digits)", pan.digits().len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::hex;

    fn pan(text: &[u8]) -> Account {
        Account::from_pan(Pan::new(text).unwrap())
    }

    #[test]
    fn digits_of_each_form() {
        let field = Account::from_field(b"400000123456").unwrap();
        assert_eq!(&field.right12().unwrap(), b"400000123456");
        assert_eq!(field.left12(), Err(PinBlockError::PanLength));
        assert_eq!(&pan(b"4000001234562").right12().unwrap(), b"400000123456");
        assert_eq!(pan(b"400000123456").right12(), Err(PinBlockError::PanLength));
        assert_eq!(&Account::from_token(b"FF4321987654321098").unwrap().left12().unwrap(), b"432198765432");
        assert_eq!(pan(b"40000012345").left12(), Err(PinBlockError::PanLength));
        assert_eq!(Account::NONE.right12(), Err(PinBlockError::PanLength));
        assert_eq!(Account::NONE.pan_field(), Err(PinBlockError::PanLength));
    }

    #[test]
    fn pan_field_of_iso_4() {
        let field = |a: Account| hex::encode(&a.pan_field().unwrap());
        assert_eq!(field(pan(b"1234567890123456789")), "71234567890123456789000000000000");
        assert_eq!(field(pan(b"4111111111111111")), "44111111111111111000000000000000");
        assert_eq!(field(pan(b"6536")), "00000000065360000000000000000000");
        let twelve = "04000001234560000000000000000000";
        assert_eq!(field(Account::from_field(b"400000123456").unwrap()), twelve);
        assert_eq!(field(pan(b"400000123456")), twelve);
        let whole = Pan::new(b"4000001234562").unwrap();
        assert_eq!(field(Account::from_pan_right12(&whole).unwrap()), twelve);
        assert_eq!(field(Account::from_pan(whole)), "14000001234562000000000000000000");
        let short = Pan::new(b"400000123456").unwrap();
        assert_eq!(Account::from_pan_right12(&short).unwrap_err(), PinBlockError::PanLength);
    }

    #[test]
    fn refusals() {
        assert_eq!(Account::from_field(b"40000012345").unwrap_err(), ValueError::Length);
        assert_eq!(Account::from_field(b"40000012345A").unwrap_err(), ValueError::Digit);
        assert_eq!(Account::from_token(b"4321987654321098").unwrap_err(), ValueError::Length);
        assert_eq!(Account::from_token(b"4321F8765432109812").unwrap_err(), ValueError::Digit);
        assert_eq!(Account::from_token(b"FFFFFFFFFFFFFFFFFF").unwrap_err(), ValueError::Length);
    }

    #[test]
    fn relations_and_debug() {
        let field = Account::from_field(b"400000123456").unwrap();
        let long = pan(b"4000001234562");
        assert_eq!(field.relation(&long), AccountRelation::Same);
        assert_eq!(long.relation(&field), AccountRelation::Same);
        assert_eq!(long.relation(&pan(b"4000001234563")), AccountRelation::Changed);
        assert_eq!(long.relation(&pan(b"4000001234562")), AccountRelation::Same);
        assert_eq!(field.relation(&field), AccountRelation::Same);
        let other = Account::from_field(b"400000123457").unwrap();
        assert_eq!(field.relation(&other), AccountRelation::Changed);
        assert_eq!(other.relation(&long), AccountRelation::Changed);
        assert_eq!(field.relation(&Account::NONE), AccountRelation::Changed);
        assert_eq!(Account::NONE.relation(&Account::NONE), AccountRelation::Same);
        assert_eq!(format!("{field:?} {long:?}"), "Account(12 digits) Account(13 digits)");
    }
}
