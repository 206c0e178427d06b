//! The four gated steps of a rotation, and the ways back from them.

use crate::common::fleet::{SET, Side, ZONE, begun, rotate, set, target};
use crate::common::{centre, evidence};
use keylink::action::{ActionClass, Grant};
use keylink::message::ReceiptKind::{
    Accepting, Activated, Applied, Destroyed, Proven, Retired, RolledBack, Zeroised,
};
use keylink::message::{Command, Order, Reason, Step};
use keylink::{CommandId, Generation, Signed};

#[test]
fn a_rotation_in_four_gated_steps() {
    let centre = centre();
    let mut side = begun(&centre);
    let step = |side: &mut Side, old, new| {
        side.run(&centre, vec![set(vec![target(1, old), target(2, new)])], vec![rotate(&centre, 2)])
    };
    assert_eq!(step(&mut side, Step::Protect, Step::Stage), [Proven]);
    assert_eq!(side.table.sets[0].next, None, "a staged key does nothing");
    assert_eq!(step(&mut side, Step::Protect, Step::Accept), [Accepting]);
    let table = &side.table.sets[0];
    assert_eq!(table.current.as_ref().unwrap().generation, Generation(1));
    assert_eq!(table.next.as_ref().unwrap().generation, Generation(2));
    assert_eq!(step(&mut side, Step::Accept, Step::Protect), [Activated]);
    let table = &side.table.sets[0];
    assert_eq!(table.current.as_ref().unwrap().generation, Generation(2));
    assert_eq!(table.previous.len(), 1);
    assert_eq!(step(&mut side, Step::Retire, Step::Protect), [Retired]);
    assert!(side.table.sets[0].previous.is_empty());
    assert_eq!(step(&mut side, Step::Retire, Step::Protect), [Applied]);
    let destroy = Grant::Destroy { key_set: SET, generation: Generation(1) };
    let approved = vec![evidence(&centre, ActionClass::Destroy, &[destroy], &[1, 2])];
    let targets = vec![set(vec![target(1, Step::Destroy), target(2, Step::Protect)])];
    assert_eq!(side.run(&centre, targets, approved), [Destroyed]);
    assert!(side.machine.state().key_sets[0].generations[0].token.is_empty());
}

#[test]
fn one_manifest_brings_a_node_up_to_date() {
    let centre = centre();
    let mut side = begun(&centre);
    // Generation 3 was given up elsewhere; 2 came and went.
    let targets = vec![set(vec![
        target(1, Step::Retire),
        target(2, Step::Retire),
        target(4, Step::Accept),
        target(5, Step::Protect),
    ])];
    let approved = vec![
        rotate(&centre, 4),
        rotate(&centre, 5),
        evidence(
            &centre,
            ActionClass::Destroy,
            &[Grant::Destroy { key_set: SET, generation: Generation(1) }],
            &[1, 2],
        ),
    ];
    assert_eq!(
        side.run(&centre, targets, approved),
        [Proven, Proven, Accepting, Accepting, Activated, Retired]
    );
    // A number below the highest is never installed.
    let manifest = side.manifest(
        &centre,
        vec![set(vec![target(3, Step::Accept), target(4, Step::Accept), target(5, Step::Protect)])],
        vec![rotate(&centre, 3)],
    );
    let signed = side.seal(&centre, &manifest);
    assert_eq!(side.refused(&signed), Reason::Generation);
}

#[test]
fn roll_back_needs_its_own_approval() {
    let centre = centre();
    let mut side = begun(&centre);
    let targets = |old, new| vec![set(vec![target(1, old), target(2, new)])];
    side.run(&centre, targets(Step::Accept, Step::Protect), vec![rotate(&centre, 2)]);
    let back = targets(Step::Protect, Step::Accept);
    for shown in [vec![], vec![rotate(&centre, 1)]] {
        let manifest = side.manifest(&centre, back.clone(), shown);
        let signed = side.seal(&centre, &manifest);
        assert_eq!(side.refused(&signed), Reason::Rollback);
    }
    let grant = Grant::Rollback { key_set: SET, from: Generation(2), to: Generation(1) };
    let approved = vec![evidence(&centre, ActionClass::Rollback, &[grant], &[1, 2])];
    assert_eq!(side.run(&centre, back, approved), [RolledBack]);
    assert_eq!(side.table.sets[0].next.as_ref().unwrap().generation, Generation(2), "process-only");
}

