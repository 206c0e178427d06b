//! Key serial numbers of DUKPT.

use crate::ValueError;

/// A key serial number. TDES DUKPT (ANSI X9.24-1): 8 to 10 bytes, with a 21-bit counter at the right,
/// taken as 10 bytes filled with FF on the left. AES DUKPT (X9.24-3): 12 bytes with a 32-bit counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ksn {
    /// Ten bytes; counter in the low 21 bits.
    Tdes([u8; 10]),
    /// Twelve bytes; counter in the low 32 bits.
    Aes([u8; 12]),
}

impl Ksn {
    /// From binary. 8 to 10 bytes make a TDES number, 12 an AES one; nothing else is a KSN.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        match bytes.len() {
            8..=10 => {
                let mut ksn = [0xFF; 10];
                for (k, b) in ksn.iter_mut().rev().zip(bytes.iter().rev()) {
                    *k = *b;
                }
                Ok(Self::Tdes(ksn))
            }
            12 => bytes.try_into().map(Self::Aes).map_err(|_| ValueError::Length),
            _ => Err(ValueError::Length),
        }
    }

    /// The transaction counter: 21 bits for TDES, 32 for AES.
    #[inline]
    pub fn counter(&self) -> u32 {
        match self {
            Self::Tdes(k) => u32::from_be_bytes(crate::bytes::right(k)) & 0x001F_FFFF,
            Self::Aes(k) => u32::from_be_bytes(crate::bytes::right(k)),
        }
    }

    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Tdes(k) => k,
            Self::Aes(k) => k,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_filled_with_ff() {
        let ksn = Ksn::new(&[0x12, 0x34, 0x56, 0x78, 0x90, 0x00, 0x00, 0x01]).unwrap();
        assert_eq!(ksn.as_bytes(), &[0xFF, 0xFF, 0x12, 0x34, 0x56, 0x78, 0x90, 0, 0, 1]);
        assert_eq!(ksn.counter(), 1);
        assert_eq!(Ksn::new(&[0; 11]).unwrap_err(), ValueError::Length);
    }

    #[test]
    fn counter_masks() {
        assert_eq!(Ksn::new(&[0xFF; 10]).unwrap().counter(), 0x1F_FFFF);
        assert_eq!(Ksn::new(&[0xFF; 12]).unwrap().counter(), 0xFFFF_FFFF);
    }
}
