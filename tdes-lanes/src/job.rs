//! One block operation: what a lane is asked to do.

use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Which way a block goes. Never secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Clear to enciphered: E(K1) D(K2) E(K3), or one DES encryption.
    Encrypt,
    /// Enciphered to clear: D(K3) E(K2) D(K1), or one DES decryption.
    Decrypt,
}

/// How many DES keys a job has. Never secret: it is the length of the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    Double,
    Triple,
}

/// One 8-byte block with its own key and direction. [`crate::Lanes::run`] replaces the block by the result.
///
/// Words are big-endian: `u64::from_be_bytes` of the eight bytes of a block or of a DES key. Parity bits are
/// ignored, as DES does. Key and block are wiped when the job goes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Job {
    keys: [u64; 3],
    block: u64,
    #[zeroize(skip)]
    shape: Shape,
    #[zeroize(skip)]
    direction: Direction,
}

impl Job {
    /// A job of single DES (the chain of a retail MAC, ISO 9797-1 algorithm 3).
    #[inline]
    pub fn single(key: u64, block: u64, direction: Direction) -> Self {
        Self { keys: [key; 3], block, shape: Shape::Single, direction }
    }

    /// A job of two-key TDES: K1, K2, K1.
    #[inline]
    pub fn double([k1, k2]: [u64; 2], block: u64, direction: Direction) -> Self {
        Self { keys: [k1, k2, k1], block, shape: Shape::Double, direction }
    }

    /// A job of three-key TDES.
    #[inline]
    pub fn triple(keys: [u64; 3], block: u64, direction: Direction) -> Self {
        Self { keys, block, shape: Shape::Triple, direction }
    }

    /// A job with a key of 8, 16 or 24 bytes; `None` for any other length.
    #[inline]
    pub fn with_key(key: &[u8], block: [u8; 8], direction: Direction) -> Option<Self> {
        let block = u64::from_be_bytes(block);
        let (words, []) = key.as_chunks() else { return None };
        match *words {
            [k1] => Some(Self::single(u64::from_be_bytes(k1), block, direction)),
            [k1, k2] => Some(Self::double([k1, k2].map(u64::from_be_bytes), block, direction)),
            [k1, k2, k3] => Some(Self::triple([k1, k2, k3].map(u64::from_be_bytes), block, direction)),
            _ => None,
        }
    }

    /// The block: the input before a run, the result after it.
    #[inline]
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Sets the next block, for a chain under the same key.
    #[inline]
    pub fn set_block(&mut self, block: u64) {
        self.block = block;
    }

    /// Sets the direction, for a key that is used both ways.
    #[inline]
    pub fn set_direction(&mut self, direction: Direction) {
        self.direction = direction;
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    /// The DES keys in the order in which the three stages take them.
    #[inline]
    pub(crate) fn stage_keys(&self) -> [u64; 3] {
        let [k1, k2, k3] = self.keys;
        match self.direction {
            Direction::Encrypt => [k1, k2, k3],
            Direction::Decrypt => [k3, k2, k1],
        }
    }
}

/// Says what a job does, never its key or block.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.shape {
            Shape::Single => "single",
            Shape::Double => "double",
            Shape::Triple => "triple",
        };
        f.debug_struct("Job").field("key", &name).field("direction", &self.direction).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Job};

    #[test]
    fn key_lengths_other_than_one_two_or_three_des_keys_are_refused() {
        for length in 0..=40 {
            let job = Job::with_key(&vec![0x11; length], [0; 8], Direction::Encrypt);
            assert_eq!(job.is_some(), [8, 16, 24].contains(&length), "{length} bytes");
        }
    }

    #[test]
    fn debug_shows_neither_key_nor_block() {
        let job = Job::triple([0xABCD; 3], 0xABCD, Direction::Decrypt);
        assert_eq!(format!("{job:?}"), r#"Job { key: "triple", direction: Decrypt, .. }"#);
    }
}
