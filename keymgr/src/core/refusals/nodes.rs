//! Nodes: what they say, what they are told, and when they may serve.

use super::Case;
use super::house::{House, NOW, OPERATOR, zone, zpk};
use crate::core::Core;
use crate::core::action::Act;
use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::enrolment::{FORGET_AFTER_MS, TOKEN_LIFE_MS};
use crate::core::ids::Digest;
use crate::core::input::{Caller, Input, Judged, Outcome};
use crate::core::node::{BackendClass, NewNode, Ordered, Traffic, Wipe};
use crate::core::people::Role;
use crate::core::policy::DAY_MS;
use crate::core::rows::{Token, TokenVoid};
use crate::core::table::{State, Table};
use crate::core::wipe::HEARD_MAX;
use keylink::action::Grant;
use keylink::message::{
    Audience, Command, GenerationUse, Head, Hello, Manifest, Order, Pull, Reason, Receipt, ReceiptKind,
    Refused, RootKekOffer, StatusBeat,
};
use keylink::succession::CentreKey;
use keylink::wire::U64;
use keylink::{Body as _, CommandId, KmcId, NodeId, PublicKey, Sign, Signed, SoftSigner, TokenId};
use std::collections::BTreeSet;

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
    // ---- tokens and nodes that ask ----
    ("a token voided that is not there", "unknown", |house| {
        let by = house.by(OPERATOR);
        house.refused(Input::VoidToken { by, token: TokenId([7; 16]) })
    }),
    ("a token voided twice", "outdated", |house| {
        let (by, token) = (house.by(OPERATOR), made(house));
        house.must(Input::VoidToken { by, token });
        house.refused(Input::VoidToken { by, token })
    }),
    ("a token voided by an auditor", "forbidden", |house| {
        let token = made(house);
        let auditor = house.people.iter().find(|human| human.role == Role::Auditor).expect("there").by;
        house.refused(Input::VoidToken { by: auditor, token })
    }),
    ("a node turned away by a token that it never had", "unknown", |house| {
        let (by, token) = (house.by(OPERATOR), made(house));
        house.refused(turn_away(by, token, "odd"))
    }),
    ("a node turned away without a reason that can be read", "value", |house| {
        let (by, token) = (house.by(OPERATOR), asked(house, asks()));
        house.refused(turn_away(by, token, "odd\u{1b}[2K"))
    }),
    ("a node turned away by an auditor", "forbidden", |house| {
        let token = asked(house, asks());
        let auditor = house.people.iter().find(|human| human.role == Role::Auditor).expect("there").by;
        house.refused(turn_away(auditor, token, "odd"))
    }),
    ("a node turned away twice", "outdated", |house| {
        let (by, token) = (house.by(OPERATOR), asked(house, asks()));
        house.must(turn_away(by, token, "odd"));
        house.refused(turn_away(by, token, "odd"))
    }),
    ("a node turned away that is known", "exists", |house| {
        let (by, token) = (house.by(OPERATOR), asked(house, asks()));
        house.carry(Act::EnrolNodes(vec![another(9, "n9")]));
        house.refused(turn_away(by, token, "odd"))
    }),
    ("a token of a known node voided", "exists", |house| {
        let (by, token) = (house.by(OPERATOR), asked(house, asks()));
        house.carry(Act::EnrolNodes(vec![another(9, "n9")]));
        house.refused(Input::VoidToken { by, token })
    }),
    ("a node turned away whom officers are about to let in", "in_use", |house| {
        let (by, token) = (house.by(OPERATOR), asked(house, asks()));
        house.propose(Act::EnrolNodes(vec![another(9, "n9")])).expect("proposed");
        house.refused(turn_away(by, token, "odd"))
    }),
    // ---- transport certificates ----
    ("a certificate for a node that is not known", "unknown", |house| {
        house.nodes[0] = SoftSigner::new(&[9; 32]);
        house.refused(house.certified(1))
    }),
    ("a certificate for a suspended node", "suspended", |house| {
        house.carry(Act::SuspendNode { node: house.node(0), reason: "odd".into() });
        house.refused(house.certified(1))
    }),
    ("a certificate for a revoked node", "suspended", |house| {
        house.carry(Act::RevokeNode { node: house.node(0) });
        house.refused(house.certified(1))
    }),
    ("a certificate shown that ends no later", "not_due", |house| {
        house.must(house.certified(397));
        house.refused(house.shown(397))
    }),
    ("a later certificate shown, of an authority that does not issue", "not_due", |house| {
        house.must(house.certified(397));
        house.refused(house.shown_by(PublicKey([7; 32]), 500))
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

fn made(house: &mut House) -> TokenId {
    let by = house.by(OPERATOR);
    let Outcome::Tokens { tokens, .. } = house.must(Input::MakeTokens { by, count: 1 }) else {
        panic!("no token")
    };
    tokens[0]
}

// The node that `another(9, …)` is.
fn asks() -> NodeId {
    NodeId::of(&another(9, "n9").key)
}

fn asked(house: &mut House, node: NodeId) -> TokenId {
    let token = made(house);
    house.must(Input::TokenUsed { token, node, csr: Digest::default() });
    token
}

fn turn_away(by: Caller, token: TokenId, reason: &str) -> Input {
    Input::TurnAway { by, node: asks(), token, reason: reason.into() }
}

#[test]
fn tokens_by_which_nobody_asked_are_forgotten_after_a_week_and_the_others_are_not() {
    let mut house = House::founded();
    let (by, began) = (house.by(OPERATOR), house.now);
    house.must(Input::MakeTokens { by, count: 600 });
    let used = asked(&mut house, asks());
    let void = made(&mut house);
    house.must(Input::VoidToken { by, token: void });
    let rows = |house: &House| <State as Table<Token>>::rows(house.core.state()).len();
    house.now = began + TOKEN_LIFE_MS + FORGET_AFTER_MS - 1;
    house.must(Input::Tick);
    assert_eq!(rows(&house), 602, "somebody may look at them yet");
    house.now += 60_000;
    for left in [102, 2, 2] {
        house.must(Input::Tick);
        assert_eq!(rows(&house), left);
    }
    let tokens = <State as Table<Token>>::rows(house.core.state());
    assert!(tokens.contains_key(&used) && tokens.contains_key(&void));
    assert_eq!(Core::of(house.core.state().clone()), house.core, "a later start knows the same");
}

#[test]
fn tokens_that_are_open_are_bounded() {
    let mut house = House::founded();
    let by = house.by(OPERATOR);
    let one = made(&mut house);
    house.must(Input::MakeTokens { by, count: 10_000 });
    house.must(Input::MakeTokens { by, count: 9_999 });
    assert_eq!(house.refused(Input::MakeTokens { by, count: 1 }).code(), "value");
    house.must(Input::VoidToken { by, token: one });
    house.must(Input::MakeTokens { by, count: 1 });
    assert_eq!(house.refused(Input::MakeTokens { by, count: 1 }).code(), "value");
    house.now += TOKEN_LIFE_MS + 1;
    house.must(Input::MakeTokens { by, count: 10_000 });
}

#[test]
fn a_token_that_is_void_lets_nobody_ask() {
    let mut house = House::founded();
    let by = house.by(OPERATOR);
    let token = made(&mut house);
    let void = |house: &House| <State as Table<Token>>::rows(house.core.state())[&token].void.clone();
    house.must(Input::VoidToken { by, token });
    house.must(Input::TokenUsed { token, node: asks(), csr: Digest::default() });
    let record = <State as Table<Token>>::rows(house.core.state())[&token].clone();
    assert_eq!((record.used, void(&house)), (None, Some(TokenVoid::Withdrawn { by: by.person })));
    let token = asked(&mut house, asks());
    house.must(turn_away(by, token, "unknown place"));
    let record = &<State as Table<Token>>::rows(house.core.state())[&token];
    assert!(matches!(&record.void, Some(TokenVoid::TurnedAway { reason, .. }) if reason == "unknown place"));
    assert_eq!((record.by, record.used.as_ref().map(|used| used.node)), (Some(by.person), Some(asks())));
}

fn another(seed: u8, name: &str) -> NewNode {
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

#[test]
fn people_are_told_once_of_a_certificate_that_ends_and_no_more_when_another_is_shown() {
    let told = |house: &mut House, days: u64| {
        house.now = NOW + days * DAY_MS;
        house.must(Input::Tick);
        let alarms = house.core.alarms().filter(|alarm| alarm.kind == AlarmKind::CertificateEnds);
        let open = alarms.filter(|alarm| alarm.ended_utc_ms.is_none());
        open.map(|alarm| (alarm.text.contains("has ended"), alarm.raised_utc_ms)).collect::<Vec<_>>()
    };
    let mut house = House::founded();
    house.must(house.certified(397));
    assert_eq!(told(&mut house, 336), vec![]);
    let first = vec![(false, NOW + 337 * DAY_MS)];
    assert_eq!(told(&mut house, 337), first);
    // Another that was issued and not shown changes nothing.
    house.must(house.certified(734));
    assert_eq!(told(&mut house, 338), first);
    assert_eq!(told(&mut house, 397), vec![(true, NOW + 397 * DAY_MS)]);
    house.must(house.shown(734));
    assert_eq!(told(&mut house, 398), vec![]);
    assert_eq!(told(&mut house, 674).len(), 1);
    house.carry(Act::RevokeNode { node: house.node(0) });
    assert_eq!(told(&mut house, 700), vec![]);
}

#[test]
fn people_are_told_when_the_authority_is_to_be_followed_by_another() {
    let told = |house: &mut House, days: u64| {
        house.now = NOW + days * DAY_MS;
        house.must(Input::Tick);
        let alarms = house.core.alarms().filter(|alarm| alarm.kind == AlarmKind::CertificateEnds);
        alarms.filter(|alarm| alarm.subject == "transport authority").count()
    };
    let mut house = House::founded();
    assert_eq!((told(&mut house, 3_219), told(&mut house, 3_221), told(&mut house, 3_650)), (0, 1, 1));
}

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

impl House {
    fn certified(&self, days: u64) -> Input {
        let until_utc_ms = NOW + days * DAY_MS;
        let authority = self.authority();
        Input::Certified { node: self.node(0), certificate: Digest([1; 32]), authority, until_utc_ms }
    }

    fn shown(&self, days: u64) -> Input {
        self.shown_by(self.authority(), days)
    }

    fn authority(&self) -> PublicKey {
        self.core.signing_key(CentreKey::Transport).expect("one issues").0
    }

    fn shown_by(&self, authority: PublicKey, days: u64) -> Input {
        Input::CertificateShown { node: self.node(0), authority, until_utc_ms: NOW + days * DAY_MS }
    }

    /// The receipt of the first node that comes so many after the last one, and answers nothing.
    fn receipt(&self, number: u64) -> Receipt {
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

    fn beat(&self, seq: u64) -> StatusBeat {
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

    fn hello(&mut self, boot: u64) -> Result<crate::core::input::Outcome, super::Refusal> {
        let hello = self.hello_at(boot, 1);
        self.greet(&hello)
    }

    fn greet(&mut self, hello: &Hello) -> Result<crate::core::input::Outcome, super::Refusal> {
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
