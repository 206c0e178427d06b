//! A node: keylink's machine on a disk of its own, a clock that is off, and cores that take a table a moment after
//! it is published.

use super::rng::Rng;
use keylink::manager::challenge_of;
use keylink::message::{Possession, PossessionMethod, Receipt, ReceiptKind};
use keylink::node::{
    Agreed, Counts, Effects, InstallOrder, Installed, KekRecord, Machine, NodeState, Rules, TableImage,
    TableSet,
};
use keylink::root::SignedRoot;
use keylink::wire::{Blob, Hex};
use keylink::{
    CampaignId, Digest, Generation, Instant3, KeySetId, KmcId, NodeId, NotSigned, PublicKey, Sign, Signed,
    SoftSigner, TrySign,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a node has signed: key set, generation, kind.
pub type Told = BTreeSet<(KeySetId, Generation, ReceiptKind)>;

/// A signature key in a token that is away for the next so many calls.
struct Token(Arc<SoftSigner>, Arc<AtomicU32>);

impl TrySign for Token {
    fn public(&self) -> PublicKey {
        self.0.key()
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        let left = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Err(NotSigned) } else { Ok(self.0.sign(message)) }
    }
}

pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub signer: Arc<SoftSigner>,
    disk: Vec<u8>,
    pub machine: Option<Machine>,
    boot_id: u64,
    booted_at: u64,
    pub offset_ms: i64,
    /// What every core uses.
    pub table: TableImage,
    publishing: Option<(TableImage, u64)>,
    releasing: Option<(u64, u64)>,
    released: u64,
    /// Serves hosts, in truth.
    pub serving: bool,
    /// Answers challenges wrongly.
    pub liar: bool,
    /// Every receipt that was ever stored.
    pub told: Told,
    told_up_to: u64,
    /// Number of the last receipt that was sent at once.
    pub sent_up_to: u64,
    /// Proofs that were wrong.
    pub lies: BTreeSet<(KeySetId, Generation)>,
    /// The next stores fail.
    pub disk_fails: bool,
    /// Dies before the next store.
    pub dies_before_store: bool,
    /// Dies after the next store, before anything is sent.
    pub dies_after_store: bool,
    /// What is to be signed next so often is not.
    pub unsigned: Arc<AtomicU32>,
    pub out: Vec<Signed>,
}

pub fn kcv(secret: u64) -> String {
    hex::encode_upper(&Sha256::digest(secret.to_be_bytes())[..3])
}

/// The block of a key for a node under its root KEK: what a backend would unwrap.
pub fn block(secret: u64, node: &NodeId, key_set: &KeySetId, generation: Generation, kek: &str) -> String {
    format!("{secret}|{node}|{key_set}|{generation}|{kek}")
}

/// The root KEK that follows from an offer, and what node and manager show each other of it.
pub fn agreement(offer: &Digest) -> (String, Hex<32>, Hex<32>) {
    let made = |what: &str| Hex(Digest::of(&[what.as_bytes(), &offer.0].concat()).0);
    (hex::encode(&made("kek").0[..8]), made("node"), made("manager"))
}

/// Check value of a root KEK.
pub fn kek_kcv(kek: &str) -> String {
    hex::encode_upper(&Digest::of(kek.as_bytes()).0[..5])
}

/// The right answer to a challenge.
pub fn answer(challenge: &[u8; 32], secret: u64) -> String {
    let hash = Sha256::new().chain_update(challenge).chain_update(secret.to_be_bytes()).finalize();
    hex::encode_upper(&hash[..8])
}

/// The answer that a receipt must carry.
pub fn expected(receipt: &Receipt, secret: u64) -> Option<String> {
    let possession = receipt.possession.as_ref()?;
    let label = keylink::label::Label {
        kmc: receipt.head.kmc,
        key_set: receipt.key_set?,
        generation: receipt.generation?,
        node: Some(receipt.node),
    };
    Some(answer(&challenge_of(&label, receipt.node, receipt.campaign?, &possession.nonce.0), secret))
}

