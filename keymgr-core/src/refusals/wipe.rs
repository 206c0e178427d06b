//! Nodes that were revoked: what they owe, and what of them is still heard.

use super::house::House;
use crate::action::Act;
use crate::alarm::Alarm;
use crate::input::{Input, Judged, Outcome};
use crate::node::{Ordered, Wipe};
use crate::policy::DAY_MS;
use crate::wipe::HEARD_MAX;
use keylink::action::Grant;
use keylink::message::{Command, Head, Manifest, Order, Reason, Receipt, ReceiptKind, Refused, RootKekOffer};
use keylink::wire::U64;
use keylink::{Body as _, CommandId, Signed, SoftSigner};
use std::collections::BTreeSet;

// A revoked node is heard until it has said, under its own key, that it holds no keys any more; nothing else counts.
#[test]
fn a_revoked_node_is_told_to_erase_its_keys_and_says_so() {
    let mut house = House::founded();
    let key = house.zone_key();
    house.must(Input::Wrapped(vec![house.wrapped(0, key)]));
    let node = house.node(0);
    assert_eq!(house.wipe(), None);
    let after = house.core.node(&node).expect("is known").link.seq;
    let by = house.carry(Act::RevokeNode { node });
    assert_eq!(house.wipe(), Some(Wipe::Owed { by, after, order: None, heard: 0 }));
    // By the approvals of the revocation, and by no others.
    let grant = Grant::ZeroiseNode(node);
    let evidence = house.core.evidence(&[by], house.now, |own| *own == grant).expect("shown");
    assert_eq!(evidence.grants.len(), 1);
    let (signed, head) = house.order(MONTH_MS);
    assert_eq!(signed.kind, Command::KIND);
    house.must(Input::Post { node, signed: signed.clone() });
    let order = Some(Ordered { epoch: head.epoch, seq: head.seq, until_utc_ms: head.not_after.0 });
    assert_eq!(house.wipe(), Some(Wipe::Owed { by, after, order, heard: 0 }));
    // A beat is not heard any more, a receipt is.
    let beat = Signed::seal(&house.beat(1), &house.nodes[0]);
    let told = Input::Beat { node, beat, skew_ms: 0, by_file: false };
    assert_eq!(house.refused(told).code(), "suspended");
    let other = Signed::seal(&house.beat(9), &house.nodes[0]);
    assert!(house.answer(ReceiptKind::Zeroised, &other, U64(0)).is_ok());
    assert!(house.core.node(&node).expect("is known").owes_wipe(), "an answer to nothing");
    assert!(house.answer(ReceiptKind::Applied, &signed, head.seq).is_ok());
    assert!(house.core.node(&node).expect("is known").owes_wipe());
    assert!(house.answer(ReceiptKind::Zeroised, &signed, head.seq).is_ok());
    assert_eq!(house.wipe(), Some(Wipe::Done { utc_ms: house.now }));
    // It has said all.
    for kind in [ReceiptKind::Applied, ReceiptKind::Zeroised] {
        assert_eq!(house.answer(kind, &signed, head.seq).unwrap_err().code(), "suspended");
    }
    assert_eq!(house.hello(7).unwrap_err().code(), "suspended");
    assert_eq!(house.refused(Input::Post { node, signed }).code(), "not_due");
    assert_eq!(house.refused(Input::Carry { by: house.by(0), node }).code(), "suspended");
    // Whoever never was sent anything has nothing to erase.
    let mut house = House::founded();
    let silent = house.node(2);
    let record = house.core.state.nodes.get_mut(&silent).expect("is known");
    (record.root_kek, record.link.seq) = (None, U64(0));
    house.carry(Act::RevokeNode { node: silent });
    assert!(!house.core.node(&silent).expect("is known").owes_wipe());
}

