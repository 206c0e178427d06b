//! What the manager says of this node's receipts: that it has them, and that its log holds them. Both are kept beside the
//! state, so that neither side can deny what was said (ISO 13888 calls it non-repudiation of receipt).

use super::effects::{Effects, Kept};
use super::judge;
use super::machine::Machine;
use super::plan::Refusal;
use super::state::{CONFIRMED_KEPT, NodeState};
use crate::envelope::Signed;
use crate::ids::Digest;
use crate::message::{
    Alarm, COUNTER_MAX, Checkpoint, CounterReceipt, Head, InclusionProof, PROOF_MAX, Reason,
};
use crate::note;
use crate::time::Instant3;
use crate::wire::U64;

impl NodeState {
    // The receipt of this number, as far as it is remembered: those that are not confirmed, and the last that are.
    fn receipt_hash(&self, number: U64) -> Option<Digest> {
        let (last, newest) = self.receipt;
        let behind = last.0.checked_sub(number.0)?;
        if behind == 0 {
            return newest;
        }
        if let Some(waiting) = self.outbox.iter().rev().nth(usize::try_from(behind).ok()?) {
            return Some(waiting.hash());
        }
        let (confirmed, hash) = self.confirmed?;
        match usize::try_from(confirmed.0.checked_sub(number.0)?).ok()?.checked_sub(1) {
            None => Some(hash),
            Some(before) => self.confirmed_before.get(before).copied(),
        }
    }

    // All receipts of the outbox up to this one are confirmed; gives them, newest first.
    fn confirm(&mut self, at: usize, number: U64, hash: Digest) -> Vec<Signed> {
        let before = self.confirmed.take().map(|(_, hash)| hash);
        let known = before.into_iter().chain(self.confirmed_before.drain(..));
        let drained: Vec<Signed> = self.outbox.drain(..=at).rev().collect();
        let hashes = drained.iter().skip(1).take(CONFIRMED_KEPT).map(Signed::hash);
        let hashes: Vec<Digest> = hashes.chain(known).take(CONFIRMED_KEPT.saturating_sub(1)).collect();
        (self.confirmed, self.confirmed_before) = (Some((number, hash)), hashes);
        drained
    }
}

impl Machine {
    // Everything up to a receipt of ours is in the manager's log: it need not be sent again.
    pub(super) fn counter_receipt(
        &mut self,
        now: Instant3,
        signed: &Signed,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let counter = self.unnumbered(now, signed, COUNTER_MAX, |c: &CounterReceipt| &c.head)?;
        let state = self.state_mut();
        let Some(at) = state.outbox.iter().position(|receipt| receipt.hash() == counter.receipt) else {
            return Ok(());
        };
        let behind = state.outbox.len().saturating_sub(at).saturating_sub(1);
        let mut number = state.receipt.0.0.saturating_sub(u64::try_from(behind).unwrap_or_default());
        for (back, receipt) in state.confirm(at, U64(number), counter.receipt).into_iter().enumerate() {
            let counter = (back == 0).then(|| signed.clone());
            effects.keep.push(Kept::Confirmed { number: U64(number), receipt, counter });
            number = number.saturating_sub(1);
        }
        effects.persist = true;
        Ok(())
    }

    // A proof that our receipt is in the log. One that does not hold is kept too: the manager has signed it.
    pub(super) fn proof(
        &mut self,
        now: Instant3,
        signed: &Signed,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let proof = self.unnumbered(now, signed, PROOF_MAX, |p: &InclusionProof| &p.head)?;
        if proof.is_too_long() {
            return Err(Reason::Malformed.into());
        }
        let keys = self.document().checkpoint_keys.clone();
        let state = self.state();
        let (number, node) = (proof.head.seq, state.node);
        // A manager without a log's key proves nothing, and what is proved need not be proved again.
        if keys.is_empty() || (number <= state.proved && !state.disputed) {
            return Ok(());
        }
        let hash = state.receipt_hash(number);
        if hash.is_none() && number <= state.receipt.0 {
            // Too old to be remembered.
            return Ok(());
        }
        // A receipt that this node never gave is in no log.
        let holds = hash.is_some_and(|hash| proof.judge(node, (number, hash), &keys).is_ok());
        // The state that this node knows convicts with it, and is not known for ever.
        let other = self.other_than(&proof.checkpoint);
        if !holds || other.is_some() {
            effects.keep.push(Kept::Disputed { proof: signed.clone(), other });
            self.dispute(effects);
            return Err(Reason::Proof.into());
        }
        let newer = self.believes(&proof.checkpoint);
        // What was proved long ago says nothing of the log that is disputed.
        if number <= self.state().proved && !newer {
            return Ok(());
        }
        let state = self.state_mut();
        (state.proved, state.disputed) = (number.max(state.proved), false);
        if newer {
            state.checkpoint = Some(proof.checkpoint);
        }
        effects.keep.push(Kept::Proved { number, proof: signed.clone() });
        effects.persist = true;
        Ok(())
    }

    /// What this node knows of the log where the log's key has signed another root of the same size.
    pub(super) fn other_than(&self, given: &Checkpoint) -> Option<Checkpoint> {
        let own = self.state().checkpoint.as_ref()?;
        let forks = own.size == given.size && own.root != given.root;
        (forks && note::holds(given, &self.document().checkpoint_keys)).then(|| own.clone())
    }

    /// The log is not what it was said to be, until a proof holds.
    pub(super) fn dispute(&mut self, effects: &mut Effects) {
        self.state_mut().disputed = true;
        effects.alarms.push(Alarm::LogDiffers);
        self.told.push(Alarm::LogDiffers);
        effects.persist = true;
    }

    fn unnumbered<B: crate::Body>(
        &self,
        now: Instant3,
        signed: &Signed,
        most: usize,
        head: impl Fn(&B) -> &Head,
    ) -> Result<B, Refusal> {
        let body: B = judge::open(self.state(), self.document(), signed, now.utc_ms, &head)?;
        // It is to be kept.
        if signed.payload.len() > most {
            return Err(Reason::Malformed.into());
        }
        if head(&body).epoch < self.state().epoch { Err(Reason::Epoch.into()) } else { Ok(body) }
    }
}
