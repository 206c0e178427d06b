//! Judging what a node says.

use super::{BOOTS_KEPT, Heard, Link, MANIFESTS_KEPT, RECEIPTS_KEPT, push};
use crate::envelope::{Body, EnvelopeError, Signed};
use crate::ids::{Digest, NodeId};
use crate::message::{
    Audience, Head, HeadError, Hello, Pull, Receipt, ReceiptKind, Refused, Resync, RootKekAccept, StatusBeat,
};
use crate::wire::U64;
use serde::{Deserialize, Serialize};

/// Why a node is not believed any more; only officers end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Quarantine {
    /// Two receipts with one number, or a chain that does not follow: the key is in two places, or the node was set
    /// back.
    Fork,
    /// A boot that was over has signed a new receipt.
    TwoBoots,
    /// Officers have said so.
    Ordered,
}

/// Why something that came is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not proved by the node's key.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not for this manager, or not now.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Speaks of another node than its signer.
    #[error("a node speaks for another")]
    Foreign,
    /// Earlier receipts are missing: they must come first, from this number.
    #[error("receipts from number {0} are missing")]
    Gap(u64),
    /// Seen before, or older than what was seen.
    #[error("seen before")]
    Replayed,
    /// The node is, or is from now on, in quarantine.
    #[error("node in quarantine: {0:?}")]
    Quarantined(Quarantine),
}

/// What a node has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A receipt, the next of its chain.
    Receipt(Box<Receipt>, Digest),
    /// A receipt, the next of its chain, for a message that is not remembered: it counts for nothing.
    Unbound(Box<Receipt>, Digest),
    /// A receipt that is in the log already: confirm it again, count nothing.
    Duplicate(Digest),
    /// It did not do what a message asked.
    Refused(Box<Refused>),
    /// It needs the full state with its nonce.
    Resync(Box<Resync>),
    /// It accepts a root KEK; with the hash of its message.
    Accept(Box<RootKekAccept>, Digest),
}

impl Link {
    /// Judges one message of a parcel. On [`LinkError::Quarantined`] the link itself has changed and must be stored.
    pub fn receive(&mut self, utc_ms: u64, signed: &Signed) -> Result<Said, LinkError> {
        if let Some(why) = self.quarantine {
            return Err(LinkError::Quarantined(why));
        }
        match signed.kind.as_str() {
            Receipt::KIND => self.receipt(signed),
            Refused::KIND => {
                let refused = self.open::<Refused>(utc_ms, signed, |r| (&r.head, r.node))?;
                self.spoke_at(refused.utc_ms, utc_ms);
                Ok(Said::Refused(Box::new(refused)))
            }
            Resync::KIND => {
                let resync = self.open::<Resync>(utc_ms, signed, |r| (&r.head, r.node))?;
                self.spoke_at(resync.utc_ms, utc_ms);
                Ok(Said::Resync(Box::new(resync)))
            }
            RootKekAccept::KIND => {
                let accept = self.open::<RootKekAccept>(utc_ms, signed, |r| (&r.head, r.node))?;
                Ok(Said::Accept(Box::new(accept), signed.hash()))
            }
            _ => Err(EnvelopeError::Kind.into()),
        }
    }

    /// A receipt of this node that answers a message which was sent to it behind this number, wherever it stands in the
    /// chain: for the last word of a node that is not believed any more.
    pub fn answer_behind(&self, after: U64, signed: &Signed) -> Option<Box<Receipt>> {
        let receipt: Receipt = signed.open(&self.key).ok()?;
        receipt.head.judge(self.kmc, Audience::Kmc, 1, 0).ok()?;
        let asked = |sent: &super::Sent| {
            sent.seq > after && sent.seq == receipt.message_seq && sent.hash == receipt.message
        };
        (receipt.node == self.node && self.sent.iter().any(asked)).then(|| Box::new(receipt))
    }

    /// Judges the begin of a session.
    pub fn hello(&mut self, utc_ms: u64, signed: &Signed) -> Result<Hello, LinkError> {
        let hello = self.open::<Hello>(utc_ms, signed, |h| (&h.head, h.node))?;
        self.hear(hello.boot_id, hello.head.seq)?;
        self.spoke_at(hello.utc_ms, utc_ms);
        self.reached(hello.taken, hello.root);
        Ok(hello)
    }

    /// Judges a request for mail.
    pub fn pull(&mut self, utc_ms: u64, signed: &Signed) -> Result<Pull, LinkError> {
        let pull = self.open::<Pull>(utc_ms, signed, |p| (&p.head, p.node))?;
        self.hear(pull.boot_id, pull.head.seq)?;
        self.reached(pull.taken, pull.root);
        // A receipt that was not counted was not proved: a number beyond it would end all proofs.
        let last = self.last_receipt().map_or(U64(0), |(number, _)| number);
        self.proved = self.proved.max(pull.proved.min(last));
        Ok(pull)
    }

    /// Judges a status beat. None for one that came late: what the node has said since is newer.
    pub fn beat(&mut self, utc_ms: u64, signed: &Signed) -> Result<Option<StatusBeat>, LinkError> {
        let beat = self.open::<StatusBeat>(utc_ms, signed, |b| (&b.head, b.node))?;
        let newest = self.hear(beat.boot_id, beat.head.seq)?;
        // By order alone the beats of a boot that is not over would be late after one of a boot before it; by time
        // alone those of a node whose clock was set back.
        let late = !newest && beat.utc_ms < self.spoke(utc_ms);
        self.spoke_at(beat.utc_ms, utc_ms);
        Ok((!late).then_some(beat))
    }

    /// Latest time at which the node has said something unchained, by its own clock and not later than now.
    pub fn spoke(&self, utc_ms: u64) -> U64 {
        self.spoke.min(U64(utc_ms))
    }

