//! Receipts: what a node has done, signed by its own key and chained. A receipt proves what the node's key has
//! signed; it proves possession as far as its proof goes, and no deletion.

use super::Head;
use crate::envelope::body;
use crate::ids::{CampaignId, Digest, Generation, KeySetId, NodeId};
use crate::wire::{Hex, U64};
use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// A generation is stored, and its possession proved.
    Proven,
    /// Every core processes with it.
    Accepting,
    /// Every core protects with it.
    Activated,
    /// Nothing uses it any more: no snapshot that holds it is left.
    Retired,
    /// It is erased.
    Destroyed,
    /// A roll-back took effect: every core protects with this older generation again.
    RolledBack,
    /// A manifest or command was taken that asked for nothing of the above.
    Applied,
    /// A root KEK is stored.
    KekInstalled,
    /// Every managed key and the root KEK are erased, as a command has asked.
    Zeroised,
}

/// How possession was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PossessionMethod {
    /// A PIN key made a PIN block of a PIN and a reserved account, both made of the nonce.
    PinBlock,
    /// A key that wraps keys opened a throw-away key made of the nonce; the answer is its check value.
    ThrowAwayKey,
    /// The check value alone, where an approved action names the node.
    KcvOnly,
    /// A root KEK that was formed at the node wrapped a throw-away key; the answer is its block, whose label is
    /// made of the nonce ([`crate::root_kek::formed_challenge`]).
    WrappedThrowAway,
}

/// The proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Possession {
    /// How.
    pub method: PossessionMethod,
    /// The challenge.
    pub nonce: Hex<32>,
    /// The answer, hexadecimal.
    pub answer: String,
}

/// A receipt. Its head's `seq` is its number at this node, and rises by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Head.
    pub head: Head,
    /// The node.
    pub node: NodeId,
    /// Its boot.
    pub boot_id: U64,
    /// Hash of its receipt before; missing in the first one.
    pub previous: Option<Digest>,
    /// What was done.
    pub kind: ReceiptKind,
    /// The campaign.
    pub campaign: Option<CampaignId>,
    /// The key set.
    pub key_set: Option<KeySetId>,
    /// The generation.
    pub generation: Option<Generation>,
    /// Key usage of the key block, two characters.
    pub usage: Option<String>,
    /// Check value as the node computed it, hexadecimal.
    pub kcv: Option<String>,
    /// SHA-256 of the key block's text.
    pub block: Option<Digest>,
    /// Number of the manifest or command that asked for it.
    pub message_seq: U64,
    /// Hash of that message.
    pub message: Digest,
    /// Proof of possession.
    pub possession: Option<Possession>,
    /// When, ms UTC by the node's clock.
    pub utc_ms: U64,
    /// Size and tree hash of the highest checkpoint that the node has seen.
    pub checkpoint: Option<(U64, Digest)>,
}

body!(Receipt, "receipt");

/// Longest counter-receipt that a node keeps, bytes; it is a few hundred.
pub(crate) const COUNTER_MAX: usize = 4 << 10;

/// The manager's answer: everything up to a receipt is in its log. The head's `seq` is the number of that receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterReceipt {
    /// Head.
    pub head: Head,
    /// Hash of the receipt.
    pub receipt: Digest,
    /// A signed state of the log that holds it, when there is one already: size and tree hash.
    pub checkpoint: Option<(U64, Digest)>,
}

body!(CounterReceipt, "counter-receipt");
