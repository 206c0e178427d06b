//! One world of one seed: a manager and its store, nodes, a network that loses, doubles, delays and parts, and a
//! clock for each. Everything that happens follows from the seed.

use super::cover::Cover;
use super::disk::Disk;
use super::node::{self, Node};
use super::people::Human;
use super::rng::Rng;
use crate::core::Core;
use crate::core::action::{Act, KeyRef};
use crate::core::centre::Limits;
use crate::core::ids::{ActionId, CampaignId, Digest, Fresh, KeySetId, KmcId, PolicyId, ZoneId};
use crate::core::input::{Founding, Input, Judged, Outcome, Told, WrappedFor};
use crate::core::key::{Holders, KcvMethod, Material, Wrapper};
use crate::core::kind::{KeyKind, Shape};
use crate::core::node::{BackendClass, NewNode, RootKek, Traffic};
use crate::core::people::Role;
use crate::core::policy::Policy;
use crate::core::verified::Verified;
use crate::store::Table;
use keylink::action::Grant;
use keylink::manager::possession_holds;
use keylink::message::{
    Audience, CounterReceipt, Definition, Head, Indices, Overlap, PossessionMethod, Receipt, RootKekAccept,
    RootKekConfirm, RootKekOffer, Scope,
};
use keylink::root::{Recovery, RootDocument, SignedRoot};
use keylink::wire::{Hex, U64};
use keylink::{Body, Instant3, Sign, Signed, SoftSigner};
use std::collections::{BTreeMap, BTreeSet};

/// A node not heard of for so long is silent.
pub const SILENT_MS: u64 = 30_000;
/// Most that two clocks may differ.
pub const SKEW_MS: u64 = 1_000;

pub enum Letter {
    Message(Signed),
    Root(SignedRoot),
    Said(Signed),
    Beat(Signed, u64),
    /// A node asks for mail; the number of its root document, and of the last message that it has taken.
    Pull(u32, u64),
}

pub struct Packet {
    pub due: u64,
    pub node: usize,
    pub to_node: bool,
    pub letter: std::rc::Rc<Letter>,
}

pub struct ZoneFacts {
    pub id: ZoneId,
    pub key_set: KeySetId,
}

pub struct World {
    pub seed: u64,
    pub rng: Rng,
    pub now: u64,
    pub disk: Disk,
    pub core: Option<Core>,
    restart_at: u64,
    epoch: u64,
    signer: SoftSigner,
    pub kmc: KmcId,
    pub humans: Vec<Human>,
    pub roots: Vec<SignedRoot>,
    pub nodes: Vec<Node>,
    pub zones: Vec<ZoneFacts>,
    pub net: Vec<Packet>,
    pub cut: BTreeMap<usize, u64>,
    pub secrets: BTreeMap<KeyRef, u64>,
    next_secret: u64,
    /// No more faults and no more officers.
    pub calm: bool,
    /// Officers also suspend, revoke and destroy keys.
    pub rough: bool,
    /// Key sets where keys were stopped or changed without a gate: hosts do notice.
    pub disturbed: BTreeSet<KeySetId>,
    /// When a key last protected something at a node that serves.
    pub protected: BTreeMap<KeyRef, u64>,
    /// How long a plan says that blocks under the old key may be on their way after the switch.
    pub overlaps: BTreeMap<CampaignId, u64>,
    /// Until when blocks under a key that no node protects with any more may be on their way.
    pub promised: BTreeMap<KeyRef, u64>,
    /// Who belongs where, as the manager has it.
    pub members: BTreeSet<(ZoneId, keylink::NodeId)>,
    /// Nodes hear and answer at once; elsewhere they ask now and then.
    prompt: bool,
    /// What happens is written down.
    pub telling: bool,
    // Offers of root KEKs: hash, number, since when. They do not outlive the manager.
    offers: BTreeMap<usize, (Digest, u32, u64)>,
    confirmed: BTreeMap<usize, ((u64, U64, Digest), Signed)>,
    pub cover: Cover,
    pub trace: Vec<String>,
    pub violation: Option<String>,
    pub proposals: Vec<(ActionId, Digest, Hex<16>)>,
}

/// Keys that may replace officers.
pub fn recovery_keys() -> [SoftSigner; 2] {
    [0xF1, 0xF2].map(|seed| SoftSigner::new(&[seed; 32]))
}

