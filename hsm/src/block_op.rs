//! Single blocks of DES: what most operations are. Each takes half a line of memory, where an operation of any
//! kind takes more than three times as much.

use crate::{HsmError, Key};
use core::fmt;
use paytypes::Direction;
use zeroize::optimization_barrier;

/// Eight bytes in electronic code book.
pub struct BlockOp {
    key: Key,
    block: [u8; 8],
    way: Direction,
    answer: Option<Result<(), HsmError>>,
}

/// Says what is done, never the block.
impl fmt::Debug for BlockOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockOp({:?}, {:?}, {:?})", self.key, self.way, self.answer)
    }
}

impl BlockOp {
    /// The key.
    #[inline]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Direction.
    #[inline]
    pub const fn way(&self) -> Direction {
        self.way
    }

    /// The block, before it is answered.
    #[inline]
    pub const fn block(&self) -> [u8; 8] {
        self.block
    }

    /// True until there is an answer.
    #[inline]
    pub const fn is_open(&self) -> bool {
        self.answer.is_none()
    }

    /// Answers with the block that came out, or a refusal.
    #[inline]
    pub const fn answer(&mut self, answer: Result<[u8; 8], HsmError>) {
        match answer {
            Ok(block) => (self.block, self.answer) = (block, Some(Ok(()))),
            Err(error) => self.answer = Some(Err(error)),
        }
    }
}

/// The single blocks of a batch.
#[derive(Debug, Default)]
pub(crate) struct Blocks(Vec<BlockOp>);

impl Blocks {
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [BlockOp] {
        &mut self.0
    }

    // Room is made apart, so that nothing has to be kept elsewhere for the case that there is none: a value that was
    // just written in pieces and is copied as a whole waits for the memory.
    #[inline(always)]
    pub(crate) fn push(&mut self, key: Key, way: Direction, block: [u8; 8]) -> usize {
        let index = self.0.len();
        if index == self.0.capacity() {
            self.push_growing(key, way, block);
        } else {
            self.0.push(BlockOp { key, block, way, answer: None });
        }
        index
    }

    // A vector that grows by itself leaves an unwiped copy behind.
    #[cold]
    #[inline(never)]
    fn push_growing(&mut self, key: Key, way: Direction, block: [u8; 8]) {
        let mut larger = Vec::with_capacity(self.0.len().saturating_mul(2).max(64));
        let copies = self.0.iter().map(|op| BlockOp { key: op.key.share(), ..*op });
        larger.extend(copies);
        larger.push(BlockOp { key, block, way, answer: None });
        self.clear();
        self.0 = larger;
    }

    /// Takes the answer; `None` when there is no such block.
    #[inline]
    pub(crate) fn take(&self, index: usize, data: &mut [u8]) -> Option<Result<(), HsmError>> {
        let op = self.0.get(index)?;
        let answer = op.answer.unwrap_or(Err(HsmError::Backend));
        Some(answer.and_then(|()| {
            *<&mut [u8; 8]>::try_from(data).map_err(|_| HsmError::Backend)? = op.block;
            Ok(())
        }))
    }

    /// Forgets and wipes all; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().for_each(|op| op.block = [0; 8]);
        optimization_barrier(&self.0);
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binding, Hygiene, KeyAttributes};
    use paytypes::{CipherKind, KeyShape};

    fn key() -> Key {
        let attributes = KeyAttributes {
            shape: KeyShape { kind: CipherKind::Tdes, length: 16 },
            binding: Binding::Session,
            hygiene: Hygiene::GOOD,
        };
        Key::new(attributes, ())
    }

    #[test]
    fn an_operation_is_small_and_says_nothing_of_its_block() {
        assert!(size_of::<BlockOp>() <= 32);
        let mut blocks = Blocks::default();
        blocks.push(key(), Direction::Encrypt, [0xAB; 8]);
        let text = format!("{blocks:?}");
        assert!(text.contains("Encrypt") && !text.contains("171") && !text.contains("AB"), "{text}");
    }

    #[test]
    fn blocks_keep_their_places_when_there_are_more_of_them() {
        let mut blocks = Blocks::default();
        for n in 0..200u8 {
            assert_eq!(blocks.push(key(), Direction::Decrypt, [n; 8]), usize::from(n));
        }
        for op in blocks.as_mut_slice() {
            let answer = if op.block()[0] == 7 { Err(HsmError::Backend) } else { Ok(op.block().map(|b| !b)) };
            op.answer(answer);
        }
        let mut out = [0; 8];
        assert_eq!(blocks.take(7, &mut out), Some(Err(HsmError::Backend)));
        assert_eq!(blocks.take(199, &mut out), Some(Ok(())));
        assert_eq!(out, [!199; 8]);
        assert_eq!(blocks.take(199, &mut [0; 16]), Some(Err(HsmError::Backend)));
        assert_eq!(blocks.take(200, &mut out), None);
        blocks.clear();
        assert_eq!((blocks.len(), blocks.take(0, &mut out)), (0, None));
    }

    #[test]
    fn what_was_not_answered_is_an_error() {
        let mut blocks = Blocks::default();
        blocks.push(key(), Direction::Encrypt, [1; 8]);
        assert_eq!(blocks.take(0, &mut [0; 8]), Some(Err(HsmError::Backend)));
    }
}
