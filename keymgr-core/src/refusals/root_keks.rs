//! Root KEKs: what may be ordered and formed, and what a node may say of them.

use super::Case;
use super::house::{CUSTODIANS, House, OPERATOR};
use crate::action::Act;
use crate::alarm::AlarmKind;
use crate::approval::APPROVED_MS;
use crate::ids::{ActionId, PersonId};
use crate::input::{Arrived, Input, Judged};
use crate::key::{Key, Origin};
use crate::node::Progress;
use crate::root_kek::{KekTarget, LATE_MS, RECEIPT_MS};
use keylink::message::Receipt;
use keylink::wire::{Hex, U64};
use keylink::{Digest, Signed, SoftSigner};

pub const CASES: &[Case] = &[
    ("a root KEK for no node", "value", |house| house.unproposed(Act::RekeyNodes(vec![]))),
    ("a root KEK for a node named twice", "value", |house| {
        let one = house.target(0, 2);
        house.unproposed(Act::RekeyNodes(vec![one, one]))
    }),
    ("a root KEK for a node that is not known", "unknown", |house| {
        house.nodes[0] = SoftSigner::new(&[9; 32]);
        house.unproposed(Act::RekeyNodes(vec![house.target(0, 1)]))
    }),
    ("a root KEK with a number that does not rise", "outdated", |house| {
        house.unproposed(Act::RekeyNodes(vec![house.target(0, 1)]))
    }),
    ("a root KEK with a number that is not the next", "outdated", |house| {
        house.unproposed(Act::RekeyNodes(vec![house.target(0, 3)]))
    }),
    ("a root KEK for a suspended node", "suspended", |house| {
        house.carry(Act::SuspendNode { node: house.node(0), reason: "odd".into() });
        house.unproposed(Act::RekeyNodes(vec![house.target(0, 2)]))
    }),
    ("a root KEK that others may know, and nobody says why", "value", |house| {
        let targets = vec![house.target(0, 2)];
        house.unproposed(Act::RekeySuspect { targets, reason: " ".into() })
    }),
    ("a root KEK that others may know, with a number that is not the next", "outdated", |house| {
        let targets = vec![house.target(0, 3)];
        house.unproposed(Act::RekeySuspect { targets, reason: "seen".into() })
    }),
    ("a key under a root KEK that others may know", "outdated", |house| {
        let key = house.zone_key();
        let targets = vec![house.target(0, 2)];
        house.carry(Act::RekeySuspect { targets, reason: "seen".into() });
        house.refused(Input::Wrapped(vec![house.wrapped(0, key)]))
    }),
    ("a root KEK agreed that nobody has ordered", "outdated", |house| {
        let confirm = house.confirm(0);
        house.refused(Input::KekAgreed { node: house.node(0), kek: House::kek(2, 256), confirm })
    }),
    ("a root KEK agreed with another number than ordered", "outdated", |house| {
        house.carry(Act::RekeyNodes(vec![house.target(0, 2)]));
        let confirm = house.confirm(0);
        house.refused(Input::KekAgreed { node: house.node(0), kek: House::kek(3, 256), confirm })
    }),
    ("a root KEK from the components of one", "value", |house| {
        let one = house.by(CUSTODIANS[0]).person;
        house.unproposed(house.form(2, &[one]))
    }),
    ("a root KEK from two components of one", "value", |house| {
        let one = house.by(CUSTODIANS[0]).person;
        house.unproposed(house.form(2, &[one, one]))
    }),
    ("a component of a root KEK with one who is no custodian", "separation", |house| {
        let [one, _] = house.custodians();
        let operator = house.by(OPERATOR).person;
        house.unproposed(house.form(2, &[one, operator]))
    }),
    ("a second component of a node's root KEKs with one person", "separation", |house| {
        let action = house.formed_here(2);
        let [one, two] = house.custodians();
        assert!(house.core.state().action(&action).is_some());
        house.unproposed(house.form(2, &[two, one]))
    }),
    ("components for a suspended node", "suspended", |house| {
        house.carry(Act::SuspendNode { node: house.node(0), reason: "odd".into() });
        let act = house.form(2, &house.custodians());
        house.unproposed(act)
    }),
    ("components for a number that is not the next", "outdated", |house| {
        let act = house.form(1, &house.custodians());
        house.unproposed(act)
    }),
    ("a root KEK formed that was not approved", "outdated", |house| {
        let asked = house.propose(house.form(2, &house.custodians())).expect("can be asked for");
        house.refused(house.result(asked.0, 2))
    }),
    ("a root KEK formed with another number than approved", "outdated", |house| {
        let action = house.carry(house.form(2, &house.custodians()));
        house.refused(house.result(action, 3))
    }),
    ("a root KEK formed in the place of another key", "unfit", |house| {
        let custodians = house.custodians().to_vec();
        let action = house.carry(Act::FormKey { key_set: super::house::zmk(), custodians });
        house.refused(house.result(action, 2))
    }),
    ("a key formed in the place of a root KEK", "unfit", |house| {
        let action = house.carry(house.form(2, &house.custodians()));
        let (generation, material) = (keylink::Generation(2), super::house::material());
        let key = Arrived { action, origin: Origin::Components, generation, material };
        house.refused(Input::Formed { by: house.by(OPERATOR), key })
    }),
    ("a root KEK formed by a custodian", "forbidden", |house| {
        let action = house.carry(house.form(2, &house.custodians()));
        let Input::RootKekFormed { action, kek, transcript, evidence, .. } = house.result(action, 2) else {
            unreachable!()
        };
        house.refused(Input::RootKekFormed { by: house.by(CUSTODIANS[0]), action, kek, transcript, evidence })
    }),
    ("a root KEK formed too long after it was approved", "outdated", |house| {
        let action = house.carry(house.form(2, &house.custodians()));
        house.now += APPROVED_MS;
        house.refused(house.result(action, 2))
    }),
    ("a component of a root KEK entered by another custodian", "forbidden", |house| {
        let action = house.carry(house.form(2, &house.custodians()));
        house.must(house.component(action, CUSTODIANS[0], 1, |_| ()));
        house.refused(house.component(action, CUSTODIANS[0], 2, |_| ()))
    }),
    ("a component of a root KEK that is to be agreed", "outdated", |house| {
        let action = house.carry(Act::RekeyNodes(vec![house.target(0, 2)]));
        house.refused(house.component(action, CUSTODIANS[0], 1, |_| ()))
    }),
    ("a proof judged that nobody has given", "not_due", |house| {
        house.formed_here(2);
        house.refused(Input::KekJudged { node: house.node(0), number: 2, judged: Judged::Holds })
    }),
];

