//! What the formats have in common, as data: where control field, length, PIN and filler are.
//! Positions count half-bytes from the left.

use crate::fill::Nibbles;
use crate::{Account, ClearBlock, Format, PinBlockError};
use paytypes::bytes::{nibble, set_nibble, xor_into};
use paytypes::pin::{PIN_LENGTH_MAX, PIN_LENGTH_MIN};
use paytypes::{Pin, Random};
use zeroize::{Zeroize, ZeroizeOnDrop};

enum Length {
    Counted { at: usize },
    EndsAtF,
    Four,
}

enum Filler {
    Value(u8),
    Range(u8, u8),
}

enum Binding {
    None,
    Right12,
    Left12,
}

/// One row for each format that has a layout of its own.
pub(crate) struct Layout {
    bytes: u8,
    control: Option<u8>,
    length: Length,
    digits_at: usize,
    digits_max: usize,
    /// Room of the PIN that is zero filled, whatever the filler (Docutel and its kin).
    zeros_to: usize,
    filler: Filler,
    /// Everything from here on is random and never judged (second half of the ISO 4 field).
    random_from: usize,
    binding: Binding,
}

const ANY: Filler = Filler::Range(0, 15);
const DECIMAL: Filler = Filler::Range(0, 9);

const ISO: Layout = Layout {
    bytes: 8,
    control: Some(0),
    length: Length::Counted { at: 1 },
    digits_at: 2,
    digits_max: PIN_LENGTH_MAX,
    zeros_to: 0,
    filler: Filler::Value(0xF),
    random_from: 16,
    binding: Binding::None,
};

const DOCUTEL: Layout = Layout {
    control: None,
    length: Length::Counted { at: 0 },
    digits_at: 1,
    digits_max: 6,
    zeros_to: 7,
    filler: DECIMAL,
    ..ISO
};

const DELIMITED: Layout = Layout { control: None, length: Length::EndsAtF, digits_at: 0, ..ISO };

impl Layout {
    /// The row of `format`. AS 2805 has none (unknown), the Visa PIN change blocks are not read or formed
    /// without the card's key.
    pub(crate) const fn of(format: Format) -> Result<Self, PinBlockError> {
        Ok(match format {
            Format::Iso0 => Self { binding: Binding::Right12, ..ISO },
            Format::Iso1 => Self { control: Some(1), filler: ANY, ..ISO },
            Format::Iso2 => Self { control: Some(2), ..ISO },
            Format::Iso3 => {
                Self { control: Some(3), filler: Filler::Range(0xA, 0xF), binding: Binding::Right12, ..ISO }
            }
            Format::Iso4 => Self { bytes: 16, control: Some(4), filler: Filler::Value(0xA), ..ISO },
            Format::Plus => Self { binding: Binding::Left12, ..ISO },
            Format::Mastercard => Self { control: Some(2), binding: Binding::Right12, ..ISO },
            Format::Docutel | Format::Visa2 => DOCUTEL,
            Format::Eci3 => Self { filler: ANY, ..DOCUTEL },
            Format::Diebold => DELIMITED,
            Format::Visa3 => Self { filler: ANY, ..DELIMITED },
            Format::Eci2 => Self { length: Length::Four, digits_max: 4, filler: ANY, ..DELIMITED },
            Format::As2805 | Format::VisaNew | Format::VisaNewOld => return Err(PinBlockError::Format),
        })
    }

    /// The block with the account taken off (or put on: it is the same XOR).
    pub(crate) fn bound(&self, block: &ClearBlock, account: &Account) -> Result<ClearBlock, PinBlockError> {
        if block.len() != usize::from(self.bytes) {
            return Err(PinBlockError::BlockLength);
        }
        let digits = match self.binding {
            Binding::None => return Ok(block.duplicate()),
            Binding::Right12 => account.right12()?,
            Binding::Left12 => account.left12()?,
        };
        let mut mask = [0u8; 8];
        for (i, digit) in digits.iter().enumerate() {
            set_nibble(&mut mask, i.saturating_add(4), *digit);
        }
        let mut out = block.duplicate();
        xor_into(out.expose_mut(), &mask);
        Ok(out)
    }

