//! Receipts as the manager takes them, and those that it does not count.

use crate::common::fleet::{Side, begun, definition, joined, rotate, set, target};
use crate::common::{Centre, centre};
use keylink::manager::{Link, LinkError, Quarantine, Said};
use keylink::message::{Audience, Step};
use keylink::wire::U64;
use keylink::{Digest, NodeId, Signed, SoftSigner};

fn three_receipts() -> (Centre, Side, Vec<Signed>) {
    let centre = centre();
    let mut side = Side::new(&centre, 43);
    side.deliver();
    let mut approved = joined(&centre, side.node());
    approved.push(rotate(&centre, 1));
    let manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], approved);
    let signed = side.seal(&centre, &manifest);
    side.give(&signed);
    let receipts = side.machine.outbox()[1..].to_vec();
    assert_eq!(receipts.len(), 3);
    (centre, side, receipts)
}

#[test]
fn receipts_that_a_manager_does_not_count() {
    let (_, mut side, receipts) = three_receipts();
    let now = side.now.utc_ms;
    // Reordered: the earlier ones must come first.
    assert_eq!(side.link.receive(now, &receipts[1]), Err(LinkError::Gap(2)));
    // Expired, by another key, of another node, for somebody else, flipped.
    let late = now + 91 * 24 * 3600 * 1000;
    assert!(matches!(side.link.clone().receive(late, &receipts[0]), Ok(Said::Receipt(..))), "however late");
    let mut receipt: keylink::message::Receipt = receipts[0].peek().unwrap();
    let thief = Signed::seal(&receipt, &SoftSigner::new(&[9; 32]));
    assert!(matches!(side.link.receive(now, &thief), Err(LinkError::Envelope(_))));
    receipt.node = NodeId([1; 32]);
    let foreign = Signed::seal(&receipt, side.signer.as_ref());
    assert_eq!(side.link.receive(now, &foreign), Err(LinkError::Foreign));
    receipt.node = side.node();
    receipt.head.audience = Audience::Node(side.node());
    let misdirected = Signed::seal(&receipt, side.signer.as_ref());
    assert!(matches!(side.link.receive(now, &misdirected), Err(LinkError::Head(_))));
    // For a message that was never sent: kept, and counted for nothing.
    receipt.head.audience = Audience::Kmc;
    receipt.message = Digest([1; 32]);
    let unbound = Signed::seal(&receipt, side.signer.as_ref());
    assert!(matches!(side.link.clone().receive(now, &unbound), Ok(Said::Unbound(..))));
    assert_eq!(side.link.quarantine, None);
    // In order, then repeated: counted once.
    for signed in &receipts {
        assert!(matches!(side.link.receive(now, signed), Ok(Said::Receipt(..))));
    }
    for signed in &receipts {
        assert!(matches!(side.link.receive(late, signed), Ok(Said::Duplicate(_))));
    }
}

#[test]
fn a_cloned_node_is_put_into_quarantine() {
    let (_, mut side, receipts) = three_receipts();
    let now = side.now.utc_ms;
    let mut twin: keylink::message::Receipt = receipts[0].peek().unwrap();
    twin.boot_id = U64(77);
    let twin = Signed::seal(&twin, side.signer.as_ref());
    assert!(matches!(side.link.receive(now, &receipts[0]), Ok(Said::Receipt(..))));
    assert_eq!(side.link.receive(now, &twin), Err(LinkError::Quarantined(Quarantine::Fork)));
    assert_eq!(side.link.receive(now, &receipts[1]), Err(LinkError::Quarantined(Quarantine::Fork)));

    // A chain that does not follow.
    let (_, mut side, receipts) = three_receipts();
    let mut broken: keylink::message::Receipt = receipts[0].peek().unwrap();
    broken.previous = Some(Digest([1; 32]));
    let broken = Signed::seal(&broken, side.signer.as_ref());
    assert_eq!(side.link.receive(now, &broken), Err(LinkError::Quarantined(Quarantine::Fork)));

    // A boot that was over signs again, in a chain that follows.
    let (_, mut side, receipts) = three_receipts();
    let mut previous = None;
    let mut last = Ok(());
    for (signed, boot) in receipts.iter().zip([1, 2, 1]) {
        let mut receipt: keylink::message::Receipt = signed.peek().unwrap();
        receipt.boot_id = U64(boot);
        receipt.previous = previous.or(receipt.previous);
        let signed = Signed::seal(&receipt, side.signer.as_ref());
        previous = Some(signed.hash());
        last = side.link.receive(now, &signed).map(|_| ());
    }
    assert_eq!(last, Err(LinkError::Quarantined(Quarantine::TwoBoots)));
}

