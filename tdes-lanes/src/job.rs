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

/// What a job needs of the pass that carries it, as bits. Never secret: direction and length of the key.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs(u8);

impl Needs {
    const ENCRYPT: u8 = 1;
    const DECRYPT: u8 = 2;
    const STAGES: u8 = 4;
    const THIRD: u8 = 8;

    /// Each shape has a bit of its own, so that a sum of different kinds never looks like one kind.
    const SINGLE: u8 = 16;
    const DOUBLE: u8 = Self::STAGES | 32;
    const TRIPLE: u8 = Self::STAGES | Self::THIRD;

    /// All that a job can need, neighbours being cheap to have in one pass.
    pub(crate) const ALL: [Self; 6] = [
        Self(Self::SINGLE | Self::ENCRYPT),
        Self(Self::SINGLE | Self::DECRYPT),
        Self(Self::DOUBLE | Self::DECRYPT),
        Self(Self::DOUBLE | Self::ENCRYPT),
        Self(Self::TRIPLE | Self::ENCRYPT),
        Self(Self::TRIPLE | Self::DECRYPT),
    ];

    fn new(shape: u8, direction: Direction) -> Self {
        match direction {
            Direction::Encrypt => Self(shape | Self::ENCRYPT),
            Direction::Decrypt => Self(shape | Self::DECRYPT),
        }
    }

    /// What jobs of two-key TDES need.
    pub(crate) fn double(direction: Direction) -> Self {
        Self::new(Self::DOUBLE, direction)
    }

    /// Adds what another job needs.
    #[inline(always)]
    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Some job encrypts.
    #[inline(always)]
    pub(crate) fn encrypt(self) -> bool {
        self.0 & Self::ENCRYPT != 0
    }

    /// Some job decrypts.
    #[inline(always)]
    pub(crate) fn decrypt(self) -> bool {
        self.0 & Self::DECRYPT != 0
    }

    /// Jobs of both directions.
    #[inline(always)]
    pub(crate) fn mixed(self) -> bool {
        self.encrypt() && self.decrypt()
    }

    /// Some job has more than one DES key: three stages, not one.
    #[inline(always)]
    pub(crate) fn stages(self) -> bool {
        self.0 & Self::STAGES != 0
    }

    /// Some job has a third DES key of its own.
    #[inline(always)]
    pub(crate) fn third(self) -> bool {
        self.0 & Self::THIRD != 0
    }
}

/// One 8-byte block with its own key and direction. [`crate::Lanes::run`] replaces the block by the result.
///
/// Words are big-endian: `u64::from_be_bytes` of the eight bytes of a block or of a DES key. Parity bits are
/// ignored, as DES does. Key and block are wiped when the job goes.
pub struct Job {
    /// In the order in which the stages take them: K3 first when decrypting.
    keys: [u64; 3],
    block: u64,
    needs: Needs,
}

// By hand, since what is derived is not inlined into other crates: four stores, of which every block pays the call.
impl Zeroize for Job {
    #[inline]
    fn zeroize(&mut self) {
        self.keys.zeroize();
        self.block.zeroize();
    }
}

impl Drop for Job {
    #[inline]
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for Job {}

impl Job {
    /// A job of single DES (the chain of a retail MAC, ISO 9797-1 algorithm 3).
    #[inline]
    pub fn single(key: u64, block: u64, direction: Direction) -> Self {
        Self { keys: [key; 3], block, needs: Needs::new(Needs::SINGLE, direction) }
    }

    /// A job of two-key TDES: K1, K2, K1.
    #[inline]
    pub fn double([k1, k2]: [u64; 2], block: u64, direction: Direction) -> Self {
        Self { keys: [k1, k2, k1], block, needs: Needs::new(Needs::DOUBLE, direction) }
    }

    /// A job of three-key TDES.
    #[inline]
    pub fn triple([k1, k2, k3]: [u64; 3], block: u64, direction: Direction) -> Self {
        let keys = match direction {
            Direction::Encrypt => [k1, k2, k3],
            Direction::Decrypt => [k3, k2, k1],
        };
        Self { keys, block, needs: Needs::new(Needs::TRIPLE, direction) }
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

    /// Which way the block goes.
    #[inline]
    pub fn direction(&self) -> Direction {
        if self.needs.decrypt() { Direction::Decrypt } else { Direction::Encrypt }
    }

    /// Sets the direction, for a key that is used both ways.
    #[inline]
    pub fn set_direction(&mut self, direction: Direction) {
        if direction != self.direction() {
            self.keys.reverse();
            self.needs.0 ^= Needs::ENCRYPT | Needs::DECRYPT;
        }
    }

    #[inline(always)]
    pub(crate) fn needs(&self) -> Needs {
        self.needs
    }

    /// The DES keys in the order in which the three stages take them.
    #[inline(always)]
    pub(crate) fn stage_keys(&self) -> &[u64; 3] {
        &self.keys
    }
}

/// Says what a job does, never its key or block.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.needs.stages(), self.needs.third()) {
            (false, _) => "single",
            (true, false) => "double",
            (true, true) => "triple",
        };
        f.debug_struct("Job")
            .field("key", &name)
            .field("direction", &self.direction())
            .finish_non_exhaustive()
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
    fn a_turned_job_is_the_job_made_that_way() {
        for (mut turned, straight) in [
            (Job::triple([1, 2, 3], 4, Direction::Encrypt), Job::triple([1, 2, 3], 4, Direction::Decrypt)),
            (Job::double([1, 2], 4, Direction::Encrypt), Job::double([1, 2], 4, Direction::Decrypt)),
        ] {
            turned.set_direction(Direction::Decrypt);
            turned.set_direction(Direction::Decrypt);
            assert_eq!(turned.stage_keys(), straight.stage_keys());
            assert!(turned.needs() == straight.needs());
            turned.set_direction(Direction::Encrypt);
            assert_eq!(turned.direction(), Direction::Encrypt);
            assert_eq!(turned.stage_keys()[0], 1);
        }
    }

    #[test]
    fn debug_shows_neither_key_nor_block() {
        let job = Job::triple([0xABCD; 3], 0xABCD, Direction::Decrypt);
        assert_eq!(format!("{job:?}"), r#"Job { key: "triple", direction: Decrypt, .. }"#);
    }
}
