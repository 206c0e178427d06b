//! The machine itself: one method for everything that can happen.

use super::clock::Guard;
use super::effects::{Effects, Installed};
use super::judge::{self, Order, Rights};
use super::plan::{Plan, Planner, Refusal};
use super::receipts::About;
use super::state::{MANIFESTS_KEPT, NodeState};
use super::table::{self, TableImage};
use crate::action::Grant;
use crate::envelope::{Body, Sign, Signed, bytes_of, strict};
use crate::ids::{Digest, Generation, KeySetId};
use crate::message::{
    self, Alarm, Command, CounterReceipt, Manifest, Reason, ReceiptKind, RootKekConfirm, RootKekOffer, Step,
};
use crate::root::{RECOVERY_DELAY_MS, RootDocument, RootError, SignedRoot, Succession};
use crate::time::Instant3;
use crate::wire::U64;
use std::sync::Arc;

/// What a node's operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Most that wall and monotonic clock may go apart, ms, before switches by time are held back.
    pub skew_max_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { skew_max_ms: 30_000 }
    }
}

/// A manifest on its way through the backend.
#[derive(Clone, Debug)]
struct Installing {
    hash: Digest,
    manifest: Box<Manifest>,
    plan: Box<Plan>,
    names: Vec<(KeySetId, Generation)>,
}

/// The node's machine.
#[derive(Clone)]
pub struct Machine {
    state: NodeState,
    document: RootDocument,
    signer: Arc<dyn Sign + Send + Sync>,
    rules: Rules,
    guard: Guard,
    installing: Option<Installing>,
    resync: Option<[u8; 16]>,
    // The last wish that was answered.
    resynced: Option<[u8; 16]>,
    /// An offer of a root KEK that is with the backend.
    pub(super) offered: Option<message::Head>,
    /// Alarm conditions that were told already.
    told: Vec<Alarm>,
    /// Number of the last unchained message of this boot.
    pub(super) said: u64,
}

impl core::fmt::Debug for Machine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Machine({}, taken {}/{})", self.state.node, self.state.epoch, self.state.seq)
    }
}

impl Machine {
    /// From the stored state; refuses one whose root document does not read.
    pub fn new(
        state: NodeState,
        signer: Arc<dyn Sign + Send + Sync>,
        rules: Rules,
        now: Instant3,
    ) -> Result<Self, RootError> {
        let document = state.root.document()?;
        let guard = Guard::new(now, rules.skew_max_ms);
        Ok(Self {
            state,
            document,
            signer,
            rules,
            guard,
            installing: None,
            resync: None,
            resynced: None,
            offered: None,
            told: Vec::new(),
            said: 0,
        })
    }

    /// From stored bytes.
    pub fn from_bytes(
        bytes: &[u8],
        signer: Arc<dyn Sign + Send + Sync>,
        rules: Rules,
        now: Instant3,
    ) -> Result<Self, RootError> {
        let state = strict(bytes).map_err(|_| RootError::Malformed)?;
        Self::new(state, signer, rules, now)
    }

