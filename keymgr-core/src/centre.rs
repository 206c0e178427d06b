//! Facts about the centre itself: who it is, its root document, its quorums and limits.

use super::approval::Quorum;
use super::ids::KmcId;
use super::signing::SigningKeys;
use keylink::action::ActionClass;
use keylink::root::SignedRoot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The one record of the centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Centre {
    /// Identity: hash of the genesis root document.
    pub kmc: KmcId,
    /// Fencing epoch: grows with every take-over.
    pub epoch: u64,
    /// The root document that nodes shall judge by.
    pub root: SignedRoot,
    /// Root documents before it, oldest first: a node that was away follows them one by one.
    pub former: Vec<SignedRoot>,
    /// A root document by recovery keys, and when it takes effect, UTC milliseconds.
    pub recovery: Option<(SignedRoot, u64)>,
    /// Configured numbers of approving persons; a missing class has its compiled minimum.
    pub quorums: BTreeMap<ActionClass, Quorum>,
    /// Limits.
    pub limits: Limits,
    /// The centre's own keys, once one of them was changed.
    #[serde(default, skip_serializing_if = "SigningKeys::is_first")]
    pub signing: SigningKeys,
}

/// Limits of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest difference between a node's clock and ours, milliseconds.
    pub skew_max_ms: u64,
    /// A node without a sign of life for so long is silent, milliseconds.
    pub silent_after_ms: u64,
    /// Life of a manifest, milliseconds.
    pub manifest_life_ms: u64,
    /// After the moment to protect, a node that has not receipted it is late, milliseconds.
    pub switch_grace_ms: u64,
    /// In an emergency, a node that has not receipted after so long is quarantined, milliseconds.
    pub emergency_answer_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            skew_max_ms: 1_000,
            silent_after_ms: 120_000,
            manifest_life_ms: 30 * 24 * 3_600_000,
            switch_grace_ms: 60_000,
            emergency_answer_ms: 600_000,
        }
    }
}

impl Centre {
    /// Approving persons that a class needs.
    pub fn quorum(&self, class: ActionClass) -> Quorum {
        Quorum::of_class(class, self.quorums.get(&class).copied())
    }
}
