//! Nodes: what they say, what they are told, and when they may serve.

use super::Case;
use super::house::{House, OPERATOR, zone, zpk};
use crate::action::Act;
use crate::alarm::{Alarm, AlarmKind};
use crate::ids::Digest;
use crate::input::{Input, Judged};
use crate::key::Key;
use crate::node::{BackendClass, NewNode, Traffic};
use crate::people::Role;
use crate::policy::DAY_MS;
use crate::receipts::early;
use crate::table::Change;
use keylink::message::{Audience, GenerationUse, Hello, Manifest, Pull, Receipt, ReceiptKind, StatusBeat};
use keylink::wire::U64;
use keylink::{KmcId, Sign, Signed, SoftSigner};

pub const CASES: &[Case] = &[
    ("a node let in twice", "exists", |house| {
        let new = NewNode {
            key: house.nodes[0].key(),
            csr: Digest::default(),
            name: "again".into(),
            class: BackendClass::C,
        };
        house.unproposed(Act::EnrolNodes(vec![new]))
    }),
    ("a node without a name", "value", |house| house.unproposed(Act::EnrolNodes(vec![another(9, " ")]))),
    ("a node whose name moves the cursor", "value", |house| {
        house.unproposed(Act::EnrolNodes(vec![another(9, "n1\u{1b}[1A")]))
    }),
    ("a node named like another's id", "value", |house| {
        let id = house.node(0).to_string();
        house.unproposed(Act::EnrolNodes(vec![another(9, &id)]))
    }),
    ("a node under a name that is taken", "exists", |house| {
        house.unproposed(Act::EnrolNodes(vec![another(9, "node 0")]))
    }),
    ("a node under the name of one that was revoked", "exists", |house| {
        house.carry(Act::RevokeNode { node: house.node(2) });
        house.unproposed(Act::EnrolNodes(vec![another(9, "node 2")]))
    }),
    ("two nodes under one name at once", "exists", |house| {
        house.unproposed(Act::EnrolNodes(vec![another(8, "n1"), another(9, "n1")]))
    }),
    ("a member let into its zone again", "exists", |house| {
        house.unproposed(Act::AddMembers { zone: zone(), nodes: [house.node(0)].into() })
    }),
    ("a node taken out of a zone where it is not", "not_member", |house| {
        house.unproposed(Act::RemoveMembers { zone: zone(), nodes: [house.node(2)].into() })
    }),
    ("a node in traffic taken out of its zone", "in_traffic", |house| {
        house.unproposed(Act::RemoveMembers { zone: zone(), nodes: [house.node(0)].into() })
    }),
    ("a node in traffic let into a zone that has a key", "in_traffic", |house| {
        let (by, node) = (house.by(OPERATOR), house.node(2));
        house.must(Input::Traffic { by, node, to: Traffic::InTraffic });
        let campaign = house.emergency(1);
        for _ in 0..4 {
            house.now += 3_700_000;
            house.must(Input::Tick);
        }
        assert!(house.core.campaign(&campaign).is_some_and(|campaign| !campaign.phase.is_live()));
        house.unproposed(Act::AddMembers { zone: zone(), nodes: [node].into() })
    }),
    ("a revoked node let into a zone", "suspended", |house| {
        house.carry(Act::RevokeNode { node: house.node(2) });
        house.unproposed(Act::AddMembers { zone: zone(), nodes: [house.node(2)].into() })
    }),
    ("a node resumed that is not suspended", "value", |house| {
        house.unproposed(Act::ResumeNode { node: house.node(0) })
    }),
    ("a suspended node back in traffic", "suspended", |house| {
        house.carry(Act::SuspendNode { node: house.node(0), reason: "odd".into() });
        let (by, node) = (house.by(OPERATOR), house.node(0));
        house.refused(Input::Traffic { by, node, to: Traffic::InTraffic })
    }),
    ("a node back in traffic without the key that protects", "not_ready", |house| {
        house.zone_key();
        let (by, node) = (house.by(OPERATOR), house.node(0));
        house.must(Input::Traffic { by, node, to: Traffic::Drained });
        house.refused(Input::Traffic { by, node, to: Traffic::InTraffic })
    }),
    ("traffic declared by an auditor", "forbidden", |house| {
        let auditor = house.people.iter().find(|human| human.role == Role::Auditor).expect("there").by;
        house.refused(Input::Traffic { by: auditor, node: house.node(0), to: Traffic::Offline })
    }),
    ("a node in quarantine put there again", "in_quarantine", |house| {
        let (by, node) = (house.by(OPERATOR), house.node(0));
        house.must(Input::Quarantine { by, node, reason: "first".into() });
        house.refused(Input::Quarantine { by, node, reason: "second".into() })
    }),
    ("a reason of a quarantine that is a book", "value", |house| {
        let (by, node) = (house.by(OPERATOR), house.node(0));
        house.refused(Input::Quarantine { by, node, reason: "x".repeat(257) })
    }),
    ("a reason of a suspension that is a book", "value", |house| {
        house.unproposed(Act::SuspendNode { node: house.node(0), reason: "x".repeat(257) })
    }),
    ("a reason that moves the cursor", "value", |house| {
        house.unproposed(Act::SuspendNode { node: house.node(0), reason: "odd\u{1b}[2K".into() })
    }),
    ("a parcel brought by an auditor", "forbidden", |house| {
        let auditor = house.people.iter().find(|human| human.role == Role::Auditor).expect("there").by;
        let (node, parcel) = (house.node(0), Digest::default());
        house.refused(Input::Brought { by: auditor, node, parcel, verdicts: Vec::new() })
    }),
    // ---- what nodes say ----
    ("a message that another key has signed", "message_signature", |house| {
        let beat = house.beat(1);
        let signed = Signed::seal(&beat, &house.nodes[1]);
        house.refused(Input::Beat { node: house.node(0), beat: signed, skew_ms: 0, by_file: false })
    }),
    ("a receipt that was changed on its way", "message_signature", |house| {
        let mut signed = Signed::seal(&house.receipt(1), &house.nodes[0]);
        signed.payload.push(b' ');
        house.refused(Input::Said { node: house.node(0), signed, judged: Judged::None })
    }),
    ("a message of a kind that nodes do not send", "message_signature", |house| {
        let beat = house.beat(1);
        house.say(0, &beat).expect_err("refused")
    }),
    ("a message for another centre", "message_head", |house| {
        let mut receipt = house.receipt(1);
        receipt.head.kmc = KmcId::default();
        house.say(0, &receipt).expect_err("refused")
    }),
    ("a misdirected receipt", "message_head", |house| {
        let mut receipt = house.receipt(1);
        receipt.head.audience = Audience::Node(house.node(1));
        house.say(0, &receipt).expect_err("refused")
    }),
    ("a node that speaks for another", "message_foreign", |house| {
        let mut receipt = house.receipt(1);
        receipt.node = house.node(1);
        house.say(0, &receipt).expect_err("refused")
    }),
    ("a receipt before the one that comes first", "receipt_gap", |house| {
        let receipt = house.receipt(2);
        house.say(0, &receipt).expect_err("refused")
    }),
    ("a beat that comes again", "message_replayed", |house| {
        let signed = Signed::seal(&house.beat(1), &house.nodes[0]);
        house.must(Input::Beat { node: house.node(0), beat: signed.clone(), skew_ms: 0, by_file: false });
        house.refused(Input::Beat { node: house.node(0), beat: signed, skew_ms: 0, by_file: false })
    }),
    ("a request for mail that comes again", "message_replayed", |house| {
        let pull = Pull {
            head: house.head(1),
            node: house.node(0),
            boot_id: U64(1),
            taken: (U64(0), U64(0)),
            root: 1,
            proved: U64(0),
            wait_s: 0,
        };
        let signed = Signed::seal(&pull, &house.nodes[0]);
        house.must(Input::Pull { node: house.node(0), pull: signed.clone() });
        house.refused(Input::Pull { node: house.node(0), pull: signed })
    }),
    ("a hello of an earlier boot", "message_replayed", |house| {
        for boot in [1, 2] {
            house.hello(boot).expect("allowed");
        }
        house.hello(1).expect_err("refused")
    }),
    ("anything of a node in two places", "node_quarantined", |house| {
        // Two receipts of one number that answer nothing, of which the node itself has formed the key.
        let mut receipt = house.receipt(1);
        (receipt.kind, receipt.message_seq) = (ReceiptKind::KekInstalled, U64(0));
        house.say(0, &receipt).expect("allowed");
        receipt.utc_ms.0 += 1;
        house.say(0, &receipt).expect("it is noted");
        assert!(house.core.node(&house.node(0)).is_some_and(|node| node.quarantined.is_some()));
        house.say(0, &receipt).expect_err("refused")
    }),
    ("a revoked node", "suspended", |house| {
        house.carry(Act::RevokeNode { node: house.node(0) });
        let beat = Signed::seal(&house.beat(1), &house.nodes[0]);
        house.refused(Input::Beat { node: house.node(0), beat, skew_ms: 0, by_file: false })
    }),
    ("a node that is not known", "unknown", |house| {
        house.nodes[0] = SoftSigner::new(&[9; 32]);
        house.hello(1).expect_err("refused")
    }),
    // ---- what nodes are told ----
    ("a manifest that is not due", "not_due", |house| {
        let manifest = house.manifest(|_| ());
        house.must(Input::Issue(vec![manifest.clone()]));
        house.refused(Input::Issue(vec![manifest]))
    }),
    ("a manifest with another number", "not_due", |house| {
        let manifest = house.manifest(|body| body.head.seq.0 += 1);
        house.refused(Input::Issue(vec![manifest]))
    }),
    ("a manifest of an earlier epoch", "not_due", |house| {
        let manifest = house.manifest(|_| ());
        house.must(Input::TakeOver { epoch: 2 });
        house.refused(Input::Issue(vec![manifest]))
    }),
    ("a manifest with other keys than are due", "not_due", |house| {
        let manifest = house.manifest(|body| body.key_sets.clear());
        house.refused(Input::Issue(vec![manifest]))
    }),
    ("a manifest upon one that the node has not taken", "not_due", |house| {
        let manifest = house.manifest(|body| body.previous = Some(Digest::default()));
        house.refused(Input::Issue(vec![manifest]))
    }),
    ("an offer with a number that is not the next", "not_due", |house| {
        let mut manifest = house.manifest(|_| ());
        manifest.kind = "root-kek-offer".into();
        house.refused(Input::Post { node: house.node(0), signed: manifest })
    }),
];

