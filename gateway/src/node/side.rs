//! One node side: the machine with its store, backend and cores. What the machine asks for is done here in the order
//! that makes it safe: store, then publish, install and send.

use super::clock::Clock;
use super::identity::Identity;
use super::installer::Installer;
use super::publish::{Publish, TableEvent};
use super::renew::{RenewError, Renewal};
use super::store::{Store, StoreError};
use super::waiting;
use keylink::envelope::Body as _;
use keylink::message::{Alarm, Mail, Parcel, Possession, PossessionMethod, Reason, Renewed};
use keylink::node::{About, Counts, Effects, KekRecord, Kept, Machine, NodeState, Rules, TableImage};
use keylink::root::RootError;
use keylink::root_kek::formed_challenge;
use keylink::wire::Hex;
use keylink::{Digest, NodeId, NotSigned, Signed};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Hears of every state that was stored.
pub type Stored = Arc<dyn Fn(&NodeState) + Send + Sync>;

/// What a node side works with.
pub struct Parts {
    /// Durable states; may be shared by many node sides.
    pub store: Store,
    /// The backend for delivered keys; may be shared.
    pub installer: Installer,
    /// Who uses the key table.
    pub publish: Box<dyn Publish>,
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// What the node says of itself.
    pub about: About,
    /// True when traffic is served.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Called after every store, before anything is sent: where tests kill.
    pub stored: Option<Stored>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("about", &self.about).finish_non_exhaustive()
    }
}

/// Why a node side does not go on.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// Its state is not stored or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This node is not enrolled here.
    #[error("no state of node {0} in this store: enrol it first")]
    Unknown(NodeId),
    /// What holds its signature key does not answer. Nothing has happened; it is tried again.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// Its pinned root document does not read.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// A node side.
#[derive(Debug)]
pub struct NodeSide {
    machine: Machine,
    parts: Parts,
    events: (UnboundedSender<TableEvent>, UnboundedReceiver<TableEvent>),
    // Numbers of the last tables that every core uses, and before which none is left.
    table: u64,
    released: u64,
    // Number of the last table that the cores have taken, and of the last that they have not.
    handed: u64,
    refused: u64,
    failed: bool,
    // Something was not signed since the last beat.
    unsigned: bool,
    // The machine is ahead of what is stored, which could not be read: nothing of it may be said.
    ahead: bool,
    // Tokens of the state that is stored, by their hashes.
    tokens: BTreeSet<Digest>,
    exporter: Option<[u8; 32]>,
    renewal: Option<Renewal>,
    carried: bool,
    // The last receipt of the last answer to mail that was brought.
    answered: Option<Digest>,
}

impl NodeSide {
    /// From the stored state; publishes its table at once.
    pub async fn start(identity: &Identity, parts: Parts, rules: Rules) -> Result<Self, SideError> {
        let (node, signer) = (identity.node(), identity.signer());
        let stored = parts.store.load(node)?.ok_or(SideError::Unknown(node))?;
        let now = parts.clock.now();
        let machine = Machine::from_bytes(&stored, signer, rules, now)?;
        let events = unbounded_channel();
        let mut side = Self {
            machine,
            parts,
            events,
            table: 0,
            released: 0,
            handed: 0,
            refused: 0,
            failed: false,
            unsigned: false,
            ahead: false,
            tokens: BTreeSet::new(),
            exporter: None,
            renewal: None,
            carried: false,
            answered: None,
        };
        side.tokens = tokens(side.machine.state());
        let effects = side.machine.boot(now);
        side.follow(effects).await?;
        Ok(side)
    }

    /// The machine, to look at.
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Has its transport certificate made anew before it ends, or when another authority issues.
    pub fn renew_by(&mut self, renewal: Renewal) {
        self.renewal = Some(renewal);
        self.follow_authorities();
    }

    // The pinned root document says which authorities count.
    fn follow_authorities(&mut self) {
        if let Some(renewal) = &mut self.renewal
            && let Err(error) = renewal.follow(self.machine.document())
        {
            tracing::error!(%error, "transport authorities");
        }
    }