    /// What must be stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes_of(&self.state)
    }

    /// The durable state.
    pub const fn state(&self) -> &NodeState {
        &self.state
    }

    pub(super) const fn state_mut(&mut self) -> &mut NodeState {
        &mut self.state
    }

    /// The pinned root document.
    pub const fn document(&self) -> &RootDocument {
        &self.document
    }

    pub(super) fn signer(&self) -> &dyn Sign {
        self.signer.as_ref()
    }

    pub(super) fn signer_shared(&self) -> Arc<dyn Sign + Send + Sync> {
        Arc::clone(&self.signer)
    }

    /// The table as it stands.
    pub fn table(&self, now: Instant3) -> TableImage {
        TableImage::of(&self.state, now.utc_ms)
    }

    /// The process started: the clocks are compared anew, deadlines judged, the table published.
    pub fn boot(&mut self, now: Instant3) -> Effects {
        self.guard = Guard::new(now, self.rules.skew_max_ms);
        self.installing = None;
        (self.resync, self.resynced) = (None, None);
        self.offered = None;
        self.said = 0;
        self.told.clear();
        let mut effects = Effects::default();
        if now.utc_ms.saturating_add(self.rules.skew_max_ms) < self.state.clock_ms.0 {
            effects.alarms.push(Alarm::Clock);
            self.told.push(Alarm::Clock);
        }
        self.pass(now, &mut effects);
        effects.publish = Some(self.table(now));
        effects
    }

    /// Time passes: switches that are due, periods that end, a recovery whose delay is over.
    pub fn tick(&mut self, now: Instant3) -> Effects {
        let mut effects = Effects::default();
        self.pass(now, &mut effects);
        effects
    }

    /// Milliseconds until a switch is due; `None` when none is armed.
    pub fn next_deadline_ms(&self, now: Instant3) -> Option<u64> {
        let armed =
            self.state.key_sets.iter().flat_map(|set| &set.generations).filter_map(|g| g.protect_from);
        armed.map(|at| self.guard.deadline(at.0).saturating_sub(now.mono_ms)).min()
    }

    fn pass(&mut self, now: Instant3, effects: &mut Effects) {
        self.recover(now, effects);
        let due = |at: U64| self.guard.deadline(at.0) <= now.mono_ms;
        let waiting =
            self.state.key_sets.iter().flat_map(|set| &set.generations).filter_map(|g| g.protect_from);
        let is_due = waiting.clone().any(due);
        if is_due && self.guard.agrees(now) {
            let deadline = self.guard;
            for set in &mut self.state.key_sets {
                let Some(to) = set
                    .generations
                    .iter()
                    .find(|g| g.protect_from.is_some_and(|at| deadline.deadline(at.0) <= now.mono_ms))
                else {
                    continue;
                };
                let to = to.generation;
                for record in &mut set.generations {
                    if record.generation == to {
                        record.step = Step::Protect;
                        record.protect_from = None;
                    } else if record.step == Step::Protect {
                        record.step = Step::Accept;
                    }
                }
            }
            self.publish(now, effects);
        }
        let standing = self.alarms(now);
        effects.alarms.extend(standing.iter().filter(|alarm| !self.told.contains(alarm)));
        let went_stale = standing.contains(&Alarm::Stale) && !self.told.contains(&Alarm::Stale);
        if went_stale && effects.publish.is_none() {
            self.publish(now, effects);
        }
        self.told = standing;
    }

    fn publish(&mut self, now: Instant3, effects: &mut Effects) {
        self.state.table.0 = self.state.table.0.saturating_add(1);
        effects.persist = true;
        effects.publish = Some(self.table(now));
    }

    /// What is wrong now.
    pub fn alarms(&self, now: Instant3) -> Vec<Alarm> {
        let sets = &self.state.key_sets;
        let armed = sets.iter().flat_map(|set| &set.generations).any(|g| g.protect_from.is_some());
        let back = now.utc_ms.saturating_add(self.rules.skew_max_ms) < self.state.clock_ms.0;
        [
            (Alarm::Clock, (armed && !self.guard.agrees(now)) || back),
            (Alarm::OriginatorPeriod, sets.iter().any(|set| table::is_overdue(set, now.utc_ms))),
            (Alarm::Stale, sets.iter().any(|set| table::is_stale(set, now.utc_ms))),
            (Alarm::Recovery, self.state.recovery.is_some()),
        ]
        .into_iter()
        .filter_map(|(alarm, stands)| stands.then_some(alarm))
        .collect()
    }

    /// A root document came.
    pub fn root(&mut self, now: Instant3, root: &SignedRoot) -> Effects {
        let mut effects = Effects::default();
        if root.hash() == self.state.root.hash() {
            return effects;
        }
        match root.open_next(self.state.kmc, &self.document, self.state.root.hash()) {
            Ok((document, Succession::Officers)) => {
                self.document = document;
                self.state.root = root.clone();
                self.state.recovery = None;
                effects.persist = true;
            }
            Ok((_, Succession::Recovery)) => {
                if self.state.recovery.as_ref().is_none_or(|(waiting, _)| waiting.hash() != root.hash()) {
                    self.state.recovery = Some((root.clone(), U64(now.utc_ms)));
                    effects.persist = true;
                    effects.alarms.push(Alarm::Recovery);
                    self.told.push(Alarm::Recovery);
                }
            }
            // An older document of ours, sent again.
            Err(RootError::Order) if root.document().is_ok_and(|old| old.number <= self.document.number) => {}
            Err(_) => {
                effects.alarms.push(Alarm::Intrusion);
                let refused = self.refused(now, root.hash(), 0, Reason::RootChange.into());
                effects.send.push(refused);
            }
        }
        effects
    }

    // A document of the recovery keys is obeyed once it has been here for its time, unless officers were faster.
    fn recover(&mut self, now: Instant3, effects: &mut Effects) {
        let Some((root, since)) = self.state.recovery.clone() else { return };
        if !self.guard.agrees(now) || now.utc_ms < since.0.saturating_add(RECOVERY_DELAY_MS) {
            return;
        }
        if let Ok((document, _)) = root.open_next(self.state.kmc, &self.document, self.state.root.hash()) {
            self.document = document;
            self.state.root = root;
        }
        self.state.recovery = None;
        effects.persist = true;
    }

    /// A message came. `fresh` is random, for the request that may be needed.
    pub fn message(&mut self, now: Instant3, signed: &Signed, fresh: [u8; 16]) -> Effects {
        let mut effects = Effects::default();
        let taken = match signed.kind.as_str() {
            Manifest::KIND => self.manifest(now, signed, fresh, &mut effects),
            Command::KIND => self.command(now, signed, &mut effects),
            RootKekOffer::KIND => self.kek_offer(now, signed, &mut effects),
            RootKekConfirm::KIND => self.kek_confirm(now, signed, &mut effects),
            CounterReceipt::KIND => self.counter_receipt(now, signed, &mut effects),
            _ => Err(Reason::Kind.into()),
        };
        if let Err(refusal) = taken {
            self.refuse(now, signed, refusal, &mut effects);
        }
        effects
    }

    pub(super) fn refuse(&mut self, now: Instant3, signed: &Signed, refusal: Refusal, effects: &mut Effects) {
        if refusal.reason.is_intrusion() {
            effects.alarms.push(Alarm::Intrusion);
        }
        let refused = self.refused(now, signed.hash(), number_of(signed), refusal);
        effects.send.push(refused);
    }

    /// Proves a message and finds its place; `None` when it is the last one again, whose receipts are the answer.
    pub(super) fn open<B: Body>(
        &self,
        now: Instant3,
        signed: &Signed,
        head: impl Fn(&B) -> &message::Head,
        effects: &mut Effects,
    ) -> Result<Option<B>, Refusal> {
        // The last one again is answered even when it has expired meanwhile.
        if self.state.last == Some(signed.hash()) {
            effects.send.extend(self.state.answered.iter().cloned());
            return Ok(None);
        }
        let body: B = judge::open(&self.state, &self.document, signed, now.utc_ms, &head)?;
        match judge::order(&self.state, head(&body), signed.hash())? {
            Order::New => Ok(Some(body)),
            Order::Again => Ok(None),
        }
    }

    fn manifest(
        &mut self,
        now: Instant3,
        signed: &Signed,
        fresh: [u8; 16],
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let Some(manifest) = self.open::<Manifest>(now, signed, |m| &m.head, effects)? else { return Ok(()) };
        let hash = signed.hash();
        if self.installing.as_ref().is_some_and(|installing| installing.hash == hash) {
            return Ok(());
        }
        if !self.connects(&manifest) {
            let nonce = *self.resync.get_or_insert(fresh);
            let resync = self.resync(now, nonce);
            effects.send.push(resync);
            return Ok(());
        }
        if manifest.root != self.state.root.hash() {
            return Err(Reason::Root.into());
        }
        let rights = Rights::judge(&self.state, &self.document, &manifest.evidence, now.utc_ms)?;
        let planner = Planner { rights: &rights, asked: (manifest.head.seq, hash), utc_ms: now.utc_ms };
        let plan = planner.plan(&self.state, &manifest)?;
        if plan.arms && !self.guard.agrees(now) {
            return Err(Reason::Clock.into());
        }
        let names = plan.install.iter().map(super::InstallOrder::name).collect();
        let installing = Installing { hash, manifest: Box::new(manifest), plan: Box::new(plan), names };
        if installing.plan.install.is_empty() {
            self.take(now, installing, effects);
        } else {
            effects.install.clone_from(&installing.plan.install);
            self.installing = Some(installing);
        }
        Ok(())
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
    pub fn installed(&mut self, now: Instant3, results: Vec<Result<Installed, Reason>>) -> Effects {
        let mut effects = Effects::default();
        let Some(mut installing) = self.installing.take() else { return effects };
        let refusal = installing.install(results);
        if let Err(refusal) = refusal {
            if refusal.reason.is_intrusion() {
                effects.alarms.push(Alarm::Intrusion);
            }
            let seq = installing.manifest.head.seq.0;
            let refused = self.refused(now, installing.hash, seq, refusal);
            effects.send.push(refused);
        } else if installing.plan.next.seq == self.state.seq {
            self.take(now, installing, &mut effects);
        }
        effects
    }

    // The manifest becomes the state.
    fn take(&mut self, now: Instant3, installing: Installing, effects: &mut Effects) {
        let Installing { hash, manifest, plan, names } = installing;
        let visible = TableImage { number: 0, ..self.table(now) };
        // What came meanwhile and does not touch keys is kept: confirmations of receipts.
        let (outbox, receipt) = (core::mem::take(&mut self.state.outbox), self.state.receipt);
        self.state = plan.next;
        self.state.outbox = outbox;
        self.state.receipt = receipt;
        self.resynced = self.resync.take().or(self.resynced);
        self.floors(&manifest.head, hash);
        self.state.manifests.push(hash);
        let surplus = self.state.manifests.len().saturating_sub(MANIFESTS_KEPT);
        self.state.manifests.drain(..surplus);
        let newer =
            |c: &message::Checkpoint| self.state.checkpoint.as_ref().is_none_or(|own| c.size > own.size);
        if let Some(checkpoint) = manifest.checkpoint.filter(newer) {
            self.state.checkpoint = Some(checkpoint);
        }
        let signer = Arc::clone(&self.signer);
        self.state.tell_proven(now, signer.as_ref(), &names);
        if names.is_empty() && !self.state.has_untold() {
            let asked = (manifest.head.seq, hash);
            self.state.receipt_of(now, signer.as_ref(), ReceiptKind::Applied, asked, About::default());
        }
        self.state.clock_ms = U64(now.utc_ms);
        effects.persist = true;
        if self.state.has_untold() || visible != (TableImage { number: 0, ..self.table(now) }) {
            self.publish(now, effects);
        }
    }

    /// Moves the floors to a message that was taken.
    pub(super) fn floors(&mut self, head: &message::Head, hash: Digest) {
        self.state.epoch = head.epoch;
        self.state.seq = head.seq;
        self.state.protocol = self.state.protocol.max(head.version);
        self.state.last = Some(hash);
        self.state.answered.clear();
    }

    /// Every core uses the table with this number.
    pub fn switched(&mut self, now: Instant3, table: u64) -> Effects {
        let signer = Arc::clone(&self.signer);
        let persist = table == self.state.table.0 && self.state.tell_switched(now, signer.as_ref());
        Effects { persist, ..Effects::default() }
    }

    /// No snapshot older than the table with this number is left, nor any command that began with one.
    pub fn released(&mut self, now: Instant3, table: u64) -> Effects {
        let signer = Arc::clone(&self.signer);
        let persist = table == self.state.table.0 && self.state.tell_released(now, signer.as_ref());
        Effects { persist, ..Effects::default() }
    }

    fn command(&mut self, now: Instant3, signed: &Signed, effects: &mut Effects) -> Result<(), Refusal> {
        let Some(command) = self.open::<Command>(now, signed, |c| &c.head, effects)? else { return Ok(()) };
        let rights = Rights::judge(&self.state, &self.document, &command.evidence, now.utc_ms)?;
        let node = self.state.node;
        let needed = match command.order {
            message::Order::Suspend => Grant::SuspendNode(node),
            message::Order::Resume => Grant::ResumeNode(node),
            message::Order::Zeroise => Grant::ZeroiseNode(node),
        };
        if !rights.holds(&needed) {
            return Err(Reason::NotApproved.into());
        }
        self.installing = None;
        let asked = (command.head.seq, signed.hash());
        self.floors(&command.head, signed.hash());
        match command.order {
            message::Order::Suspend => self.state.suspended = true,
            message::Order::Resume => self.state.suspended = false,
            message::Order::Zeroise => self.zeroise(asked),
        }
        if !self.state.has_untold() {
            let signer = Arc::clone(&self.signer);
            self.state.receipt_of(now, signer.as_ref(), ReceiptKind::Applied, asked, About::default());
        }
        self.publish(now, effects);
        Ok(())
    }

    fn zeroise(&mut self, asked: (U64, Digest)) {
        self.state.kek = None;
        self.state.kek_pending = None;
        for record in self.state.key_sets.iter_mut().flat_map(|set| &mut set.generations) {
            if record.step != Step::Destroy {
                record.move_to(Step::Destroy, asked);
            }
        }
    }

    // Everything up to a receipt of ours is in the manager's log: it need not be sent again.
    fn counter_receipt(
        &mut self,
        now: Instant3,
        signed: &Signed,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let counter: CounterReceipt =
            judge::open(&self.state, &self.document, signed, now.utc_ms, |c: &CounterReceipt| &c.head)?;
        if counter.head.epoch < self.state.epoch {
            return Err(Reason::Epoch.into());
        }
        let Some(at) = self.state.outbox.iter().position(|receipt| receipt.hash() == counter.receipt) else {
            return Ok(());
        };
        self.state.outbox.drain(..=at);
        effects.persist = true;
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

// For a refusal: the number that a message claims, whatever else is wrong with it.
fn number_of(signed: &Signed) -> u64 {
    #[derive(serde::Deserialize)]
    struct Any {
        head: message::Head,
    }
    serde_json::from_slice::<Any>(&signed.payload).map_or(0, |any| any.head.seq.0)
}
