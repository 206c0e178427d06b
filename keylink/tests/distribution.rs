//! Rotation between a link and a node, and every refusal of a message by either.

mod common;

use common::fleet::{SET, Side, ZONE, begun, brings, definition, install, joined, rotate, set, target};
use common::{Centre, centre, evidence, evidence_at};
use keylink::action::{ActionClass, Grant};
use keylink::manager::{Link, LinkError, Quarantine, Said};
use keylink::message::{
    Audience, Checkpoint, Command, CounterReceipt, Manifest, Order, Reason, ReceiptKind, Resync, Scope, Step,
};
use keylink::wire::{Blob, Hex, U64};
use keylink::{CommandId, Digest, Generation, Instant3, KmcId, NodeId, Sign, Signed, SoftSigner};

use ReceiptKind::{Accepting, Activated, Applied, Destroyed, Proven, Retired, RolledBack, Zeroised};

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
fn protect_starts_by_the_clock_and_survives_a_restart() {
    let centre = centre();
    let mut side = begun(&centre);
    let at = side.now.utc_ms + 5_000;
    let mut new = target(2, Step::Protect);
    new.protect_from = Some(U64(at));
    let kinds = side.run(&centre, vec![set(vec![target(1, Step::Accept), new])], vec![rotate(&centre, 2)]);
    assert_eq!(kinds, [Proven, Accepting]);
    let current = |side: &Side| side.table.sets[0].current.as_ref().unwrap().generation;
    assert_eq!(current(&side), Generation(1));
    side.now = side.now.after(2_000);
    side.crash();
    let effects = side.machine.boot(side.now);
    side.follow(effects);
    assert_eq!((current(&side), side.machine.next_deadline_ms(side.now)), (Generation(1), Some(3_000)));
    // The wall clock jumps over the moment: the present generation stays, with an alarm.
    let jumped = Instant3 { utc_ms: side.now.utc_ms + 600_000, ..side.now.after(3_100) };
    let effects = side.machine.tick(jumped);
    assert_eq!((effects.alarms, effects.publish), (vec![keylink::message::Alarm::Clock], None));
    side.now = side.now.after(2_999);
    let effects = side.machine.tick(side.now);
    assert!(!effects.persist);
    side.now = side.now.after(1);
    let effects = side.machine.tick(side.now);
    side.follow(effects);
    assert_eq!((current(&side), side.deliver()), (Generation(2), vec![Activated]));
}

#[test]
fn a_clock_that_jumped_arms_nothing() {
    let centre = centre();
    let mut side = begun(&centre);
    side.now.utc_ms -= 600_000;
    let mut new = target(2, Step::Protect);
    new.protect_from = Some(U64(side.now.utc_ms + 5_000));
    let manifest =
        side.manifest(&centre, vec![set(vec![target(1, Step::Accept), new])], vec![rotate(&centre, 2)]);
    let signed = side.seal(&centre, &manifest);
    assert_eq!(side.refused(&signed), Reason::Clock);
}

// A unit that starts before its clock is set, by network time for one.
#[test]
fn a_clock_that_was_set_is_believed_again_after_quiet_minutes() {
    let centre = centre();
    let mut side = begun(&centre);
    let clock = vec![keylink::message::Alarm::Clock];
    side.now.utc_ms += 60_000;
    let effects = side.machine.tick(side.now);
    assert_eq!(effects.alarms, clock, "though nothing is armed");
    let switch = |at: u64| {
        let mut new = target(2, Step::Protect);
        new.protect_from = Some(U64(at));
        vec![set(vec![target(1, Step::Accept), new])]
    };
    let current = |side: &Side| side.table.sets[0].current.as_ref().unwrap().generation;
    // An hour ahead; and over by this clock, which may be wrong.
    let hour = side.now.utc_ms + 3_600_000;
    for at in [hour, side.now.utc_ms, side.now.utc_ms - 60_000] {
        let manifest = side.manifest(&centre, switch(at), vec![rotate(&centre, 2)]);
        let signed = side.seal(&centre, &manifest);
        assert_eq!(side.refused(&signed), Reason::Clock, "{at}");
    }
    assert_eq!(current(&side), Generation(1));
    for _ in 0..600 {
        side.now = side.now.after(1_000);
        let effects = side.machine.tick(side.now);
        assert!(effects.alarms.is_empty() && effects.publish.is_none());
    }
    assert!(side.machine.alarms(side.now).is_empty());
    assert_eq!(side.run(&centre, switch(hour), vec![rotate(&centre, 2)]), [Proven, Accepting]);
    assert_eq!(side.machine.next_deadline_ms(side.now), Some(3_000_000));
    side.now = side.now.after(3_000_000);
    let effects = side.machine.tick(side.now);
    side.follow(effects);
    assert_eq!((current(&side), side.deliver()), (Generation(2), vec![Activated]));
}