#[test]
fn unchained_messages_rise_and_a_replay_harms_nobody() {
    let centre = centre();
    let mut side = begun(&centre);
    let about = keylink::node::About { software: "test".into(), backend_class: "C".into() };
    let hello = side.machine.hello(side.now, &about, None).unwrap();
    let beat = side.machine.beat(side.now, &keylink::node::Counts::default()).unwrap();
    let now = side.now.utc_ms;
    side.link.hello(now, &hello).unwrap();
    side.link.beat(now, &beat).unwrap();
    assert_eq!(side.link.beat(now, &beat).unwrap_err(), LinkError::Replayed);
    // Messages that overtake each other are taken once each, within a window of 64.
    let many: Vec<_> = (0..70).map(|_| side.machine.pull(side.now, 25).unwrap()).collect();
    for at in [1, 0, 69, 68, 6] {
        side.link.pull(now, &many[at]).unwrap();
        assert_eq!(side.link.pull(now, &many[at]).unwrap_err(), LinkError::Replayed);
    }
    assert_eq!(side.link.pull(now, &many[5]).unwrap_err(), LinkError::Replayed, "behind the window");
    side.crash();
    let pull = side.machine.pull(side.now, 25).unwrap();
    side.link.pull(now, &pull).unwrap();
    assert_eq!(side.link.hello(now, &hello).unwrap_err(), LinkError::Replayed);
    assert!(matches!(side.link.pull(now + 120_001, &pull), Err(LinkError::Head(_))));
    assert_eq!(side.link.quarantine, None);
    let _ = definition();
}

// A beat in a file, or on its way while the node starts anew: the first that the manager hears of that boot.
#[test]
fn what_comes_late_from_a_boot_before_does_not_keep_the_node_out() {
    let centre = centre();
    let mut side = begun(&centre);
    let now = side.now.utc_ms;
    let counts = keylink::node::Counts::default();
    let late: Vec<_> = (0..40)
        .map(|_| {
            side.crash();
            [side.machine.beat(side.now, &counts).unwrap(), side.machine.beat(side.now, &counts).unwrap()]
        })
        .collect();
    side.crash();
    let serving = side.machine.pull(side.now, 25).unwrap();
    side.link.pull(now, &serving).unwrap();
    for pair in &late[35..] {
        side.link.beat(now, &pair[1]).unwrap();
        let pull = side.machine.pull(side.now, 25).unwrap();
        side.link.pull(now, &pull).unwrap();
        side.link.beat(now, &pair[0]).unwrap();
    }
    for beat in late[35..].iter().flatten() {
        assert_eq!(side.link.beat(now, beat).unwrap_err(), LinkError::Replayed);
    }
    assert_eq!(side.link.pull(now, &serving).unwrap_err(), LinkError::Replayed);
    // Of however many boots, what is remembered is bounded, and a link that was stored before has no such windows.
    for pair in &late[..35] {
        side.link.beat(now, &pair[1]).unwrap();
    }
    assert_eq!((side.link.boots.len(), side.link.former.len()), (32, 32));
    let mut stored = serde_json::to_value(Link::new(side.link.kmc, side.link.key)).unwrap();
    assert!(stored.as_object_mut().unwrap().remove("former").is_none(), "none is written when there is none");
}
