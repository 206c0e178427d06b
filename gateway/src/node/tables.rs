//! From the machine's image of a table to the one that cores use, with counters that outlive it.

use hostcmd::KeyTable;
use hostcmd::key_table::{KeySet, PREVIOUS_MAX, Slot, TableError, Uses};
use hsm::{KeyToken, LmkId};
use keylink::message::GenerationUse;
use keylink::node::{TableImage, TableKey, TableSet};
use keylink::wire::U64;
use keylink::{Generation, KeySetId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes tables, and keeps the counters of their generations.
#[derive(Debug)]
pub struct Tables {
    lmk: LmkId,
    cores: usize,
    uses: BTreeMap<(KeySetId, Generation), Arc<Uses>>,
}

impl Tables {
    /// For so many cores; keys are under `lmk`.
    pub const fn new(lmk: LmkId, cores: usize) -> Self {
        Self { lmk, cores, uses: BTreeMap::new() }
    }

    /// The table of an image.
    pub fn make(&mut self, image: &TableImage) -> Result<KeyTable, TableError> {
        let sets = image.sets.iter().filter(|set| is_held(set)).map(|set| self.set(set)).collect();
        KeyTable::new(image.number, self.lmk, sets)
    }

    /// Uses of every generation since the process started, also of those that have retired.
    pub fn uses(&self) -> Vec<GenerationUse> {
        let one = |((key_set, generation), uses): (&(KeySetId, Generation), &Arc<Uses>)| {
            let (base, fixed) = uses.sum();
            GenerationUse { key_set: *key_set, generation: *generation, base: U64(base), fixed: U64(fixed) }
        };
        self.uses.iter().map(one).collect()
    }

    fn set(&mut self, set: &TableSet) -> KeySet {
        let indices = set.definition.indices;
        let id = set.definition.key_set;
        let previous = set.previous.iter().take(PREVIOUS_MAX).map(|key| self.slot(id, key)).collect();
        KeySet {
            base: indices.base,
            odd: indices.odd,
            even: indices.even,
            suspended: set.suspended,
            stale: set.stale,
            next: set.next.as_ref().map(|key| self.slot(id, key)),
            current: set.current.as_ref().map(|key| self.slot(id, key)),
            previous,
        }
    }

    fn slot(&mut self, key_set: KeySetId, key: &TableKey) -> Slot {
        let uses = self.uses.entry((key_set, key.generation)).or_insert_with(|| Uses::new(self.cores));
        Slot {
            generation: key.generation.0,
            token: KeyToken::read(key.token.as_bytes()).unwrap_or_default(),
            uses: Arc::clone(uses),
        }
    }
}

// A key set whose generations are all gone gives its indices back; one whose time is over says so.
const fn is_held(set: &TableSet) -> bool {
    set.stale || set.current.is_some() || set.next.is_some() || !set.previous.is_empty()
}
