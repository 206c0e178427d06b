//! The key table: what an index of user storage (`K` and three hexadecimal digits) means. It is an immutable snapshot
//! that is swapped whole; a command finds its keys in the one that is there when it is parsed.
//!
//! A key set owns three indices. *Base* protects with the current generation, and processes with it; the two fixed ones
//! process with the odd and the even generation that is held. Which generation a cryptogram is under is said by the
//! host that chooses the index, never found by trying.
//!
//! | what is asked | answer |
//! |---|---|
//! | an index that no key set owns, or whose key set has no key yet | 12 |
//! | a suspended key set | K1 |
//! | protecting with a key that is past its time | K2 |
//! | a fixed index, and no generation of that parity is held | K3 |
//! | protecting by a fixed index | K4 |
//! | exporting a key, or wrapping it anew for the host | 29 |
//! | a command under another LMK than the table's keys | A2 |
//!
//! Tokens are wrapped under an LMK; nothing clear is in a table.

use crate::Code;
use hsm::{KeyToken, LmkId};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Number of indices.
pub const INDEX_COUNT: usize = 0x1000;

// [`KeyToken::note`] of keys that were found by a reference.
const NOTE_BASE: u8 = 1;
/// By a fixed index: it processes only.
const NOTE_FIXED: u8 = 2;
/// By the base index, and past its time: it processes only.
const NOTE_STALE: u8 = 3;

/// Uses of one generation, counted by each core in a line of memory of its own.
#[derive(Debug)]
pub struct Uses(Box<[Cells]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Cells {
    base: AtomicU64,
    fixed: AtomicU64,
}

impl Uses {
    /// Nothing counted yet, for so many cores.
    pub fn new(cores: usize) -> Arc<Self> {
        Arc::new(Self((0..cores).map(|_| Cells::default()).collect()))
    }

    /// Uses by the base index and by a fixed one, of all cores.
    pub fn sum(&self) -> (u64, u64) {
        self.0.iter().fold((0, 0), |(base, fixed), cells| {
            (base.wrapping_add(cells.base.load(Relaxed)), fixed.wrapping_add(cells.fixed.load(Relaxed)))
        })
    }

    // Only its own core writes a cell.
    fn count(&self, core: usize, selector: Selector) {
        let Some(cells) = self.0.get(core) else { return };
        let cell = if selector == Selector::Base { &cells.base } else { &cells.fixed };
        cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// A generation that commands may use.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its number, from 1.
    pub generation: u32,
    /// Token under the table's LMK.
    pub token: KeyToken,
    /// Where its uses are counted.
    pub uses: Arc<Uses>,
}

/// Most earlier generations of a key set.
pub const PREVIOUS_MAX: usize = 8;

/// A key set.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    /// Index that protects.
    pub base: u16,
    /// Index of the odd generation.
    pub odd: u16,
    /// Index of the even generation.
    pub even: u16,
    /// Neither protects nor processes.
    pub suspended: bool,
    /// Does not protect.
    pub stale: bool,
    /// Accepts: newer than `current`.
    pub next: Option<Slot>,
    /// Accepts and protects.
    pub current: Option<Slot>,
    /// Accept: older than `current`, newest first, at most [`PREVIOUS_MAX`].
    pub previous: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    Base,
    Odd,
    Even,
}

/// Why a table cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// An index of 4096 or more.
    Index,
    /// An index that two things own.
    Taken,
    /// Generations out of order, one twice, or too many.
    Generations,
}

impl core::fmt::Display for TableError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Index => "an index has three hexadecimal digits",
            Self::Taken => "an index belongs to one key set, in one way",
            Self::Generations => "generations are in order, each once, and not too many",
        })
    }
}

impl core::error::Error for TableError {}

/// A snapshot.
#[derive(Debug, Default)]
pub struct KeyTable {
    number: u64,
    lmk: LmkId,
    places: Vec<Option<(usize, Selector)>>,
    sets: Vec<KeySet>,
}

/// What a reference was found to mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) index: u16,
    pub(crate) generation: u32,
}

impl KeyTable {
    /// A table of the number that its maker gave it; its keys are under `lmk`.
    pub fn new(number: u64, lmk: LmkId, sets: Vec<KeySet>) -> Result<Self, TableError> {
        let mut places = vec![None; INDEX_COUNT];
        for (at, set) in sets.iter().enumerate() {
            if !set.is_in_order() {
                return Err(TableError::Generations);
            }
            let indices = [(set.base, Selector::Base), (set.odd, Selector::Odd), (set.even, Selector::Even)];
            for (index, selector) in indices {
                let place = places.get_mut(usize::from(index)).ok_or(TableError::Index)?;
                if place.replace((at, selector)).is_some() {
                    return Err(TableError::Taken);
                }
            }
        }
        Ok(Self { number, lmk, places, sets })
    }

    /// Its number.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Its key sets.
    pub fn sets(&self) -> &[KeySet] {
        &self.sets
    }

    fn find(&self, index: u16, core: usize) -> Result<(KeyToken, u32), Code> {
        let place = self.places.get(usize::from(index)).copied().flatten();
        let (at, selector) = place.ok_or(Code::STORAGE_EMPTY)?;
        let set = self.sets.get(at).ok_or(Code::STORAGE_EMPTY)?;
        if set.suspended {
            return Err(Code::KEY_SUSPENDED);
        }
        let (slot, note) = set.select(selector)?;
        slot.uses.count(core, selector);
        let mut token = slot.token.clone();
        token.note = note;
        Ok((token, slot.generation))
    }