impl House {
    fn target(&self, n: usize, number: u32) -> KekTarget {
        KekTarget { node: self.node(n), number }
    }

    fn custodians(&self) -> [PersonId; 2] {
        CUSTODIANS.map(|person| self.by(person).person)
    }

    fn form(&self, number: u32, custodians: &[PersonId]) -> Act {
        Act::FormRootKek { target: self.target(0, number), custodians: custodians.to_vec() }
    }

    fn result(&self, action: ActionId, number: u32) -> Input {
        let transcript = crate::ceremony::Transcript {
            kmc: self.kmc(),
            ceremony: action,
            action: Digest::default(),
            key_set: None,
            node: Some(self.node(0)),
            generation: keylink::Generation(number),
            key: Digest::default(),
            parts: vec![],
            kcv: "000000".into(),
            utc_ms: U64(self.now),
        };
        let transcript = Signed::seal(&transcript, &self.manager);
        let (by, kek) = (self.by(OPERATOR), Self::kek(number, 256));
        Input::RootKekFormed { by, action, kek, transcript, evidence: vec![] }
    }

    /// Forms a root KEK of the first node at the centre.
    fn formed_here(&mut self, number: u32) -> ActionId {
        let action = self.carry(self.form(number, &self.custodians()));
        self.must(self.result(action, number));
        action
    }

    /// What the first node says of a root KEK that it has formed.
    fn formed_there(&self, number: u32, kcv: &str) -> Receipt {
        let kek = crate::node::RootKek { kcv: kcv.into(), ..Self::kek(number, 256) };
        let none = Signed::seal_bytes("none", vec![], &self.manager);
        let possession = keylink::message::Possession {
            method: keylink::message::PossessionMethod::WrappedThrowAway,
            nonce: Hex([1; 32]),
            answer: "D".into(),
        };
        Receipt { possession: Some(possession), ..self.kek_receipt(0, &kek, &none) }
    }

    fn say_judged(&mut self, receipt: &Receipt, judged: Judged) {
        let signed = Signed::seal(receipt, &self.nodes[0]);
        self.must(Input::Said { node: self.node(0), signed, judged });
    }

