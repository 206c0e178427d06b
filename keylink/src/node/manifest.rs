//! A manifest: judged, planned, its keys installed by the backend, and then the state.

use super::effects::{Effects, Installed};
use super::judge::Rights;
use super::machine::Machine;
use super::plan::{Halt, Plan, Planner, Refusal};
use super::receipts::About;
use super::state::{MANIFESTS_KEPT, NodeState};
use super::table::TableImage;
use crate::envelope::{NotSigned, Signed};
use crate::ids::{Digest, Generation, KeySetId};
use crate::message::{self, Alarm, Manifest, Reason, ReceiptKind};
use crate::note;
use crate::time::Instant3;
use crate::wire::U64;
use std::sync::Arc;

/// A manifest on its way through the backend.
#[derive(Clone, Debug)]
pub(super) struct Installing {
    pub(super) hash: Digest,
    manifest: Box<Manifest>,
    plan: Box<Plan>,
    names: Vec<(KeySetId, Generation)>,
}

impl Machine {
    pub(super) fn manifest(
        &mut self,
        now: Instant3,
        signed: &Signed,
        fresh: [u8; 16],
        effects: &mut Effects,
    ) -> Result<(), Halt> {
        let Some(manifest) = self.open::<Manifest>(now, signed, |m| &m.head, effects)? else { return Ok(()) };
        let hash = signed.hash();
        if self.installing.as_ref().is_some_and(|installing| installing.hash == hash) {
            return Ok(());
        }
        if !self.connects(&manifest) {
            let nonce = *self.resync.get_or_insert(fresh);
            let resync = self.resync(now, nonce)?;
            effects.send.push(resync);
            return Ok(());
        }
        if manifest.root != self.state.root.hash() {
            return Err(Reason::Root.into());
        }
        let rights = Rights::judge(&self.state, &self.document, &manifest.evidence, now.utc_ms)?;
        // A wall clock that is not believed makes no moment due.
        let utc_ms = self.guard.agrees(now).then_some(now.utc_ms);
        let planner = Planner { rights: &rights, asked: (manifest.head.seq, hash), utc_ms };
        let plan = planner.plan(&self.state, &manifest)?;
        // What takes rights away is obeyed whatever the clock says: the switch is armed then, and held back.
        if plan.arms && utc_ms.is_none() && !plan.takes_away {
            return Err(Reason::Clock.into());
        }
        let names = plan.install.iter().map(super::InstallOrder::name).collect();
        let installing = Installing { hash, manifest: Box::new(manifest), plan: Box::new(plan), names };
        if installing.plan.install.is_empty() {
            self.take(now, installing, effects)?;
        } else {
            effects.install.clone_from(&installing.plan.install);
            self.installing = Some(installing);
        }
        Ok(())
    }

    // A larger checkpoint is one that the log's key has signed, where the root document names it: else whoever has the
    // manifest key keeps auditors from the true ones by a size that never comes.
    pub(super) fn believes(&self, given: &message::Checkpoint) -> bool {
        let keys = &self.document.checkpoint_keys;
        let newer = self.state.checkpoint.as_ref().is_none_or(|own| given.size > own.size);
        newer && (keys.is_empty() || note::holds(given, keys))
    }

    fn connects(&self, manifest: &Manifest) -> bool {
        match (manifest.resync, manifest.previous) {
            // A wish that was repeated before it was answered is answered more than once.
            (Some(nonce), _) => [self.resync, self.resynced].contains(&Some(nonce.0)),
            (None, None) => self.state.manifests.is_empty(),
            (None, Some(previous)) => self.state.manifests.contains(&previous),
        }
    }

    /// The backend has answered the orders of the last manifest, in their order.
    pub fn installed(
        &mut self,
        now: Instant3,
        results: Vec<Result<Installed, Reason>>,
    ) -> Result<Effects, NotSigned> {
        let mut effects = Effects::default();
        // The same manifest again begins anew, where its receipts are not signed.
        let Some(mut installing) = self.installing.take() else { return Ok(effects) };
        let refusal = installing.install(results);
        if let Err(refusal) = refusal {
            if refusal.reason.is_intrusion() {
                effects.alarms.push(Alarm::Intrusion);
            }
            let seq = installing.manifest.head.seq.0;
            effects.send.extend(self.refused(now, installing.hash, seq, refusal));
        } else if installing.plan.next.seq == self.state.seq {
            self.wholly(|own| own.take(now, installing, &mut effects))?;
        }
        Ok(effects)
    }

    // The manifest becomes the state.
    fn take(
        &mut self,
        now: Instant3,
        installing: Installing,
        effects: &mut Effects,
    ) -> Result<(), NotSigned> {
        let Installing { hash, manifest, plan, names } = installing;
        let visible = TableImage { number: 0, ..self.table(now) };
        // What came meanwhile and does not touch keys is kept: confirmations of receipts.
        let before = core::mem::replace(&mut self.state, plan.next);
        let NodeState { outbox, receipt, confirmed, confirmed_before, proved, disputed, checkpoint, .. } =
            before;
        let own = &mut self.state;
        (own.outbox, own.receipt) = (outbox, receipt);
        (own.confirmed, own.confirmed_before) = (confirmed, confirmed_before);
        (own.proved, own.disputed, own.checkpoint) = (proved, disputed, checkpoint);
        self.resynced = self.resync.take().or(self.resynced);
        self.floors(&manifest.head, hash);
        self.state.manifests.push(hash);
        let surplus = self.state.manifests.len().saturating_sub(MANIFESTS_KEPT);
        self.state.manifests.drain(..surplus);
        // What it orders is approved by people, and holds whatever is wrong with the log.
        if manifest.checkpoint.as_ref().is_some_and(|given| self.other_than(given).is_some()) {
            self.dispute(effects);
        }
        if let Some(checkpoint) = manifest.checkpoint.filter(|given| self.believes(given)) {
            self.state.checkpoint = Some(checkpoint);
        }
        let signer = Arc::clone(&self.signer);
        self.state.tell_proven(now, signer.as_ref(), &names)?;
        if names.is_empty() && !self.state.has_untold() {
            let asked = (manifest.head.seq, hash);
            self.state.receipt_of(now, signer.as_ref(), ReceiptKind::Applied, asked, About::default())?;
        }
        self.state.clock_ms = U64(now.utc_ms);
        effects.persist = true;
        if self.state.has_untold() || visible != (TableImage { number: 0, ..self.table(now) }) {
            self.publish(now, effects);
        }
        Ok(())
    }
}

impl Installing {
    fn install(&mut self, results: Vec<Result<Installed, Reason>>) -> Result<(), Refusal> {
        if results.len() != self.names.len() {
            return Err(Reason::Busy.into());
        }
        for ((key_set, generation), result) in self.names.iter().zip(results) {
            let refuse = |reason| Refusal { reason, about: Some((*key_set, Some(*generation))) };
            let installed = result.map_err(refuse)?;
            let sets = &mut self.plan.next.key_sets;
            let set = sets.iter_mut().find(|set| set.definition.key_set == *key_set);
            let record = set.and_then(|set| set.generations.iter_mut().find(|g| g.generation == *generation));
            let Some(record) = record else { return Err(refuse(Reason::Busy)) };
            record.token = installed.token;
            record.kcv = installed.kcv;
            record.possession = Some(installed.possession);
        }
        Ok(())
    }
}