    /// What the manager is asked when a certificate is due.
    pub(super) fn renewal_request(&mut self) -> Option<Signed> {
        let now = self.parts.clock.now().utc_ms;
        let renewal = self.renewal.as_mut().filter(|renewal| renewal.is_due(now))?;
        renewal.request(now).inspect_err(|error| tracing::warn!(%error, "certificate")).ok()
    }

    /// The manager's answer. The certificate in use goes on when it does not fit.
    pub(super) fn renewed(&mut self, answer: &[u8]) {
        let now = self.parts.clock.now().utc_ms;
        let Some(renewal) = &mut self.renewal else { return };
        tell(renewal.accept(self.machine.document(), answer, now));
    }

    // The same in mail, for a node that asks nobody.
    fn renewed_by_mail(&mut self, signed: &Signed) {
        let now = self.parts.clock.now().utc_ms;
        let Some(renewal) = &mut self.renewal else { return };
        tell(renewal.accept_from_mail(self.machine.document(), signed, now));
    }

    /// Its clock.
    pub fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }

    /// Does what effects ask for; gives what is to be said.
    async fn follow(&mut self, first: Effects) -> Result<Vec<Signed>, SideError> {
        let (mut said, mut queue) = (Vec::new(), VecDeque::from([first]));
        while let Some(effects) = queue.pop_front() {
            if effects.persist {
                self.persist(effects.keep).await?;
            }
            for alarm in &effects.alarms {
                tracing::warn!(node = %self.machine.state().node, ?alarm, "key distribution");
            }
            said.extend(effects.send);
            if let Some(image) = &effects.publish {
                self.hand_over(image);
            }
            let state = self.machine.state();
            let (kmc, node) = (state.kmc, state.node);
            if !effects.install.is_empty() {
                let answers = self.parts.installer.install(effects.install).await;
                let installed = self.machine.installed(self.parts.clock.now(), answers);
                queue.push_back(self.signed(installed)?);
            }
            if let Some(order) = effects.agree {
                let offer = order.offer;
                let agreed = self.parts.installer.agree(order, kmc, node).await;
                let agreed = self.machine.agreed(self.parts.clock.now(), offer, agreed);
                queue.push_back(self.signed(agreed)?);
            }
        }
        Ok(said)
    }

    // What is not signed has not happened; the manager hears of it with the next beat.
    fn signed<T>(&mut self, signed: Result<T, NotSigned>) -> Result<T, NotSigned> {
        self.unsigned |= signed.is_err();
        signed
    }

    // Tables that are not taken are given again with every tick: nobody waits for a key that is to stop.
    fn hand_over(&mut self, image: &TableImage) {
        let number = image.number;
        if self.parts.publish.publish(image, &self.events.0) {
            self.handed = number;
        } else if core::mem::replace(&mut self.refused, number) != number {
            tracing::error!(number, "key table not taken: the one before stays");
        }
    }

    // False also when a store has failed that had stored it: then nobody has given it to them.
    fn is_handed_over(&self) -> bool {
        self.handed == self.machine.state().table.0
    }

    // When the state cannot be stored, nothing of it has happened: the machine goes back to what is stored.
    async fn persist(&mut self, keep: Vec<Kept>) -> Result<(), SideError> {
        let node = self.machine.state().node;
        let tokens = tokens(self.machine.state());
        let (store, body) = (&self.parts.store, self.machine.to_bytes());
        // Nobody is told of a key that was erased while it is in a file.
        let stored = match self.tokens.is_subset(&tokens) {
            true => store.put_with(node, body, keep).await,
            false => store.put_erased(node, body, keep).await,
        };
        match stored {
            Ok(()) => {
                (self.failed, self.tokens) = (false, tokens);
                if let Some(stored) = &self.parts.stored {
                    stored(self.machine.state());
                }
                Ok(())
            }
            Err(error) => {
                (self.failed, self.ahead) = (true, true);
                self.go_back()?;
                Err(error.into())
            }
        }
    }

    // Until what is stored can be read again, this side takes nothing and says nothing.
    fn go_back(&mut self) -> Result<(), SideError> {
        if self.ahead {
            let node = self.machine.state().node;
            let stored = self.parts.store.load(node)?.ok_or(SideError::Unknown(node))?;
            self.machine.reload(&stored)?;
            self.ahead = false;
        }
        Ok(())
    }

    /// False while it does not know what is stored of it, and may say nothing.
    pub const fn is_sound(&self) -> bool {
        !self.ahead
    }

    /// Takes mail; gives what is to be said besides receipts.
    pub async fn mail(&mut self, mail: &Mail) -> Result<Vec<Signed>, SideError> {
        self.go_back()?;
        let mut said = Vec::new();
        for root in &mail.roots {
            let effects = self.machine.root(self.parts.clock.now(), root);
            said.extend(self.follow(effects).await?);
        }
        self.follow_authorities();
        for signed in &mail.messages {
            if signed.kind == Renewed::KIND {
                self.renewed_by_mail(signed);
                continue;
            }
            let fresh = getrandom_16();
            let effects = self.machine.message(self.parts.clock.now(), signed, fresh);
            let effects = self.signed(effects)?;
            said.extend(self.follow(effects).await?);
        }
        Ok(said)
    }

    /// Bytes came that are no mail.
    pub fn malformed(&mut self, bytes: &[u8]) -> Result<Signed, NotSigned> {
        let refused = self.machine.malformed(self.parts.clock.now(), bytes);
        self.signed(refused)
    }

    /// Time passes.
    pub async fn tick(&mut self) -> Result<Vec<Signed>, SideError> {
        self.go_back()?;
        let now = self.parts.clock.now();
        let effects = self.machine.tick(now);
        let said = self.follow(effects).await?;
        if !self.is_handed_over() {
            self.hand_over(&self.machine.table(now));
        }
        self.tell_of_tables().await?;
        Ok(said)
    }

    /// The next thing that happens to a table.
    pub async fn next_event(&mut self) -> Option<TableEvent> {
        self.events.1.recv().await
    }

    /// A table was taken by all cores, or the old ones are gone.
    pub async fn event(&mut self, event: TableEvent) -> Result<(), SideError> {
        match event {
            TableEvent::Switched(number) => self.table = self.table.max(number),
            TableEvent::Released(number) => self.released = self.released.max(number),
        }
        self.tell_of_tables().await
    }

    // The cores say it once. What of it is not stored is told again with every tick.
    async fn tell_of_tables(&mut self) -> Result<(), SideError> {
        self.go_back()?;
        let effects = self.machine.switched(self.parts.clock.now(), self.table);
        let effects = self.signed(effects)?;
        self.follow(effects).await?;
        let effects = self.machine.released(self.parts.clock.now(), self.released);
        let effects = self.signed(effects)?;
        self.follow(effects).await?;
        Ok(())
    }

    /// Handles the events that have come already.
    pub async fn settle(&mut self) -> Result<(), SideError> {
        while let Ok(event) = self.events.1.try_recv() {
            self.event(event).await?;
        }
        Ok(())
    }

    /// A root KEK was formed at this node from components. Its number must be higher than that of the one before. In
    /// a box it leaves no copy where it passes.
    pub async fn form_kek(
        &mut self,
        number: u32,
        kek: impl Into<Box<paytypes::ClearKey>>,
    ) -> Result<Result<KekRecord, Reason>, SideError> {
        self.go_back()?;
        let state = self.machine.state();
        if state.kek_floor() >= number {
            return Ok(Err(Reason::Generation));
        }
        let mut nonce = Hex([0; 32]);
        if getrandom::fill(&mut nonce.0).is_err() {
            return Ok(Err(Reason::Busy));
        }
        let challenge = formed_challenge(state.kmc, state.node, number, &nonce.0);
        let (record, answer) = match self.parts.installer.form(number, kek, challenge).await {
            Ok(formed) => formed,
            Err(reason) => return Ok(Err(reason)),
        };
        let proof = Possession { method: PossessionMethod::WrappedThrowAway, nonce, answer };
        let effects = self.machine.kek_formed(self.parts.clock.now(), record.clone(), proof);
        let effects = self.signed(effects)?;
        self.follow(effects).await?;
        Ok(Ok(record))
    }

    /// Receipts that the manager has not confirmed, oldest first, and what else is to be said.
    pub fn parcel(&self, said: Vec<Signed>) -> Parcel {
        self.parcel_after(None, said)
    }

    /// The same where the parcel before ended with the receipt `told`.
    pub(super) fn parcel_after(&self, told: Option<Digest>, said: Vec<Signed>) -> Parcel {
        let mut messages = waiting::window(self.machine.outbox(), told).to_vec();
        // The answer to a repeated message may still wait in the outbox.
        messages.extend(said.into_iter().filter(|one| !self.machine.outbox().contains(one)));
        Parcel { messages }
    }

    /// What goes back for mail that somebody brought: the parcel, how the node is, and what it has taken, since whoever
    /// brings mail must know what to bring next; and what is to be said of its certificate.
    pub fn answer(&mut self, said: Vec<Signed>) -> Result<Parcel, NotSigned> {
        // What is not signed comes first: nothing of the rest is counted as said then.
        let how = [self.beat()?, self.pull(0)?];
        let mut parcel = self.parcel_after(self.answered, said);
        self.answered = waiting::last_receipt(&parcel);
        if self.carried {
            waiting::add_last_word(&mut parcel, self.machine.outbox());
        }
        let now = self.parts.clock.now().utc_ms;
        let asked = self.renewal.as_mut().map(|renewal| renewal.in_parcel(now, self.carried));
        match asked {
            Some(Ok(asked)) => parcel.messages.extend(asked),
            Some(Err(error)) => tracing::warn!(%error, "certificate"),
            None => {}
        }
        parcel.messages.extend(how);
        Ok(parcel)
    }

    /// What this side says travels by file.
    pub const fn by_file(&mut self) {
        self.machine.by_file();
        self.carried = true;
    }

    /// Begin of a session.
    pub fn hello(&mut self) -> Result<Signed, NotSigned> {
        let about = self.parts.about.clone();
        let hello = self.machine.hello(self.parts.clock.now(), &about, self.exporter);
        self.signed(hello)
    }

    /// Says over which connection the next hello goes, by its exporter value.
    pub const fn bind(&mut self, exporter: Option<[u8; 32]>) {
        self.exporter = exporter;
    }

    /// A request for mail.
    pub fn pull(&mut self, wait_s: u16) -> Result<Signed, NotSigned> {
        let pull = self.machine.pull(self.parts.clock.now(), wait_s);
        self.signed(pull)
    }

    /// A status beat.
    pub fn beat(&mut self) -> Result<Signed, NotSigned> {
        let ready = (self.parts.ready)();
        self.says(ready)
    }

    /// The status beat of a node that ends.
    pub fn last_beat(&mut self) -> Result<Signed, NotSigned> {
        self.says(false)
    }

    fn says(&mut self, ready: bool) -> Result<Signed, NotSigned> {
        let wrong = [
            (Alarm::Store, self.failed),
            (Alarm::Backend, self.unsigned),
            (Alarm::Table, !self.is_handed_over()),
        ];
        let counts = Counts {
            ready,
            table: self.table,
            uses: self.parts.publish.uses(),
            alarms: wrong.into_iter().filter_map(|(alarm, stands)| stands.then_some(alarm)).collect(),
        };
        let beat = self.machine.beat(self.parts.clock.now(), &counts);
        self.unsigned = beat.is_err();
        beat
    }
}

fn tokens(state: &NodeState) -> BTreeSet<Digest> {
    let keys = state.key_sets.iter().flat_map(|set| &set.generations).map(|one| &one.token);
    let all = keys.chain(state.kek.as_ref().map(|kek| &kek.token));
    all.filter(|token| !token.is_empty()).map(|token| Digest::of(token.as_bytes())).collect()
}

fn tell(renewed: Result<u64, RenewError>) {
    match renewed {
        Ok(until_ms) => tracing::info!(until_ms, "the transport certificate was made anew"),
        Err(error) => tracing::warn!(%error, "the transport certificate was not made anew"),
    }
}

// A nonce that must be new, not secret. Without randomness the unit could make no key either.
fn getrandom_16() -> [u8; 16] {
    let mut fresh = [0; 16];
    if let Err(error) = getrandom::fill(&mut fresh) {
        tracing::error!(%error, "no randomness");
    }
    fresh
}
