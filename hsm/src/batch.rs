//! Operations and the batch in which they wait for the backend.

use crate::block_op::{BlockOp, Blocks};
use crate::cache::Name;
use crate::key::BlockAttributes;
use crate::open_op::{ToOpen, Tokens};
use crate::{HsmError, Key, KeyToken, KeyType, LmkId, LmkPurpose, Scheme};
use core::fmt;
use paytypes::{CipherKind, ClearKey, Direction, KeyShape, MacAlgorithm, MacValue};
use zeroize::Zeroize;

/// In which form a key is wrapped under an LMK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealAs {
    /// Under a variant LMK.
    Variant {
        /// `U`, `T`, `X`, `Y` or untagged.
        scheme: Scheme,
        /// Type, which selects pair and variant.
        key_type: KeyType,
    },
    /// In an `S` block.
    Block {
        /// Header fields.
        attributes: BlockAttributes,
        /// Number of optional blocks, two digits.
        optional_count: u8,
        /// Optional blocks as they stand in the header.
        optional: Vec<u8>,
    },
}

/// One operation. Data travels beside it, see [`OpView::data`].
#[derive(Debug)]
pub enum Op {
    /// Opens the key token in `data` (text without tag) under an LMK.
    Open {
        /// LMK.
        lmk: LmkId,
        /// Type, used by variant LMKs.
        key_type: KeyType,
        /// Scheme of the token.
        scheme: Scheme,
    },
    /// Wraps a key under an LMK.
    Seal {
        /// LMK.
        lmk: LmkId,
        /// The key.
        key: Key,
        /// Form, aside because few operations have one and all take its room.
        form: Box<SealAs>,
    },
    /// Makes a random key: odd parity and no weak or equal parts for DES and TDES.
    Generate {
        /// Cipher and length in bytes.
        shape: KeyShape,
    },
    /// Fills `data` with random bytes.
    Random,
    /// Makes a key from the clear bytes in `data`.
    Load {
        /// Cipher.
        kind: CipherKind,
    },
    /// Makes the key XOR `data`.
    Variant {
        /// The key.
        key: Key,
    },
    /// The clear bytes of a key, for export in a form that the backend does not make itself.
    Reveal {
        /// The key.
        key: Key,
    },
    /// A working key of an LMK.
    LmkKey {
        /// LMK.
        lmk: LmkId,
        /// What for.
        purpose: LmkPurpose,
    },
    /// A working key of TDES DUKPT, see [`paytypes::DukptKey`]; the KSN is beside it as the initial value, the
    /// mask as data. A backend may answer [`CipherError::NotOffered`]: then it is asked step by step.
    ///
    /// [`CipherError::NotOffered`]: paytypes::CipherError::NotOffered
    Dukpt {
        /// The base key.
        base: Key,
        /// The result is enciphered under itself.
        enciphered: bool,
    },
    /// Electronic code book over `data`.
    Ecb {
        /// The key.
        key: Key,
        /// Direction.
        way: Direction,
    },
    /// Cipher block chaining over `data` from `iv`.
    Cbc {
        /// The key.
        key: Key,
        /// Direction.
        way: Direction,
    },
    /// MAC over `data` from `iv`.
    Mac {
        /// The key.
        key: Key,
        /// Algorithm.
        algorithm: MacAlgorithm,
    },
}

/// What an operation gives besides changed data.
#[derive(Debug)]
pub enum Outcome {
    /// `data` holds the result.
    Done,
    /// A key was opened or made.
    Key(Key),
    /// A key was wrapped.
    Token(Box<KeyToken>),
    /// Clear bytes of a key: in a place of their own, since what is moved out of here is not wiped.
    Clear(Box<ClearKey>),
    /// A MAC.
    Mac(MacValue),
}

#[derive(Debug)]
struct Slot {
    op: Op,
    // Initial value, then data, in `bytes`.
    start: usize,
    end: usize,
    iv_length: usize,
    outcome: Option<Result<Outcome, HsmError>>,
}

