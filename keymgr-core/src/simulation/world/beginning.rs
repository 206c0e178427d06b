//! The beginning of a world, while nothing fails: people, nodes, root KEKs, zones, first keys.

use super::{SILENT_MS, SKEW_MS, World, ZoneFacts};
use crate::action::Act;
use crate::centre::Limits;
use crate::ids::{Digest, KeySetId, PolicyId, ZoneId};
use crate::input::{Founding, Input, Outcome};
use crate::key::Holders;
use crate::kind::{KeyKind, Shape};
use crate::node::{BackendClass, NewNode, Traffic};
use crate::people::Role;
use crate::policy::Policy;
use crate::simulation::node::Node;
use crate::simulation::people::Human;
use crate::verified::Verified;
use keylink::Sign;
use keylink::message::{Definition, Indices, Overlap, Scope};

impl World {
    pub(super) fn set_up(&mut self, liars: bool) {
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
        // In some worlds the first orders, which name no key, are still on their way when those of the first keys follow.
        let hurries = self.seed % 8 == 6;
        if hurries {
            self.drive_manager();
        }
        self.first_keys(hurries);
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

    pub fn operator(&self) -> crate::input::Caller {
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
    fn first_keys(&mut self, hurries: bool) {
        for n in 0..self.zones.len() {
            let set = self.zones[n].key_set;
            let target = self.core.as_ref().and_then(|core| core.state().key_set(&set).cloned());
            let target = target.and_then(|set| self.target(&set, false)).expect("a plan");
            assert!(self.by_quorum(Act::Rotate(vec![target])), "a first campaign begins");
        }
        // A key is made and wrapped, and the order signed.
        for _ in 0..2 * u8::from(hurries) {
            self.drive_manager();
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
}