impl World {
    pub fn new(seed: u64, telling: bool) -> Self {
        let mut rng = Rng::new(seed);
        let signer = SoftSigner::new(&rng.bytes());
        let officers = 4 + rng.index(2);
        let mut humans: Vec<_> = (0..officers)
            .map(|n| Human::new(&mut rng, &format!("officer {n}"), Role::SecurityOfficer))
            .collect();
        humans.push(Human::new(&mut rng, "operator", Role::Operator));
        humans.push(Human::new(&mut rng, "auditor", Role::Auditor));
        let document = RootDocument {
            number: 1,
            kmc: None,
            previous: None,
            created_ms: U64(0),
            name: "simulated".into(),
            manifest_keys: vec![signer.key()],
            checkpoint_keys: vec![],
            transport_ca: None,
            officers: humans.iter().filter(|h| h.role == Role::SecurityOfficer).map(Human::officer).collect(),
            quorums: vec![],
            recovery: Recovery { keys: recovery_keys().map(|key| key.key()).to_vec(), needed: 2 },
        };
        let mut root = SignedRoot::new(&document);
        humans.iter().filter(|h| h.role == Role::SecurityOfficer).for_each(|h| root.sign(h.signer.as_ref()));
        let (rough, liars) = (matches!(seed % 8, 1 | 4 | 5), seed % 8 == 2);
        let mut world = Self {
            seed,
            rng,
            now: 1_800_000_000_000,
            disk: Disk::default(),
            core: Some(Core::default()),
            restart_at: 0,
            epoch: 1,
            signer,
            kmc: KmcId(root.hash().0),
            humans,
            roots: vec![root],
            nodes: Vec::new(),
            zones: Vec::new(),
            net: Vec::new(),
            cut: BTreeMap::new(),
            secrets: BTreeMap::new(),
            next_secret: 1,
            calm: true,
            rough,
            disturbed: BTreeSet::new(),
            protected: BTreeMap::new(),
            overlaps: BTreeMap::new(),
            promised: BTreeMap::new(),
            members: BTreeSet::new(),
            prompt: seed.is_multiple_of(2),
            telling,
            offers: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            cover: Cover::default(),
            trace: Vec::new(),
            violation: None,
            proposals: Vec::new(),
        };
        world.set_up(liars);
        world.calm = false;
        world
    }

    pub fn say(&mut self, text: impl FnOnce() -> String) {
        if !self.telling {
            return;
        }
        let line = format!("{:>9} {}", self.now - 1_800_000_000_000, text());
        self.trace.push(line);
    }