// A node that is two, or was set back, is in quarantine and revoked for just that: its last word counts all the same,
// its chain does not.
#[test]
fn a_node_whose_receipts_do_not_follow_is_told_to_erase_and_believed_when_it_has() {
    let mut house = House::founded();
    let node = house.node(0);
    let sound = house.receipt(1);
    assert!(house.say(0, &sound).is_ok());
    let fork = Receipt { utc_ms: U64(house.now + 1), ..sound.clone() };
    assert!(matches!(house.say(0, &fork), Ok(Outcome::Quarantined(_))));
    let kinds = |house: &House| {
        let may = |kind| house.core.node(&node).expect("is known").may_be_handed(kind);
        [Manifest::KIND, RootKekOffer::KIND, Command::KIND].map(may)
    };
    assert_eq!(kinds(&house), [false; 3]);
    assert_eq!(house.refused(Input::Carry { by: house.by(0), node }).code(), "suspended");
    house.carry(Act::RevokeNode { node });
    assert_eq!(kinds(&house), [false, false, true]);
    house.must(Input::Carry { by: house.by(0), node });
    let (signed, head) = house.order(MONTH_MS);
    house.must(Input::Post { node, signed: signed.clone() });
    assert_eq!(
        house.answer(ReceiptKind::Destroyed, &signed, head.seq).unwrap_err().code(),
        "node_quarantined"
    );
    let other = SoftSigner::new(&[99; 32]);
    let last = Receipt { kind: ReceiptKind::Zeroised, message_seq: head.seq, message: signed.hash(), ..fork };
    let forged = Signed::seal(&last, &other);
    assert!(house.tell(Input::Said { node, signed: forged, judged: Judged::None }).is_err());
    assert!(house.core.node(&node).expect("is known").owes_wipe());
    // Under a number that was used: the receipt that came first stays.
    let told = house.say(0, &last).expect("believed");
    let own = Signed::seal(&last, &house.nodes[0]).hash();
    assert_eq!(told, Outcome::Counted { hash: own, last: Some((last.head.seq, own)), again: false });
    assert_eq!(house.wipe(), Some(Wipe::Done { utc_ms: house.now }));
    assert_eq!(kinds(&house), [false; 3]);
}

// One order at a time, for as long as it holds; whichever the node obeys, it counts.
#[test]
fn an_order_to_erase_is_made_anew_only_when_it_ends_or_its_manager_has() {
    let mut house = House::founded();
    let node = house.node(0);
    house.carry(Act::RevokeNode { node });
    let (first, head) = house.order(MONTH_MS);
    house.must(Input::Post { node, signed: first.clone() });
    let (second, _) = house.order(MONTH_MS);
    assert_eq!(house.refused(Input::Post { node, signed: second }).code(), "outdated");
    // A week is left.
    house.now += MONTH_MS - 7 * DAY_MS;
    let (second, _) = house.order(MONTH_MS);
    house.must(Input::Post { node, signed: second });
    // What was in the boxes of another process is gone.
    let epoch = house.core.epoch() + 1;
    house.must(Input::TakeOver { epoch });
    let (third, _) = house.order(MONTH_MS);
    house.must(Input::Post { node, signed: third });
    assert!(house.answer(ReceiptKind::Zeroised, &first, head.seq).is_ok());
    assert_eq!(house.wipe(), Some(Wipe::Done { utc_ms: house.now }));
}