    /// Judges control field and PIN length of an unbound block, nothing else, and takes out the PIN.
    pub(crate) fn read(&self, block: &ClearBlock) -> Result<Carried, PinBlockError> {
        let bytes = block.expose();
        if self.control.is_some_and(|control| nibble(bytes, 0) != control) {
            return Err(PinBlockError::ControlField);
        }
        let length = match self.length {
            Length::Counted { at } => usize::from(nibble(bytes, at)),
            Length::Four => 4,
            Length::EndsAtF => (0..16).take_while(|i| nibble(bytes, *i) != 0xF).count(),
        };
        if !(PIN_LENGTH_MIN..=self.digits_max).contains(&length) {
            return Err(PinBlockError::PinLength);
        }
        let mut carried = Carried::default();
        for (i, value) in carried.values.iter_mut().enumerate().take(length) {
            *value = nibble(bytes, self.digits_at.saturating_add(i));
        }
        carried.len = u8::try_from(length).unwrap_or_default();
        Ok(carried)
    }

    /// True when every filler of an unbound block is one of the format. Looks at all of them always.
    pub(crate) fn filler_holds(&self, block: &ClearBlock, pin_length: usize) -> bool {
        let (low, high) = match self.filler {
            Filler::Value(value) => (value, value),
            Filler::Range(low, high) => (low, high),
        };
        let mut good = true;
        for i in self.filler_from(pin_length)..self.random_from {
            let value = nibble(block.expose(), i);
            good &= if i < self.zeros_to { value == 0 } else { value >= low && value <= high };
        }
        good
    }

    /// Forms an unbound block.
    pub(crate) fn write(&self, digits: &[u8], random: &mut impl Random) -> Result<ClearBlock, PinBlockError> {
        if !(PIN_LENGTH_MIN..=self.digits_max).contains(&digits.len()) {
            return Err(PinBlockError::PinLength);
        }
        let mut block = ClearBlock::zeroed(self.bytes);
        let bytes = block.expose_mut();
        set_nibble(bytes, 0, self.control.unwrap_or_default());
        if let Length::Counted { at } = self.length {
            set_nibble(bytes, at, u8::try_from(digits.len()).unwrap_or_default());
        }
        for (i, digit) in digits.iter().enumerate() {
            set_nibble(bytes, self.digits_at.saturating_add(i), *digit);
        }
        let filler_from = self.filler_from(digits.len());
        if let Length::EndsAtF = self.length {
            set_nibble(bytes, digits.len(), 0xF);
        }
        let mut fill = Nibbles::new(random);
        for i in filler_from.max(self.zeros_to)..self.random_from {
            let value = match self.filler {
                Filler::Value(value) => value,
                Filler::Range(low, high) => fill.within(low, high),
            };
            set_nibble(bytes, i, value);
        }
        for i in self.random_from..bytes.len().saturating_mul(2) {
            set_nibble(bytes, i, fill.within(0, 15));
        }
        Ok(block)
    }

    fn filler_from(&self, pin_length: usize) -> usize {
        let delimiter = usize::from(matches!(self.length, Length::EndsAtF));
        self.digits_at.saturating_add(pin_length).saturating_add(delimiter)
    }
}

/// PIN positions of a block as they were found: half-bytes, decimal or not. Wiped on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Carried {
    values: [u8; PIN_LENGTH_MAX],
    len: u8,
}

impl Carried {
    pub(crate) fn expose(&self) -> &[u8] {
        self.values.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(crate) const fn len(&self) -> u8 {
        self.len
    }

    /// True when every position is a decimal digit. Looks at all of them always.
    pub(crate) fn is_decimal(&self) -> bool {
        self.expose().iter().fold(true, |good, value| good & (*value <= 9))
    }

    pub(crate) fn pin(&self) -> Result<Pin, PinBlockError> {
        Pin::from_values(self.expose()).map_err(|_| PinBlockError::PinDigit)
    }
}