pub(super) fn another(seed: u8, name: &str) -> NewNode {
    let key = SoftSigner::new(&[seed; 32]).key();
    NewNode { key, csr: Digest::default(), name: name.into(), class: BackendClass::C }
}

fn told(house: &House, kind: AlarmKind) -> usize {
    house.core.alarms().filter(|alarm| alarm.kind == kind && alarm.ended_utc_ms.is_none()).count()
}

// Away for longer than any message lives, and with receipts whose messages are forgotten: they are kept and counted
// for nothing, people are told, and what comes after them counts.
#[test]
fn a_chain_of_receipts_never_stops() {
    let mut house = House::founded();
    let (first, second) = (house.receipt(1), house.receipt(2));
    house.now += 91 * DAY_MS;
    for mut receipt in [first, second.clone()] {
        receipt.previous = house.core.node(&house.node(0)).and_then(|n| n.link.last_receipt()).map(|r| r.1);
        house.say(0, &receipt).expect("taken");
        assert_eq!(told(&house, AlarmKind::ReceiptsBehind), 1);
    }
    let last = house.core.node(&house.node(0)).and_then(|node| node.link.last_receipt());
    assert_eq!(last.map(|(number, _)| number), Some(second.head.seq));
}

// Any time that a node writes is only what it says.
#[test]
fn a_receipt_of_the_end_of_time_harms_nobody() {
    let mut house = House::founded();
    let mut receipt = house.receipt(1);
    (receipt.kind, receipt.utc_ms) = (ReceiptKind::Activated, U64(u64::MAX));
    house.say(0, &receipt).expect("taken");
    house.must(Input::Tick);
}

