//! No key goes further than officers have allowed.

use crate::common::fleet::{SET, Side, ZONE, begun, brings, joined, rotate, set, target};
use crate::common::{centre, evidence, evidence_at};
use keylink::action::{ActionClass, Grant};
use keylink::message::ReceiptKind::{Accepting, Activated, Applied, Proven, Retired};
use keylink::message::{Command, Order, Reason, Scope, Step};
use keylink::wire::U64;
use keylink::{CommandId, Generation, NodeId, Signed};

// Everything that a manifest may be refused for once it is proved and in order.
#[test]
fn steps_that_do_not_follow_or_are_not_approved() {
    let centre = centre();
    let mut side = begun(&centre);
    let mut check = |targets: Vec<_>, approved, reason| {
        let manifest = side.manifest(&centre, targets, approved);
        let signed = side.seal(&centre, &manifest);
        assert_eq!(side.refused(&signed), reason);
    };
    let both = |old, new| vec![set(vec![target(1, old), target(2, new)])];
    check(both(Step::Protect, Step::Stage), vec![], Reason::NotApproved);
    check(both(Step::Protect, Step::Stage), vec![rotate(&centre, 3)], Reason::NotApproved);
    let one = evidence(&centre, ActionClass::Rotate, &[brings(2)], &[1]);
    check(both(Step::Protect, Step::Stage), vec![one], Reason::NotApproved);
    // The class with the lowest quorum allows nothing but what belongs to it.
    let cheap = evidence(&centre, ActionClass::SuspendNode, &[brings(2)], &[1]);
    check(both(Step::Protect, Step::Stage), vec![cheap], Reason::Evidence);
    check(both(Step::Protect, Step::Protect), vec![rotate(&centre, 2)], Reason::Protect);
    check(both(Step::Accept, Step::Accept), vec![rotate(&centre, 2)], Reason::Protect);
    check(both(Step::Retire, Step::Protect), vec![rotate(&centre, 2)], Reason::Protect);
    check(vec![set(vec![target(1, Step::Stage)])], vec![], Reason::Step);
    check(vec![set(vec![target(1, Step::Destroy)])], vec![], Reason::NotApproved);
    check(vec![], vec![], Reason::Step);
    let mut other = set(vec![target(1, Step::Protect)]);
    other.definition.name = "renamed".into();
    check(vec![other.clone()], vec![], Reason::Definition);
    other.definition.key_set.0[0] ^= 1;
    check(vec![set(vec![target(1, Step::Protect)]), other.clone()], vec![], Reason::NotApproved);
    let defined = evidence(&centre, ActionClass::KeySet, &[Grant::KeySet(other.definition.clone())], &[1, 2]);
    let mut without_keys = other.clone();
    without_keys.generations.clear();
    check(vec![set(vec![target(1, Step::Protect)]), without_keys], vec![defined], Reason::Index);
    other.definition.scope = Scope::Node(NodeId([1; 32]));
    check(vec![set(vec![target(1, Step::Protect)]), other], vec![], Reason::NotMember);
    let mut kcv = target(1, Step::Protect);
    kcv.kcv = "000000".into();
    check(vec![set(vec![kcv])], vec![], Reason::CheckValue);
    let mut bare = target(2, Step::Stage);
    bare.nonce = None;
    check(vec![set(vec![target(1, Step::Protect), bare])], vec![rotate(&centre, 2)], Reason::Challenge);
    let suspended = |_: &()| {
        let mut suspended = set(vec![target(1, Step::Protect)]);
        suspended.suspended = true;
        vec![suspended]
    };
    check(suspended(&()), vec![], Reason::NotApproved);
}

