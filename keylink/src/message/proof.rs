//! The manager's proof that its log holds a receipt: what a node keeps, and shows when the centre denies that it was told.

use super::{Checkpoint, Head};
use crate::envelope::body;
use crate::ids::{Digest, NodeId, PublicKey};
use crate::merkle;
use crate::note;
use crate::wire::U64;
use serde::{Deserialize, Serialize};

/// Longest entry that is proved to a node. An entry names every row that it changed, and the last receipt of a step may
/// change many; a later receipt proves the same, since receipts are chained.
pub const ENTRY_MAX: usize = 64 << 10;

/// Longest proof that a node keeps, bytes: an entry, a path and a signed note, each as long as it may be.
pub(crate) const PROOF_MAX: usize = 256 << 10;

/// An RFC 6962 proof of the log entry that took a receipt, against a signed checkpoint. Not numbered; the head's `seq` is
/// the number of that receipt. Every receipt before it is proved with it, since each names the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// Head.
    pub head: Head,
    /// Hash of the receipt.
    pub receipt: Digest,
    /// Place of the entry in the log.
    pub index: U64,
    /// The entry's line, which is the leaf.
    pub entry: String,
    /// The hashes from the leaf to the root, lowest first.
    pub path: Vec<Digest>,
    /// The signed state of the log.
    pub checkpoint: Checkpoint,
}

body!(InclusionProof, "inclusion-proof");

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// None of the log's keys has signed this state.
    #[error("the checkpoint is signed by no key of the log")]
    Checkpoint,
    /// The entry is not the one that took the receipt.
    #[error("the entry is not the one that took the receipt")]
    Entry,
    /// The entry is not in the log that was signed.
    #[error("the log that was signed does not hold the entry")]
    Path,
}

impl InclusionProof {
    /// True when it is longer than any proof has to be. A node keeps none of these, not even against the manager: they
    /// would fill the file that shows what it has.
    pub(crate) const fn is_too_long(&self) -> bool {
        self.entry.len() > ENTRY_MAX || self.path.len() > merkle::PATH_MAX
    }

    /// Judges all of it: that one of `keys` has signed the checkpoint, that the entry took this receipt of this node,
    /// and that the signed log holds the entry.
    pub fn judge(&self, node: NodeId, receipt: (U64, Digest), keys: &[PublicKey]) -> Result<(), ProofFault> {
        if !note::holds(&self.checkpoint, keys) {
            return Err(ProofFault::Checkpoint);
        }
        let named = self.receipt == receipt.1 && self.head.seq == receipt.0;
        if !named || !takes(&self.entry, self.index.0, node, receipt) {
            return Err(ProofFault::Entry);
        }
        let place = |number: U64| usize::try_from(number.0).unwrap_or(usize::MAX);
        let (size, index) = (place(self.checkpoint.size), place(self.index));
        match merkle::holds(&self.checkpoint.root, size, index, self.entry.as_bytes(), &self.path) {
            true => Ok(()),
            false => Err(ProofFault::Path),
        }
    }
}

// The entry of a receipt: what its node said, under the receipt's hash, and the row that keeps it. Twelve fields between
// single spaces: `v1 SEQ UTC_MS PREV ACTOR CREDENTIAL ACTION DECISION ACTION_HASH OBJECTS APPROVALS CHANGES`.
fn takes(entry: &str, index: u64, node: NodeId, (number, hash): (U64, Digest)) -> bool {
    let fields: Vec<&str> = entry.split(' ').collect();
    let [version, seq, _, _, actor, _, action, decision, _, objects, _, changes] = fields.as_slice() else {
        return false;
    };
    let (own, hash) = (node.to_string(), hash.to_string());
    let row = format!("receipts:{own}{:016x}:", number.0);
    let keeps = |change: &str| change.strip_prefix(&row).is_some_and(|image| image.len() == 64);
    *version == "v1"
        && *seq == index.to_string()
        && *actor == own
        && *action == "node.said"
        && *decision == "allowed"
        && *objects == hash
        && changes.split(',').any(keeps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_entry_that_took_a_receipt_does() {
        let (node, hash) = (NodeId([0xab; 32]), Digest([7; 32]));
        let row = format!("receipts:{}{:016x}:{}", node, 258, "0".repeat(64));
        let line = format!(
            "v1 9 5 {} {node} - node.said allowed - {hash} - nodes:01:{},{row}",
            "0".repeat(64),
            "1".repeat(64)
        );
        let receipt = (U64(258), hash);
        assert!(takes(&line, 9, node, receipt));
        assert!(!takes(&line, 8, node, receipt));
        assert!(!takes(&line, 9, NodeId([1; 32]), receipt));
        assert!(!takes(&line, 9, node, (U64(257), hash)));
        assert!(!takes(&line, 9, node, (U64(258), Digest([8; 32]))));
        for (from, to) in [
            ("v1", "v2"),
            ("node.said", "node.beat"),
            ("allowed", "refused"),
            ("receipts:", "manifests:"),
            (&row, "-"),
            (" - nodes", "  - nodes"),
        ] {
            assert!(!takes(&line.replacen(from, to, 1), 9, node, receipt), "{from}");
        }
    }
}
