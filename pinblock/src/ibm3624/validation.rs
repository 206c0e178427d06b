//! PIN validation data: the block whose encryption is the natural PIN.

use crate::PinBlockError;
use core::fmt;
use paytypes::bytes::set_nibble;
use paytypes::pan::ACCOUNT_LENGTH;
use paytypes::{Pan, hex};

const TEMPLATE_LENGTH: usize = 12;
const BLOCK_DIGITS: usize = 16;

/// One block of eight bytes. Holds account digits: `Debug` shows nothing of it.
#[derive(Clone, Copy)]
pub struct ValidationData([u8; 8]);

impl ValidationData {
    /// From the field of host commands: twelve hex digits of which one is replaced by `N`, where the last
    /// five digits of the account field go; or `P` and sixteen hex digits, taken as they are.
    pub fn from_host(field: &[u8], account: &[u8; ACCOUNT_LENGTH]) -> Result<Self, PinBlockError> {
        match field {
            [b'P', block @ ..] => hex::decode(block).map(Self).map_err(|_| PinBlockError::ValidationData),
            template if template.len() == TEMPLATE_LENGTH => Self::from_template(template, account),
            _ => Err(PinBlockError::ValidationData),
        }
    }

    fn from_template(template: &[u8], account: &[u8; ACCOUNT_LENGTH]) -> Result<Self, PinBlockError> {
        let mut parts = template.split(|c| *c == b'N');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(before), Some(after), None) => {
                let last_five = account.iter().skip(ACCOUNT_LENGTH.saturating_sub(5));
                Self::from_digits(before.iter().chain(last_five).chain(after))
                    .ok_or(PinBlockError::ValidationData)
            }
            _ => Err(PinBlockError::ValidationData),
        }
    }

    /// `length` digits of the PAN from position `start` (0 is the left-most), filled with the hex digit
    /// `pad` (ASCII) on the right.
    pub fn from_window(pan: &Pan, start: usize, length: usize, pad: u8) -> Result<Self, PinBlockError> {
        let end = start.checked_add(length).ok_or(PinBlockError::PanWindow)?;
        let window = pan.digits().get(start..end).filter(|w| w.len() <= BLOCK_DIGITS);
        let window = window.ok_or(PinBlockError::PanWindow)?;
        Self::from_digits(window.iter().chain(core::iter::repeat_n(&pad, BLOCK_DIGITS)).take(BLOCK_DIGITS))
            .ok_or(PinBlockError::PadChar)
    }

    fn from_digits<'a>(digits: impl Iterator<Item = &'a u8>) -> Option<Self> {
        let mut block = [0; 8];
        for (i, c) in digits.enumerate() {
            set_nibble(&mut block, i, hex::digit(*c)?);
        }
        Some(Self(block))
    }

    pub(super) const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Debug for ValidationData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValidationData")
    }
}