#[test]
fn a_revoked_node_writes_so_much_and_no_more_and_its_alarms_end() {
    let mut house = House::founded();
    let node = house.node(0);
    let open = |house: &House| {
        let own = |alarm: &&Alarm| alarm.subject == node.to_string() && alarm.ended_utc_ms.is_none();
        house.core.alarms().filter(own).map(|alarm| format!("{:?}", alarm.kind)).collect::<BTreeSet<_>>()
    };
    let refused = |house: &mut House, message: &Signed, reason| {
        let refused = Refused {
            head: house.head(1),
            node,
            message: message.hash(),
            reason,
            key_set: None,
            generation: None,
            utc_ms: U64(house.now),
        };
        house.say(0, &refused)
    };
    let beat = Signed::seal(&house.beat(9), &house.nodes[0]);
    house.must(Input::Beat { node, beat: beat.clone(), skew_ms: 3_600_000, by_file: false });
    assert!(refused(&mut house, &beat, Reason::Proof).is_ok());
    let disputed = BTreeSet::from(["LogDisputed".to_owned()]);
    assert!(open(&house).contains("Skew") && open(&house).is_superset(&disputed), "{:?}", open(&house));
    house.carry(Act::RevokeNode { node });
    assert_eq!(open(&house), disputed, "what it says against the centre stands");
    let (signed, head) = house.order(MONTH_MS);
    house.must(Input::Post { node, signed: signed.clone() });
    // Of anything but the order.
    assert_eq!(refused(&mut house, &beat, Reason::Expired).unwrap_err().code(), "suspended");
    assert_eq!(open(&house), disputed);
    assert!(refused(&mut house, &signed, Reason::Expired).is_ok());
    assert!(open(&house).contains("NodeRefuses"));
    for _ in 1..HEARD_MAX {
        let receipt = house.receipt(1);
        house.say(0, &receipt).expect("in its chain");
    }
    let receipt = house.receipt(1);
    assert_eq!(house.say(0, &receipt).unwrap_err().code(), "suspended");
    assert!(house.answer(ReceiptKind::Zeroised, &signed, head.seq).is_ok());
    assert_eq!(house.wipe(), Some(Wipe::Done { utc_ms: house.now }));
    assert_eq!(open(&house), disputed);
}

#[test]
fn an_order_to_erase_lapses_with_its_approvals() {
    let mut house = House::founded();
    let node = house.node(0);
    house.carry(Act::RevokeNode { node });
    let after = house.core.node(&node).expect("is known").link.seq;
    let (signed, head) = house.order(MONTH_MS);
    house.must(Input::Post { node, signed: signed.clone() });
    house.now += 399 * DAY_MS;
    house.hello(1).expect("heard");
    assert!(house.core.node(&node).expect("is known").owes_wipe());
    house.now += 2 * DAY_MS;
    house.hello(2).expect("heard once more");
    assert_eq!(house.wipe(), Some(Wipe::Lapsed { utc_ms: house.now, after }));
    assert_eq!(house.hello(3).unwrap_err().code(), "suspended");
    assert_eq!(house.answer(ReceiptKind::Applied, &signed, head.seq).unwrap_err().code(), "suspended");
    assert_eq!(house.refused(Input::Carry { by: house.by(0), node }).code(), "suspended");
    let (other, _) = house.order(MONTH_MS);
    assert_eq!(house.refused(Input::Post { node, signed: other }).code(), "not_due");
    // A word that was long on its way.
    assert!(house.answer(ReceiptKind::Zeroised, &signed, head.seq).is_ok());
    assert_eq!(house.wipe(), Some(Wipe::Done { utc_ms: house.now }));
}

const MONTH_MS: u64 = 30 * DAY_MS;

impl House {
    fn wipe(&self) -> Option<Wipe> {
        self.core.node(&self.node(0)).expect("is known").wipe
    }

    // The order to the first node to erase its keys that is next, and its head.
    fn order(&self, life_ms: u64) -> (Signed, Head) {
        let link = self.core.node(&self.node(0)).expect("is known").link.clone();
        let head = link.clone().next_head(self.core.epoch(), self.now + life_ms);
        let command = CommandId([1; 16]);
        let command = Command { head, command, order: Order::Zeroise, evidence: vec![] };
        (Signed::seal(&command, &SoftSigner::new(&[3; 32])), head)
    }

    // The next receipt of the first node, for this message.
    fn answer(&mut self, kind: ReceiptKind, asked: &Signed, seq: U64) -> Result<Outcome, super::Refusal> {
        let receipt = Receipt { kind, message_seq: seq, message: asked.hash(), ..self.receipt(1) };
        self.say(0, &receipt)
    }
}