impl Node {
    pub fn new(rng: &mut Rng, number: usize, kmc: KmcId, root: &SignedRoot, now: u64) -> Self {
        let signer = Arc::new(SoftSigner::new(&rng.bytes()));
        let id = NodeId::of(&signer.key());
        let state = NodeState::new(kmc, id, root.clone());
        let mut node = Self {
            id,
            name: format!("nsp-{number}"),
            signer,
            disk: keylink::envelope::bytes_of(&state),
            machine: None,
            boot_id: 0,
            booted_at: now,
            offset_ms: rng.below(801) as i64 - 400,
            table: TableImage::default(),
            publishing: None,
            releasing: None,
            released: 0,
            serving: false,
            liar: false,
            told: Told::new(),
            told_up_to: 0,
            sent_up_to: 0,
            lies: BTreeSet::new(),
            disk_fails: false,
            dies_before_store: false,
            dies_after_store: false,
            unsigned: Arc::default(),
            out: Vec::new(),
        };
        node.boot(rng, now);
        node
    }

    pub fn clock(&self, now: u64) -> Instant3 {
        Instant3 {
            utc_ms: now.wrapping_add_signed(self.offset_ms),
            mono_ms: now - self.booted_at,
            boot_id: self.boot_id,
        }
    }

    pub fn boot(&mut self, rng: &mut Rng, now: u64) {
        self.boot_id = rng.next();
        self.booted_at = now;
        self.publishing = None;
        (self.releasing, self.released) = (None, 0);
        let signer = Arc::new(Token(Arc::clone(&self.signer), Arc::clone(&self.unsigned)));
        let rules = Rules { skew_max_ms: 1_000 };
        let mut machine = Machine::from_bytes(&self.disk, signer, rules, self.clock(now)).expect("own state");
        let effects = machine.boot(self.clock(now));
        self.machine = Some(machine);
        // A node that cannot store that it has started does not start.
        if effects.persist && std::mem::take(&mut self.disk_fails) {
            return self.die();
        }
        self.follow(effects, now);
        // A restart serves with what is stored before it serves at all.
        if let Some((table, _)) = self.publishing.take() {
            self.cores_take(table, now);
        }
    }

    pub fn die(&mut self) {
        self.machine = None;
        self.publishing = None;
        (self.releasing, self.released) = (None, 0);
        self.out.clear();
        self.table = TableImage::default();
    }

    /// Does what the machine asks, in its order: store, publish, backend, send.
    fn follow(&mut self, effects: Effects, now: u64) {
        let Some(machine) = &self.machine else { return };
        if effects.persist {
            if std::mem::take(&mut self.dies_before_store) {
                return self.die();
            }
            if std::mem::take(&mut self.disk_fails) {
                // Nothing was promised: back to what is stored.
                if let Some(machine) = &mut self.machine {
                    machine.reload(&self.disk).expect("own state");
                }
                return;
            }
            self.disk = machine.to_bytes();
            let last = machine.state().receipt.0.0;
            for signed in machine.outbox().iter().rev().take((last - self.told_up_to) as usize) {
                if let Ok(receipt) = signed.peek::<Receipt>()
                    && let (Some(set), Some(generation)) = (receipt.key_set, receipt.generation)
                {
                    self.told.insert((set, generation, receipt.kind));
                }
            }
            self.told_up_to = last;
            if std::mem::take(&mut self.dies_after_store) {
                return self.die();
            }
        }
        if let Some(table) = effects.publish {
            self.publishing = Some((table, now + 30));
        }
        self.out.extend(effects.send);
        if let Some(order) = effects.agree {
            let (kek, confirm, expected) = agreement(&order.offer);
            let record = KekRecord { number: order.number, kcv: kek_kcv(&kek), token: kek };
            let agreed = Agreed { public: Blob(vec![]), confirm, expected, kek: record };
            let clock = self.clock(now);
            if let Some(Ok(effects)) = self.machine.as_mut().map(|m| m.agreed(clock, order.offer, Ok(agreed)))
            {
                self.follow(effects, now);
            }
        }
        if !effects.install.is_empty() {
            let results = effects.install.iter().map(|order| self.install(order)).collect();
            let clock = self.clock(now);
            let effects = self.machine.as_mut().map(|m| m.installed(clock, results));
            if let Some(Ok(effects)) = effects {
                self.follow(effects, now);
            }
        }
    }

