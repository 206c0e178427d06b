//! What a node hands to a third party: its receipts, what the centre answered, and the proof that the centre's log holds
//! them. Judged with root documents alone, which name the public keys of the centre; the node's own key is the one that
//! its id is the hash of.

use crate::envelope::{Body, Signed, bytes_of, strict_up_to};
use crate::ids::{Digest, KmcId, NodeId, PublicKey};
use crate::message::{Audience, Checkpoint, CounterReceipt, Head, InclusionProof, ProofFault, Receipt};
use crate::note;
use crate::root::{RootDocument, RootError, SignedRoot};
use serde::{Deserialize, Serialize};

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFile {
    /// [`ReceiptFile::FORMAT`].
    pub format: String,
    /// The centre.
    pub kmc: KmcId,
    /// The node.
    pub node: NodeId,
    /// Its signature key.
    pub key: PublicKey,
    /// Receipts one after the other, oldest first.
    pub receipts: Vec<Signed>,
    /// What the centre answered to some of them.
    pub counters: Vec<Signed>,
    /// The proof that the centre's log holds one of them, and so those before it.
    pub proof: Option<Signed>,
    /// Proofs of the centre that do not hold.
    pub disputed: Vec<Signed>,
    /// Proofs of another tree than the one that the node knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forks: Vec<Forked>,
}

/// A proof with a state of the log that is not the one that the node had been told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forked {
    /// The proof, and in it one state.
    pub proof: Signed,
    /// The other state, of the same size.
    pub other: Checkpoint,
}

/// Why a file shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Not such a file.
    #[error("not a file of receipts")]
    Form,
    /// The root documents do not follow each other.
    #[error("root documents: {0}")]
    Root(RootError),
    /// Of another centre.
    #[error("of another centre than the root document")]
    Kmc,
    /// The key is not the node's.
    #[error("the key is not that of the node's id")]
    Key,
    /// Not signed by the node, or no receipt.
    #[error("receipt {0} is not signed by the node")]
    Receipt(u64),
    /// The chain of receipts breaks.
    #[error("receipt {0} does not follow the one before")]
    Chain(u64),
    /// Not signed by the centre, or for another node.
    #[error("a {0} is not signed by the centre for this node")]
    Centre(&'static str),
    /// About a receipt that the file does not have.
    #[error("a {0} is about a receipt that is not here")]
    Other(&'static str),
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofFault),
}

/// What a file shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The node's receipts with their names.
    pub receipts: Vec<(Digest, Receipt)>,
    /// Up to which number the centre has confirmed under its manifest key that it has them.
    pub confirmed: Option<u64>,
    /// What is proved.
    pub proved: Option<Proved>,
    /// Proofs under the centre's signature that do not hold: number of the receipt, and why.
    pub disputed: Vec<(u64, ProofFault)>,
    /// Two states of one size that the log's keys have signed.
    pub forks: Vec<Fork>,
    /// Proofs that the node disputed, by the numbers of their receipts, of which this file does not show why: they hold
    /// for the receipt that they name, or the centre's keys have not signed the other state.
    pub unshown: Vec<u64>,
    /// The proof is about a receipt that is not here, of this number: it proves nothing.
    pub strayed: Option<u64>,
}

/// The log had two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Number of the receipt whose proof shows it.
    pub number: u64,
    /// Size of both trees.
    pub size: u64,
    /// Their roots.
    pub roots: [Digest; 2],
}

impl Shown {
    /// True when the centre is convicted by what it has signed.
    pub const fn convicts(&self) -> bool {
        !self.disputed.is_empty() || !self.forks.is_empty()
    }
}

/// The receipts up to this one are in the centre's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Its number.
    pub number: u64,
    /// Place of its entry in the log.
    pub index: u64,
    /// The signed state of the log.
    pub checkpoint: Checkpoint,
}

/// Public keys of a centre: those of root documents, of which each follows the one before.
#[derive(Clone, Debug)]
pub struct CentreKeys {
    kmc: KmcId,
    documents: Vec<RootDocument>,
}

impl CentreKeys {
    /// From root documents, oldest first. The first is believed; each further one must follow.
    pub fn of(roots: &[SignedRoot]) -> Result<Self, FileFault> {
        let (first, further) = roots.split_first().ok_or(FileFault::Form)?;
        let document = first.document().map_err(FileFault::Root)?;
        if document.number == 1 {
            first.open_genesis().map_err(FileFault::Root)?;
        }
        let kmc = first.kmc().map_err(FileFault::Root)?;
        let (mut documents, mut hash) = (vec![document], first.hash());
        for root in further {
            let Some(last) = documents.last() else { break };
            let (next, _) = root.open_next(kmc, last, hash).map_err(FileFault::Root)?;
            documents.push(next);
            hash = root.hash();
        }
        Ok(Self { kmc, documents })
    }

