//! A small centre for the cases: four officers, an operator, an auditor, a custodian, two nodes in a zone, and a
//! zone-exchange key of the centre. People do what they are told, at once.

use crate::Core;
use crate::action::{Act, KeyRef};
use crate::centre::Limits;
use crate::ceremony::ComponentMessage;
use crate::ids::{ActionId, CampaignId, Digest, Fresh, KeySetId, KmcId, NodeId, PolicyId, ZoneId};
use crate::input::{Arrived, Caller, Founding, Input, Judged, Outcome, Told};
use crate::key::{Holders, KcvMethod, Material, Origin, Wrapper};
use crate::kind::{KeyKind, Shape};
use crate::node::{BackendClass, NewNode, RootKek, Traffic};
use crate::people::Role;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::simulation::people::Human;
use crate::simulation::rng::Rng;
use crate::verified::Verified;
use keylink::action::Approval;
use keylink::message::{
    Audience, Definition, Head, Indices, Overlap, Receipt, ReceiptKind, RootKekConfirm, Scope,
};
use keylink::root::{Officer, Recovery, RootDocument, SignedRoot};
use keylink::wire::{Hex, U64};
use keylink::{Body, Instant3, Sign, Signed, SoftSigner};

pub const NOW: u64 = 1_800_000_000_000;
pub const OPERATOR: usize = 4;
pub const AUDITOR: usize = 5;
pub const CUSTODIANS: [usize; 2] = [6, 7];

pub struct House {
    pub core: Core,
    pub now: u64,
    pub people: Vec<Human>,
    pub nodes: Vec<SoftSigner>,
    pub root: SignedRoot,
    pub manager: SoftSigner,
    drawn: u64,
}

pub fn policy_id() -> PolicyId {
    PolicyId::new(1, [1; 10])
}

pub fn zone() -> ZoneId {
    ZoneId::new(1, [2; 10])
}

/// The zone's PIN key.
pub fn zpk() -> KeySetId {
    KeySetId::new(1, [3; 10])
}

/// A key of the centre that wraps what is exchanged.
pub fn zmk() -> KeySetId {
    KeySetId::new(1, [4; 10])
}

pub fn key(key_set: KeySetId, generation: u32) -> KeyRef {
    KeyRef { key_set, generation: keylink::Generation(generation) }
}

pub fn campaign(number: u8) -> CampaignId {
    CampaignId::new(1, [number; 10])
}

pub fn material() -> Material {
    Material {
        block: "D".into(),
        kcv: "A1B2C3".into(),
        kcv_method: KcvMethod::Zeros,
        wrapped_by: Wrapper::Master,
        wrapper_strength_bits: 256,
        arrived_under: None,
    }
}

/// A definition of a key set; `place` keeps name and indices apart.
pub fn definition(key_set: KeySetId, kind: KeyKind, shape: Shape, place: u16) -> Definition {
    Definition {
        key_set,
        name: format!("set {place}"),
        scope: Scope::Zone(zone()),
        kind,
        shape,
        overlap: Overlap::Time,
        indices: Indices { base: 10 * place, odd: 10 * place + 1, even: 10 * place + 2 },
        hard_stop: false,
    }
}

pub fn create(definition: Definition, policy: PolicyId, holders: Holders) -> Act {
    Act::CreateKeySet { definition, exportable: false, live: false, policy, holders }
}

/// The transport authority of the beginning.
pub fn transport() -> SoftSigner {
    SoftSigner::new(&[0xCA; 32])
}

/// Keys that may replace officers.
pub fn recovery_keys() -> [SoftSigner; 2] {
    [0xF1, 0xF2].map(|seed| SoftSigner::new(&[seed; 32]))
}

