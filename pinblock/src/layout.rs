//! What the formats have in common, as data: where control field, length, PIN and filler are.
//! Positions count half-bytes from the left. The first eight bytes of a block are worked on as one number,
//! so that no step depends on a digit; the rest of an ISO 4 field is random and never read.

use crate::field::{digits_of, digits_to, first_f, from, non_decimal, repeated, shifted, word_of};
use crate::fill::Nibbles;
use crate::{Account, ClearBlock, Format, PinBlockError};
use paytypes::pin::{PIN_LENGTH_MAX, PIN_LENGTH_MIN};
use paytypes::{Pin, Random};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

enum Length {
    Counted { at: usize },
    EndsAtF,
    Four,
}

enum Filler {
    Value(u8),
    Any,
    Decimal,
    Letters,
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
    // Room of the PIN that is zero filled, whatever the filler (Docutel and its kin).
    zeros_to: usize,
    filler: Filler,
    binding: Binding,
}

const ISO: Layout = Layout {
    bytes: 8,
    control: Some(0),
    length: Length::Counted { at: 1 },
    digits_at: 2,
    digits_max: PIN_LENGTH_MAX,
    zeros_to: 0,
    filler: Filler::Value(0xF),
    binding: Binding::None,
};

/// ISO 9564-1 format 0.
pub(crate) const ISO_0: Layout = Layout { binding: Binding::Right12, ..ISO };

const DOCUTEL: Layout = Layout {
    control: None,
    length: Length::Counted { at: 0 },
    digits_at: 1,
    digits_max: 6,
    zeros_to: 7,
    filler: Filler::Decimal,
    ..ISO
};

const DELIMITED: Layout = Layout { control: None, length: Length::EndsAtF, digits_at: 0, ..ISO };