// Made before a receipt that was counted meanwhile, and delivered after it.
#[test]
fn a_hello_that_comes_late_is_no_fork() {
    let mut house = House::founded();
    let mut late = house.hello_at(1, 1);
    house.now += 5;
    let receipt = house.receipt(1);
    house.say(0, &receipt).expect("taken");
    house.greet(&late).expect("taken");
    assert!(house.core.node(&house.node(0)).is_some_and(|node| node.quarantined.is_none()));
    // A copy of the node that was made before the receipt and speaks after it.
    house.now += 5;
    (late.head.seq, late.utc_ms) = (U64(2), U64(house.now));
    house.greet(&late).expect("it is noted");
    assert!(house.core.node(&house.node(0)).is_some_and(|node| node.quarantined.is_some()));
}

// The farewell of a boot comes after the first beat of the next.
#[test]
fn a_beat_that_comes_late_says_nothing_new() {
    let mut house = House::founded();
    let say = |house: &mut House, beat: &StatusBeat, skew_ms| {
        let beat = Signed::seal(beat, &house.nodes[0]);
        house.must(Input::Beat { node: house.node(0), beat, skew_ms, by_file: false });
        house.core.node(&house.node(0)).map(|node| (node.serving_utc_ms > 0, node.skew_ms)).expect("there")
    };
    let mut first = house.beat(1);
    assert_eq!(say(&mut house, &first, 0), (true, 0));
    (first.head.seq, first.ready, first.utc_ms) = (U64(2), false, U64(house.now + 10));
    house.now += 20;
    let mut second = house.beat(1);
    second.boot_id = U64(2);
    assert_eq!(say(&mut house, &second, 1), (true, 1));
    assert_eq!(say(&mut house, &first, -5000), (true, 1));
    // A clock that once ran ahead makes nothing that follows late.
    (second.head.seq, second.utc_ms) = (U64(3), U64(house.now + 400 * DAY_MS));
    assert_eq!(say(&mut house, &second, 1).1, 1);
    house.now += 1_000;
    (second.head.seq, second.ready, second.utc_ms) = (U64(2), false, U64(house.now));
    assert_eq!(say(&mut house, &second, 2), (false, 2));
}

