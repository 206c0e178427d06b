//! A clear PIN block.

use crate::{Format, PinBlockError};
use core::fmt;
use zeroize::{ZeroizeOnDrop, optimization_barrier};

/// A clear PIN block of 8 bytes, or the clear PIN field of ISO 4 of 16, wiped on drop. No `Clone`, no
/// comparison, nothing of the content in `Debug`.
pub struct ClearBlock {
    bytes: [u8; 16],
    // As wide as it is used: read wider than it was written it would wait for the memory.
    len: usize,
}

/// In one store, where a byte at a time would cost more than the cipher.
impl Drop for ClearBlock {
    #[inline]
    fn drop(&mut self) {
        self.bytes = [0; 16];
        optimization_barrier(&self.bytes);
    }
}

impl ZeroizeOnDrop for ClearBlock {}

impl ClearBlock {
    /// From 8 or 16 bytes; the caller wipes its own.
    #[inline]
    pub fn new(bytes: &[u8]) -> Result<Self, PinBlockError> {
        let len = match bytes.len() {
            8 => 8,
            16 => 16,
            _ => return Err(PinBlockError::BlockLength),
        };
        Ok(Self { bytes: paytypes::bytes::left(bytes), len })
    }

    /// Zeros, to be filled in place with a block of `format`.
    #[inline]
    pub const fn room_for(format: Format) -> Self {
        Self::zeroed(if format.block_length() == 16 { 16 } else { 8 })
    }

    #[inline]
    pub(crate) const fn zeroed(len: usize) -> Self {
        Self { bytes: [0; 16], len }
    }

    /// The clear bytes.
    #[inline]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The clear bytes, to be changed in place.
    #[inline]
    pub fn expose_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// Length in bytes: 8 or 16.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Wipes it and gives it another length.
    #[inline]
    pub(crate) const fn empty(&mut self, len: usize) {
        self.bytes = [0; 16];
        self.len = len;
    }

    #[inline]
    pub(crate) fn duplicate(&self) -> Self {
        Self { bytes: self.bytes, len: self.len }
    }
}

impl fmt::Debug for ClearBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClearBlock({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    assert_lacks!(ClearBlock: Clone, PartialEq, core::fmt::Display);

    #[test]
    fn takes_two_lengths_and_shows_neither_content() {
        assert_eq!(format!("{:?}", ClearBlock::new(&[0x12; 8]).unwrap()), "ClearBlock(8 bytes)");
        assert_eq!(ClearBlock::new(&[7; 16]).unwrap().expose(), &[7; 16]);
        assert!(!ClearBlock::new(&[0; 8]).unwrap().is_empty());
        for len in [0, 7, 9, 15, 17] {
            assert_eq!(ClearBlock::new(&vec![0; len]).unwrap_err(), PinBlockError::BlockLength);
        }
    }
}
