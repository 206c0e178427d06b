//! A node and its link, with a backend that stores nothing: tokens are names.

use super::{Centre, evidence};
use keylink::action::{ActionClass, Evidence, Grant};
use keylink::manager::{Link, Said};
use keylink::message::{
    Definition, GenerationTarget, Indices, KeyKind, KeySetTarget, Manifest, Overlap, Possession,
    PossessionMethod, Reason, Receipt, ReceiptKind, Scope, Shape, Step,
};
use keylink::node::{Effects, InstallOrder, Installed, KekRecord, Machine, NodeState, Rules};
use keylink::wire::{Hex, U64};
use keylink::{CampaignId, Digest, Generation, Instant3, KeySetId, NodeId, Sign, Signed, SoftSigner, ZoneId};
use std::sync::Arc;

pub const ZONE: ZoneId = ZoneId([7; 16]);
pub const SET: KeySetId = KeySetId([8; 16]);
pub const CAMPAIGN: CampaignId = CampaignId([9; 16]);

#[derive(Clone)]
pub struct Side {
    pub machine: Machine,
    pub signer: Arc<SoftSigner>,
    pub link: Link,
    pub now: Instant3,
    /// What was stored last.
    pub stored: Vec<u8>,
    pub table: keylink::node::TableImage,
    pub installs: usize,
}

pub fn definition() -> Definition {
    Definition {
        key_set: SET,
        name: "ZPK north".into(),
        scope: Scope::Zone(ZONE),
        kind: KeyKind::Zpk,
        shape: Shape::Tdes2,
        overlap: Overlap::Time,
        indices: Indices { base: 0x100, odd: 0x101, even: 0x102 },
        hard_stop: false,
    }
}

pub fn target(generation: u32, step: Step) -> GenerationTarget {
    GenerationTarget {
        generation: Generation(generation),
        campaign: CAMPAIGN,
        step,
        kcv: format!("ABCD{generation:02}"),
        block: Some(format!("block {generation}")),
        nonce: Some(Hex([generation as u8; 32])),
        throw_away: None,
        protect_from: None,
        originator_until: None,
        recipient_until: None,
    }
}

pub fn brings(generation: u32) -> Grant {
    Grant::Generation { campaign: CAMPAIGN, key_set: SET, generation: Generation(generation) }
}

pub fn install(order: &InstallOrder) -> Result<Installed, Reason> {
    let possession = Possession {
        method: PossessionMethod::PinBlock,
        nonce: order.nonce,
        answer: hex::encode(order.challenge),
    };
    Ok(Installed { token: format!("U{}", order.block), kcv: order.kcv.clone(), possession })
}

impl Side {
    pub fn new(centre: &Centre, seed: u8) -> Self {
        let signer = Arc::new(SoftSigner::new(&[seed; 32]));
        let node = NodeId::of(&signer.key());
        let now = Instant3 { utc_ms: 1_000_000, mono_ms: 1_000, boot_id: 1 };
        let state = NodeState::new(centre.kmc, node, centre.root.clone());
        let machine = Machine::new(state, signer.clone(), Rules::default(), now).unwrap();
        let link = Link::new(centre.kmc, signer.key());
        let mut side =
            Self { machine, signer, link, now, stored: Vec::new(), table: Default::default(), installs: 0 };
        let effects = side.machine.boot(side.now);
        side.follow(effects);
        let kek = KekRecord { number: 1, token: "Sroot".into(), kcv: "0102030405".into() };
        let method = PossessionMethod::WrappedThrowAway;
        let proof = Possession { method, nonce: Hex([1; 32]), answer: "D".into() };
        let effects = side.machine.kek_formed(side.now, kek, proof).unwrap();
        side.follow(effects);
        side
    }

    pub fn node(&self) -> NodeId {
        self.machine.state().node
    }

    /// A manifest as the manager would make it now.
    pub fn manifest(
        &mut self,
        centre: &Centre,
        sets: Vec<KeySetTarget>,
        evidence: Vec<Evidence>,
    ) -> Manifest {
        let head = self.link.next_head(1, self.now.utc_ms + 60_000);
        Manifest {
            head,
            previous: self.link.previous(),
            resync: None,
            root: centre.root.hash(),
            suspended: false,
            key_sets: sets,
            evidence,
            checkpoint: None,
        }
    }

    pub fn seal(&mut self, centre: &Centre, manifest: &Manifest) -> Signed {
        let signed = Signed::seal(manifest, &centre.manifest);
        self.link.sent(manifest.head.seq, &signed);
        signed
    }