// Suspension and revocation wait for no clock; the switch that comes with them does.
#[test]
fn what_takes_rights_away_is_obeyed_whatever_the_clock_says() {
    let centre = centre();
    let mut side = begun(&centre);
    let due = side.now.utc_ms + 30_000;
    side.now.utc_ms += 60_000;
    let mut new = target(2, Step::Protect);
    new.protect_from = Some(U64(due));
    let targets = vec![set(vec![target(1, Step::Accept), new])];
    let suspend = evidence(&centre, ActionClass::SuspendNode, &[Grant::SuspendNode(side.node())], &[1]);
    let mut manifest = side.manifest(&centre, targets.clone(), vec![rotate(&centre, 2), suspend.clone()]);
    manifest.suspended = true;
    let signed = side.seal(&centre, &manifest);
    side.give(&signed);
    assert_eq!(side.deliver(), [Proven, Accepting]);
    let set = &side.table.sets[0];
    assert!(set.suspended && set.current.as_ref().unwrap().generation == Generation(1), "held back");
    // It stays so with the next manifest, and without news.
    let resume = evidence(&centre, ActionClass::Resume, &[Grant::ResumeNode(side.node())], &[1, 2]);
    assert_eq!(side.run(&centre, targets, vec![rotate(&centre, 2), resume]), [Applied]);
    let effects = side.machine.tick(side.now);
    assert!(effects.publish.is_none());
    assert_eq!(side.table.sets[0].current.as_ref().unwrap().generation, Generation(1));
    for _ in 0..301 {
        side.now = side.now.after(1_000);
        let effects = side.machine.tick(side.now);
        side.follow(effects);
    }
    assert_eq!(side.deliver(), [Activated]);
    assert_eq!(side.table.sets[0].current.as_ref().unwrap().generation, Generation(2));
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

// What auditors ask nodes for is what the log's own key has signed.
#[test]
fn checkpoints_are_kept_when_the_logs_key_has_signed_them() {
    let centre = centre();
    let mut side = begun(&centre);
    let note = |key: u8, size: u64, root: Digest| {
        let root = Blob(root.0.to_vec());
        let root = serde_json::to_string(&root).unwrap();
        let text = format!("kmc.example\n{size}\n{}\n", root.trim_matches('"'));
        let signed = [vec![1, 2, 3, 4], SoftSigner::new(&[key; 32]).sign(text.as_bytes()).to_vec()].concat();
        let signed = serde_json::to_string(&Blob(signed)).unwrap();
        format!("{text}\n\u{2014} kmc.example {}\n", signed.trim_matches('"'))
    };
    let mut kept = |size: u64, note: String| {
        let mut manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], vec![]);
        manifest.checkpoint = Some(Checkpoint { size: U64(size), root: Digest([7; 32]), note });
        let signed = side.seal(&centre, &manifest);
        side.give(&signed);
        assert_eq!(side.deliver(), [Applied], "the manifest is taken");
        side.machine.state().checkpoint.as_ref().map(|kept| kept.size.0)
    };
    let root = Digest([7; 32]);
    assert_eq!(kept(5, String::new()), None);
    assert_eq!(kept(5, note(66, 5, root)), None, "by another key");
    assert_eq!(kept(5, note(101, 4, root)), None, "of another size");
    assert_eq!(kept(5, note(101, 5, Digest([8; 32]))), None, "of another root");
    assert_eq!(kept(5, note(101, 5, root).replace("example\n5", "examples\n5")), None, "edited");
    assert_eq!(kept(5, note(101, 5, root)), Some(5));
    assert_eq!(kept(u64::MAX, note(66, u64::MAX, root)), Some(5));
    assert_eq!(kept(4, note(101, 4, root)), Some(5), "never a smaller one");
    // Another key may have signed it too.
    let both = format!("{}\u{2014} witness AAAA\n", note(101, 9, root));
    assert_eq!(kept(9, both), Some(9));
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
fn what_is_not_from_our_manager_for_us_and_now() {
    let centre = centre();
    let mut side = begun(&centre);
    let manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], vec![]);
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        Signed::seal(&changed, &centre.manifest)
    };
    let thief = Signed::seal(&manifest, &SoftSigner::new(&[66; 32]));
    assert_eq!(side.refused(&thief), Reason::Signature);
    let mut flipped = with(&|_| {});
    flipped.signature[3] ^= 1;
    assert_eq!(side.refused(&flipped), Reason::Signature);
    assert_eq!(side.refused(&with(&|m| m.head.kmc = KmcId([1; 32]))), Reason::Kmc);
    assert_eq!(side.refused(&with(&|m| m.head.audience = Audience::Node(NodeId([1; 32])))), Reason::Audience);
    assert_eq!(side.refused(&with(&|m| m.head.audience = Audience::Kmc)), Reason::Audience);
    assert_eq!(side.refused(&with(&|m| m.head.not_after = U64(1))), Reason::Expired);
    assert_eq!(side.refused(&with(&|m| m.head.version = 2)), Reason::Version);
    assert_eq!(side.refused(&with(&|m| m.head.epoch = U64(0))), Reason::Epoch);
    assert_eq!(side.refused(&with(&|m| m.root = Digest([1; 32]))), Reason::Root);
    let mut other_kind = with(&|_| {});
    other_kind.kind = "receipt".into();
    assert_eq!(side.refused(&other_kind), Reason::Kind);
    let nonsense = Signed::seal_bytes("manifest", b"{}".to_vec(), &centre.manifest);
    assert_eq!(side.refused(&nonsense), Reason::Malformed);
}