impl House {
    /// Nothing but the people.
    pub fn new() -> Self {
        let mut rng = Rng::new(1);
        let roles = [
            ("an", Role::SecurityOfficer),
            ("bo", Role::SecurityOfficer),
            ("cy", Role::SecurityOfficer),
            ("di", Role::SecurityOfficer),
            ("op", Role::Operator),
            ("au", Role::Auditor),
            ("cu", Role::Custodian),
            ("cv", Role::Custodian),
        ];
        let people: Vec<_> = roles.iter().map(|(name, role)| Human::new(&mut rng, name, *role)).collect();
        let manager = SoftSigner::new(&rng.bytes());
        let officers = people.iter().filter(|human| human.role == Role::SecurityOfficer);
        let mut root = SignedRoot::new(&RootDocument {
            number: 1,
            kmc: None,
            previous: None,
            created_ms: U64(NOW),
            name: "house".into(),
            manifest_keys: vec![manager.key()],
            checkpoint_keys: vec![],
            transport_keys: vec![transport().key()],
            officers: officers.clone().map(Human::officer).collect(),
            quorums: vec![],
            recovery: Recovery { keys: recovery_keys().map(|key| key.key()).to_vec(), needed: 2 },
        });
        officers.for_each(|officer| root.sign(officer.signer.as_ref()));
        let nodes = (0..3).map(|_| SoftSigner::new(&rng.bytes())).collect();
        Self { core: Core::default(), now: NOW, people, nodes, root, manager, drawn: 0 }
    }

    pub fn founding(&self) -> Input {
        let persons = self.people.iter().map(Human::registration).collect();
        Input::Found(Founding { root: self.root.clone(), persons, limits: Limits::default() })
    }

    /// With everything that the module's text says. Of three nodes the last is in no zone.
    pub fn founded() -> Self {
        let mut house = Self::new();
        house.must(house.founding());
        let new = |(at, n): (usize, &SoftSigner)| NewNode {
            key: n.key(),
            csr: Digest::default(),
            name: format!("node {at}"),
            class: BackendClass::C,
        };
        house.carry(Act::EnrolNodes(house.nodes.iter().enumerate().map(new).collect()));
        for n in 0..3 {
            house.rekeyed(n, Self::kek(1, 256));
        }
        house.carry(Act::DefinePolicy(house.policy(policy_id(), KeyKind::Zpk)));
        house.carry(Act::DefinePolicy(house.policy(PolicyId::new(2, [1; 10]), KeyKind::Zmk)));
        house.carry(Act::CreateZone { id: zone(), alias: "zone".into(), live: false });
        house.carry(create(definition(zpk(), KeyKind::Zpk, Shape::Tdes3, 1), policy_id(), Holders::Members));
        let exchange = definition(zmk(), KeyKind::Zmk, Shape::Aes128, 2);
        house.carry(create(exchange, PolicyId::new(2, [1; 10]), Holders::Centre));
        let nodes = [house.node(0), house.node(1)].into();
        house.carry(Act::AddMembers { zone: zone(), nodes });
        for n in 0..2 {
            let (by, node) = (house.by(OPERATOR), house.node(n));
            house.must(Input::Traffic { by, node, to: Traffic::InTraffic });
        }
        house
    }

    pub fn kek(number: u32, strength_bits: u16) -> RootKek {
        RootKek { number, strength_bits, block: "K".into(), kcv: "000000".into(), since_utc_ms: NOW }
    }

    /// A node agrees on a root KEK that it shall get, and says that it has it.
    pub fn rekeyed(&mut self, n: usize, kek: RootKek) {
        let confirm = self.agreed(n, kek.clone());
        self.say(n, &self.kek_receipt(n, &kek, &confirm)).expect("allowed");
        let used = self.core.node(&self.node(n)).and_then(|node| node.kek_in_use());
        assert_eq!(used.map(|used| used.number), Some(kek.number));
    }

    /// The first half of it.
    pub fn agreed(&mut self, n: usize, kek: RootKek) -> Signed {
        let confirm = self.confirm(n);
        self.must(Input::KekAgreed { node: self.node(n), kek, confirm: confirm.clone() });
        confirm
    }