    pub fn violated(&mut self, what: String) {
        self.say(|| format!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    // ---- the beginning ----

    fn set_up(&mut self, liars: bool) {
        let founding = Founding {
            root: self.roots[0].clone(),
            persons: self.humans.iter().map(Human::registration).collect(),
            limits: Limits {
                skew_max_ms: SKEW_MS,
                silent_after_ms: SILENT_MS,
                switch_grace_ms: 15_000,
                emergency_answer_ms: 10_000,
                ..Limits::default()
            },
        };
        self.must(Input::Found(founding));
        let count = 5 + self.rng.index(3);
        for number in 0..count {
            let mut node = Node::new(&mut self.rng, number, self.kmc, &self.roots[0], self.now);
            node.liar = liars && number == 0;
            self.nodes.push(node);
        }
        let drafts = self.nodes.iter().map(|n| NewNode {
            key: n.signer.key(),
            csr: Digest::default(),
            name: n.name.clone(),
            class: BackendClass::C,
        });
        self.by_quorum(Act::EnrolNodes(drafts.collect()));
        self.first_root_keks();
        for n in 0..2 {
            self.set_up_zone(n);
        }
        for n in 0..self.nodes.len() {
            let node = self.nodes[n].id;
            let by = self.operator();
            self.must(Input::Traffic { by, node, to: Traffic::InTraffic });
            self.nodes[n].serving = true;
        }
        self.first_keys();
    }

    // Offer, acceptance, confirmation, receipt.
    fn first_root_keks(&mut self) {
        for n in 0..self.nodes.len() {
            self.answer_pull(n, 1, 0);
        }
        for _ in 0..8 {
            self.now += 350;
            self.deliver();
            for n in 0..self.nodes.len() {
                self.poll(n);
            }
        }
    }

    fn set_up_zone(&mut self, n: u16) {
        let policy_id = PolicyId::new(u64::from(n) + 1, self.rng.bytes());
        let mut policy = Policy::defaults(policy_id, &format!("policy {n}"), KeyKind::Zpk, &[Shape::Tdes2]);
        policy.protect_lead_ms = 3_000;
        policy.overlap_ms = 8_000;
        policy.campaign_deadline_ms = 150_000;
        policy.originator_period_ms = 86_400_000;
        policy.hard_stop = n == 0 && self.seed % 5 == 3;
        if policy.hard_stop {
            policy.originator_period_ms = 60_000 + self.rng.below(60_000);
        }
        let hard_stop = policy.hard_stop;
        if self.rng.chance(300) {
            policy.quorum = 3.try_into().expect("three are a quorum");
        }
        self.by_quorum(Act::DefinePolicy(policy));
        let id = ZoneId::new(u64::from(n) + 1, self.rng.bytes());
        self.by_quorum(Act::CreateZone { id, alias: format!("zone {n}"), live: false });
        let key_set = KeySetId::new(u64::from(n) + 1, self.rng.bytes());
        let definition = Definition {
            key_set,
            name: format!("zpk {n}"),
            scope: Scope::Zone(id),
            kind: KeyKind::Zpk,
            shape: Shape::Tdes2,
            overlap: if n == 1 { Overlap::Selector } else { Overlap::Time },
            indices: Indices { base: 10 * n, odd: 10 * n + 1, even: 10 * n + 2 },
            hard_stop,
        };
        self.by_quorum(Act::CreateKeySet {
            definition,
            exportable: false,
            live: false,
            policy: policy_id,
            holders: Holders::Members,
        });
        let nodes = if n == 0 { &self.nodes[..] } else { &self.nodes[1..] };
        let nodes = nodes.iter().map(|node| node.id).collect();
        self.by_quorum(Act::AddMembers { zone: id, nodes });
        self.zones.push(ZoneFacts { id, key_set });
    }

    fn must(&mut self, input: Input) -> Outcome {
        self.tell(input).expect("set-up is allowed").expect("nothing fails in set-up")
    }

    pub fn operator(&self) -> crate::core::input::Caller {
        self.humans.iter().find(|h| h.role == Role::Operator).expect("there is one").by
    }

    /// People do what they should, at once. False when it is not possible.
    pub fn by_quorum(&mut self, act: Act) -> bool {
        let by = self.operator();
        self.say(|| format!("people do: {act:?}"));
        let proposed = self.tell(Input::Propose { by, act });
        let Some(Ok(Outcome::Proposed { hash, nonce, quorum, .. })) = proposed else { return false };
        for n in self.active_officers().into_iter().take(quorum.persons()) {
            let officer = self.humans[n].clone();
            let signed = officer.approve(self.kmc, hash, nonce, self.now);
            let approval = Verified::open(signed, &officer.key()).expect("own signature");
            if !matches!(self.tell(Input::Approve(approval)), Some(Ok(_))) {
                break;
            }
        }
        true
    }

    /// The first keys of both zones, while nothing fails.
    fn first_keys(&mut self) {
        for n in 0..self.zones.len() {
            let set = self.zones[n].key_set;
            let target = self.core.as_ref().and_then(|core| core.state().key_set(&set).cloned());
            let target = target.and_then(|set| self.target(&set, false)).expect("a plan");
            assert!(self.by_quorum(Act::Rotate(vec![target])), "a first campaign begins");
        }
        for _ in 0..25 {
            self.now += 1_000;
            for n in 0..self.nodes.len() {
                let now = self.now;
                self.nodes[n].tick(now);
                self.poll(n);
            }
            self.now += 400;
            self.deliver();
            self.drive_manager();
            self.check();
        }
    }

    // ---- the manager ----

    /// Tells the manager. None: it died, and nobody knows what became of it.
    pub fn tell(&mut self, input: Input) -> Option<Result<Outcome, crate::core::Refusal>> {
        let fresh = Fresh(Digest(self.rng.bytes()));
        let now = Instant3 { utc_ms: self.now, mono_ms: self.now, boot_id: self.epoch };
        let mut core = self.core.take()?;
        let effects = match core.handle(now, Told { fresh, request: None, input }) {
            Ok(effects) => effects,
            Err(refusal) => {
                self.cover.hit("refusal", refusal.code());
                self.core = Some(core);
                return Some(Err(refusal));
            }
        };
        let note = &effects.note;
        if !self.calm && self.rng.chance(6) {
            self.say(|| "manager dies before it persists".to_owned());
            self.cover.hit("fault", "manager crash before persist");
            self.restart_at = self.now + 1_000 + self.rng.below(6_000);
            return None;
        }
        if !self.calm && self.rng.chance(6) {
            self.say(|| "manager's store fails; it steps down".to_owned());
            self.cover.hit("fault", "manager disk error");
            self.restart_at = self.now + 200;
            return None;
        }
        if note.word != "centre.tick" && note.word != "node.beat" {
            self.say(|| {
                format!("{} {:?} {:?} by {:.12}", note.word, note.objects, effects.outcome, note.actor)
            });
        }
        self.check_commit(&core, &effects);
        self.disk.commit(self.now, &effects.records, effects.note);
        if !self.calm && self.rng.chance(6) {
            self.say(|| "manager dies after it persisted".to_owned());
            self.cover.hit("fault", "manager crash after persist");
            self.check_reload(&core);
            self.restart_at = self.now + 1_000 + self.rng.below(6_000);
            return None;
        }
        self.core = Some(core);
        Some(Ok(effects.outcome))
    }

    fn check_reload(&mut self, core: &Core) {
        match self.loaded() {
            Ok(loaded) if loaded.state() == core.state() => {}
            Ok(_) => self.violated("the records do not make the state that wrote them".into()),
            Err(error) => self.violated(format!("the records do not load: {error}")),
        }
    }

    fn loaded(&self) -> Result<Core, String> {
        <Core as crate::writer::Machine>::load(&mut self.disk.rows().cloned())
    }

    pub fn manager_dies(&mut self) {
        if let Some(core) = self.core.take() {
            self.check_reload(&core);
            self.cover.hit("fault", "manager crash between");
            self.restart_at = self.now + 2_000 + self.rng.below(8_000);
        }
    }

    pub fn drive_manager(&mut self) {
        if self.core.is_none() && self.restart_at <= self.now {
            match self.loaded() {
                Ok(core) => self.core = Some(core),
                Err(error) => return self.violated(format!("the records do not load: {error}")),
            }
            self.epoch += 1;
            self.offers.clear();
            let epoch = self.epoch;
            self.say(|| format!("manager starts, epoch {epoch}"));
            self.tell(Input::TakeOver { epoch });
            // What was decided is known in the field, even if the manager died on its answer.
            self.carried();
        }
        self.tell(Input::Tick);
        let Some(core) = &self.core else { return };
        for campaign in core.to_generate() {
            let Some(record) = self.core.as_ref().and_then(|core| core.campaign(&campaign)) else { return };
            let key = KeyRef { key_set: record.plan.key_set, generation: record.plan.generation };
            if !self.calm && self.rng.chance(100) {
                self.cover.hit("fault", "backend cannot generate");
                self.tell(Input::GenerateFailed { campaign, reason: "no session".into() });
                continue;
            }
            let secret = self.next_secret;
            self.next_secret += 1;
            let material = Material {
                block: format!("master|{secret}"),
                kcv: node::kcv(secret),
                kcv_method: KcvMethod::Zeros,
                wrapped_by: Wrapper::Master,
                wrapper_strength_bits: 256,
                arrived_under: None,
            };
            let _ = key;
            self.tell(Input::Generated { campaign, material });
        }
        self.wrap_and_sign();
    }

    fn wrap_and_sign(&mut self) {
        let now = self.now;
        let Some(work) = self.core.as_mut().map(|core| core.work(now, None, 16)) else { return };
        let wrapped: Vec<_> = work
            .wrap
            .iter()
            .filter_map(|(node, key)| {
                let secret = *self.secrets.get(key)?;
                let kek = self.core.as_ref()?.state().node(node)?.kek_in_use()?;
                let block = node::block(secret, node, &key.key_set, key.generation, &kek.block);
                Some(WrappedFor { node: *node, key: *key, block, throw_away: None, root_kek: kek.number })
            })
            .collect();
        if !wrapped.is_empty() {
            self.tell(Input::Wrapped(wrapped));
        }
        let signed: Vec<_> = work.sign.iter().map(|draft| Signed::seal(&draft.body, &self.signer)).collect();
        if signed.is_empty() {
            return;
        }
        let issued = self.tell(Input::Issue(signed));
        if matches!(issued, Some(Ok(_))) {
            work.sign.iter().for_each(|draft| self.say_order(&draft.body));
        }
        if self.prompt && matches!(issued, Some(Ok(_))) {
            let told: Vec<_> = work.sign.iter().map(|draft| draft.node).collect();
            for n in 0..self.nodes.len() {
                if told.contains(&self.nodes[n].id) {
                    self.send_newest(n);
                }
            }
        }
    }

    // What a node is told, in short: its keys, their steps, and what it is shown for them.
    fn say_order(&mut self, order: &keylink::message::Manifest) {
        if !self.telling {
            return;
        }
        let name = self.nodes.iter().find(|n| Audience::Node(n.id) == order.head.audience).map(|n| &n.name);
        let mut text = format!("{} is told", name.map_or("?", String::as_str));
        if order.suspended {
            text += " to be suspended";
        }
        for set in &order.key_sets {
            text += &format!("; {}{}", set.definition.name, if set.suspended { " suspended" } else { "" });
            for one in &set.generations {
                let block = if one.block.is_some() { "+block" } else { "" };
                text += &format!(" {}={:?}{block}", one.generation, one.step);
            }
        }
        for shown in &order.evidence {
            for grant in &shown.grants {
                text += &format!("; {}", String::from_utf8_lossy(&grant.grant.0));
            }
        }
        self.say(|| text);
    }

    // The last manifest of a node, as it is stored, unless the node has receipted it.
    fn send_newest(&mut self, n: usize) {
        let Some(node) = self.core.as_ref().and_then(|core| core.state().node(&self.nodes[n].id)) else {
            return;
        };
        let mail = (!node.has_answered()).then(|| node.link.sent.iter().rev().find(|s| s.manifest)).flatten();
        let key = mail.map(|sent| [&node.id.0[..], &sent.seq.0.to_be_bytes()].concat());
        let row = key.and_then(|key| self.disk.row(Table::Manifests, &key));
        if let Some(signed) = row.and_then(|row| Signed::parse(&row.body).ok()) {
            self.send(n, true, Letter::Message(signed));
        }
    }

    // ---- the network ----

    pub fn send(&mut self, node: usize, to_node: bool, letter: Letter) {
        let letter = std::rc::Rc::new(letter);
        if !self.calm && self.rng.chance(60) {
            self.cover.hit("fault", "message dropped");
            return;
        }
        let mut copies = 1;
        if !self.calm && self.rng.chance(60) {
            self.cover.hit("fault", "message duplicated");
            copies = 2;
        }
        for _ in 0..copies {
            let mut due = self.now + 5 + self.rng.below(300);
            if !self.calm && self.rng.chance(80) {
                self.cover.hit("fault", "message delayed, reordered");
                due += self.rng.below(15_000);
            }
            self.net.push(Packet { due, node, to_node, letter: letter.clone() });
        }
    }

    pub fn deliver(&mut self) {
        let mut due: Vec<_> = Vec::new();
        let now = self.now;
        self.net.retain(|packet| {
            let arrives = packet.due <= now;
            if arrives {
                due.push((packet.due, packet.node, packet.to_node, packet.letter.clone()));
            }
            !arrives
        });
        due.sort_by_key(|packet| packet.0);
        for (_, node, to_node, letter) in due {
            if self.cut.contains_key(&node) {
                self.cover.hit("fault", "message lost in a partition");
                continue;
            }
            if to_node {
                self.at_node(node, &letter)
            } else {
                self.at_manager(node, &letter)
            }
            if self.violation.is_some() {
                return;
            }
        }
    }

    fn at_node(&mut self, n: usize, letter: &Letter) {
        let (now, fresh) = (self.now, self.rng.bytes());
        match letter {
            Letter::Message(signed) => self.nodes[n].message(signed, fresh, now),
            Letter::Root(root) => self.nodes[n].root(root, now),
            _ => {}
        }
        self.post(n);
    }

    fn at_manager(&mut self, n: usize, letter: &Letter) {
        let node = self.nodes[n].id;
        match letter {
            Letter::Said(signed) => self.receive(n, signed),
            Letter::Beat(signed, sent_at) => {
                // The middle of request and answer, as far as one can know it.
                let middle = (sent_at + self.now) / 2;
                let said = signed.peek::<keylink::message::StatusBeat>().map(|beat| beat.utc_ms.0);
                let skew_ms = said.map_or(0, |utc| utc.wrapping_sub(middle).cast_signed());
                // A beat that was long under way says nothing about a clock.
                let skew_ms = if self.now - sent_at > 500 { 0 } else { skew_ms };
                let beat = signed.clone();
                self.tell(Input::Beat { node, beat, skew_ms, by_file: false });
            }
            Letter::Pull(root, taken) => self.answer_pull(n, *root, *taken),
            _ => {}
        }
    }

    fn answer_pull(&mut self, n: usize, root: u32, taken: u64) {
        let Some(core) = &self.core else { return };
        let installed = core.state().centre().map_or(0, |c| c.root.document().map_or(0, |d| d.number));
        let behind: Vec<_> = self
            .roots
            .iter()
            .skip(root as usize)
            .take((installed - root.min(installed)) as usize)
            .cloned()
            .collect();
        let waits = self.core.as_ref().and_then(Core::recovery);
        for root in behind.into_iter().chain(waits) {
            self.send(n, true, Letter::Root(root));
        }
        self.offer_root_kek(n, taken);
        self.send_newest(n);
    }

    fn receive(&mut self, n: usize, signed: &Signed) {
        let node = self.nodes[n].id;
        if signed.kind == RootKekAccept::KIND {
            return self.root_kek_accepted(n, signed);
        }
        let judged = self.judge(signed);
        let Some(Ok(Outcome::Counted { last: Some((number, hash)), .. })) =
            self.tell(Input::Said { node, signed: signed.clone(), judged })
        else {
            return;
        };
        let counter = self.confirmation(n, number, hash);
        self.send(n, true, Letter::Message(counter));
    }

    // As the service does: what was ordered is offered, one offer at a time; a confirmation is sent until it is taken.
    fn offer_root_kek(&mut self, n: usize, taken: u64) {
        let (now, id) = (self.now, self.nodes[n].id);
        let Some(core) = &self.core else { return };
        let Some(node) = core.state().node(&id).filter(|node| node.is_served()) else { return };
        if let Some(confirm) = node.kek_change.confirm().cloned() {
            let seq = confirm.peek::<RootKekConfirm>().map_or(0, |body| body.head.seq.0);
            if seq > taken {
                return self.send(n, true, Letter::Message(confirm));
            }
            if node.kek_change.next.as_ref().is_some_and(|next| now - next.kek.since_utc_ms < 20_000) {
                return;
            }
        }
        let Some((number, rights)) = node.kek_to_agree() else { return };
        if self.offers.get(&n).is_some_and(|(_, _, since)| now - since < 10_000) {
            return;
        }
        let wanted = Grant::RootKek { node: id, number };
        let Some(evidence) = core.evidence(&rights, now, |grant| *grant == wanted) else { return };
        let head = node.link.clone().next_head(core.epoch(), now + 600_000);
        let public = keylink::wire::Blob(vec![]);
        let offer = RootKekOffer { head, number, public, nonce: Hex(self.rng.bytes()), evidence };
        let signed = Signed::seal(&offer, &self.signer);
        if matches!(self.tell(Input::Post { node: id, signed: signed.clone() }), Some(Ok(_))) {
            self.offers.insert(n, (signed.hash(), number, now));
            self.send(n, true, Letter::Message(signed));
        }
    }

    fn root_kek_accepted(&mut self, n: usize, signed: &Signed) {
        let Ok(accept) = signed.peek::<RootKekAccept>() else { return };
        let Some((offer, number, _)) = self.offers.get(&n).copied() else { return };
        let (kek, of_node, of_manager) = node::agreement(&offer);
        if accept.offer != offer || accept.confirm != of_node || accept.node != self.nodes[n].id {
            return;
        }
        let Some(core) = &self.core else { return };
        let Some(node) = core.state().node(&accept.node) else { return };
        let head = node.link.clone().next_head(core.epoch(), self.now + 600_000);
        let confirm = RootKekConfirm { head, accept: signed.hash(), confirm: of_manager };
        let confirm = Signed::seal(&confirm, &self.signer);
        let kcv = node::kek_kcv(&kek);
        let kek = RootKek { number, strength_bits: 256, block: kek, kcv, since_utc_ms: self.now };
        let input = Input::KekAgreed { node: accept.node, kek, confirm: confirm.clone() };
        if matches!(self.tell(input), Some(Ok(_))) {
            // Answered once; another offer is due when this comes to nothing.
            self.offers.insert(n, (Digest::default(), 0, self.now));
            self.send(n, true, Letter::Message(confirm));
        }
    }

    // The same receipt is confirmed by the same message.
    fn confirmation(&mut self, n: usize, number: U64, hash: Digest) -> Signed {
        let what = (self.epoch, number, hash);
        if let Some((_, signed)) = self.confirmed.get(&n).filter(|(said, _)| *said == what) {
            return signed.clone();
        }
        let head = Head {
            version: keylink::message::PROTOCOL,
            kmc: self.kmc,
            audience: Audience::Node(self.nodes[n].id),
            epoch: U64(self.epoch),
            seq: number,
            not_after: U64(self.now + 600_000),
        };
        let counter = Signed::seal(&CounterReceipt { head, receipt: hash, checkpoint: None }, &self.signer);
        self.confirmed.insert(n, (what, counter.clone()));
        counter
    }

    fn judge(&self, signed: &Signed) -> Judged {
        let Ok(receipt) = signed.peek::<Receipt>() else { return Judged::None };
        let (Some(key_set), Some(generation)) = (receipt.key_set, receipt.generation) else {
            return Judged::None;
        };
        let secret = self.secrets.get(&KeyRef { key_set, generation });
        let (Some(possession), Some(secret)) = (&receipt.possession, secret) else { return Judged::None };
        let Some(answer) = node::expected(&receipt, *secret) else { return Judged::None };
        let holds = possession_holds(possession, PossessionMethod::PinBlock, &possession.nonce.0, &answer);
        if holds { Judged::Holds } else { Judged::Fails }
    }

    /// What a node has to say goes on its way.
    pub fn post(&mut self, n: usize) {
        for signed in std::mem::take(&mut self.nodes[n].out) {
            if signed.kind == keylink::message::Refused::KIND
                && let Ok(refused) = signed.peek::<keylink::message::Refused>()
            {
                self.cover.hit("node says", format!("{:?}", refused.reason));
                let name = self.nodes[n].name.clone();
                self.say(|| format!("{name} refuses: {:?} {:?}", refused.reason, refused.generation));
            }
            self.send(n, false, Letter::Said(signed));
        }
        if self.prompt {
            self.send_outbox(n);
        }
    }

    // Receipts that were not sent before by this node; those that get lost are sent again by `poll`.
    fn send_outbox(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some(machine) = &node.machine else { return };
        let last = machine.state().receipt.0.0;
        let fresh = (last - node.sent_up_to) as usize;
        node.sent_up_to = last;
        let outbox = machine.outbox();
        let fresh: Vec<_> = outbox[outbox.len() - fresh.min(outbox.len())..].to_vec();
        for signed in fresh {
            self.send(n, false, Letter::Said(signed));
        }
    }

    /// A node speaks up: its receipts, its mail, sometimes how it is.
    pub fn poll(&mut self, n: usize) {
        let Some(machine) = &self.nodes[n].machine else { return };
        let (root, taken) = (machine.document().number, machine.state().seq.0);
        let outbox = machine.outbox().iter().take(4).cloned().collect::<Vec<_>>();
        for signed in outbox {
            self.send(n, false, Letter::Said(signed));
        }
        self.send(n, false, Letter::Pull(root, taken));
        if self.rng.chance(200) {
            let now = self.now;
            if let Some(beat) = self.nodes[n].beat(now) {
                self.send(n, false, Letter::Beat(beat, now));
            }
        }
    }

    pub fn born(&mut self, key: KeyRef, material: &Material) {
        let secret: u64 = material.block.split('|').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default();
        if let Some(before) = self.secrets.insert(key, secret)
            && before != secret
        {
            self.violated(format!("the number of {key} was given to two keys"));
        }
    }
}
