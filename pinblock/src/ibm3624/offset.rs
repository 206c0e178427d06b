//! Offsets of IBM 3624.

use crate::PinBlockError;
use paytypes::pin::{PIN_LENGTH_MAX, PIN_LENGTH_MIN};

/// An offset of 4 to 12 digits. Not a secret without the PVK; still not printed beside an account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    digits: [u8; PIN_LENGTH_MAX],
    len: u8,
}

impl Offset {
    /// From digit values 0 to 9.
    pub fn from_values(values: &[u8]) -> Result<Self, PinBlockError> {
        let in_range = (PIN_LENGTH_MIN..=PIN_LENGTH_MAX).contains(&values.len());
        if !in_range || values.iter().any(|v| *v > 9) {
            return Err(PinBlockError::Offset);
        }
        let len = u8::try_from(values.len()).map_err(|_| PinBlockError::Offset)?;
        Ok(Self { digits: paytypes::bytes::left(values), len })
    }

    /// From the field of host commands: twelve characters, digits on the left, then F.
    pub fn from_host(field: &[u8; PIN_LENGTH_MAX]) -> Result<Self, PinBlockError> {
        let len = field.iter().take_while(|c| c.is_ascii_digit()).count();
        if !field.iter().skip(len).all(|c| *c == b'F') {
            return Err(PinBlockError::Offset);
        }
        Self::from_values(field.map(|c| c ^ b'0').get(..len).unwrap_or_default())
    }

    /// Twelve characters, digits on the left, then F.
    pub fn to_host(&self) -> [u8; PIN_LENGTH_MAX] {
        let mut field = [b'F'; PIN_LENGTH_MAX];
        for (f, digit) in field.iter_mut().zip(self.digits()) {
            *f = digit | b'0';
        }
        field
    }

    /// The digit values.
    pub fn digits(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl core::fmt::Debug for Offset {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Offset({} digits)", self.len)
    }
}