impl Layout {
    /// The row of `format`. AS 2805 has none (unknown), the Visa PIN change blocks are not read or formed
    /// without the card's key.
    pub(crate) const fn of(format: Format) -> Result<&'static Self, PinBlockError> {
        Ok(match format {
            Format::Iso0 => &ISO_0,
            Format::Iso1 => &Self { control: Some(1), filler: Filler::Any, ..ISO },
            Format::Iso2 => &Self { control: Some(2), ..ISO },
            Format::Iso3 => {
                &Self { control: Some(3), filler: Filler::Letters, binding: Binding::Right12, ..ISO }
            }
            Format::Iso4 => &Self { bytes: 16, control: Some(4), filler: Filler::Value(0xA), ..ISO },
            Format::Plus => &Self { binding: Binding::Left12, ..ISO },
            Format::Mastercard => &Self { control: Some(2), binding: Binding::Right12, ..ISO },
            Format::Docutel | Format::Visa2 => &DOCUTEL,
            Format::Eci3 => &Self { filler: Filler::Any, ..DOCUTEL },
            Format::Diebold => &DELIMITED,
            Format::Visa3 => &Self { filler: Filler::Any, ..DELIMITED },
            Format::Eci2 => &Self { length: Length::Four, digits_max: 4, filler: Filler::Any, ..DELIMITED },
            Format::As2805 | Format::VisaNew | Format::VisaNewOld => return Err(PinBlockError::Format),
        })
    }

    /// The first half of a block with the account taken off.
    #[inline(always)]
    pub(crate) fn opened(
        &self,
        block: &ClearBlock,
        account: &Account,
    ) -> Result<Zeroizing<u64>, PinBlockError> {
        if block.len() != usize::from(self.bytes) {
            return Err(PinBlockError::BlockLength);
        }
        Ok(Zeroizing::new(word_of(block.expose()) ^ self.mask(account)?))
    }

    // What the account adds: its twelve digits on the right of eight bytes.
    #[inline(always)]
    fn mask(&self, account: &Account) -> Result<u64, PinBlockError> {
        match self.binding {
            Binding::None => Ok(0),
            Binding::Right12 => account.right12_packed(),
            Binding::Left12 => Ok(digits_to(&account.left12()?)),
        }
    }

    /// Judges control field and PIN length of an unbound block, nothing else, and takes out the PIN.
    #[inline(always)]
    pub(crate) fn read(&self, word: u64) -> Result<Carried, PinBlockError> {
        if self.control.is_some_and(|control| digits_of(word, 0, 1) != u64::from(control)) {
            return Err(PinBlockError::ControlField);
        }
        let length = match self.length {
            Length::Counted { at } => usize::try_from(digits_of(word, at, 1)).unwrap_or_default(),
            Length::Four => 4,
            Length::EndsAtF => first_f(word),
        };
        if !(PIN_LENGTH_MIN..=self.digits_max).contains(&length) {
            return Err(PinBlockError::PinLength);
        }
        Ok(Carried {
            packed: digits_of(word, self.digits_at, length),
            len: u8::try_from(length).unwrap_or(0),
        })
    }

    /// True when the length is found by looking at the digits, so that whatever depends on it tells some of them.
    pub(crate) const fn length_tells_digits(&self) -> bool {
        matches!(self.length, Length::EndsAtF)
    }

    /// True when all blocks of one PIN length have the same filler, which therefore proves the account that is
    /// taken off a block, as far as no digit of the PIN lies over it.
    pub(crate) const fn filler_is_fixed(&self) -> bool {
        matches!(self.filler, Filler::Value(_))
    }

    /// True when nothing in the filler speaks against the account that was taken off a block. Filler that is
    /// the same for every account (a pad of the user, random half-bytes) cannot; nor can that of a format whose
    /// length is found by looking at the digits, which binds no account and where it would tell them.
    #[inline(always)]
    pub(crate) fn account_holds(&self, word: u64, pin_length: usize) -> bool {
        let proves = matches!(self.filler, Filler::Value(_) | Filler::Letters) && !self.length_tells_digits();
        !proves || self.filler_holds(word, pin_length)
    }

    /// True when every filler of an unbound block is one of the format. Looks at all of them always.
    #[inline(always)]
    pub(crate) fn filler_holds(&self, word: u64, pin_length: usize) -> bool {
        let start = self.filler_from(pin_length);
        let filler = from(start.max(self.zeros_to));
        let zeros = from(start) & !filler;
        let wrong = match self.filler {
            Filler::Value(value) => (word ^ repeated(value)) & filler,
            Filler::Any => 0,
            Filler::Decimal => non_decimal(word) & filler,
            Filler::Letters => (non_decimal(word) ^ repeated(1)) & filler,
        };
        wrong | (word & zeros) == 0
    }

    /// Forms a block, in place, and binds it.
    #[inline(always)]
    pub(crate) fn write(
        &self,
        carried: &Carried,
        account: &Account,
        random: &mut impl Random,
        block: &mut ClearBlock,
    ) -> Result<(), PinBlockError> {
        let length = usize::from(carried.len);
        if !(PIN_LENGTH_MIN..=self.digits_max).contains(&length) {
            return Err(PinBlockError::PinLength);
        }
        let digits_end = self.digits_at.saturating_add(length);
        let mut word = Zeroizing::new(shifted(carried.packed, digits_end));
        *word |= shifted(u64::from(self.control.unwrap_or_default()), 1);
        match self.length {
            Length::Counted { at } => *word |= shifted(u64::from(carried.len), at.saturating_add(1)),
            Length::EndsAtF => *word |= shifted(0xF, digits_end.saturating_add(1)),
            Length::Four => {}
        }
        let start = self.filler_from(length).max(self.zeros_to);
        match self.filler {
            Filler::Value(value) => *word |= repeated(value) & from(start),
            Filler::Any => *word |= drawn(random, start, 0, 15),
            Filler::Decimal => *word |= drawn(random, start, 0, 9),
            Filler::Letters => *word |= drawn(random, start, 10, 15),
        }
        self.bind(&mut word, account, random, block)
    }

    /// Makes a block of an unbound one: puts the account on it, and leaves everything else as it is.
    #[inline(always)]
    pub(crate) fn bind(
        &self,
        word: &mut u64,
        account: &Account,
        random: &mut impl Random,
        block: &mut ClearBlock,
    ) -> Result<(), PinBlockError> {
        *word ^= self.mask(account)?;
        block.empty(usize::from(self.bytes));
        if let Some((left, rest)) = block.expose_mut().split_first_chunk_mut::<8>() {
            *left = word.to_be_bytes();
            if !rest.is_empty() {
                random.fill(rest);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn filler_from(&self, pin_length: usize) -> usize {
        let delimiter = usize::from(matches!(self.length, Length::EndsAtF));
        self.digits_at.saturating_add(pin_length).saturating_add(delimiter)
    }
}

// Random half-bytes of a range, from position `start` to the end of eight bytes.
#[inline(never)]
fn drawn(random: &mut impl Random, start: usize, low: u8, high: u8) -> u64 {
    let mut fill = Nibbles::new(random);
    (start..16).fold(0, |word, _| word << 4 | u64::from(fill.within(low, high)))
}

/// PIN positions of a block as they were found: half-bytes, decimal or not. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Carried {
    // The last `len` half-bytes.
    packed: u64,
    len: u8,
}

impl Carried {
    /// The positions of a PIN.
    pub(crate) fn of(pin: &Pin) -> Self {
        Self { packed: pin.expose_packed(), len: u8::try_from(pin.len()).unwrap_or_default() }
    }

    #[inline]
    pub(crate) const fn len(&self) -> u8 {
        self.len
    }

    /// True when every position is a decimal digit. Looks at all of them always.
    pub(crate) const fn is_decimal(&self) -> bool {
        non_decimal(self.packed) == 0
    }

    pub(crate) fn pin(&self) -> Result<Pin, PinBlockError> {
        Pin::from_packed(self.packed, usize::from(self.len)).map_err(|_| PinBlockError::PinDigit)
    }
}
