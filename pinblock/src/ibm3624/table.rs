//! Decimalisation tables.

use crate::PinBlockError;
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

const DIFFERENT_MIN: usize = 8;
const REPEATS_MAX: usize = 4;

/// Sixteen decimal digits, one for each half-byte value. Hosts may send it enciphered, so it is quiet.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DecimalisationTable([u8; 16]);

impl DecimalisationTable {
    /// From sixteen ASCII digits of which at least eight are different and none stands more than four times.
    ///
    /// That rule alone does not stop the decimalisation table attack (Bond and Zielinski, UCAM-CL-TR-560):
    /// the defence is that the caller takes registered or enciphered tables only.
    pub fn new(text: &[u8]) -> Result<Self, PinBlockError> {
        let table = Self::unjudged(text)?;
        let count = |digit: u8| table.0.iter().filter(|d| **d == digit).count();
        let different = (0..=9).filter(|d| count(*d) > 0).count();
        let evenly = (0..=9).all(|d| count(d) <= REPEATS_MAX);
        if different >= DIFFERENT_MIN && evenly { Ok(table) } else { Err(PinBlockError::Table) }
    }

    /// From any sixteen ASCII digits: arithmetic for a command-line tool, never for a host's table.
    pub fn unjudged(text: &[u8]) -> Result<Self, PinBlockError> {
        let mut table = Self(text.try_into().map_err(|_| PinBlockError::Table)?);
        if !table.0.iter().all(u8::is_ascii_digit) {
            return Err(PinBlockError::Table);
        }
        for digit in &mut table.0 {
            *digit ^= b'0';
        }
        Ok(table)
    }

    pub(super) fn decimal(&self, nibble: u8) -> u8 {
        self.0.get(usize::from(nibble)).copied().unwrap_or_default()
    }
}

impl fmt::Debug for DecimalisationTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecimalisationTable")
    }
}
