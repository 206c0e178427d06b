//! Zones, their members, and nodes as the centre sees them. What a node holds is known by its receipts only
//! ([`struct@Copy`]); whether it is in traffic is what an operator declared and officers may rely on.

use super::action::KeyRef;
use super::ids::{ActionId, Digest, Generation, KeySetId, NodeId, PublicKey, ZoneId};
use super::people::Standing;
use super::root_kek::KekChange;
use keylink::manager::Link;
use keylink::message::Command;
use keylink::wire::{Hex, U64};
use keylink::{Body as _, Signed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A virtual network: its members share its key sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Identity.
    pub id: ZoneId,
    /// Name; unique among zones.
    pub alias: String,
    /// Production: holds live keys only.
    pub live: bool,
    /// Its key sets.
    pub key_sets: BTreeSet<KeySetId>,
    /// Number of members.
    pub members: u32,
}

/// A node's place in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The zone.
    pub zone: ZoneId,
    /// The node.
    pub node: NodeId,
    /// The action that let it in.
    pub action: ActionId,
    /// Since, UTC milliseconds.
    pub since_utc_ms: u64,
    /// Left the zone.
    pub left: bool,
}

/// What protects keys at a node, shown in every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum BackendClass {
    /// A payment HSM: keys are never clear outside of it.
    A,
    /// A general token: working keys pass through a worker's memory.
    B,
    /// The simulator: everything is in memory.
    C,
}

/// Whether a node serves hosts, as declared. The gate of a rotation waits for every member but those that the
/// action names ([`Node::is_waited_for`], [`Node::is_out_of_traffic`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// Serves.
    InTraffic,
    /// Serves nobody. May be excepted.
    Drained,
    /// Is switched off, or away. Is excepted.
    Offline,
}

/// A node about to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNode {
    /// First signature key; its hash is the node's id.
    pub key: PublicKey,
    /// SHA-256 of the certificate request, DER.
    pub csr: Digest,
    /// Name; unique among nodes.
    pub name: String,
    /// Backend.
    pub class: BackendClass,
}

/// The root KEK of a node, made in its own ceremony or agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKek {
    /// Number at this node, from 1.
    pub number: u32,
    /// Effective strength in bits.
    pub strength_bits: u16,
    /// Key block under the master key.
    pub block: String,
    /// Check value.
    pub kcv: String,
    /// Since, UTC milliseconds.
    pub since_utc_ms: u64,
}

/// How a node is reached besides by its own asking, and what is on its way there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Where it takes pushes, `HOST:PORT`.
    pub push: Option<String>,
    /// When somebody last wanted a package for it, UTC milliseconds; 0 for never.
    pub carried_utc_ms: u64,
    /// Its last manifest is worthless after this, UTC milliseconds.
    pub manifest_until_utc_ms: u64,
    /// Where earlier versions kept what [`KekChange`] has now. Read and not written.
    #[serde(default, skip_serializing)]
    confirm: Option<Signed>,
}

