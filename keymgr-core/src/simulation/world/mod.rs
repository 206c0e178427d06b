//! One world of one seed: a manager and its store, nodes, a network that loses, doubles, delays and parts, and a
//! clock for each. Everything that happens follows from the seed.

mod beginning;
mod exchange;
mod manager;
mod network;

use super::cover::Cover;
use super::disk::Disk;
use super::node::Node;
use super::people::Human;
use super::rng::Rng;
use crate::Core;
use crate::action::KeyRef;
use crate::ids::{ActionId, CampaignId, Digest, KeySetId, KmcId, ZoneId};
use crate::key::Material;
use crate::people::Role;
use keylink::root::{Recovery, RootDocument, SignedRoot};
use keylink::wire::{Hex, U64};
use keylink::{Sign, Signed, SoftSigner};
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
            transport_keys: Vec::new(),
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

    pub fn born(&mut self, key: KeyRef, material: &Material) {
        let secret: u64 = material.block.split('|').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default();
        if let Some(before) = self.secrets.insert(key, secret)
            && before != secret
        {
            self.violated(format!("the number of {key} was given to two keys"));
        }
    }
}
