//! What the log says about actions, approvals and root documents, noted in one pass for those who judge at its end.

use super::centre::CENTRE;
use crate::log::{LineError, Parts, RowKey};
use crate::store::{Hash, Table};
use std::collections::HashMap;

/// The words of entries that ask for an action, or end it without its being done.
const ASKING: [&str; 3] = ["action.propose", "action.edit", "action.withdraw"];
const APPROVE: &str = "action.approve";
const INSTALL: [&str; 3] = ["root.install", "signing_key.name", "signing_key.drop"];

/// An entry and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub seq: u64,
    pub utc_ms: u64,
}

/// An entry that takes an approval for an action.
pub(super) struct Named {
    pub seq: u64,
    pub approval: Hash,
    pub action: Hash,
    pub object: String,
}

/// The entry of the last approval of an action.
pub(super) struct Carried {
    pub at: Moment,
    pub approvals: Vec<Hash>,
}

/// What the entries say.
#[derive(Default)]
pub(super) struct Entries {
    /// By the hash of the action.
    pub carried: HashMap<Hash, Carried>,
    pub named: Vec<Named>,
    /// Entries that do something by right of an action, and its hash.
    pub performed: Vec<(u64, Hash)>,
    /// When root documents were handed in, by their hash.
    pub installed: HashMap<String, Moment>,
    /// Entries in which the centre's own row changed as time passed.
    pub passing: Vec<Moment>,
}

impl Entries {
    /// Notes an entry.
    pub fn take(&mut self, parts: &Parts<'_>) -> Result<(), LineError> {
        let at = Moment { seq: parts.seq, utc_ms: parts.utc_ms };
        let word = parts.action();
        match word {
            _ if INSTALL.contains(&word) => {
                let objects = parts.record()?.entry.objects;
                self.installed.extend(objects.into_iter().map(|document| (document, at)));
            }
            "centre.tick" => {
                let own = |(table, key, _): &(&str, RowKey, _)| {
                    *table == Table::Meta.name() && key.as_slice() == CENTRE
                };
                if parts.changes().filter_map(Result::ok).any(|change| own(&change)) {
                    self.passing.push(at);
                }
            }
            _ if parts.has_action_hash() && !ASKING.contains(&word) => self.acts(parts, at)?,
            _ => {}
        }
        Ok(())
    }

    fn acts(&mut self, parts: &Parts<'_>, at: Moment) -> Result<(), LineError> {
        let entry = parts.record()?.entry;
        let Some(action) = entry.action_hash else { return Ok(()) };
        if entry.action != APPROVE {
            self.performed.push((at.seq, action));
            return Ok(());
        }
        let object = entry.objects.first().cloned().unwrap_or_default();
        self.named.extend(entry.approvals.iter().map(|approval| Named {
            seq: at.seq,
            approval: *approval,
            action,
            object: object.clone(),
        }));
        self.carried.insert(action, Carried { at, approvals: entry.approvals });
        Ok(())
    }
}