impl Reach {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Longest address that is pushed to.
const ADDRESS_MAX: usize = 255;

/// Whether a text is `HOST:PORT`, the host a name or an address, an IPv6 one in brackets.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = |host: &str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    let fits = inner.map_or_else(|| named(host), |host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    text.len() <= ADDRESS_MAX && fits && digits && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Identity.
    pub id: NodeId,
    /// Name.
    pub name: String,
    /// Certificate request it was let in with.
    pub csr: Digest,
    /// Backend.
    pub class: BackendClass,
    /// Proof by check value alone was approved.
    pub kcv_only: bool,
    /// Actions by whose right it was let in, suspended, resumed and taken out of zones, oldest first.
    pub rights: Vec<ActionId>,
    /// Counts or not.
    pub standing: Standing,
    /// In traffic or not, as declared.
    pub traffic: Traffic,
    /// Why it gets no keys and its messages change nothing.
    pub quarantined: Option<String>,
    /// It was ordered to do nothing with managed keys.
    pub suspended: bool,
    /// A fresh nonce of the node that asks for its full state.
    pub resync: Option<Hex<16>>,
    /// Zones it is a member of.
    pub zones: BTreeSet<ZoneId>,
    /// Its root KEK: the last one that it has proved.
    pub root_kek: Option<RootKek>,
    /// A change of it that is under way.
    #[serde(default, skip_serializing_if = "KekChange::is_idle")]
    pub kek_change: KekChange,
    /// When its transport certificate ends, UTC milliseconds; 0 while the centre has not issued or seen one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub certificate_until_utc_ms: u64,
    /// The authority that issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_by: Option<PublicKey>,
    /// Last sign of life, UTC milliseconds; 0 for none.
    pub seen_utc_ms: u64,
    /// When it last said that it serves hosts, UTC milliseconds; 0 if its last beat did not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub serving_utc_ms: u64,
    /// Its clock minus ours at the middle of its last beat, milliseconds.
    pub skew_ms: i64,
    /// What was sent to it and what came from it.
    pub link: Link,
    /// What the last manifest ordered, without numbers, times, blocks: equal orders are not sent twice.
    pub ordered: Digest,
    /// What becomes of the keys that it holds, where it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wipe: Option<Wipe>,
    /// How it is reached besides by its own asking.
    #[serde(default, skip_serializing_if = "Reach::is_empty")]
    pub reach: Reach,
}

/// In one word what people and their orders have made of a node; none while it is served.
pub const fn stopped(standing: Standing, suspended: bool, quarantined: bool) -> Option<&'static str> {
    match standing {
        Standing::Revoked => Some("revoked"),
        Standing::Active if suspended => Some("suspended"),
        Standing::Active if quarantined => Some("quarantined"),
        Standing::Active => None,
    }
}

/// An order to erase that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ordered {
    /// Epoch of the manager that sent it: another one has nothing of it in its boxes.
    pub epoch: U64,
    /// Its number.
    pub seq: U64,
    /// Until when it holds, UTC milliseconds.
    pub until_utc_ms: u64,
}

/// An order that holds for less than this is made anew: somebody may carry it. Milliseconds.
const ORDER_LEFT_MS: u64 = 7 * 24 * 3_600_000;

impl Ordered {
    /// It is time for another.
    pub const fn is_late(&self, now: u64) -> bool {
        self.until_utc_ms <= now.saturating_add(ORDER_LEFT_MS)
    }
}

/// The order to a revoked node to erase every managed key, for as long as it can still be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wipe {
    /// It has not said that it did.
    Owed {
        /// The action by whose right.
        by: ActionId,
        /// Number of the last message before it was revoked: what came later are orders to erase.
        after: U64,
        /// The last order that was sent.
        order: Option<Ordered>,
        /// Messages that were taken from it since.
        heard: u32,
    },
    /// It has not said that it did, and nobody can order it any more: the approvals are past their time, or by officers
    /// who are none.
    Lapsed {
        /// When that was found, UTC milliseconds.
        utc_ms: u64,
        /// Number of the last message before it was revoked.
        after: U64,
    },
    /// It has said that it did, under its own key.
    Done {
        /// When that came, UTC milliseconds.
        utc_ms: u64,
    },
}

impl Node {
    /// It was revoked, and has not said that its keys are erased.
    pub const fn owes_wipe(&self) -> bool {
        matches!(self.wipe, Some(Wipe::Owed { .. }))
    }

    /// It was revoked, and its word that the keys are erased would still be taken.
    pub const fn may_say_last_word(&self) -> bool {
        matches!(self.wipe, Some(Wipe::Owed { .. } | Wipe::Lapsed { .. }))
    }

    /// Mail is made for it, by whatever way.
    pub const fn is_spoken_with(&self) -> bool {
        match self.standing {
            Standing::Active => self.quarantined.is_none(),
            Standing::Revoked => self.owes_wipe(),
        }
    }

