//! Clear PINs on the wire: digits, then F up to the length of the field. The text is wiped when it goes.

use crate::wire::{Alphabet, Show, Step, Wire};
use crate::{Code, PinLength};
use core::fmt;
use paytypes::Pin;
use paytypes::pin::{PIN_LENGTH_MAX, PIN_LENGTH_MIN};
use zeroize::{Zeroize, ZeroizeOnDrop};

const LENGTH_MIN: usize = PIN_LENGTH_MIN + 1;
const LENGTH_MAX: usize = PIN_LENGTH_MAX + 1;
const ACCOUNT: usize = 12;

/// A clear PIN field of 5 to 13 characters. With [`PinLength::Fixed`] it is one character longer than the
/// longest PIN; else as long as the sender made it, and one character longer than the PIN when we send it.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct ClearPinField {
    text: [u8; LENGTH_MAX],
    len: u8,
}

impl fmt::Debug for ClearPinField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClearPinField")
    }
}

impl ClearPinField {
    /// The field that shows a PIN.
    pub fn of(pin: &Pin, setting: PinLength) -> Self {
        let length = match setting {
            PinLength::Own => pin.len(),
            PinLength::Fixed(clear) => usize::from(clear).max(pin.len()),
        };
        let mut field = Self { text: [b'F'; LENGTH_MAX], len: 0 };
        field.set_length(length.saturating_add(1));
        for (place, digit) in field.text.iter_mut().zip(pin.expose()) {
            *place = digit | b'0';
        }
        field
    }

    /// The PIN: digits, and F behind them to the end. Fewer or more digits than a PIN has answer 24.
    pub fn read(&self) -> Result<Pin, Code> {
        let text = self.text.get(..usize::from(self.len)).unwrap_or_default();
        let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
        let (digits, fill) = text.split_at_checked(digits).unwrap_or_default();
        if fill.is_empty() || fill.iter().any(|c| *c != b'F') {
            return Err(Code::INPUT);
        }
        Pin::from_ascii(digits).map_err(|_| Code::PIN_LENGTH)
    }

    /// Walks the field that stands in front of twelve account digits at the end of the body: with
    /// [`PinLength::Own`] nothing but the account tells where it ends.
    pub fn walk_in_front_of_account<W: Wire>(&mut self, wire: &mut W) -> Step {
        let length = match wire.settings().pin_length {
            PinLength::Own => rest(wire).saturating_sub(ACCOUNT),
            PinLength::Fixed(clear) => usize::from(clear).saturating_add(1),
        };
        self.walk(wire, length)
    }

    /// Walks the field that is the rest of the body.
    pub fn walk_to_the_end<W: Wire>(&mut self, wire: &mut W) -> Step {
        let length = rest(wire);
        self.walk(wire, length)
    }

    fn walk<W: Wire>(&mut self, wire: &mut W, length: usize) -> Step {
        if wire.reading() {
            if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
                return Err(Code::INPUT);
            }
            self.set_length(length);
        }
        let text = self.text.get_mut(..usize::from(self.len)).unwrap_or_default();
        wire.fixed("clear PIN", Alphabet::Hex, Show::Length, text)
    }

    fn set_length(&mut self, length: usize) {
        self.len = u8::try_from(length.min(LENGTH_MAX)).unwrap_or_default();
    }
}

// Characters up to the end of the body, where a selector or the trailer begins.
fn rest<W: Wire>(wire: &W) -> usize {
    wire.ahead().iter().take_while(|c| c.is_ascii_hexdigit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &[u8]) -> ClearPinField {
        ClearPinField { text: paytypes::bytes::left(text), len: u8::try_from(text.len()).unwrap() }
    }

    #[test]
    fn shows_and_reads_a_pin() {
        let pin = Pin::from_ascii(b"12345").unwrap();
        let shown = |setting| {
            let field = ClearPinField::of(&pin, setting);
            field.text[..usize::from(field.len)].to_vec()
        };
        assert_eq!(shown(PinLength::Own), b"12345F");
        assert_eq!(shown(PinLength::Fixed(6)), b"12345FF");
        assert!(field(b"12345F").read().unwrap().same_as(&pin));
        assert!(field(b"12345FFFFFFFF").read().unwrap().same_as(&pin));
        assert_eq!(format!("{:?}", field(b"12345F")), "ClearPinField");
    }

    #[test]
    fn refuses_what_is_not_digits_and_fill() {
        for text in [b"12345".as_slice(), b"1234E", b"1234F5", b"1234FE"] {
            assert_eq!(field(text).read().err(), Some(Code::INPUT));
        }
        assert_eq!(field(b"123FF").read().err(), Some(Code::PIN_LENGTH));
    }
}