    fn in_use(&self) -> Option<u32> {
        self.core.node(&self.node(0)).and_then(|node| node.kek_in_use()).map(|kek| kek.number)
    }

    fn suspects(&self) -> Vec<String> {
        let all = self.core.alarms().filter(|alarm| alarm.kind == AlarmKind::KeySuspect);
        all.map(|alarm| alarm.subject.clone()).collect()
    }

    fn alarmed(&self) -> bool {
        self.core.alarms().any(|alarm| alarm.kind == AlarmKind::RootKek)
    }
}

#[test]
fn a_root_kek_is_in_use_when_the_node_has_said_so_and_not_before() {
    let mut house = House::founded();
    house.carry(Act::RekeyNodes(vec![house.target(0, 2), house.target(1, 2)]));
    assert_eq!(house.in_use(), Some(1), "ordered, and nothing is agreed");
    let confirm = house.agreed(0, House::kek(2, 256));
    assert_eq!(house.in_use(), None, "it is open which one the node has");
    house.say(0, &house.kek_receipt(0, &House::kek(2, 256), &confirm)).expect("allowed");
    assert_eq!(house.in_use(), Some(2));
    assert!(house.core.node(&house.node(0)).is_some_and(|node| node.kek_change.is_idle()));
    assert_eq!(house.core.node(&house.node(1)).and_then(|node| node.kek_to_agree()).map(|o| o.0), Some(2));
}

#[test]
fn what_is_on_its_way_is_wrapped_anew_and_a_receipt_for_either_block_counts() {
    let mut house = House::founded();
    let key = house.zone_key();
    house.must(Input::Wrapped(vec![house.wrapped(0, key)]));
    house.hello_with_first();
    let (node, sign) = (house.node(0), house.core.work(house.now, None, 16).sign);
    let draft = sign.iter().find(|draft| draft.node == node).expect("is due");
    let manifest = Signed::seal(&draft.body, &house.manager);
    house.must(Input::Issue(vec![manifest.clone()]));
    house.carry(Act::RekeyNodes(vec![house.target(0, 2)]));
    let confirm = house.agreed(0, House::kek(2, 256));
    assert!(
        !house.core.work(house.now, None, 16).wrap.contains(&(house.node(0), key)),
        "not while it is open"
    );
    house.say(0, &house.kek_receipt(0, &House::kek(2, 256), &confirm)).expect("allowed");
    let work = house.core.work(house.now, None, 16);
    assert!(work.wrap.contains(&(house.node(0), key)), "under the new one");
    let before = house.core.copy(&house.node(0), &key).expect("there").clone();
    let mut anew = house.wrapped(0, key);
    (anew.root_kek, anew.block) = (2, "another block".into());
    house.must(Input::Wrapped(vec![anew]));
    let sign = house.core.work(house.now, None, 16).sign;
    assert!(sign.iter().any(|draft| draft.node == house.node(0)), "and the node is told again");
    // The node had taken the first one before: its proof is of the key, under whatever it came.
    let record: Key = house.core.key(&key).expect("there").clone();
    let possession = keylink::message::Possession {
        method: keylink::message::PossessionMethod::PinBlock,
        nonce: house.core.challenge(&key, &house.node(0)).expect("there"),
        answer: String::new(),
    };
    let proven = Receipt {
        kind: keylink::message::ReceiptKind::Proven,
        campaign: record.campaign,
        key_set: Some(key.key_set),
        generation: Some(key.generation),
        usage: Some("P0".into()),
        kcv: Some(before.kcv.clone()),
        block: Some(Digest::of(before.block.as_bytes())),
        message_seq: sign_seq(&manifest),
        message: manifest.hash(),
        possession: Some(possession),
        ..house.kek_receipt(0, &House::kek(2, 256), &confirm)
    };
    house.say_judged(&proven, Judged::Holds);
    let progress = house.core.copy(&house.node(0), &key).map(|copy| copy.progress);
    assert_eq!(progress, Some(Progress::Proven));
}

fn sign_seq(manifest: &Signed) -> U64 {
    manifest.peek::<keylink::message::Manifest>().expect("a manifest").head.seq
}

