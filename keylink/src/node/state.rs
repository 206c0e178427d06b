//! What a node keeps. Everything that refuses a replay after a crash is in here: the floors, the pinned root
//! document, the highest generation of each key set, the chain of receipts.

use crate::envelope::Signed;
use crate::ids::{ActionId, CampaignId, Digest, Generation, KeySetId, KmcId, NodeId, ZoneId};
use crate::message::{Checkpoint, Definition, Possession, Step};
use crate::root::SignedRoot;
use crate::wire::{Hex, U64};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many manifests a node remembers, for [`crate::message::Manifest::previous`].
pub(super) const MANIFESTS_KEPT: usize = 8;

/// How many confirmed receipts a node remembers by their hashes. The manager proves one of so many.
pub(super) const CONFIRMED_KEPT: usize = 8;

/// A root KEK, wrapped under the node's own LMK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KekRecord {
    /// Its number at this node.
    pub number: u32,
    /// The token, with its tag.
    pub token: String,
    /// Check value, hexadecimal.
    pub kcv: String,
}

/// A root KEK that waits for the manager's confirmation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PendingKek {
    pub(super) kek: KekRecord,
    /// Hash of the acceptance that was sent.
    pub(super) accept: Digest,
    /// What the manager must show.
    pub(super) confirm: Hex<32>,
}

/// Something about which officers may decide again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Whether the node is suspended.
    Suspension,
    /// Whether it is a member of a zone.
    Zone(ZoneId),
    /// Whether a key set is suspended.
    KeySet(KeySetId),
}

/// Which action decided, in the order in which officers were asked: ids of a centre's actions rise, whatever its clock
/// does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The action.
    pub action: ActionId,
    /// When it was asked for, ms UTC.
    pub created_ms: U64,
}

/// A generation at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationRecord {
    /// The generation.
    pub generation: Generation,
    /// The campaign that brought it.
    pub campaign: CampaignId,
    /// Where it is.
    pub step: Step,
    /// The step that receipts have told.
    pub(super) announced: Step,
    /// A roll-back made it protect, and its receipt is to come.
    pub(super) rolled_back: bool,
    /// The key under the node's LMK, with its tag; empty once it is erased.
    pub token: String,
    /// Check value, hexadecimal.
    pub kcv: String,
    /// SHA-256 of the delivered block's text.
    pub block: Digest,
    /// The proof that was given.
    pub possession: Option<Possession>,
    /// It shall protect from then on, ms UTC; it does not yet.
    pub protect_from: Option<U64>,
    /// End of the originator period, ms UTC.
    pub originator_until: Option<U64>,
    /// End of the recipient period, ms UTC.
    pub recipient_until: Option<U64>,
    /// The message that asked for the present step: number and hash.
    pub(super) asked: (U64, Digest),
}

/// A key set at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySetRecord {
    /// What it is, as approved.
    pub definition: Definition,
    /// Suspended.
    pub suspended: bool,
    /// Highest generation that was ever installed: a floor.
    pub highest: Generation,
    /// Its generations, oldest first.
    pub generations: Vec<GenerationRecord>,
}

impl KeySetRecord {
    /// The generation that protects.
    pub fn protecting(&self) -> Option<&GenerationRecord> {
        self.generations.iter().find(|g| g.step == Step::Protect)
    }

    /// A generation.
    pub fn generation(&self, number: Generation) -> Option<&GenerationRecord> {
        self.generations.iter().find(|g| g.generation == number)
    }
}

