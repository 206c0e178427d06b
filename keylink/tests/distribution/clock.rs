//! What a node does by its clock, and what it does while it does not believe it.

use crate::common::fleet::{Side, begun, joined, rotate, set, target};
use crate::common::{centre, evidence};
use keylink::action::{ActionClass, Grant};
use keylink::message::ReceiptKind::{Accepting, Activated, Applied, Proven};
use keylink::message::{Reason, Step};
use keylink::wire::U64;
use keylink::{Generation, Instant3};

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