/// Operations that run together. Their data lies in one buffer that is wiped and reused.
#[derive(Default)]
pub struct OpBatch {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    blocks: Blocks,
    tokens: Tokens,
    /// Where tokens and then single blocks stand among the others, if they were put there.
    spread_from: Option<usize>,
}

/// One operation as a backend sees it.
pub struct OpView<'a> {
    /// What to do.
    pub op: &'a Op,
    /// Initial value, of one block, or KSN; empty when the operation has none.
    pub iv: &'a [u8],
    /// Input, changed in place by ciphers.
    pub data: &'a mut [u8],
    /// Where the answer goes.
    pub outcome: &'a mut Option<Result<Outcome, HsmError>>,
}

// Data are PIN blocks, and what else is not for logs.
impl fmt::Debug for OpBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operations, bytes) = (self.all(), self.bytes.len());
        write!(f, "OpBatch({operations} operations, {bytes} bytes)")
    }
}

impl fmt::Debug for OpView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpView({:?}, {} bytes)", self.op, self.data.len())
    }
}

impl OpBatch {
    /// Single blocks, apart from the other operations; for a backend that takes them so, see
    /// [`crate::Backend::takes_apart`].
    pub fn blocks(&mut self) -> &mut [BlockOp] {
        self.blocks.as_mut_slice()
    }