#[test]
fn repeated_reordered_and_rolled_back_messages() {
    let centre = centre();
    let mut side = begun(&centre);
    let stage = vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])];
    let first = side.manifest(&centre, stage.clone(), vec![rotate(&centre, 2)]);
    let first = side.seal(&centre, &first);
    let second = side.manifest(&centre, stage, vec![rotate(&centre, 2)]);
    let second = side.seal(&centre, &second);
    side.give(&first);
    let receipts = side.machine.outbox().to_vec();
    let installs = side.installs;
    // Byte for byte the same: the stored receipt, and nothing else happens. Also when it has expired meanwhile.
    for later in [0, 10_000_000] {
        side.now = side.now.after(later);
        let again = side.give(&first);
        assert_eq!(again, receipts[receipts.len() - 1..]);
        assert_eq!((side.machine.outbox(), side.installs), (&receipts[..], installs));
    }
    side.now = Instant3 { utc_ms: 1_000_000, mono_ms: 1_000, boot_id: 1 };
    // The same number with other bytes.
    let mut conflict: Manifest = first.peek().unwrap();
    conflict.head.not_after = U64(conflict.head.not_after.0 + 1);
    let conflict = Signed::seal(&conflict, &centre.manifest);
    assert_eq!(side.refused(&conflict), Reason::Conflict);
    // Out of order: the later one first, then the earlier.
    side.deliver();
    side.give(&second);
    assert_eq!(side.refused(&first), Reason::Replayed);
}

#[test]
fn an_unknown_previous_asks_for_the_full_state() {
    let centre = centre();
    let mut side = begun(&centre);
    let targets = vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])];
    let mut manifest = side.manifest(&centre, targets.clone(), vec![rotate(&centre, 2)]);
    manifest.previous = Some(Digest([3; 32]));
    let signed = side.seal(&centre, &manifest);
    let said = side.give(&signed);
    let resync: Resync = said[0].peek().unwrap();
    assert_eq!((resync.held.len(), resync.nonce), (1, Hex([5; 16])));
    assert!(matches!(side.link.receive(side.now.utc_ms, &said[0]), Ok(Said::Resync(_))));
    let mut guessed = side.manifest(&centre, targets.clone(), vec![rotate(&centre, 2)]);
    guessed.resync = Some(Hex([6; 16]));
    let signed = side.seal(&centre, &guessed);
    assert_eq!(side.give(&signed)[0].kind, "resync", "a nonce that was not asked for");
    let mut answer = side.manifest(&centre, targets.clone(), vec![rotate(&centre, 2)]);
    (answer.resync, answer.previous) = (Some(resync.nonce), None);
    let signed = side.seal(&centre, &answer);
    side.give(&signed);
    assert_eq!(side.deliver(), [Proven]);
    // The wish was repeated before the answer came, and each of them is answered: nothing more is wished for, or
    // manager and node would answer each other for ever.
    let mut again = side.manifest(&centre, targets, vec![rotate(&centre, 2)]);
    (again.resync, again.previous) = (Some(resync.nonce), None);
    let signed = side.seal(&centre, &again);
    assert!(side.give(&signed).iter().all(|said| said.kind != "resync"));
    assert_eq!(side.deliver(), [Applied]);
}