// What a node reports of itself does not hide it, and whoever declares it in traffic ends it.
#[test]
fn a_node_that_serves_undeclared_is_told_of_until_it_is_declared() {
    let mut house = House::founded();
    let mut seq = 0;
    let mut say = |house: &mut House, ready, alarms: &[keylink::message::Alarm]| {
        seq += 1;
        let mut beat = house.beat(seq);
        (beat.ready, beat.alarms) = (ready, alarms.to_vec());
        let beat = Signed::seal(&beat, &house.nodes[0]);
        house.must(Input::Beat { node: house.node(0), beat, skew_ms: 0, by_file: false });
        (told(house, AlarmKind::Undeclared), told(house, AlarmKind::NodeReports))
    };
    let declare = |house: &mut House, to| {
        let (by, node) = (house.by(OPERATOR), house.node(0));
        house.must(Input::Traffic { by, node, to });
        told(house, AlarmKind::Undeclared)
    };
    assert_eq!(say(&mut house, true, &[]), (0, 0));
    declare(&mut house, Traffic::Drained);
    assert_eq!(say(&mut house, true, &[keylink::message::Alarm::Table]), (1, 1));
    assert_eq!(say(&mut house, true, &[]), (1, 0));
    assert_eq!(say(&mut house, false, &[]), (0, 0), "it serves nobody");
    assert_eq!(say(&mut house, true, &[]), (1, 0));
    assert_eq!(declare(&mut house, Traffic::Offline), 1);
    assert_eq!(declare(&mut house, Traffic::InTraffic), 0);
    assert_eq!(say(&mut house, true, &[]), (0, 0));
}

#[test]
fn a_switch_before_its_time_is_told_of_until_a_time_is_kept() {
    let mut house = House::founded();
    let name = house.zone_key();
    let mut receipt = house.receipt(1);
    let mut tx = Change::new(house.core.state());
    let key = tx.edit::<Key>(&name).unwrap();
    key.windows.originator_from = Some(house.now + DAY_MS);
    let key = key.clone();
    for (utc_ms, told) in [(house.now, 1), (house.now, 1), (house.now + DAY_MS, 0)] {
        receipt.utc_ms = U64(utc_ms);
        early(&mut tx, &house.node(0), &key, &receipt, house.now);
        let alarm = tx.find::<Alarm>(&(AlarmKind::EarlySwitch, house.node(0).to_string())).unwrap();
        assert_eq!(usize::from(alarm.ended_utc_ms.is_none()), told, "{utc_ms}");
    }
}

#[test]
fn keys_of_a_revoked_node_are_told() {
    let mut house = House::founded();
    let key = house.zone_key();
    house.must(Input::Wrapped(vec![house.wrapped(0, key)]));
    house.carry(Act::RevokeNode { node: house.node(2) });
    assert_eq!(told(&house, AlarmKind::KeySuspect), 0, "it was sent none");
    house.carry(Act::RevokeNode { node: house.node(0) });
    assert_eq!(told(&house, AlarmKind::KeySuspect), 1);
}

