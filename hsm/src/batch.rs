//! Operations and the batch in which they wait for the backend.

use crate::key::BlockAttributes;
use crate::{HsmError, Key, KeyToken, KeyType, LmkId, LmkPurpose, Scheme};
use paytypes::{CipherKind, ClearKey, Direction, KeyShape, MacAlgorithm, MacValue};
use zeroize::{Zeroize, optimization_barrier};

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
    /// Clear bytes of a key.
    Clear(ClearKey),
    /// A MAC.
    Mac(MacValue),
}

#[derive(Debug)]
struct Slot {
    op: Op,
    data: Data,
    outcome: Option<Result<Outcome, HsmError>>,
}

/// Data of an operation. One block of DES without an initial value, the most frequent by far, lies where the
/// operation does.
#[derive(Debug)]
enum Data {
    Block([u8; 8]),
    /// Initial value, then data, in [`OpBatch::bytes`].
    Bytes {
        start: usize,
        end: usize,
        iv_length: usize,
    },
}

impl Slot {
    // Leaves one without data.
    fn take(&mut self) -> Self {
        core::mem::replace(self, Self { op: Op::Random, data: Data::Block([0; 8]), outcome: None })
    }
}

/// Operations that run together. Their data is wiped and its memory reused.
#[derive(Debug, Default)]
pub struct OpBatch {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
}

/// One operation as a backend sees it.
#[derive(Debug)]
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

impl OpBatch {
    /// Number of operations.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The operation at `index`.
    #[inline]
    pub fn view(&mut self, index: usize) -> Option<OpView<'_>> {
        let Slot { op, data, outcome } = self.slots.get_mut(index)?;
        let (iv, data) = match data {
            Data::Block(block) => ([].as_slice(), block.as_mut_slice()),
            Data::Bytes { start, end, iv_length } => {
                let (iv, data) = self.bytes.get_mut(*start..*end)?.split_at_mut_checked(*iv_length)?;
                (&*iv, data)
            }
        };
        Some(OpView { op, iv, data, outcome })
    }

    /// Answers every operation in turn.
    pub fn for_each(&mut self, mut answer: impl FnMut(&Op, &[u8], &mut [u8]) -> Result<Outcome, HsmError>) {
        for index in 0..self.len() {
            if let Some(view) = self.view(index) {
                *view.outcome = Some(answer(view.op, view.iv, view.data));
            }
        }
    }

    #[inline(never)]
    pub(crate) fn push(&mut self, op: Op, iv: &[u8], data: &[u8]) -> usize {
        if self.slots.len() == self.slots.capacity() {
            self.grow_slots();
        }
        let data = match (<[u8; 8]>::try_from(data), iv) {
            (Ok(block), []) => Data::Block(block),
            _ => self.keep(iv, data),
        };
        let index = self.slots.len();
        self.slots.push(Slot { op, data, outcome: None });
        index
    }

    fn keep(&mut self, iv: &[u8], data: &[u8]) -> Data {
        self.make_room(iv.len().saturating_add(data.len()));
        let start = self.bytes.len();
        self.bytes.extend_from_slice(iv);
        self.bytes.extend_from_slice(data);
        Data::Bytes { start, end: self.bytes.len(), iv_length: iv.len() }
    }

    /// One block of DES in ECB. Written where it stays: room is made apart, so that the operation need not be kept
    /// elsewhere for the case that there is none.
    #[inline(always)]
    pub(crate) fn push_block(&mut self, key: Key, way: Direction, block: [u8; 8]) -> usize {
        let index = self.slots.len();
        if index == self.slots.capacity() {
            return self.push(Op::Ecb { key, way }, &[], &block);
        }
        self.slots.push(Slot { op: Op::Ecb { key, way }, data: Data::Block(block), outcome: None });
        index
    }

    // What a vector that grows by itself leaves behind is not wiped, so growth goes through here.
    #[cold]
    #[inline(never)]
    fn grow_slots(&mut self) {
        let mut larger = Vec::with_capacity(self.slots.len().saturating_mul(2).max(64));
        larger.extend(self.slots.iter_mut().map(Slot::take));
        self.slots = larger;
    }

    /// Takes the answer.
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
        let from = match (&slot.data, <&mut [u8; 8]>::try_from(&mut *data)) {
            (Data::Block(result), Ok(block)) => {
                *block = *result;
                return Ok(());
            }
            (Data::Block(result), Err(_)) => result,
            (Data::Bytes { start, end, iv_length }, _) => {
                let both = self.bytes.get(*start..*end).unwrap_or_default();
                both.get(*iv_length..).unwrap_or_default()
            }
        };
        if from.len() != data.len() {
            return Err(HsmError::Backend);
        }
        data.copy_from_slice(from);
        Ok(())
    }

    /// Forgets everything and wipes the data; keeps the memory.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.slots {
            if let Data::Block(block) = &mut slot.data {
                *block = [0; 8];
            }
        }
        optimization_barrier(&self.slots);
        self.slots.clear();
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