#[test]
fn a_root_kek_from_components_is_in_use_when_both_have_it_whoever_was_first() {
    let kcv = House::kek(2, 256).kcv;
    for node_first in [false, true] {
        let mut house = House::founded();
        if node_first {
            house.say_judged(&house.formed_there(2, &kcv), Judged::None);
            assert!(house.alarmed(), "the centre does not have it");
            assert_eq!(house.in_use(), None);
            house.formed_here(2);
            assert_eq!(house.in_use(), None, "not before its proof is judged");
            house.must(Input::KekJudged { node: house.node(0), number: 2, judged: Judged::Holds });
        } else {
            house.formed_here(2);
            assert_eq!(house.in_use(), Some(1), "the node goes on with the one before");
            house.say_judged(&house.formed_there(2, &kcv), Judged::Holds);
        }
        assert_eq!(house.in_use(), Some(2), "node first: {node_first}");
        assert!(!house.alarmed());
    }
}

#[test]
fn another_root_kek_than_the_centre_has_is_told_and_not_used() {
    for (kcv, judged) in [("111111", Judged::Holds), ("000000", Judged::Fails)] {
        let mut house = House::founded();
        house.formed_here(2);
        let receipt = house.formed_there(2, kcv);
        house.say_judged(&receipt, judged);
        if judged == Judged::Holds {
            house.must(Input::KekJudged { node: house.node(0), number: 2, judged });
        }
        assert!(house.in_use().is_none() && house.alarmed());
        // The way out: the next one, agreed.
        house.carry(Act::RekeyNodes(vec![house.target(0, 3)]));
        house.rekeyed(0, House::kek(3, 256));
        assert!(!house.alarmed());
    }
}

#[test]
fn a_confirmation_is_waited_for_until_it_was_taken_or_its_time_is_over() {
    let mut house = House::founded();
    house.carry(Act::RekeyNodes(vec![house.target(0, 2)]));
    let awaits = |house: &House, taken: u64| {
        let node = house.core.node(&house.node(0)).expect("is known");
        node.awaits_kek_receipt(2, U64(taken), house.now)
    };
    assert!(!awaits(&house, 0), "nothing is agreed");
    let kek = crate::node::RootKek { since_utc_ms: house.now, ..House::kek(2, 256) };
    house.now += RECEIPT_MS - 1;
    let head = house.agreed(0, kek).peek::<keylink::message::RootKekConfirm>().expect("is one").head;
    let seq = head.seq.0;
    assert!(awaits(&house, seq - 1) && awaits(&house, seq), "its receipt may be on the way");
    house.now += 1;
    assert!(awaits(&house, seq - 1) && !awaits(&house, seq));
    house.now = head.not_after.0;
    assert!(!awaits(&house, seq - 1), "the node would not take it any more");
    house.rekeyed(0, House::kek(2, 256));
}

#[test]
fn a_root_kek_that_others_may_know_wraps_nothing_more_and_what_it_wrapped_is_told() {
    let mut house = House::founded();
    let key = house.zone_key();
    house.must(Input::Wrapped(vec![house.wrapped(0, key), house.wrapped(1, key)]));
    house.carry(Act::RekeyNodes(vec![house.target(1, 2)]));
    assert_eq!(house.suspects(), Vec::<String>::new());
    let targets = vec![house.target(0, 2)];
    house.carry(Act::RekeySuspect { targets, reason: "seen".into() });
    assert_eq!((house.in_use(), house.suspects()), (None, vec![key.to_string()]));
    // Neither an order that gives no reason nor components at the centre bring it back.
    house.carry(Act::RekeyNodes(vec![house.target(0, 2)]));
    assert_eq!(house.in_use(), None);
    house.formed_here(2);
    assert_eq!(house.in_use(), None);
    house.say_judged(&house.formed_there(2, &House::kek(2, 256).kcv), Judged::Holds);
    assert_eq!(house.in_use(), Some(2));
    // What goes out under the new one is not known to others.
    assert!(house.core.work(house.now, None, 16).wrap.contains(&(house.node(0), key)));
}

#[test]
fn a_change_that_does_not_end_is_told() {
    let mut house = House::founded();
    house.carry(Act::RekeyNodes(vec![house.target(0, 2)]));
    house.now += LATE_MS;
    house.must(Input::Tick);
    assert!(!house.alarmed());
    house.now += 1_000;
    house.must(Input::Tick);
    assert!(house.alarmed());
    house.rekeyed(0, House::kek(2, 256));
    assert!(!house.alarmed());
}
