//! `*`: PINs that an issuer does not give out, sent along with the command.

use crate::Code;
use crate::wire::{Alphabet, Number, Show, Step, Wire};
use paytypes::Pin;
use paytypes::pin::{PIN_LENGTH_MAX, PIN_LENGTH_MIN};

/// The group: count and length of the PINs, then the PINs.
#[derive(Debug, Default)]
pub struct ExcludedPins {
    /// The group is there.
    pub present: bool,
    /// How many PINs.
    pub count: Number<2>,
    /// Digits of each.
    pub length: Number<2>,
    /// All of them, one after the other.
    pub pins: Vec<u8>,
}

impl ExcludedPins {
    /// Walks the group when it is there. A count that the PINs do not bear out answers 03.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("excluded PINs", b'*', &mut self.present)?;
        if !self.present {
            return Ok(());
        }
        wire.number("number of excluded PINs", &mut self.count)?;
        wire.number("length of excluded PINs", &mut self.length)?;
        if !(PIN_LENGTH_MIN..=PIN_LENGTH_MAX).contains(&self.length.size()) {
            return Err(Code::PIN_LENGTH);
        }
        let length = self.count.size().saturating_mul(self.length.size());
        wire.sized("excluded PINs", Alphabet::Digits, Show::Length, length, &mut self.pins)
            .map_err(|_| Code::COUNT)
    }

    /// Whether a PIN of `length` digits can be looked up at all: 81 when the table is for another length.
    pub fn judge_length(&self, length: usize) -> Result<(), Code> {
        if self.present && length != self.length.size() { Err(Code::PIN_MISMATCH) } else { Ok(()) }
    }

    /// Refuses a PIN of the table with 86, and one of another length with 81.
    pub fn judge(&self, pin: &Pin) -> Result<(), Code> {
        if !self.present {
            return Ok(());
        }
        self.judge_length(pin.len())?;
        match pinblock::is_excluded(pin, self.length.size(), &self.pins) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Code::EXCLUDED_PIN),
            Err(_) => Err(Code::INPUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_pins_of_the_table_and_of_another_length() {
        let table =
            ExcludedPins { present: true, count: Number(2), length: Number(4), pins: b"11112345".to_vec() };
        let judge = |pin: &[u8]| table.judge(&Pin::from_ascii(pin).unwrap());
        assert_eq!(judge(b"2345"), Err(Code::EXCLUDED_PIN));
        assert_eq!(judge(b"1112"), Ok(()));
        assert_eq!(judge(b"11111"), Err(Code::PIN_MISMATCH));
        assert_eq!(ExcludedPins::default().judge(&Pin::from_ascii(b"1111").unwrap()), Ok(()));
    }
}