    fn open<B: Body>(
        &self,
        signed: &Signed,
        node: NodeId,
        head: impl Fn(&B) -> &Head,
        what: &'static str,
    ) -> Result<B, FileFault> {
        let fault = FileFault::Centre(what);
        let key = self.documents.iter().find_map(|document| document.manifest_key(&signed.key_id));
        let body: B = signed.open(key.ok_or(fault)?).map_err(|_| fault)?;
        // Whatever it was worth when it was sent, it is signed for ever.
        head(&body).judge(self.kmc, Audience::Node(node), 1, 0).map_err(|_| fault)?;
        Ok(body)
    }
}

impl ReceiptFile {
    /// The format of this version.
    pub const FORMAT: &'static str = "receipts.v1";

    /// Longest file that is read, bytes. It holds all that a node keeps: 4096 receipts with what the centre answered, and
    /// the proofs that it disputed, since it keeps none that are longer than they must be.
    pub const LENGTH_MAX: usize = 64 << 20;

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes_of(self)
    }

    /// Reads a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileFault> {
        let file: Self = strict_up_to(Self::LENGTH_MAX, bytes).map_err(|_| FileFault::Form)?;
        if file.format == Self::FORMAT { Ok(file) } else { Err(FileFault::Form) }
    }

    /// Judges everything in it.
    pub fn judge(&self, centre: &CentreKeys) -> Result<Shown, FileFault> {
        if self.kmc != centre.kmc {
            return Err(FileFault::Kmc);
        }
        if NodeId::of(&self.key) != self.node {
            return Err(FileFault::Key);
        }
        let receipts = self.chain()?;
        let place = |hash: &Digest| receipts.iter().find(|(own, _)| own == hash);
        let mut confirmed = None;
        for signed in &self.counters {
            let what = "counter-receipt";
            let counter: CounterReceipt =
                centre.open(signed, self.node, |c: &CounterReceipt| &c.head, what)?;
            let (_, receipt) = place(&counter.receipt).ok_or(FileFault::Other(what))?;
            confirmed = confirmed.max(Some(receipt.head.seq.0));
        }
        let keys: Vec<PublicKey> =
            centre.documents.iter().flat_map(|document| document.checkpoint_keys.iter().copied()).collect();
        let open =
            |signed: &Signed| centre.open::<InclusionProof>(signed, self.node, |proof| &proof.head, "proof");
        let (mut proved, mut strayed) = (None, None);
        if let Some(signed) = &self.proof {
            let proof = open(signed)?;
            let number = proof.head.seq;
            if let Some((hash, receipt)) = place(&proof.receipt) {
                proof.judge(self.node, (receipt.head.seq, *hash), &keys)?;
                let (index, checkpoint) = (proof.index.0, proof.checkpoint);
                proved = Some(Proved { number: number.0, index, checkpoint });
            } else {
                strayed = Some(number.0);
            }
        }
        let (mut disputed, mut unshown, mut forks) = (Vec::new(), Vec::new(), Vec::new());
        let others = self.forks.iter().map(|forked| (&forked.proof, Some(&forked.other)));
        for (signed, other) in self.disputed.iter().map(|signed| (signed, None)).chain(others) {
            let proof = open(signed)?;
            let number = proof.head.seq;
            if let Some(other) = other.filter(|other| note::fork(&proof.checkpoint, other, &keys)) {
                let roots = [proof.checkpoint.root, other.root];
                forks.push(Fork { number: number.0, size: other.size.0, roots });
                continue;
            }
            // By what it names itself: whoever has the node's key could sign another receipt of this number. And by keys of
            // these documents: a state that another has signed may be of a key that came later.
            match proof.judge(self.node, (number, proof.receipt), &keys) {
                Ok(()) | Err(ProofFault::Checkpoint) => unshown.push(number.0),
                Err(fault) => disputed.push((number.0, fault)),
            }
        }
        Ok(Shown { receipts, confirmed, proved, disputed, forks, unshown, strayed })
    }

    fn chain(&self) -> Result<Vec<(Digest, Receipt)>, FileFault> {
        let mut receipts: Vec<(Digest, Receipt)> = Vec::new();
        for signed in &self.receipts {
            let number = || receipts.last().map_or(0, |(_, last)| last.head.seq.0).saturating_add(1);
            let receipt: Receipt = signed.open(&self.key).map_err(|_| FileFault::Receipt(number()))?;
            let seq = receipt.head.seq.0;
            if receipt.node != self.node || receipt.head.judge(self.kmc, Audience::Kmc, 1, 0).is_err() {
                return Err(FileFault::Receipt(seq));
            }
            if let Some((hash, last)) = receipts.last()
                && (last.head.seq.0.checked_add(1) != Some(seq) || receipt.previous != Some(*hash))
            {
                return Err(FileFault::Chain(seq));
            }
            receipts.push((signed.hash(), receipt));
        }
        Ok(receipts)
    }
}