/// The durable state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeState {
    /// The manager.
    pub kmc: KmcId,
    /// This node.
    pub node: NodeId,
    /// Protocol version floor.
    pub protocol: u16,
    /// Epoch floor.
    pub epoch: U64,
    /// Number of the last message taken.
    pub seq: U64,
    /// Its hash.
    pub last: Option<Digest>,
    /// The last manifests taken, newest last.
    pub manifests: Vec<Digest>,
    /// Pinned root document.
    pub root: SignedRoot,
    /// A root document by recovery keys, and when it was first seen, ms UTC.
    pub recovery: Option<(SignedRoot, U64)>,
    /// Root KEK.
    pub kek: Option<KekRecord>,
    pub(super) kek_pending: Option<PendingKek>,
    /// Highest number of a root KEK that was ever held and is no more: a floor.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) kek_number: u32,
    /// Zones of which this node is an approved member.
    pub zones: BTreeSet<ZoneId>,
    /// The newest decision that was obeyed about each fact: approvals of earlier ones allow nothing any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "decisions")]
    pub decided: BTreeMap<Fact, Decision>,
    /// Key sets.
    pub key_sets: Vec<KeySetRecord>,
    /// Suspended by a manifest or command.
    pub suspended: bool,
    /// Possession may be proved by the check value alone.
    pub kcv_only: bool,
    /// Number of the last table that was published.
    pub table: U64,
    /// Number and hash of the last receipt.
    pub receipt: (U64, Option<Digest>),
    /// Receipts that the manager has not confirmed, oldest first.
    pub outbox: Vec<Signed>,
    /// Number and hash of the last receipt that the manager has confirmed.
    #[serde(default)]
    pub confirmed: Option<(U64, Digest)>,
    /// Hashes of those before it, newest first: a proof may be of one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) confirmed_before: Vec<Digest>,
    /// Number of the last receipt of which there is a proof that the manager's log holds it.
    #[serde(default)]
    pub proved: U64,
    /// A proof did not hold, and none has held since.
    #[serde(default)]
    pub disputed: bool,
    /// Receipts that answer the last message.
    pub answered: Vec<Signed>,
    /// The command that asked for all keys to be erased, until that is told: number and hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) zeroising: Option<(U64, Digest)>,
    /// Highest checkpoint seen.
    pub checkpoint: Option<Checkpoint>,
    /// Wall clock when the state was last stored, ms UTC.
    pub clock_ms: U64,
}

impl NodeState {
    /// The state of a node that has just enrolled. `root` is the document that the enrolment token named.
    pub fn new(kmc: KmcId, node: NodeId, root: SignedRoot) -> Self {
        Self {
            kmc,
            node,
            protocol: 1,
            epoch: U64(0),
            seq: U64(0),
            last: None,
            manifests: Vec::new(),
            root,
            recovery: None,
            kek: None,
            kek_pending: None,
            kek_number: 0,
            zones: BTreeSet::new(),
            decided: BTreeMap::new(),
            key_sets: Vec::new(),
            suspended: false,
            kcv_only: false,
            table: U64(0),
            receipt: (U64(0), None),
            outbox: Vec::new(),
            confirmed: None,
            confirmed_before: Vec::new(),
            proved: U64(0),
            disputed: false,
            answered: Vec::new(),
            zeroising: None,
            checkpoint: None,
            clock_ms: U64(0),
        }
    }

    /// A key set.
    pub fn key_set(&self, id: crate::KeySetId) -> Option<&KeySetRecord> {
        self.key_sets.iter().find(|set| set.definition.key_set == id)
    }

    /// Number of the newest root KEK that was ever held. Another one has a higher number, also after all keys were erased.
    pub fn kek_floor(&self) -> u32 {
        self.kek.as_ref().map_or(0, |kek| kek.number).max(self.kek_number)
    }

    /// Obeys a decision about a fact, if there is one that is not older than the last. False when there is none.
    pub(super) fn decide(&mut self, fact: Fact, decision: Option<Decision>) -> bool {
        let last = self.decided.get(&fact);
        let decision = decision.filter(|new| last.is_none_or(|last| last <= new));
        decision.is_some_and(|new| {
            self.decided.insert(fact, new);
            true
        })
    }
}

const fn is_zero(number: &u32) -> bool {
    *number == 0
}

// A list of pairs: JSON has texts for names only.
mod decisions {
    use super::{Decision, Fact};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Fact, Decision>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Fact, Decision>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
