//! The manager's end of one node: numbers what is sent, proves what comes back, and notices a node that is two.
//!
//! What a receipt means for a campaign is the key manager's; here it is judged whether the receipt is this node's, the
//! next of its chain, and an answer to something that was sent.

mod receive;

pub use crate::node::challenge_of;
pub use receive::{LinkError, Quarantine, Said};

use crate::envelope::Signed;
use crate::ids::{Digest, KmcId, NodeId, PublicKey};
use crate::message::{Audience, Head, PROTOCOL, Possession, Receipt, Resync};
use crate::wire::U64;
use serde::{Deserialize, Serialize};

/// How many manifests, and how many other messages, are remembered, to bind receipts to.
const SENT_KEPT: usize = 32;
/// How many receipts are remembered, to know a duplicate from a fork.
const RECEIPTS_KEPT: usize = 64;
/// How many manifests a node remembers.
const MANIFESTS_KEPT: usize = 8;
/// How many boots are remembered.
const BOOTS_KEPT: usize = 32;

/// A message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// Its number.
    pub seq: U64,
    /// Its hash.
    pub hash: Digest,
    /// It is a manifest.
    pub manifest: bool,
}

/// What was heard of one boot, unchained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// The boot.
    pub boot: U64,
    /// Highest number.
    pub said: U64,
    /// Which of the 64 numbers up to it were heard: bit n is `said - n`.
    pub window: U64,
}

/// What the manager keeps of its link to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The manager.
    pub kmc: KmcId,
    /// The node.
    pub node: NodeId,
    /// The node's signature key.
    pub key: PublicKey,
    /// Number of the last message.
    pub seq: U64,
    /// Messages, newest last.
    pub sent: Vec<Sent>,
    /// Manifests that receipts have named, newest last.
    pub receipted: Vec<Digest>,
    /// Receipts, newest last: number and hash.
    pub receipts: Vec<(U64, Digest)>,
    /// Boots by their unchained messages, newest last.
    pub boots: Vec<U64>,
    /// Boots by the chain of receipts, newest last.
    pub receipt_boots: Vec<U64>,
    /// Highest number of an unchained message of the last boot.
    pub said: U64,
    /// Which of the 64 numbers up to it were heard: bit n is `said - n`.
    pub window: U64,
    /// The same of the boots before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Heard>,
    /// The node is not believed any more.
    pub quarantine: Option<Quarantine>,
    /// Highest message that the node has said it has taken: epoch and number.
    #[serde(default)]
    pub taken: (U64, U64),
    /// Highest number of the root document that the node has said it has pinned.
    #[serde(default)]
    pub root: u32,
    /// Number of the last receipt of which the node has said that it has a proof.
    #[serde(default)]
    pub proved: U64,
    /// Latest time, by the node's own clock, at which it has said something unchained, ms UTC; see [`Link::spoke`].
    #[serde(default)]
    spoke: U64,
    /// Time of the last receipt, by the node's own clock, ms UTC.
    #[serde(default)]
    pub receipted_ms: U64,
}

impl Link {
    /// A link to a node that has just enrolled.
    pub fn new(kmc: KmcId, key: PublicKey) -> Self {
        Self {
            kmc,
            node: NodeId::of(&key),
            key,
            seq: U64(0),
            sent: Vec::new(),
            receipted: Vec::new(),
            receipts: Vec::new(),
            boots: Vec::new(),
            receipt_boots: Vec::new(),
            said: U64(0),
            window: U64(0),
            former: Vec::new(),
            quarantine: None,
            taken: (U64(0), U64(0)),
            root: 0,
            proved: U64(0),
            spoke: U64(0),
            receipted_ms: U64(0),
        }
    }

    /// Head of the next message; takes the number.
    pub fn next_head(&mut self, epoch: u64, not_after: u64) -> Head {
        self.seq = U64(self.seq.0.saturating_add(1));
        Head {
            version: PROTOCOL,
            kmc: self.kmc,
            audience: Audience::Node(self.node),
            epoch: U64(epoch),
            seq: self.seq,
            not_after: U64(not_after),
        }
    }

    /// Remembers a message whose head came from [`Link::next_head`].
    pub fn sent(&mut self, seq: U64, message: &Signed) {
        let manifest = message.kind == <crate::message::Manifest as crate::Body>::KIND;
        // Offers that a node refuses time and again do not displace the manifest whose receipts are to come.
        let of_kind = |sent: &Sent| sent.manifest == manifest;
        if self.sent.iter().filter(|sent| of_kind(sent)).count() >= SENT_KEPT
            && let Some(oldest) = self.sent.iter().position(of_kind)
        {
            self.sent.remove(oldest);
        }
        self.sent.push(Sent { seq, hash: message.hash(), manifest });
    }

    /// `previous` of the next manifest: the last one that the node has receipted.
    pub fn previous(&self) -> Option<Digest> {
        self.receipted.last().copied()
    }

    /// True when the node has taken a manifest after it said this: what it says that it holds is what it held before. A
    /// wish that was repeated, or was late, comes behind the receipt of the manifest that answered it.
    pub fn is_overtaken(&self, wish: &Resync) -> bool {
        self.sent.iter().any(|sent| sent.seq > wish.head.seq && self.receipted.contains(&sent.hash))
    }

    /// Number and hash of the last receipt.
    pub fn last_receipt(&self) -> Option<(U64, Digest)> {
        self.receipts.last().copied()
    }

    /// Number of the receipt that comes next.
    pub fn next_receipt(&self) -> u64 {
        self.last_receipt().map_or(0, |(number, _)| number.0).saturating_add(1)
    }
}

fn push<T>(list: &mut Vec<T>, one: T, most: usize) {
    list.push(one);
    let surplus = list.len().saturating_sub(most);
    list.drain(..surplus);
}

/// What a receipt about a key must say, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Campaign.
    pub campaign: crate::CampaignId,
    /// Key set.
    pub key_set: crate::KeySetId,
    /// Generation.
    pub generation: crate::Generation,
    /// Key usage, two characters.
    pub usage: String,
    /// Check value, hexadecimal.
    pub kcv: String,
    /// SHA-256 of the block's text.
    pub block: Digest,
}

impl Expected {
    /// True when a receipt says exactly this.
    pub fn fits(&self, receipt: &Receipt) -> bool {
        receipt.campaign == Some(self.campaign)
            && receipt.key_set == Some(self.key_set)
            && receipt.generation == Some(self.generation)
            && receipt.usage.as_deref() == Some(&self.usage)
            && receipt.kcv.as_deref().is_some_and(|kcv| kcv.eq_ignore_ascii_case(&self.kcv))
            && receipt.block == Some(self.block)
    }
}

/// Compares a proof with the answer that the manager's backend has worked out, in constant time.
pub fn possession_holds(
    proof: &Possession,
    method: crate::message::PossessionMethod,
    nonce: &[u8; 32],
    answer: &str,
) -> bool {
    use subtle::ConstantTimeEq;
    proof.method == method
        && proof.nonce.0 == *nonce
        && bool::from(
            proof.answer.to_ascii_uppercase().as_bytes().ct_eq(answer.to_ascii_uppercase().as_bytes()),
        )
}