// Counted over boots and nodes, and only once for each use.
#[test]
fn uses_beyond_those_of_the_policy_are_told() {
    let mut house = House::founded();
    let key = house.zone_key();
    house.must(Input::Wrapped(vec![house.wrapped(0, key)]));
    house.core.state.key_sets.get_mut(&zpk()).expect("there").protecting = Some(key.generation);
    let policy = house.core.state.key_sets[&zpk()].policy;
    house.core.state.policies.get_mut(&policy).expect("there").operations_max = Some(10);
    let say = |house: &mut House, boot: u64, seq: u64, uses: u64| {
        let mut beat = house.beat(seq);
        let own = GenerationUse {
            key_set: key.key_set,
            generation: key.generation,
            base: U64(uses),
            fixed: U64(0),
        };
        (beat.boot_id, beat.uses) = (U64(boot), vec![own]);
        let beat = Signed::seal(&beat, &house.nodes[0]);
        house.must(Input::Beat { node: house.node(0), beat, skew_ms: 0, by_file: false });
        told(house, AlarmKind::KeyExpires)
    };
    assert_eq!(say(&mut house, 1, 1, 6), 0);
    assert_eq!(say(&mut house, 1, 2, 6), 0);
    assert_eq!(say(&mut house, 2, 1, 4), 0);
    assert_eq!(say(&mut house, 2, 2, 5), 1);
}

impl House {
    /// The receipt of the first node that comes so many after the last one, and answers nothing.
    pub(super) fn receipt(&self, number: u64) -> Receipt {
        let link = &self.core.node(&self.node(0)).expect("is known").link;
        Receipt {
            head: self.head(link.next_receipt() - 1 + number),
            node: self.node(0),
            boot_id: U64(1),
            previous: link.last_receipt().map(|(_, hash)| hash),
            kind: ReceiptKind::Applied,
            campaign: None,
            key_set: None,
            generation: None,
            usage: None,
            kcv: None,
            block: None,
            message_seq: U64(7),
            message: Digest::default(),
            possession: None,
            utc_ms: U64(self.now),
            checkpoint: None,
        }
    }

    pub(super) fn beat(&self, seq: u64) -> StatusBeat {
        StatusBeat {
            head: self.head(seq),
            node: self.node(0),
            boot_id: U64(1),
            utc_ms: U64(self.now),
            mono_ms: U64(1),
            ready: true,
            suspended: false,
            manifest: None,
            table: U64(0),
            uses: vec![],
            alarms: vec![],
            checkpoint: None,
        }
    }

    /// The first node begins its first session.
    pub(super) fn hello_with_first(&mut self) {
        self.hello(1).expect("allowed");
    }

    /// A node's beat says that it serves hosts.
    pub fn serves(&mut self, n: usize) {
        let mut beat = self.beat(1);
        beat.node = self.node(n);
        let beat = Signed::seal(&beat, &self.nodes[n]);
        self.must(Input::Beat { node: self.node(n), beat, skew_ms: 0, by_file: false });
    }

    pub(super) fn hello(&mut self, boot: u64) -> Result<crate::input::Outcome, super::Refusal> {
        let hello = self.hello_at(boot, 1);
        self.greet(&hello)
    }

    fn greet(&mut self, hello: &Hello) -> Result<crate::input::Outcome, super::Refusal> {
        let hello = Signed::seal(hello, &self.nodes[0]);
        self.tell(Input::Hello { node: self.node(0), hello })
    }

    fn hello_at(&self, boot: u64, seq: u64) -> Hello {
        let last = self.core.node(&self.node(0)).and_then(|node| node.link.last_receipt());
        let receipt = last.map_or((U64(0), None), |(number, hash)| (number, Some(hash)));
        Hello {
            head: self.head(seq),
            node: self.node(0),
            boot_id: U64(boot),
            protocol: 1,
            software: "test".into(),
            backend_class: "C".into(),
            root: 1,
            taken: (U64(0), U64(0)),
            receipt,
            exporter: None,
            utc_ms: U64(self.now),
        }
    }

    /// The manifest that is due at the first node, as it is or changed.
    fn manifest(&mut self, change: impl FnOnce(&mut Manifest)) -> Signed {
        let key = self.zone_key();
        self.must(Input::Wrapped(vec![self.wrapped(0, key)]));
        self.hello(1).expect("allowed");
        let now = self.now;
        let work = self.core.work(now, None, 16);
        let node = self.node(0);
        let mut body = work.sign.into_iter().find(|draft| draft.node == node).expect("is due").body;
        change(&mut body);
        Signed::seal(&body, &self.manager)
    }
}
