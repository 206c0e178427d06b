//! What the manager says of this node's receipts: that it has them, and that its log holds them. Both are kept beside the
//! state, so that neither side can deny what was said (ISO 13888 calls it non-repudiation of receipt).

use super::effects::{Effects, Kept};
use super::judge;
use super::machine::Machine;
use super::plan::Refusal;
use super::state::NodeState;
use crate::envelope::Signed;
use crate::ids::Digest;
use crate::message::{Alarm, Checkpoint, CounterReceipt, Head, InclusionProof, Reason};
use crate::time::Instant3;
use crate::wire::U64;

impl NodeState {
    // The receipt of this number, as far as it is remembered: the last that was confirmed, and those that are not.
    fn receipt_hash(&self, number: U64) -> Option<Digest> {
        let (last, _) = self.receipt;
        let behind = usize::try_from(last.0.checked_sub(number.0)?).ok()?;
        let waiting = self.outbox.iter().rev().nth(behind).map(Signed::hash);
        waiting.or(self.confirmed.filter(|(confirmed, _)| *confirmed == number).map(|(_, hash)| hash))
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
        let counter = self.unnumbered(now, signed, |c: &CounterReceipt| &c.head)?;
        let state = self.state_mut();
        let Some(at) = state.outbox.iter().position(|receipt| receipt.hash() == counter.receipt) else {
            return Ok(());
        };
        let behind = state.outbox.len().saturating_sub(at).saturating_sub(1);
        let mut number = state.receipt.0.0.saturating_sub(u64::try_from(behind).unwrap_or_default());
        state.confirmed = Some((U64(number), counter.receipt));
        for (back, receipt) in state.outbox.drain(..=at).rev().enumerate() {
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
        let proof = self.unnumbered(now, signed, |p: &InclusionProof| &p.head)?;
        let keys = self.document().checkpoint_keys.clone();
        let state = self.state();
        let (number, node) = (proof.head.seq, state.node);
        // A manager without a log's key proves nothing, and what is proved need not be proved again.
        if keys.is_empty() || (number <= state.proved && !state.disputed) {
            return Ok(());
        }
        let newest = state.receipt.0;
        let Some(hash) = state.receipt_hash(number).or((number > newest).then(Digest::default)) else {
            // Overtaken by receipts that were confirmed meanwhile: theirs is to come.
            return Ok(());
        };
        let same_size = |own: &&Checkpoint| own.size == proof.checkpoint.size;
        let forked =
            state.checkpoint.as_ref().filter(same_size).is_some_and(|own| own.root != proof.checkpoint.root);
        if forked || proof.judge(node, (number, hash), &keys).is_err() {
            self.state_mut().disputed = true;
            effects.keep.push(Kept::Disputed { number, proof: signed.clone() });
            effects.alarms.push(Alarm::LogDiffers);
            self.told.push(Alarm::LogDiffers);
            effects.persist = true;
            return Err(Reason::Proof.into());
        }
        let newer = self.believes(&proof.checkpoint);
        let state = self.state_mut();
        (state.proved, state.disputed) = (number.max(state.proved), false);
        if newer {
            state.checkpoint = Some(proof.checkpoint);
        }
        effects.keep.push(Kept::Proved { number, proof: signed.clone() });
        effects.persist = true;
        Ok(())
    }

    fn unnumbered<B: crate::Body>(
        &self,
        now: Instant3,
        signed: &Signed,
        head: impl Fn(&B) -> &Head,
    ) -> Result<B, Refusal> {
        let body: B = judge::open(self.state(), self.document(), signed, now.utc_ms, &head)?;
        if head(&body).epoch < self.state().epoch { Err(Reason::Epoch.into()) } else { Ok(body) }
    }
}