    /// May be handed a numbered message of this kind, whenever that was made: a revoked node the order to erase its keys,
    /// one in quarantine none.
    pub fn may_be_handed(&self, kind: &str) -> bool {
        self.is_spoken_with() && (self.standing == Standing::Active || kind == Command::KIND)
    }

    /// Every word of [`stopped`].
    pub const STOPS: [&'static str; 3] = ["suspended", "quarantined", "revoked"];

    /// What people and their orders have made of it; none while it is served.
    pub const fn stopped(&self) -> Option<&'static str> {
        stopped(self.standing, self.suspended, self.quarantined.is_some())
    }

    /// May be given keys.
    pub fn is_served(&self) -> bool {
        self.standing == Standing::Active && self.quarantined.is_none() && !self.suspended
    }

    /// Serves hosts, by what was declared.
    pub fn is_in_traffic(&self) -> bool {
        self.is_served() && self.traffic == Traffic::InTraffic
    }

    /// Says that it serves hosts. A word older than `silent_after_ms` counts for nothing.
    pub const fn says_it_serves(&self, now: u64, silent_after_ms: u64) -> bool {
        self.serving_utc_ms > 0 && now <= self.serving_utc_ms.saturating_add(silent_after_ms)
    }

    /// May be named as an exception: out of traffic by what was declared, and by what it says itself. What people
    /// stopped serving is, whatever it says.
    pub fn is_out_of_traffic(&self, now: u64, silent_after_ms: u64) -> bool {
        let drained = self.traffic != Traffic::InTraffic && !self.says_it_serves(now, silent_after_ms);
        !self.is_served() || drained
    }

    /// The gate of a rotation waits for it unless the action names it as an exception. What is switched off, or
    /// stopped by people, is named without being asked for.
    pub fn is_waited_for(&self, now: u64, silent_after_ms: u64) -> bool {
        let away = self.traffic == Traffic::Offline || !self.is_served();
        !(away && self.is_out_of_traffic(now, silent_after_ms))
    }

    /// Name of the last manifest.
    pub fn last_manifest(&self) -> Option<Digest> {
        self.link.sent.iter().rev().find(|sent| sent.manifest).map(|sent| sent.hash)
    }

    /// The last manifest was receipted.
    pub fn has_answered(&self) -> bool {
        self.last_manifest().is_none_or(|hash| self.link.receipted.contains(&hash))
    }
}

/// How far a key has come at one node, by its receipts. Only ever rises, except through roll-back, where
/// `Activated` is given up for `Accepting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Wrapped for the node; not known to be there.
    Wrapped,
    /// Installed, and its possession proved.
    Proven,
    /// Processes.
    Accepting,
    /// Protects.
    Activated,
    /// Not used any more.
    Retired,
    /// Erased.
    Destroyed,
}

/// A key as one node has it: the block under the node's root KEK, made once, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// The node.
    pub node: NodeId,
    /// The key set.
    pub key_set: KeySetId,
    /// The generation.
    pub generation: Generation,
    /// Key block under the node's root KEK. Padding is random, so it is made once for a root KEK.
    pub block: String,
    /// Hashes of blocks under earlier root KEKs: one of them may be the one that the node has installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Digest>,
    /// A throw-away key under this key, for the proof of kinds that wrap keys.
    pub throw_away: Option<String>,
    /// Number of the root KEK.
    pub root_kek: u32,
    /// Check value of the key; stays when the key is gone.
    pub kcv: String,
    /// How far it has come.
    pub progress: Progress,
    /// Why the node refused it, when it did.
    pub refused: Option<String>,
    /// Boot of the node, and how often it has used the key since then, where the policy bounds uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<(keylink::wire::U64, keylink::wire::U64)>,
}

impl Copy {
    /// The key.
    pub fn key(&self) -> KeyRef {
        KeyRef { key_set: self.key_set, generation: self.generation }
    }
    /// Wrapped under a root KEK that is not the one in use, and not known to have arrived.
    pub fn is_outdated(&self, node: &Node) -> bool {
        self.progress == Progress::Wrapped && node.kek_in_use().is_none_or(|kek| kek.number != self.root_kek)
    }
}
