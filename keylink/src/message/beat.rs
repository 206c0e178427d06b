//! How a node says that it is there, asks for mail, and how it is.

use super::Head;
use crate::envelope::body;
use crate::ids::{Digest, Generation, KeySetId, NodeId};
use crate::wire::{Hex, U64};
use serde::{Deserialize, Serialize};

/// Begin of a session. The head's `seq` counts the node's unchained messages of this boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Head.
    pub head: Head,
    /// The node.
    pub node: NodeId,
    /// Its boot.
    pub boot_id: U64,
    /// Highest protocol version that it speaks.
    pub protocol: u16,
    /// Its software.
    pub software: String,
    /// `A`, `B` or `C`: what its backend may claim.
    pub backend_class: String,
    /// Number of its pinned root document.
    pub root: u32,
    /// Highest message taken: epoch and number.
    pub taken: (U64, U64),
    /// Last receipt: number and hash.
    pub receipt: (U64, Option<Digest>),
    /// Exporter value of the transport session (RFC 8446 section 7.5), when there is one: the session is this node's.
    pub exporter: Option<Hex<32>>,
    /// When, ms UTC by the node's clock.
    pub utc_ms: U64,
}

body!(Hello, "hello");

/// Asks for mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pull {
    /// Head; `seq` as in [`Hello`].
    pub head: Head,
    /// The node.
    pub node: NodeId,
    /// Its boot.
    pub boot_id: U64,
    /// Highest message taken: mail behind it is wanted.
    pub taken: (U64, U64),
    /// Number of its pinned root document: later ones are wanted.
    pub root: u32,
    /// Number of the last receipt of which it has a proof: a proof of a later one is wanted.
    pub proved: U64,
    /// Most seconds to wait for mail.
    pub wait_s: u16,
}

body!(Pull, "pull");

/// What is wrong at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Wall and monotonic clock went apart: no switch of generation by time.
    Clock,
    /// A generation protects beyond its time.
    OriginatorPeriod,
    /// The time in which a generation is processed is over; it is processed no more where its key set says hard stop.
    RecipientPeriod,
    /// A key set has no generation in its time any more: it does not protect.
    Stale,
    /// A message was refused that nobody of ours should have sent.
    Intrusion,
    /// A root document by recovery keys waits for its time.
    Recovery,
    /// The backend fails.
    Backend,
    /// The store fails.
    Store,
    /// A proof of a receipt did not hold, or a manifest came with another state of the log: it is not what it says to this
    /// node.
    LogDiffers,
    /// The cores have not taken the key table that stands: they go on with the one before.
    Table,
}

/// Uses of a generation since the boot; never falls within a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationUse {
    /// The key set.
    pub key_set: KeySetId,
    /// The generation.
    pub generation: Generation,
    /// Uses by the base index.
    pub base: U64,
    /// Uses by the odd or even index.
    pub fixed: U64,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusBeat {
    /// Head; `seq` as in [`Hello`].
    pub head: Head,
    /// The node.
    pub node: NodeId,
    /// Its boot.
    pub boot_id: U64,
    /// Its wall clock, ms UTC. The manager takes the midpoint of request and answer as its own.
    pub utc_ms: U64,
    /// Its monotonic clock, ms.
    pub mono_ms: U64,
    /// It serves traffic.
    pub ready: bool,
    /// It is suspended.
    pub suspended: bool,
    /// Hash of the last manifest taken.
    pub manifest: Option<Digest>,
    /// Number of the key table that every core uses.
    pub table: U64,
    /// Uses by generation.
    pub uses: Vec<GenerationUse>,
    /// What is wrong.
    pub alarms: Vec<Alarm>,
    /// Highest checkpoint seen.
    pub checkpoint: Option<(U64, Digest)>,
}

body!(StatusBeat, "beat");