#[test]
fn a_key_that_does_not_install_is_refused_whole() {
    let centre = centre();
    let mut side = begun(&centre);
    let manifest = side.manifest(
        &centre,
        vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])],
        vec![rotate(&centre, 2)],
    );
    let signed = side.seal(&centre, &manifest);
    let before = side.machine.to_bytes();
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    let said = side.follow_with(effects, &|_| Err(Reason::Label));
    assert_eq!((side.reason(&said[0]), side.machine.to_bytes()), (Reason::Label, before));
    // The same bytes again, with a backend that works.
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    side.follow_with(effects, &install);
    assert_eq!(side.deliver(), [Proven]);
}

#[test]
fn killed_between_store_and_receipt() {
    let centre = centre();
    let mut side = begun(&centre);
    let manifest = side.manifest(
        &centre,
        vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])],
        vec![rotate(&centre, 2)],
    );
    let signed = side.seal(&centre, &manifest);
    // Killed while the backend works: nothing is stored, the same bytes do it again.
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    assert_eq!(effects.install.len(), 1);
    side.crash();
    side.give(&signed);
    let receipts = side.machine.outbox().to_vec();
    // Killed after the store: the receipt is there, the same bytes, and one key.
    side.crash();
    assert_eq!(side.machine.outbox(), receipts);
    let effects = side.machine.boot(side.now);
    side.follow(effects);
    let again = side.give(&signed);
    assert_eq!(again, receipts[receipts.len() - 1..]);
    assert_eq!(side.deliver(), [Proven]);
    assert_eq!(side.deliver(), [], "counted once");
    assert_eq!(side.machine.state().key_sets[0].generations.len(), 2);
}

#[test]
fn killed_before_the_cores_have_switched() {
    let centre = centre();
    let mut side = begun(&centre);
    let manifest = side.manifest(
        &centre,
        vec![set(vec![target(1, Step::Accept), target(2, Step::Protect)])],
        vec![rotate(&centre, 2)],
    );
    let signed = side.seal(&centre, &manifest);
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    let answers = effects.install.iter().map(install).collect();
    let effects = side.machine.installed(side.now, answers).unwrap();
    assert!(effects.persist && effects.publish.is_some());
    side.stored = side.machine.to_bytes();
    assert_eq!(side.deliver(), [Proven]);
    side.crash();
    let effects = side.machine.boot(side.now);
    side.follow(effects);
    assert_eq!(side.deliver(), [Accepting, Activated]);
}