// Whoever has the manifest key and nothing else takes no key further than officers have allowed.
#[test]
fn a_held_key_goes_no_further_without_approval() {
    let centre = centre();
    let mut side = begun(&centre);
    let both = |old, new| vec![set(vec![target(1, old), target(2, new)])];
    let refused = |side: &mut Side, targets: Vec<_>, approved, reason| {
        let manifest = side.manifest(&centre, targets, approved);
        let signed = side.seal(&centre, &manifest);
        assert_eq!(side.refused(&signed), reason);
    };
    side.run(&centre, both(Step::Protect, Step::Stage), vec![rotate(&centre, 2)]);
    refused(&mut side, both(Step::Protect, Step::Accept), vec![], Reason::NotApproved);
    refused(&mut side, both(Step::Accept, Step::Protect), vec![], Reason::NotApproved);
    refused(&mut side, both(Step::Accept, Step::Protect), vec![rotate(&centre, 1)], Reason::NotApproved);
    // A roll-back to it is for protecting, not for accepting.
    let back = Grant::Rollback { key_set: SET, from: Generation(3), to: Generation(2) };
    let back = vec![evidence(&centre, ActionClass::Rollback, &[back], &[1, 2])];
    refused(&mut side, both(Step::Protect, Step::Accept), back, Reason::NotApproved);
    assert_eq!(side.run(&centre, both(Step::Protect, Step::Accept), vec![rotate(&centre, 2)]), [Accepting]);
    refused(&mut side, both(Step::Accept, Step::Protect), vec![], Reason::NotApproved);
    // A key that hosts may use already is not taken away by the key that it is to follow.
    refused(&mut side, both(Step::Protect, Step::Retire), vec![rotate(&centre, 2)], Reason::Protect);
    let mut passed_by = side.clone();
    let mut targets = both(Step::Protect, Step::Retire);
    targets[0].generations.push(target(3, Step::Accept));
    let kinds = passed_by.run(&centre, targets, vec![rotate(&centre, 2), rotate(&centre, 3)]);
    assert_eq!(kinds, [Proven, Accepting, Retired], "at a node that was away");
    // By the clock it is the same, and once armed the next manifest need not show it again.
    let mut armed = both(Step::Accept, Step::Protect);
    armed[0].generations[1].protect_from = Some(U64(side.now.utc_ms + 5_000));
    refused(&mut side, armed.clone(), vec![], Reason::NotApproved);
    assert_eq!(side.run(&centre, armed.clone(), vec![rotate(&centre, 2)]), [Applied]);
    assert_eq!(side.run(&centre, armed.clone(), vec![]), [Applied]);
    armed[0].generations[1].protect_from = Some(U64(side.now.utc_ms + 4_000));
    refused(&mut side, armed, vec![], Reason::NotApproved);
    // What stays where it is, and what goes because another follows it, needs none.
    assert_eq!(side.run(&centre, both(Step::Accept, Step::Protect), vec![rotate(&centre, 2)]), [Activated]);
    assert_eq!(side.run(&centre, both(Step::Accept, Step::Protect), vec![]), [Applied]);
    assert_eq!(side.run(&centre, both(Step::Retire, Step::Protect), vec![]), [Retired]);
}

#[test]
fn a_node_outside_the_zone_gets_nothing() {
    let centre = centre();
    let mut side = Side::new(&centre, 41);
    side.deliver();
    let mut approved = joined(&centre, NodeId([1; 32]));
    approved.push(rotate(&centre, 1));
    let manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], approved);
    let signed = side.seal(&centre, &manifest);
    assert_eq!(side.refused(&signed), Reason::NotMember);
}