    /// Number of key tokens that are to be opened, apart from the other operations as single blocks are.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// The key token at `index`.
    #[inline]
    pub fn token(&self, index: usize) -> Option<ToOpen<'_>> {
        self.tokens.get(index)
    }

    /// Answers for the key token at `index`, with its key or a refusal.
    #[inline]
    pub fn answer_token(&mut self, index: usize, answer: Result<Key, HsmError>) {
        self.tokens.answer(index, answer);
    }

    /// Puts key tokens and single blocks among the other operations.
    pub(crate) fn spread(&mut self) {
        self.spread_from = Some(self.slots.len());
        let tokens = core::mem::take(&mut self.tokens);
        for token in (0..tokens.len()).filter_map(|index| tokens.get(index)) {
            let ToOpen { lmk, key_type, scheme, text } = token;
            self.push(Op::Open { lmk, key_type, scheme }, &[], text);
        }
        self.tokens = tokens;
        let mut blocks = core::mem::take(&mut self.blocks);
        for op in blocks.as_mut_slice() {
            self.push(Op::Ecb { key: op.key().share(), way: op.way() }, &[], &op.block());
        }
        blocks.clear();
        self.blocks = blocks;
    }

    /// Operations of all kinds.
    pub(crate) fn all(&self) -> usize {
        self.slots.len().saturating_add(self.blocks.len()).saturating_add(self.tokens.len())
    }

    /// Number of operations besides single blocks and key tokens.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The operation at `index`.
    #[inline]
    pub fn view(&mut self, index: usize) -> Option<OpView<'_>> {
        let slot = self.slots.get_mut(index)?;
        let both = self.bytes.get_mut(slot.start..slot.end)?;
        let (iv, data) = both.split_at_mut_checked(slot.iv_length)?;
        Some(OpView { op: &slot.op, iv, data, outcome: &mut slot.outcome })
    }

    /// Answers every operation in turn.
    pub fn for_each(&mut self, mut answer: impl FnMut(&Op, &[u8], &mut [u8]) -> Result<Outcome, HsmError>) {
        for index in 0..self.len() {
            if let Some(view) = self.view(index) {
                *view.outcome = Some(answer(view.op, view.iv, view.data));
            }
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, op: Op, iv: &[u8], data: &[u8]) -> usize {
        self.make_room(iv.len().saturating_add(data.len()));
        let start = self.bytes.len();
        if !iv.is_empty() {
            self.bytes.extend_from_slice(iv);
        }
        self.bytes.extend_from_slice(data);
        let (end, index) = (self.bytes.len(), self.slots.len());
        self.slots.push(Slot { op, start, end, iv_length: iv.len(), outcome: None });
        index
    }

    /// One block of DES in ECB.
    #[inline(always)]
    pub(crate) fn push_block(&mut self, key: Key, way: Direction, block: [u8; 8]) -> usize {
        self.blocks.push(key, way, block)
    }

    /// The same for a single block as [`OpBatch::take_data`] for another operation.
    #[inline(always)]
    pub(crate) fn take_block(&mut self, index: usize, data: &mut [u8]) -> Result<(), HsmError> {
        match self.blocks.take(index, data) {
            Some(taken) => taken,
            None => {
                let blocks = self.spread_from.ok_or(HsmError::Backend)?.saturating_add(self.tokens.len());
                self.take_data(blocks.saturating_add(index), data)
            }
        }
    }

    /// A key token, under the name by which its key is kept.
    #[inline]
    pub(crate) fn push_token(
        &mut self,
        lmk: LmkId,
        key_type: KeyType,
        scheme: Scheme,
        name: &Name<'_>,
    ) -> usize {
        self.tokens.push(lmk, key_type, scheme, name)
    }

    /// Takes the key of a token, and its name.
    #[inline]
    pub(crate) fn take_key(&mut self, index: usize) -> Result<(Key, Name<'_>), HsmError> {
        // One that takes them apart, inside of one that does not say so, has answered there.
        if let Some(from) = self.spread_from
            && self.tokens.is_open(index)
        {
            let answer = match self.take(from.saturating_add(index)) {
                Ok(Outcome::Key(key)) => Ok(key),
                Ok(_) => Err(HsmError::Backend),
                Err(error) => Err(error),
            };
            self.tokens.answer(index, answer);
        }
        self.tokens.take(index)
    }

    /// Takes the answer.
    #[inline]
    pub(crate) fn take(&mut self, index: usize) -> Result<Outcome, HsmError> {
        let slot = self.slots.get_mut(index).ok_or(HsmError::Backend)?;
        slot.outcome.take().unwrap_or(Err(HsmError::Backend))
    }

    /// Copies the data of an operation that changed it into `data`, which is as long.
    #[inline]
    pub(crate) fn take_data(&mut self, index: usize, data: &mut [u8]) -> Result<(), HsmError> {
        let slot = self.slots.get_mut(index).ok_or(HsmError::Backend)?;
        match &slot.outcome {
            Some(Ok(Outcome::Done)) => {}
            Some(Err(error)) => return Err(*error),
            _ => return Err(HsmError::Backend),
        }
        let from = slot.start.checked_add(slot.iv_length).and_then(|start| self.bytes.get(start..slot.end));
        let from = from.filter(|from| from.len() == data.len()).ok_or(HsmError::Backend)?;
        data.copy_from_slice(from);
        Ok(())
    }

    /// Forgets everything and wipes the data; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.blocks.clear();
        self.tokens.clear();
        self.spread_from = None;
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
    }

    // A vector that grows by itself leaves an unwiped copy behind, so growth goes through here.
    #[inline]
    fn make_room(&mut self, more: usize) {
        let wanted = self.bytes.len().saturating_add(more);
        if wanted > self.bytes.capacity() {
            self.grow(wanted);
        }
    }

    #[cold]
    fn grow(&mut self, wanted: usize) {
        let mut larger = Vec::with_capacity(wanted.next_power_of_two().max(4096));
        larger.extend_from_slice(&self.bytes);
        self.bytes.as_mut_slice().zeroize();
        self.bytes = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_in_debug() {
        let mut batch = OpBatch::default();
        batch.push(Op::Random, &[0xA5; 8], &[0xA5; 3]);
        assert_eq!(format!("{batch:?}"), "OpBatch(1 operations, 11 bytes)");
        assert_eq!(format!("{:?}", batch.view(0).unwrap()), "OpView(Random, 3 bytes)");
    }
}
