//! What a node says when it does not do what a message asks.

use super::{Head, Step};
use crate::envelope::body;
use crate::ids::{Digest, Generation, KeySetId, NodeId};
use crate::wire::{Hex, U64};
use serde::{Deserialize, Serialize};

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not a message, or not of this layout.
    Malformed,
    /// A kind of message that a node does not take.
    Kind,
    /// Protocol version not spoken, or below the one that was used before.
    Version,
    /// Signed by no manifest key of the pinned root document, or the signature does not hold.
    Signature,
    /// Another manager's.
    Kmc,
    /// For another node.
    Audience,
    /// Past its time.
    Expired,
    /// Sequence number at or below the last one taken.
    Replayed,
    /// The last sequence number again, with other bytes.
    Conflict,
    /// Epoch below the last one seen: a manager that was taken over.
    Epoch,
    /// `previous` is none of the last manifests of this node.
    Previous,
    /// Judged by a root document that this node has not pinned.
    Root,
    /// A root document that does not follow the pinned one.
    RootChange,
    /// Evidence of approval is missing for what is asked.
    NotApproved,
    /// Evidence does not hold.
    Evidence,
    /// A proof that the log holds a receipt does not hold: two histories are told, or one was told anew.
    Proof,
    /// The evidence's action is past its time.
    ActionExpired,
    /// A key set of a zone of which this node is no approved member.
    NotMember,
    /// A definition that is unsound, or differs from the approved one.
    Definition,
    /// Indices that another key set has.
    Index,
    /// A generation at or below the highest one installed, or one that was destroyed.
    Generation,
    /// A step that does not follow from where the generation is.
    Step,
    /// More than one generation would protect, or none any more.
    Protect,
    /// A roll-back without its own approval, or to a generation that is not held any more.
    Rollback,
    /// No root KEK yet.
    NoKek,
    /// The key block does not open under this node's root KEK.
    Block,
    /// The key block is of another key set, generation, node or manager.
    Label,
    /// The key block's attributes or length are not those of the definition.
    Attributes,
    /// The check value does not match.
    CheckValue,
    /// The wrapping key is weaker than the key.
    Strength,
    /// A weak key.
    WeakKey,
    /// The challenge of the proof of possession is missing.
    Challenge,
    /// This clock and the manager's differ too much.
    Clock,
    /// The backend or the store failed: nothing was done, the same message may be sent again.
    Busy,
    /// The node is suspended.
    Suspended,
}

/// A signed refusal. Its head's `seq` repeats the refused message's, 0 when that is not known. It is not part of the
/// chain of receipts: a flood of bad messages must not move what is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Head.
    pub head: Head,
    /// The node.
    pub node: NodeId,
    /// Hash of the refused message; of its bytes, when it could not be read.
    pub message: Digest,
    /// Why.
    pub reason: Reason,
    /// Of which key set.
    pub key_set: Option<KeySetId>,
    /// Of which generation.
    pub generation: Option<Generation>,
    /// When, ms UTC by the node's clock.
    pub utc_ms: U64,
}

body!(Refused, "refused");

/// A generation that a node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The key set.
    pub key_set: KeySetId,
    /// The generation.
    pub generation: Generation,
    /// Where it is.
    pub step: Step,
}

/// The node cannot connect a manifest to what it has: the manager sends the full state with this nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resync {
    /// Head; `seq` is the highest message taken.
    pub head: Head,
    /// The node.
    pub node: NodeId,
    /// Fresh.
    pub nonce: Hex<16>,
    /// Hash of the last manifest taken.
    pub manifest: Option<Digest>,
    /// Number of the pinned root document.
    pub root: u32,
    /// What it holds.
    pub held: Vec<Held>,
    /// When, ms UTC by the node's clock.
    pub utc_ms: U64,
}

body!(Resync, "resync");