    // A clock that once ran ahead must not make all that follows look old.
    fn spoke_at(&mut self, at: U64, utc_ms: u64) {
        self.spoke = self.spoke(utc_ms).max(at.min(U64(utc_ms)));
    }

    // What a node has taken it does not give up, in whatever order its messages arrive.
    fn reached(&mut self, taken: (U64, U64), root: u32) {
        self.taken = self.taken.max(taken);
        self.root = self.root.max(root);
    }

    fn open<B: Body>(
        &self,
        utc_ms: u64,
        signed: &Signed,
        who: impl Fn(&B) -> (&Head, NodeId),
    ) -> Result<B, LinkError> {
        let body: B = signed.open(&self.key)?;
        let (head, node) = who(&body);
        head.judge(self.kmc, Audience::Kmc, 1, utc_ms)?;
        if node == self.node { Ok(body) } else { Err(LinkError::Foreign) }
    }

    // A message of an earlier boot may be the first that is heard of it, and late: a file that was carried, a beat that
    // was on its way at a restart. Each boot has its own window, so that neither keeps the other out. A captured
    // message must not bring its node into quarantine.
    //
    // True when nothing later was heard, as far as numbers tell.
    fn hear(&mut self, boot: U64, seq: U64) -> Result<bool, LinkError> {
        let newest = self.boots.last().copied();
        if newest == Some(boot) {
            return take_once(&mut self.said, &mut self.window, seq);
        }
        if let Some(former) = self.former.iter_mut().find(|former| former.boot == boot) {
            return take_once(&mut former.said, &mut former.window, seq).map(|_| false);
        }
        if self.boots.contains(&boot) {
            return Err(LinkError::Replayed);
        }
        if let Some(newest) = newest {
            let heard = Heard { boot: newest, said: self.said, window: self.window };
            push(&mut self.former, heard, BOOTS_KEPT);
        }
        push(&mut self.boots, boot, BOOTS_KEPT);
        (self.said, self.window) = (seq, U64(1));
        Ok(true)
    }

    fn receipt(&mut self, signed: &Signed) -> Result<Said, LinkError> {
        let hash = signed.hash();
        // What is in the log already is confirmed again, whatever its age.
        if self.receipts.iter().any(|(_, known)| *known == hash) && signed.open::<Receipt>(&self.key).is_ok()
        {
            return Ok(Said::Duplicate(hash));
        }
        // Number and hash already stop replays, and a node may have been away for longer than any message lives.
        let receipt: Receipt = signed.open(&self.key)?;
        receipt.head.judge(self.kmc, Audience::Kmc, 1, 0)?;
        if receipt.node != self.node {
            return Err(LinkError::Foreign);
        }
        let number = receipt.head.seq;
        let next = self.next_receipt();
        if number.0 > next {
            return Err(LinkError::Gap(next));
        }
        if number.0 < next {
            return match self.receipts.iter().any(|(known, _)| *known == number) {
                true => Err(self.lock(Quarantine::Fork)),
                false => Err(LinkError::Replayed),
            };
        }
        if receipt.previous != self.last_receipt().map(|(_, hash)| hash) {
            return Err(self.lock(Quarantine::Fork));
        }
        self.boot(receipt.boot_id)?;
        push(&mut self.receipts, (number, hash), RECEIPTS_KEPT);
        self.receipted_ms = receipt.utc_ms;
        let manifest = self.sent.iter().any(|sent| sent.manifest && sent.hash == receipt.message);
        if manifest && !self.receipted.contains(&receipt.message) {
            push(&mut self.receipted, receipt.message, MANIFESTS_KEPT);
        }
        let receipt = Box::new(receipt);
        // The chain goes on: else nothing that the node says would ever count again.
        Ok(if self.binds(&receipt) { Said::Receipt(receipt, hash) } else { Said::Unbound(receipt, hash) })
    }

    // A receipt answers a message of ours; only a KEK that was formed at the node answers none.
    fn binds(&self, receipt: &Receipt) -> bool {
        let own = self.sent.iter().any(|s| s.seq == receipt.message_seq && s.hash == receipt.message);
        own || receipt.kind == ReceiptKind::KekInstalled && receipt.message_seq == U64(0)
    }

    // Receipts of an earlier boot may come after the hello of a later one, as they were kept, but never after receipts
    // of a later one.
    fn boot(&mut self, boot: U64) -> Result<(), LinkError> {
        if self.receipt_boots.last() == Some(&boot) {
            return Ok(());
        }
        if self.receipt_boots.contains(&boot) {
            return Err(self.lock(Quarantine::TwoBoots));
        }
        push(&mut self.receipt_boots, boot, BOOTS_KEPT);
        Ok(())
    }

    fn lock(&mut self, why: Quarantine) -> LinkError {
        self.quarantine = Some(why);
        LinkError::Quarantined(why)
    }
}

// Unchained messages travel side by side, so each number is taken once within a window, as RFC 4303 section 3.4.3 does
// for packets. True for a number higher than all before.
fn take_once(said: &mut U64, window: &mut U64, seq: U64) -> Result<bool, LinkError> {
    if let Some(ahead) = seq.0.checked_sub(said.0).filter(|ahead| *ahead > 0) {
        let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
        *window = U64(window.0.checked_shl(shift).unwrap_or_default() | 1);
        *said = seq;
        return Ok(true);
    }
    let behind = u32::try_from(said.0.saturating_sub(seq.0)).unwrap_or(u32::MAX);
    let bit = 1u64.checked_shl(behind).ok_or(LinkError::Replayed)?;
    if window.0 & bit != 0 {
        return Err(LinkError::Replayed);
    }
    window.0 |= bit;
    Ok(false)
}