    fn tokens(&self) -> impl Iterator<Item = &KeyToken> {
        self.sets.iter().flat_map(KeySet::slots).map(|slot| &slot.token)
    }
}

impl KeySet {
    /// Its generations, newest first.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.next.iter().chain(&self.current).chain(&self.previous)
    }

    fn is_in_order(&self) -> bool {
        let numbers: SmallVec<[u32; 10]> = self.slots().map(|slot| slot.generation).collect();
        let falling = numbers.windows(2).all(|pair| pair.first() > pair.last());
        falling && self.previous.len() <= PREVIOUS_MAX && !numbers.contains(&0)
    }

    fn select(&self, selector: Selector) -> Result<(&Slot, u8), Code> {
        if self.slots().next().is_none() {
            return Err(if self.stale { Code::KEY_STALE } else { Code::STORAGE_EMPTY });
        }
        let of = |odd| self.slots().find(|slot| (slot.generation & 1 == 1) == odd);
        match selector {
            Selector::Base => {
                self.current.as_ref().map(|slot| (slot, if self.stale { NOTE_STALE } else { NOTE_BASE }))
            }
            Selector::Odd => of(true).map(|slot| (slot, NOTE_FIXED)),
            Selector::Even => of(false).map(|slot| (slot, NOTE_FIXED)),
        }
        .ok_or(Code::KEY_GENERATION)
    }
}

/// Refuses to protect with a key that was found by a reference that only processes.
pub(crate) const fn may_protect(token: &KeyToken) -> Result<(), Code> {
    match token.note {
        NOTE_FIXED => Err(Code::KEY_PROCESSES),
        NOTE_STALE => Err(Code::KEY_STALE),
        _ => Ok(()),
    }
}

/// Refuses to let a key out that belongs to a key set: to export it, or to hand its token to the host, would give it
/// a life beyond its rotation.
pub(crate) const fn may_leave(token: &KeyToken) -> Result<(), Code> {
    if token.note == 0 { Ok(()) } else { Err(Code::NOT_PERMITTED) }
}

/// The table of an engine, and those before it that commands in flight began with.
#[derive(Debug, Default)]
pub struct Keys {
    table: Option<Arc<KeyTable>>,
    old: Vec<Arc<KeyTable>>,
    core: usize,
}

impl Keys {
    pub(crate) fn set(&mut self, table: Arc<KeyTable>, core: usize) {
        self.old.extend(self.table.replace(table));
        self.core = core;
    }

    pub(crate) const fn has_old(&self) -> bool {
        !self.old.is_empty()
    }

    /// Lets the tables before go; `forget` gets every token that is not in the present one.
    pub(crate) fn drop_old(&mut self, forget: impl Fn(&KeyToken)) {
        for old in self.old.drain(..) {
            let kept = |token: &KeyToken| self.table.iter().any(|now| now.tokens().any(|own| own == token));
            old.tokens().filter(|token| !kept(token)).for_each(&forget);
        }
    }
}

/// The references of one request.
#[derive(Debug, Default)]
pub(crate) struct References {
    found: SmallVec<[Reference; 2]>,
    refused: Option<Code>,
}

impl References {
    /// The key that `token` refers to; the token itself when it is no reference, or nothing is found. What is wrong is
    /// kept until the request has been read to its end, since a malformed request is refused as such.
    #[inline]
    pub(crate) fn resolve(&mut self, keys: &Keys, token: &mut KeyToken) {
        if let Some(index) = index_of(token) {
            self.find(keys, index, token);
        }
    }

    #[inline(never)]
    fn find(&mut self, keys: &Keys, index: u16, token: &mut KeyToken) {
        let found = keys.table.as_ref().ok_or(Code::STORAGE_EMPTY).and_then(|t| t.find(index, keys.core));
        match found {
            // `UK123` says what is stored there.
            Ok((key, _)) if token.scheme != hsm::Scheme::K && token.scheme != key.scheme => {
                self.refused.get_or_insert(Code::SCHEME);
            }
            Ok((key, generation)) => {
                self.found.push(Reference { index, generation });
                *token = key;
            }
            Err(code) => {
                self.refused.get_or_insert(code);
            }
        }
    }

    /// The first refusal, now that everything else has been read.
    pub(crate) fn judge(&self, keys: &Keys, lmk: LmkId) -> Result<(), Code> {
        if let Some(code) = self.refused {
            return Err(code);
        }
        let foreign = keys.table.as_ref().is_some_and(|table| table.lmk != lmk);
        if foreign && !self.found.is_empty() { Err(Code::LMK_IDS_DIFFER) } else { Ok(()) }
    }

    /// What an opt-in trailer says: `#`, then index and generation of each reference in field order, as in
    /// `#100:7,103:12`. Nothing without references.
    pub(crate) fn trailer(&self) -> Vec<u8> {
        let one = |r: &Reference| format!("{:03X}:{}", r.index, r.generation);
        let all: Vec<String> = self.found.iter().map(one).collect();
        if all.is_empty() { Vec::new() } else { format!("#{}", all.join(",")).into_bytes() }
    }
}

fn index_of(token: &KeyToken) -> Option<u16> {
    let digits = match (token.scheme, token.text()) {
        (hsm::Scheme::K, digits) | (_, [b'K', digits @ ..]) => digits,
        _ => return None,
    };
    u16::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}
