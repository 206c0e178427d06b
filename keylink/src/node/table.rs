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
    /// `is_over` judges the end of a time in which a generation protects or is processed.
    pub(super) fn of(state: &NodeState, is_over: &dyn Fn(u64) -> bool) -> Self {
        let sets = state.key_sets.iter().map(|set| image(set, state.suspended, is_over)).collect();
        Self { number: state.table.0, sets }
    }
}

fn image(set: &KeySetRecord, suspended: bool, is_over: &dyn Fn(u64) -> bool) -> TableSet {
    let current = set.protecting();
    let number = current.map(|g| g.generation).unwrap_or_default();
    let in_time = |g: &&GenerationRecord| !(set.definition.hard_stop && is_past(g, is_over));
    let accepted = || set.generations.iter().filter(|g| g.step == Step::Accept).filter(in_time);
    TableSet {
        definition: set.definition.clone(),
        suspended: suspended || set.suspended,
        stale: is_stale(set, is_over),
        current: current.filter(in_time).map(key),
        next: accepted().rfind(|g| g.generation > number).map(key),
        previous: accepted().rev().filter(|g| g.generation < number).map(key).collect(),
    }
}

/// True when the set must not protect any more.
pub(super) fn is_stale(set: &KeySetRecord, is_over: &dyn Fn(u64) -> bool) -> bool {
    set.definition.hard_stop && is_overdue(set, is_over)
}

/// True when the protecting generation is past its originator period.
pub(super) fn is_overdue(set: &KeySetRecord, is_over: &dyn Fn(u64) -> bool) -> bool {
    set.protecting().and_then(|g| g.originator_until).is_some_and(|until| is_over(until.0))
}

/// True when a generation is past the time in which it is processed.
pub(super) fn is_past(record: &GenerationRecord, is_over: &dyn Fn(u64) -> bool) -> bool {
    let used = matches!(record.step, Step::Accept | Step::Protect);
    used && record.recipient_until.is_some_and(|until| is_over(until.0))
}

/// How many key sets have stopped to protect, and generations to be processed, by their time alone.
pub(super) fn stopped(state: &NodeState, is_over: &dyn Fn(u64) -> bool) -> usize {
    let hard = state.key_sets.iter().filter(|set| set.definition.hard_stop);
    let one = |set: &KeySetRecord| {
        let past = set.generations.iter().filter(|g| is_past(g, is_over)).count();
        past.saturating_add(usize::from(is_stale(set, is_over)))
    };
    hard.map(one).sum()
}

fn key(record: &GenerationRecord) -> TableKey {
    TableKey { generation: record.generation, campaign: record.campaign, token: record.token.clone() }
}
