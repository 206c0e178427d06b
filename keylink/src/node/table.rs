//! The key table as the machine wants it: what each key set protects and processes with. Tokens are wrapped under the
//! LMK; nothing clear is in here.

use super::state::{GenerationRecord, KeySetRecord, NodeState};
use crate::ids::{CampaignId, Generation};
use crate::message::{Definition, Step};

/// A key in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableKey {
    /// Its generation.
    pub generation: Generation,
    /// The campaign that brought it.
    pub campaign: CampaignId,
    /// Token under the LMK, with its tag.
    pub token: String,
}

/// A key set in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSet {
    /// What it is.
    pub definition: Definition,
    /// Neither protects nor processes.
    pub suspended: bool,
    /// Does not protect: its time is over.
    pub stale: bool,
    /// Protects and processes.
    pub current: Option<TableKey>,
    /// Processes only: newer than `current`.
    pub next: Option<TableKey>,
    /// Processes only: older than `current`, newest first.
    pub previous: Vec<TableKey>,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableImage {
    /// Its number, rising.
    pub number: u64,
    /// Key sets.
    pub sets: Vec<TableSet>,
}

impl TableImage {
    pub(super) fn of(state: &NodeState, utc_ms: u64) -> Self {
        let sets = state.key_sets.iter().map(|set| image(set, state.suspended, utc_ms)).collect();
        Self { number: state.table.0, sets }
    }
}

fn image(set: &KeySetRecord, suspended: bool, utc_ms: u64) -> TableSet {
    let current = set.protecting();
    let number = current.map(|g| g.generation).unwrap_or_default();
    let accepted = || set.generations.iter().filter(|g| g.step == Step::Accept);
    TableSet {
        definition: set.definition.clone(),
        suspended: suspended || set.suspended,
        stale: is_stale(set, utc_ms),
        current: current.map(key),
        next: accepted().rfind(|g| g.generation > number).map(key),
        previous: accepted().rev().filter(|g| g.generation < number).map(key).collect(),
    }
}

/// True when the set must not protect any more.
pub(super) fn is_stale(set: &KeySetRecord, utc_ms: u64) -> bool {
    set.definition.hard_stop && is_overdue(set, utc_ms)
}

/// True when the protecting generation is past its originator period.
pub(super) fn is_overdue(set: &KeySetRecord, utc_ms: u64) -> bool {
    set.protecting().and_then(|g| g.originator_until).is_some_and(|until| utc_ms > until.0)
}

fn key(record: &GenerationRecord) -> TableKey {
    TableKey { generation: record.generation, campaign: record.campaign, token: record.token.clone() }
}