    fn install(&mut self, order: &InstallOrder) -> Result<Installed, keylink::message::Reason> {
        let refuse = keylink::message::Reason::Block;
        let secret: u64 = order.block.split('|').next().and_then(|s| s.parse().ok()).ok_or(refuse)?;
        let (key_set, generation) = order.name();
        if order.block != block(secret, &self.id, &key_set, generation, &order.kek)
            || order.kcv != kcv(secret)
        {
            return Err(refuse);
        }
        let mut proof = answer(&order.challenge, secret);
        if self.liar {
            proof = "00".repeat(8);
            self.lies.insert((key_set, generation));
        }
        Ok(Installed {
            token: secret.to_string(),
            kcv: order.kcv.clone(),
            possession: Possession { method: PossessionMethod::PinBlock, nonce: order.nonce, answer: proof },
        })
    }

    // What is not signed has not happened: a message comes again, and so does the next tick.
    fn with(&mut self, now: u64, what: impl FnOnce(&mut Machine, Instant3) -> Result<Effects, NotSigned>) {
        let clock = self.clock(now);
        if let Some(Ok(effects)) = self.machine.as_mut().map(|machine| what(machine, clock)) {
            self.follow(effects, now);
        }
    }

    pub fn message(&mut self, signed: &Signed, fresh: [u8; 16], now: u64) {
        self.with(now, |machine, clock| machine.message(clock, signed, fresh));
    }

    pub fn root(&mut self, root: &SignedRoot, now: u64) {
        self.with(now, |machine, clock| Ok(machine.root(clock, root)));
    }

    pub fn tick(&mut self, now: u64) {
        self.with(now, |machine, clock| Ok(machine.tick(clock)));
        if let Some((table, at)) = self.publishing.take() {
            if at <= now {
                self.cores_take(table, now);
            } else {
                self.publishing = Some((table, at));
            }
        }
        if let Some((number, at)) = self.releasing
            && at <= now
        {
            self.releasing = None;
            self.released = number;
        }
        self.tell_of_tables(now);
    }

    fn cores_take(&mut self, table: TableImage, now: u64) {
        self.releasing = Some((table.number, now + 20));
        self.table = table;
        self.tell_of_tables(now);
    }

    // The cores say it once; what of it is not stored is told again.
    fn tell_of_tables(&mut self, now: u64) {
        let (switched, released) = (self.table.number, self.released);
        self.with(now, |machine, clock| machine.switched(clock, switched));
        self.with(now, |machine, clock| machine.released(clock, released));
    }

    pub fn beat(&mut self, now: u64) -> Option<Signed> {
        let counts = Counts { ready: self.serving, table: self.table.number, ..Counts::default() };
        let clock = self.clock(now);
        self.machine.as_mut().and_then(|machine| machine.beat(clock, &counts).ok())
    }

    pub fn set(&self, id: &KeySetId) -> Option<&TableSet> {
        self.table.sets.iter().find(|set| set.definition.key_set == *id)
    }

    /// The generation that every core protects with.
    pub fn protects(&self, id: &KeySetId) -> Option<Generation> {
        let set = self.set(id).filter(|set| !set.suspended && !set.stale)?;
        set.current.as_ref().map(|key| key.generation)
    }

    /// Whether a host that says odd or even reaches this generation, as the index of that parity does.
    pub fn processes(&self, id: &KeySetId, generation: Generation) -> bool {
        self.set(id).is_some_and(|set| {
            let held = set.current.iter().chain(&set.next).chain(&set.previous).map(|key| key.generation);
            held.filter(|held| held.is_odd() == generation.is_odd()).max() == Some(generation)
        })
    }

    /// Switches by time that are armed here: key set, the generation that protects until then, the time.
    pub fn armed(&self) -> impl Iterator<Item = (KeySetId, Generation, CampaignId, u64)> {
        let sets = self.machine.iter().flat_map(|machine| &machine.state().key_sets);
        sets.filter_map(|set| {
            let next = set.generations.iter().find(|g| g.protect_from.is_some())?;
            let until = self.protects(&set.definition.key_set)?;
            Some((set.definition.key_set, until, next.campaign, next.protect_from?.0))
        })
    }
}
