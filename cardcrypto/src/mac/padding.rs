//! Padding methods of ISO/IEC 9797-1, section 6.3.

use std::borrow::Cow;

/// How a message is brought to whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Not at all: the message is whole blocks, at least one.
    None,
    /// Method 1: zeros, none if it is whole blocks already; an empty message becomes one block.
    Zeros,
    /// Method 2: one byte 80, then zeros; always added.
    Bit,
    /// Method 3: as method 1, and a block with the length in bits before it.
    Length,
}

impl Padding {
    /// From the digit of M6 and M8: 0 to 3.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            b'0' => Some(Self::None),
            b'1' => Some(Self::Zeros),
            b'2' => Some(Self::Bit),
            b'3' => Some(Self::Length),
            _ => None,
        }
    }

    pub(super) const fn is_empty_for_cmac(self) -> bool {
        matches!(self, Self::None | Self::Zeros)
    }

    /// The padded message; `block` is the block length in bytes. `None` when there is nothing to authenticate
    /// or the message is not whole blocks and must be. Copies only when something is added.
    pub fn apply(self, block: usize, data: &[u8]) -> Option<Cow<'_, [u8]>> {
        let over = data.len().checked_rem(block)?;
        let is_whole = over == 0 && !data.is_empty();
        match self {
            Self::None | Self::Zeros if is_whole => Some(Cow::Borrowed(data)),
            Self::None => None,
            Self::Zeros => Some(Cow::Owned(filled(data.to_vec(), block))),
            Self::Bit => {
                let mut out = data.to_vec();
                out.push(0x80);
                Some(Cow::Owned(filled(out, block)))
            }
            Self::Length => {
                let bits = u64::try_from(data.len()).ok()?.checked_mul(8)?;
                let mut out = vec![0; block.checked_sub(8)?];
                out.extend(bits.to_be_bytes());
                out.extend(filled(data.to_vec(), block));
                Some(Cow::Owned(out))
            }
        }
    }
}

fn filled(mut data: Vec<u8>, block: usize) -> Vec<u8> {
    let length = data.len().max(1).checked_next_multiple_of(block).unwrap_or(data.len());
    data.resize(length, 0);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::hex;

    fn padded(padding: Padding, block: usize, data: &[u8]) -> Option<String> {
        padding.apply(block, data).map(|out| hex::encode(&out))
    }

    #[test]
    fn partial_block() {
        assert_eq!(padded(Padding::None, 8, &[1; 7]), None);
        assert_eq!(padded(Padding::Zeros, 8, &[1; 7]).unwrap(), "0101010101010100");
        assert_eq!(padded(Padding::Bit, 8, &[1; 7]).unwrap(), "0101010101010180");
        assert_eq!(padded(Padding::Length, 8, &[1; 7]).unwrap(), "00000000000000380101010101010100");
    }

    #[test]
    fn whole_block_and_nothing() {
        assert_eq!(padded(Padding::None, 8, &[1; 8]).unwrap(), "0101010101010101");
        assert_eq!(padded(Padding::Zeros, 8, &[1; 8]).unwrap(), "0101010101010101");
        assert_eq!(padded(Padding::Bit, 8, &[1; 8]).unwrap(), "01010101010101018000000000000000");
        assert_eq!(padded(Padding::None, 8, &[]), None);
        assert_eq!(padded(Padding::Zeros, 8, &[]).unwrap(), "0000000000000000");
        assert_eq!(padded(Padding::Bit, 8, &[]).unwrap(), "8000000000000000");
        assert_eq!(padded(Padding::Length, 16, &[1; 16]).unwrap().len(), 64);
        assert_eq!(&padded(Padding::Length, 16, &[1; 16]).unwrap()[..32], "00000000000000000000000000000080");
    }

    #[test]
    fn codes() {
        assert_eq!(Padding::from_code(b'3'), Some(Padding::Length));
        assert_eq!(Padding::from_code(b'4'), None);
    }
}