#[test]
fn confirmed_receipts_leave_the_outbox() {
    let centre = centre();
    let mut side = begun(&centre);
    let (number, receipt) = side.link.last_receipt().unwrap();
    let head = keylink::message::Head { seq: number, ..side.manifest(&centre, vec![], vec![]).head };
    let counter = CounterReceipt { head, receipt, checkpoint: None };
    let forged = Signed::seal(&counter, &SoftSigner::new(&[9; 32]));
    assert_eq!(side.refused(&forged), Reason::Signature);
    side.give(&Signed::seal(&counter, &centre.manifest));
    assert!(side.machine.outbox().is_empty());
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

#[test]
fn a_period_that_ends_stops_protecting_only_where_the_policy_says_so() {
    for hard_stop in [false, true] {
        let centre = centre();
        let mut side = Side::new(&centre, 42);
        side.deliver();
        let mut one = set(vec![target(1, Step::Protect)]);
        one.definition.hard_stop = hard_stop;
        one.generations[0].originator_until = Some(U64(side.now.utc_ms + 1_000));
        let mut approved = joined(&centre, side.node());
        approved[1] =
            evidence(&centre, ActionClass::KeySet, &[Grant::KeySet(one.definition.clone())], &[1, 2]);
        approved.push(rotate(&centre, 1));
        side.run(&centre, vec![one], approved);
        assert!(!side.table.sets[0].stale);
        side.now = side.now.after(1_001);
        let effects = side.machine.tick(side.now);
        assert!(effects.alarms.contains(&keylink::message::Alarm::OriginatorPeriod));
        side.follow(effects);
        assert_eq!(side.table.sets[0].stale, hard_stop);
    }
}

// SP 800-57 part 1 section 5.3.6: what was protected in its time is processed for a while longer.
#[test]
fn a_recipient_period_that_ends_stops_processing_only_where_the_policy_says_so() {
    use keylink::message::Alarm;
    for hard_stop in [false, true] {
        let centre = centre();
        let mut side = Side::new(&centre, 44);
        side.deliver();
        let until = side.now.utc_ms + 5_000;
        let zone = |generations| {
            let mut one = set(generations);
            one.definition.hard_stop = hard_stop;
            one
        };
        let mut one = zone(vec![target(1, Step::Protect)]);
        let mut approved = joined(&centre, side.node());
        approved[1] =
            evidence(&centre, ActionClass::KeySet, &[Grant::KeySet(one.definition.clone())], &[1, 2]);
        approved.extend([rotate(&centre, 1), rotate(&centre, 2)]);
        side.run(&centre, vec![one], approved.clone());
        // The old one is processed for five seconds, the new one protects for nine and is processed for ten.
        let (mut old, mut new) = (target(1, Step::Accept), target(2, Step::Protect));
        old.recipient_until = Some(U64(until));
        new.originator_until = Some(U64(until + 4_000));
        new.recipient_until = Some(U64(until + 5_000));
        one = zone(vec![old, new]);
        side.run(&centre, vec![one], approved);
        let tick = |side: &mut Side, utc_ms: u64| {
            side.now = side.now.after(utc_ms - side.now.utc_ms);
            let effects = side.machine.tick(side.now);
            let published = effects.publish.is_some();
            side.follow(effects);
            (published, side.machine.alarms(side.now))
        };
        let held = |side: &Side| {
            let set = &side.table.sets[0];
            (set.current.is_some(), set.previous.len(), set.stale)
        };
        // To the last millisecond.
        assert_eq!(tick(&mut side, until), (false, vec![]));
        assert_eq!(held(&side), (true, 1, false));
        // A store that fails at that very moment puts it off to the next tick, and with it what people are told.
        side.now = side.now.after(1);
        for _ in 0..2 {
            let lost = side.machine.tick(side.now);
            assert_eq!((lost.publish.is_some(), lost.alarms), (hard_stop, vec![Alarm::RecipientPeriod]));
            let stored = side.stored.clone();
            side.machine.reload(&stored).unwrap();
        }
        let again = side.machine.tick(side.now);
        assert_eq!(again.alarms, [Alarm::RecipientPeriod]);
        assert_eq!(
            (again.publish.is_some(), again.persist),
            (hard_stop, hard_stop),
            "what was not published is"
        );
        side.follow(again);
        assert_eq!(held(&side), (true, usize::from(!hard_stop), false));
        // One that fails later takes no table back that stands.
        let stored = side.stored.clone();
        side.machine.reload(&stored).unwrap();
        assert!(side.machine.tick(side.now).publish.is_none(), "what was published is not published again");
        assert_eq!(tick(&mut side, until + 2), (false, vec![Alarm::RecipientPeriod]));
        // A wall clock that jumps ends no protection: the present generation stays, with an alarm.
        let jumped = Instant3 { utc_ms: side.now.utc_ms + 600_000, ..side.now.after(1) };
        let effects = side.machine.tick(jumped);
        assert_eq!((effects.publish, effects.alarms), (None, vec![Alarm::Clock]));
        assert!(!side.machine.table(jumped).sets[0].stale);
        let late = vec![Alarm::OriginatorPeriod, Alarm::RecipientPeriod];
        let stale = vec![Alarm::OriginatorPeriod, Alarm::RecipientPeriod, Alarm::Stale];
        let standing = if hard_stop { &stale } else { &late };
        let (published, alarms) = tick(&mut side, until + 4_001);
        assert_eq!((published, &alarms), (hard_stop, standing));
        assert_eq!(held(&side), (true, usize::from(!hard_stop), hard_stop));
        // Nor does it end what is processed.
        let jumped = Instant3 { utc_ms: side.now.utc_ms + 600_000, ..side.now.after(10) };
        side.machine.tick(jumped);
        assert!(side.machine.table(jumped).sets[0].current.is_some());
        let (published, _) = tick(&mut side, until + 5_001);
        assert_eq!((published, held(&side).0), (hard_stop, !hard_stop));
        // It stays so after a restart.
        side.crash();
        let effects = side.machine.boot(side.now);
        side.follow(effects);
        assert_eq!(held(&side).0, !hard_stop);
    }
}

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