// The order to retire overtakes the cores: nothing is known to protect yet.
#[test]
fn a_key_stays_until_its_successor_is_used() {
    let centre = centre();
    let mut side = begun(&centre);
    let both = |old, new| vec![set(vec![target(1, old), target(2, new)])];
    side.run(&centre, both(Step::Protect, Step::Accept), vec![rotate(&centre, 2)]);
    let manifest = side.manifest(&centre, both(Step::Accept, Step::Protect), vec![rotate(&centre, 2)]);
    let signed = side.seal(&centre, &manifest);
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    let table = effects.publish.unwrap().number;
    let manifest = side.manifest(&centre, both(Step::Retire, Step::Protect), vec![rotate(&centre, 2)]);
    let early = side.seal(&centre, &manifest);
    assert_eq!(side.refused(&early), Reason::Protect);
    side.machine.switched(side.now, table).unwrap();
    side.give(&early);
    assert_eq!(side.deliver(), [Activated, Retired]);
}

#[test]
fn a_node_that_leaves_its_zone_erases_the_keys() {
    let centre = centre();
    let mut side = begun(&centre);
    let leave = Grant::LeaveZone { zone: ZONE, node: side.node() };
    let approved = vec![evidence(&centre, ActionClass::Zone, &[leave], &[1, 2])];
    assert_eq!(side.run(&centre, vec![], approved), [Retired, Destroyed]);
    assert_eq!(side.table.sets[0].current, None);
}

#[test]
fn one_person_suspends_a_node_and_two_resume_it() {
    let centre = centre();
    let mut side = begun(&centre);
    let order = |side: &mut Side, order, evidence| {
        let head = side.link.next_head(1, side.now.utc_ms + 1000);
        let command = Command { head, command: CommandId([1; 16]), order, evidence };
        let signed = Signed::seal(&command, &centre.manifest);
        side.link.sent(head.seq, &signed);
        signed
    };
    let node = side.node();
    let grant = [Grant::SuspendNode(node)];
    let bare = order(&mut side, Order::Suspend, vec![]);
    assert_eq!(side.refused(&bare), Reason::NotApproved);
    let approved = vec![evidence(&centre, ActionClass::SuspendNode, &grant, &[1])];
    let signed = order(&mut side, Order::Suspend, approved);
    side.give(&signed);
    assert!(side.table.sets[0].suspended);
    let resume = [Grant::ResumeNode(node)];
    let one = vec![evidence(&centre, ActionClass::Resume, &resume, &[1])];
    let signed = order(&mut side, Order::Resume, one);
    assert_eq!(side.refused(&signed), Reason::NotApproved);
    let two = vec![evidence(&centre, ActionClass::Resume, &resume, &[1, 2])];
    let signed = order(&mut side, Order::Resume, two);
    side.give(&signed);
    assert!(!side.table.sets[0].suspended);
    let erase = vec![evidence(&centre, ActionClass::Revoke, &[Grant::ZeroiseNode(node)], &[1, 2])];
    let signed = order(&mut side, Order::Zeroise, erase.clone());
    side.give(&signed);
    assert!(side.machine.state().kek.is_none() && side.table.sets[0].current.is_none());
    assert!(side.machine.state().key_sets[0].generations.iter().all(|g| g.token.is_empty()));
    assert_eq!(side.deliver(), [Applied, Applied, Retired, Destroyed, Zeroised]);
    // The same message again is answered by its receipts. The same approval in a later one is obeyed, and finds nothing.
    side.give(&signed);
    assert_eq!(side.deliver(), []);
    let again = order(&mut side, Order::Zeroise, erase);
    side.give(&again);
    assert_eq!(side.deliver(), [Zeroised]);
    // And what was erased does not come back with its old approvals.
    let manifest =
        side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], vec![rotate(&centre, 1)]);
    let signed = side.seal(&centre, &manifest);
    assert_eq!(side.refused(&signed), Reason::Generation);
}