    /// A confirmation with the next number of its node.
    pub fn confirm(&self, n: usize) -> Signed {
        let mut link = self.core.node(&self.node(n)).expect("is known").link.clone();
        let head = link.next_head(self.core.epoch(), self.now + 60_000);
        let body = RootKekConfirm { head, accept: Digest::default(), confirm: Hex([0; 32]) };
        Signed::seal(&body, &self.manager)
    }

    /// What a node says of a root KEK that it has agreed, or formed when the message is empty.
    pub fn kek_receipt(&self, n: usize, kek: &RootKek, asked: &Signed) -> Receipt {
        let link = &self.core.node(&self.node(n)).expect("is known").link;
        let seq = asked.peek::<RootKekConfirm>().map_or(U64(0), |confirm| confirm.head.seq);
        Receipt {
            head: self.head(link.next_receipt()),
            node: self.node(n),
            boot_id: U64(1),
            previous: link.last_receipt().map(|(_, hash)| hash),
            kind: ReceiptKind::KekInstalled,
            campaign: None,
            key_set: None,
            generation: Some(keylink::Generation(kek.number)),
            usage: Some("K1".into()),
            kcv: Some(kek.kcv.clone()),
            block: None,
            message_seq: seq,
            message: if seq.0 == 0 { Digest::default() } else { asked.hash() },
            possession: None,
            utc_ms: U64(self.now),
            checkpoint: None,
        }
    }

    pub fn policy(&self, id: PolicyId, kind: KeyKind) -> Policy {
        let shapes = [Shape::Tdes3, Shape::Aes128, Shape::Aes256];
        Policy::defaults(id, &format!("{kind:?}"), kind, &shapes)
    }

    pub fn kmc(&self) -> KmcId {
        KmcId(self.root.hash().0)
    }

    pub fn node(&self, n: usize) -> NodeId {
        NodeId::of(&self.nodes[n].key())
    }

    pub fn by(&self, person: usize) -> Caller {
        self.people[person].by
    }

    /// Tells the core something. What it refuses has changed nothing.
    pub fn tell(&mut self, input: Input) -> Result<Outcome, Refusal> {
        self.drawn += 1;
        let fresh = Fresh(Digest::of(&self.drawn.to_be_bytes()));
        let now = Instant3 { utc_ms: self.now, mono_ms: self.now, boot_id: 1 };
        let before = self.core.clone();
        let outcome =
            self.core.handle(now, Told { fresh, request: None, input }).map(|effects| effects.outcome);
        assert!(outcome.is_ok() || self.core == before, "a refusal changed something");
        outcome
    }

    pub fn must(&mut self, input: Input) -> Outcome {
        self.tell(input).expect("allowed")
    }

    pub fn refused(&mut self, input: Input) -> Refusal {
        self.tell(input).expect_err("refused")
    }

    /// The operator asks.
    pub fn propose(&mut self, act: Act) -> Result<(ActionId, Digest, Hex<16>), Refusal> {
        self.propose_by(OPERATOR, act)
    }

    pub fn propose_by(&mut self, person: usize, act: Act) -> Result<(ActionId, Digest, Hex<16>), Refusal> {
        match self.tell(Input::Propose { by: self.by(person), act })? {
            Outcome::Proposed { action, hash, nonce, .. } => Ok((action, hash, nonce)),
            other => panic!("{other:?}"),
        }
    }

    pub fn unproposed(&mut self, act: Act) -> Refusal {
        self.propose(act).expect_err("refused")
    }

    /// A person's approval, as it is or changed before it is signed.
    pub fn approval(
        &self,
        person: usize,
        (_, action, nonce): (ActionId, Digest, Hex<16>),
        change: impl FnOnce(&mut Approval),
    ) -> Input {
        let human = &self.people[person];
        let mut body = Approval {
            kmc: self.kmc(),
            action,
            nonce,
            person: human.by.person,
            credential: human.by.credential,
            signed_ms: U64(self.now),
            not_after: U64(self.now + 60_000),
        };
        change(&mut body);
        let signed = Signed::seal(&body, human.signer.as_ref());
        Input::Approve(Verified::open(signed, &human.key()).expect("own signature"))
    }

