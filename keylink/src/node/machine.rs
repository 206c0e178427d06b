//! The machine itself: one method for everything that can happen.

use super::clock::Guard;
use super::effects::Effects;
use super::judge::{self, Order, Rights};
use super::manifest::Installing;
use super::plan::{Halt, Refusal};
use super::receipts::About;
use super::state::{Fact, NodeState};
use super::table::TableImage;
use crate::action::Grant;
use crate::envelope::{Body, NotSigned, Signed, TrySign, bytes_of, strict};
use crate::ids::Digest;
use crate::message::{
    self, Alarm, Command, CounterReceipt, InclusionProof, Manifest, Reason, ReceiptKind, RootKekConfirm,
    RootKekOffer, Step,
};
use crate::root::{RootDocument, RootError};
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

/// The node's machine.
#[derive(Clone)]
pub struct Machine {
    pub(super) state: NodeState,
    pub(super) document: RootDocument,
    pub(super) signer: Arc<dyn TrySign>,
    pub(super) rules: Rules,
    pub(super) guard: Guard,
    pub(super) installing: Option<Installing>,
    pub(super) resync: Option<[u8; 16]>,
    // The last wish that was answered.
    pub(super) resynced: Option<[u8; 16]>,
    /// An offer of a root KEK that is with the backend.
    pub(super) offered: Option<message::Head>,
    /// Alarm conditions that were told already.
    pub(super) told: Vec<Alarm>,
    /// The table that was published last, by its number, and how much had stopped by its time.
    pub(super) published: (u64, usize),
    /// The one before it, which stands when the last one is not stored.
    pub(super) published_before: (u64, usize),
    /// Number of the last unchained message of this boot.
    pub(super) said: u64,
    /// Life of unchained messages.
    pub(super) life_ms: u64,
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
        signer: Arc<dyn TrySign>,
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
            published: (0, 0),
            published_before: (0, 0),
            said: 0,
            life_ms: super::speak::MESSAGE_LIFE_MS,
        })
    }

    /// What this machine says travels by file: it lives as long as receipts do.
    pub const fn by_file(&mut self) {
        self.life_ms = super::receipts::RECEIPT_LIFE_MS;
    }

    /// From stored bytes.
    pub fn from_bytes(
        bytes: &[u8],
        signer: Arc<dyn TrySign>,
        rules: Rules,
        now: Instant3,
    ) -> Result<Self, RootError> {
        let state = strict(bytes).map_err(|_| RootError::Malformed)?;
        Self::new(state, signer, rules, now)
    }

    /// The state could not be stored: goes back to what is stored. What belongs to this boot goes on, or the manager
    /// would take what is said next for a replay: numbers of unchained messages, their life, the clock guard.
    pub fn reload(&mut self, bytes: &[u8]) -> Result<(), RootError> {
        let state: NodeState = strict(bytes).map_err(|_| RootError::Malformed)?;
        self.document = state.root.document()?;
        self.state = state;
        self.installing = None;
        self.offered = None;
        // A table that is not stored was not published, and with the next tick it is; one that is stored stands. What
        // should have been told may not have been, and is told again.
        if self.published.0 > self.state.table.0 {
            self.published = self.published_before;
        }
        self.told.clear();
        Ok(())
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

    pub(super) fn signer(&self) -> &dyn TrySign {
        self.signer.as_ref()
    }

    pub(super) fn signer_shared(&self) -> Arc<dyn TrySign> {
        Arc::clone(&self.signer)
    }

    /// The table as it stands.
    pub fn table(&self, now: Instant3) -> TableImage {
        TableImage::of(&self.state, &|until| self.guard.is_over(until, now))
    }

    /// Number of the table as it stands, and what has stopped by its time alone.
    pub(super) fn standing(&self, now: Instant3) -> (u64, usize) {
        let is_over = |until| self.guard.is_over(until, now);
        (self.state.table.0, super::table::stopped(&self.state, &is_over))
    }

    pub(super) fn publish(&mut self, now: Instant3, effects: &mut Effects) {
        self.state.table.0 = self.state.table.0.saturating_add(1);
        effects.persist = true;
        effects.publish = Some(self.table(now));
        (self.published_before, self.published) = (self.published, self.standing(now));
    }

    /// A message came. `fresh` is random, for the request that may be needed. Where its receipts are not signed it has
    /// not come.
    pub fn message(&mut self, now: Instant3, signed: &Signed, fresh: [u8; 16]) -> Result<Effects, NotSigned> {
        let mut effects = Effects::default();
        self.guard.look(now);
        let taken = match signed.kind.as_str() {
            Manifest::KIND => self.wholly(|own| own.manifest(now, signed, fresh, &mut effects)),
            Command::KIND => self.wholly(|own| own.command(now, signed, &mut effects)),
            RootKekConfirm::KIND => self.wholly(|own| own.kek_confirm(now, signed, &mut effects)),
            RootKekOffer::KIND => self.kek_offer(now, signed, &mut effects).map_err(Halt::from),
            CounterReceipt::KIND => self.counter_receipt(now, signed, &mut effects).map_err(Halt::from),
            InclusionProof::KIND => self.proof(now, signed, &mut effects).map_err(Halt::from),
            _ => Err(Reason::Kind.into()),
        };
        match taken {
            Ok(()) => {}
            Err(Halt::Refused(refusal)) => self.refuse(now, signed, refusal, &mut effects),
            Err(Halt::NotSigned) => return Err(NotSigned),
        }
        Ok(effects)
    }

    /// Does something whose receipts are part of it: with all of them, or not at all.
    pub(super) fn wholly<T, E>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let before = self.clone();
        let done = work(self);
        if done.is_err() {
            *self = before;
        }
        done
    }

    pub(super) fn refuse(&mut self, now: Instant3, signed: &Signed, refusal: Refusal, effects: &mut Effects) {
        if refusal.reason.is_intrusion() {
            effects.alarms.push(Alarm::Intrusion);
        }
        // One that is not signed is not said: the message comes again, and is refused again. People hear of it now.
        effects.send.extend(self.refused(now, signed.hash(), number_of(signed), refusal));
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

    /// Moves the floors to a message that was taken.
    pub(super) fn floors(&mut self, head: &message::Head, hash: Digest) {
        self.state.epoch = head.epoch;
        self.state.seq = head.seq;
        self.state.protocol = self.state.protocol.max(head.version);
        self.state.last = Some(hash);
        self.state.answered.clear();
    }

    /// Every core uses the table with this number. What is not signed is told when this is called again.
    pub fn switched(&mut self, now: Instant3, table: u64) -> Result<Effects, NotSigned> {
        self.told_by(table, |state, signer| state.tell_switched(now, signer))
    }

    /// No snapshot older than the table with this number is left, nor any command that began with one. What is not signed
    /// is told when this is called again.
    pub fn released(&mut self, now: Instant3, table: u64) -> Result<Effects, NotSigned> {
        self.told_by(table, |state, signer| state.tell_released(now, signer))
    }

    fn told_by(
        &mut self,
        table: u64,
        tell: impl FnOnce(&mut NodeState, &dyn TrySign) -> Result<bool, NotSigned>,
    ) -> Result<Effects, NotSigned> {
        let untold = self.state.has_untold() || self.state.zeroising.is_some();
        if table != self.state.table.0 || !untold {
            return Ok(Effects::default());
        }
        let signer = Arc::clone(&self.signer);
        let persist = self.wholly(|own| tell(&mut own.state, signer.as_ref()))?;
        Ok(Effects { persist, ..Effects::default() })
    }

    fn command(&mut self, now: Instant3, signed: &Signed, effects: &mut Effects) -> Result<(), Halt> {
        let Some(command) = self.open::<Command>(now, signed, |c| &c.head, effects)? else { return Ok(()) };
        let rights = Rights::judge(&self.state, &self.document, &command.evidence, now.utc_ms)?;
        let node = self.state.node;
        let needed = match command.order {
            message::Order::Suspend => Grant::SuspendNode(node),
            message::Order::Resume => Grant::ResumeNode(node),
            message::Order::Zeroise => Grant::ZeroiseNode(node),
        };
        let newest = rights.newest(&needed);
        let approved = match command.order {
            message::Order::Suspend | message::Order::Resume => self.state.decide(Fact::Suspension, newest),
            message::Order::Zeroise => newest.is_some(),
        };
        if !approved {
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
        if !self.state.has_untold() && self.state.zeroising.is_none() {
            let signer = Arc::clone(&self.signer);
            self.state.receipt_of(now, signer.as_ref(), ReceiptKind::Applied, asked, About::default())?;
        }
        self.publish(now, effects);
        Ok(())
    }

    fn zeroise(&mut self, asked: (U64, Digest)) {
        self.state.kek_number = self.state.kek_floor();
        self.state.kek = None;
        self.state.kek_pending = None;
        // Told when no core uses any of them.
        self.state.zeroising = Some(asked);
        for record in self.state.key_sets.iter_mut().flat_map(|set| &mut set.generations) {
            if record.step != Step::Destroy {
                record.move_to(Step::Destroy, asked);
            }
        }
    }
}

// For a refusal: the number that a message claims, whatever else is wrong with it.
fn number_of(signed: &Signed) -> u64 {
    #[derive(serde::Deserialize)]
    struct Any {
        head: message::Head,
    }
    crate::wire::read::<Any>(&signed.payload).map_or(0, |any| any.head.seq.0)
}