    /// Everything that the shell does with effects, backend included.
    pub fn follow(&mut self, effects: Effects) -> Vec<Signed> {
        self.follow_with(effects, &install)
    }

    pub fn follow_with(
        &mut self,
        effects: Effects,
        backend: &dyn Fn(&InstallOrder) -> Result<Installed, Reason>,
    ) -> Vec<Signed> {
        let mut said = effects.send;
        if effects.persist {
            self.stored = self.machine.to_bytes();
        }
        if !effects.install.is_empty() {
            self.installs += effects.install.len();
            let answers = effects.install.iter().map(backend).collect();
            let next = self.machine.installed(self.now, answers).unwrap();
            said.extend(self.follow_with(next, backend));
        }
        if let Some(table) = effects.publish {
            let number = table.number;
            self.table = table;
            for next in [self.machine.switched(self.now, number), self.machine.released(self.now, number)] {
                let next = next.unwrap();
                if next.persist {
                    self.stored = self.machine.to_bytes();
                }
                said.extend(next.send);
            }
        }
        said
    }

    pub fn give(&mut self, signed: &Signed) -> Vec<Signed> {
        let effects = self.machine.message(self.now, signed, [5; 16]).unwrap();
        self.follow(effects)
    }

    /// Gives a manifest and the receipts to the link; the kinds of receipt that were new.
    pub fn run(
        &mut self,
        centre: &Centre,
        sets: Vec<KeySetTarget>,
        evidence: Vec<Evidence>,
    ) -> Vec<ReceiptKind> {
        let manifest = self.manifest(centre, sets, evidence);
        let signed = self.seal(centre, &manifest);
        let said = self.give(&signed);
        let refused: Vec<_> = said.iter().filter(|s| s.kind == "refused").collect();
        assert!(refused.is_empty(), "{:?}", self.reason(refused[0]));
        self.deliver()
    }

    pub fn deliver(&mut self) -> Vec<ReceiptKind> {
        let mut kinds = Vec::new();
        for signed in self.machine.outbox().to_vec() {
            match self.link.receive(self.now.utc_ms, &signed).unwrap() {
                Said::Receipt(receipt, _) => kinds.push(receipt.kind),
                Said::Duplicate(_) => {}
                other => panic!("{other:?}"),
            }
        }
        kinds
    }

    /// The reason of the refusal that must come.
    pub fn refused(&mut self, signed: &Signed) -> Reason {
        let before = self.machine.to_bytes();
        let said = self.give(signed);
        assert_eq!(self.machine.to_bytes(), before, "a refusal changes nothing");
        let last = said.last().expect("an answer").clone();
        self.reason(&last)
    }

    pub fn reason(&mut self, signed: &Signed) -> Reason {
        match self.link.receive(self.now.utc_ms, signed).unwrap() {
            Said::Refused(refused) => refused.reason,
            other => panic!("{other:?}"),
        }
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        self.machine.outbox().iter().map(|s| s.peek().unwrap()).collect()
    }

    /// Process killed: what was not stored is gone.
    pub fn crash(&mut self) {
        self.now = Instant3 { boot_id: self.now.boot_id + 1, mono_ms: 0, ..self.now };
        self.machine =
            Machine::from_bytes(&self.stored, self.signer.clone(), Rules::default(), self.now).unwrap();
    }
}

pub fn set(generations: Vec<GenerationTarget>) -> KeySetTarget {
    KeySetTarget { definition: definition(), suspended: false, generations }
}

pub fn joined(centre: &Centre, node: NodeId) -> Vec<Evidence> {
    vec![
        evidence(centre, ActionClass::Zone, &[Grant::JoinZone { zone: ZONE, node }], &[1, 2]),
        evidence(centre, ActionClass::KeySet, &[Grant::KeySet(definition())], &[1, 2]),
    ]
}

pub fn rotate(centre: &Centre, generation: u32) -> Evidence {
    evidence(centre, ActionClass::Rotate, &[brings(generation)], &[1, 2])
}

/// A node on which generation 1 protects.
pub fn begun(centre: &Centre) -> Side {
    let mut side = Side::new(centre, 40);
    side.deliver();
    let mut evidence = joined(centre, side.node());
    evidence.push(rotate(centre, 1));
    let kinds = side.run(centre, vec![set(vec![target(1, Step::Protect)])], evidence);
    assert_eq!(kinds, [ReceiptKind::Proven, ReceiptKind::Accepting, ReceiptKind::Activated]);
    side
}

pub fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub fn number(value: u64) -> U64 {
    U64(value)
}