// Approvals are good for more than a year, and what they allowed may have been taken back meanwhile.
#[test]
fn earlier_decisions_are_no_approval_after_later_ones() {
    let centre = centre();
    let mut side = begun(&centre);
    let node = side.node();
    let targets = || vec![set(vec![target(1, Step::Protect)])];
    let at = |created: u64, class, grant| evidence_at(&centre, created, class, &[grant], &[1, 2]);
    let suspend = |created| at(created, ActionClass::SuspendNode, Grant::SuspendNode(node));
    let resume = |created| at(created, ActionClass::Resume, Grant::ResumeNode(node));
    let manifest = |side: &mut Side, suspended, approved| {
        let mut manifest = side.manifest(&centre, targets(), approved);
        manifest.suspended = suspended;
        side.seal(&centre, &manifest)
    };
    for (suspended, approved) in
        [(true, vec![suspend(10)]), (false, vec![suspend(10), resume(20)]), (true, vec![suspend(30)])]
    {
        let signed = manifest(&mut side, suspended, approved);
        side.give(&signed);
        assert_eq!((side.machine.state().suspended, side.deliver()), (suspended, vec![Applied]));
    }
    side.crash();
    let old = manifest(&mut side, false, vec![resume(20)]);
    assert_eq!(side.refused(&old), Reason::NotApproved);
    let head = side.link.next_head(1, side.now.utc_ms + 1000);
    let order = Order::Resume;
    let old = Command { head, command: CommandId([1; 16]), order, evidence: vec![resume(20)] };
    let old = Signed::seal(&old, &centre.manifest);
    assert_eq!(side.refused(&old), Reason::NotApproved);
    let new = manifest(&mut side, false, vec![resume(20), resume(40)]);
    side.give(&new);
    assert!(!side.machine.state().suspended);
    // Suspending by what was taken back is no better.
    let old = manifest(&mut side, true, vec![suspend(30)]);
    assert_eq!(side.refused(&old), Reason::NotApproved);

    // A key set.
    let still = |created| at(created, ActionClass::SuspendKey, Grant::SuspendKeySet(SET));
    let wake = |created| at(created, ActionClass::Resume, Grant::ResumeKeySet(SET));
    let of_set = |side: &mut Side, suspended, approved| {
        let mut targets = targets();
        targets[0].suspended = suspended;
        let manifest = side.manifest(&centre, targets, vec![approved]);
        side.seal(&centre, &manifest)
    };
    for (suspended, approved) in [(true, still(10)), (false, wake(20)), (true, still(30))] {
        let signed = of_set(&mut side, suspended, approved);
        side.give(&signed);
        assert_eq!(side.table.sets[0].suspended, suspended);
    }
    let old = of_set(&mut side, false, wake(20));
    assert_eq!(side.refused(&old), Reason::NotApproved);

    // A zone: whoever has left is not brought back by the approval of before.
    let join = |created| at(created, ActionClass::Zone, Grant::JoinZone { zone: ZONE, node });
    let leave = |created| at(created, ActionClass::Zone, Grant::LeaveZone { zone: ZONE, node });
    side.run(&centre, vec![], vec![leave(50)]);
    assert!(side.machine.state().zones.is_empty());
    let again = || vec![set(vec![target(2, Step::Stage)])];
    let old = side.manifest(&centre, again(), vec![join(20), rotate(&centre, 2)]);
    let old = side.seal(&centre, &old);
    assert_eq!(side.refused(&old), Reason::NotMember);
    let side_by_side = side.manifest(&centre, again(), vec![join(20), leave(50), rotate(&centre, 2)]);
    let side_by_side = side.seal(&centre, &side_by_side);
    assert_eq!(side.refused(&side_by_side), Reason::NotMember);
    let mut woken = again();
    woken[0].suspended = true;
    side.run(&centre, woken, vec![join(60), rotate(&centre, 2)]);
    assert!(side.machine.state().zones.contains(&ZONE));
}

// A state of before decisions were remembered, and its bytes while there are none.
#[test]
fn a_state_without_decisions_reads() {
    let centre = centre();
    let mut side = Side::new(&centre, 40);
    let text = String::from_utf8(side.stored.clone()).unwrap();
    assert!(!text.contains("decided"));
    side.crash();
    assert!(side.machine.state().decided.is_empty());
    let side = begun(&centre);
    assert!(String::from_utf8(side.stored).unwrap().contains("\"decided\":[[{\"zone\":"));
}