    /// The operator asks, officers approve.
    pub fn carry(&mut self, act: Act) -> ActionId {
        let asked = self.propose(act).expect("can be asked for");
        for person in 0..4 {
            if self
                .core
                .state()
                .action(&asked.0)
                .is_some_and(|action| action.state == crate::approval::ActionState::Pending)
            {
                self.must(self.approval(person, asked, |_| ()));
            }
        }
        asked.0
    }

    /// A key has come by the right of an action, sealed for the number that is next now.
    pub fn formed(&self, action: ActionId, origin: Origin, material: Material) -> Input {
        let key_set = match self.core.state().action(&action).and_then(|action| action.act()) {
            Some(Act::FormKey { key_set, .. } | Act::ImportKey { key_set, .. }) => key_set,
            other => panic!("{other:?}"),
        };
        let generation = self.core.key_set(&key_set).expect("a key set").next_generation;
        let key = Arrived { action, origin, generation, material };
        Input::Formed { by: self.by(OPERATOR), key }
    }

    /// What a custodian signs about a component, as it is or changed before it is signed.
    pub fn component(
        &self,
        ceremony: ActionId,
        person: usize,
        number: u8,
        change: impl FnOnce(&mut ComponentMessage),
    ) -> Input {
        let human = &self.people[person];
        let mut body = ComponentMessage {
            kmc: self.kmc(),
            ceremony,
            number,
            person: human.by.person,
            credential: human.by.credential,
            key: Digest::default(),
            check: "A1B2C3".into(),
            sealed: Digest::default(),
        };
        change(&mut body);
        let signed = Signed::seal(&body, human.signer.as_ref());
        Input::Component(Verified::open(signed, &human.key()).expect("own signature"))
    }

    /// A key of the centre comes from components and is put into use.
    pub fn exchange_key(&mut self) -> KeyRef {
        let custodians = CUSTODIANS.map(|person| self.by(person).person).to_vec();
        let action = self.carry(Act::FormKey { key_set: zmk(), custodians });
        self.must(self.formed(action, Origin::Components, material()));
        self.carry(Act::ActivateKey(key(zmk(), 1)));
        key(zmk(), 1)
    }

    /// The recovery keys, and the officers who come as far as they are here, sign a document with other officers.
    pub fn recovery(&self, officers: Vec<Officer>) -> Input {
        let document = self.core.next_root(self.now).expect("a draft");
        let mut next = SignedRoot::new(&RootDocument { officers: officers.clone(), ..document });
        recovery_keys().iter().for_each(|key| next.sign(key));
        let comes = |human: &&Human| officers.iter().any(|officer| officer.key == human.key());
        self.people.iter().filter(comes).for_each(|human| next.sign(human.signer.as_ref()));
        Input::InstallRoot { by: self.by(0), root: next }
    }

    /// Two who are new.
    pub fn newcomers(&mut self) -> [Officer; 2] {
        let mut rng = Rng::new(77);
        ["dora", "emil"].map(|name| {
            let human = Human::new(&mut rng, name, Role::SecurityOfficer);
            let officer = human.officer();
            self.people.push(human);
            officer
        })
    }

    // ---- nodes ----

    /// Head of a message of a node, with a number.
    pub fn head(&self, seq: u64) -> Head {
        Head {
            version: keylink::message::PROTOCOL,
            kmc: self.kmc(),
            audience: Audience::Kmc,
            epoch: U64(1),
            seq: U64(seq),
            not_after: U64(self.now + 60_000),
        }
    }

    pub fn say<B: Body>(&mut self, n: usize, body: &B) -> Result<Outcome, Refusal> {
        let signed = Signed::seal(body, &self.nodes[n]);
        self.tell(Input::Said { node: self.node(n), signed, judged: Judged::None })
    }
}
