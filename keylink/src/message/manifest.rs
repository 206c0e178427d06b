//! The manifest: the full target state of one node. Whatever a node missed, one manifest brings it up to date.

use super::{Definition, Head};
use crate::action::Evidence;
use crate::envelope::body;
use crate::ids::{CampaignId, Digest, Generation};
use crate::wire::{Hex, U64};
use serde::{Deserialize, Serialize};

/// How far a generation has come, in the order of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Held and proved, and nothing else.
    Stage,
    /// Processes: before it protects, while it is followed by another, or after a roll-back.
    Accept,
    /// Protects and processes, from `protect_from` on.
    Protect,
    /// Does neither; wiped from what commands see.
    Retire,
    /// Erased.
    Destroy,
}

/// A generation and the step that it shall have reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationTarget {
    /// The generation.
    pub generation: Generation,
    /// The campaign that brought it.
    pub campaign: CampaignId,
    /// Where it shall be.
    pub step: Step,
    /// Check value of the key, hexadecimal: 6 digits for TDES, 10 for AES.
    pub kcv: String,
    /// The key block under the node's root KEK. May be missing once the node has it.
    pub block: Option<String>,
    /// Challenge of the proof of possession; once per generation and node, with the block.
    pub nonce: Option<Hex<32>>,
    /// For kinds that wrap keys: a throw-away key in a block under the new key, whose label is the challenge.
    pub throw_away: Option<String>,
    /// Protects from then on, ms UTC; missing: at once. A node makes a monotonic deadline of it.
    pub protect_from: Option<U64>,
    /// Shall not protect after this, ms UTC.
    pub originator_until: Option<U64>,
    /// Shall not process after this, ms UTC.
    pub recipient_until: Option<U64>,
}

/// A key set and its generations, newest last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySetTarget {
    /// What it is.
    pub definition: Definition,
    /// It neither protects nor processes for now.
    pub suspended: bool,
    /// Its generations.
    pub generations: Vec<GenerationTarget>,
}

/// A committed state of the manager's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Number of entries.
    pub size: U64,
    /// Tree hash.
    pub root: Digest,
    /// The signed note (C2SP), kept by the node for whoever verifies the log.
    pub note: String,
}

/// The manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Head.
    pub head: Head,
    /// Hash of a manifest among the node's last eight that the node has receipted; missing in the first one.
    pub previous: Option<Digest>,
    /// The nonce of the node's request, when this answers one: then `previous` is not judged.
    pub resync: Option<Hex<16>>,
    /// Hash of the root document by which approvals are judged.
    pub root: Digest,
    /// The node neither protects nor processes with managed keys.
    pub suspended: bool,
    /// Every key set that the node shall hold.
    pub key_sets: Vec<KeySetTarget>,
    /// What was approved.
    pub evidence: Vec<Evidence>,
    /// A committed state of the log.
    pub checkpoint: Option<Checkpoint>,
}

body!(Manifest, "manifest");
