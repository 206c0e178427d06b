//! What a machine says happened.

use crate::store::Hash;

/// One decision, as its machine tells it. The writer adds number, time, changes and the hash of the entry
/// before. Nothing secret may be in it: it has fields for names and hashes only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The person, node or part of the manager that acted.
    pub actor: String,
    /// The credential it acted by; empty if none.
    pub credential: String,
    /// What was done, in dotted words: `campaign.approve`.
    pub action: String,
    /// Ids of what it was done to.
    pub objects: Vec<String>,
    /// `allowed`, or the word of a refusal that the log must hold.
    pub decision: String,
    /// Hash of the exact action, where it needs approvals.
    pub action_hash: Option<Hash>,
    /// Hashes of the approvals' envelopes.
    pub approvals: Vec<Hash>,
}
