//! What a node is told of a key set, for keys in states that take a history to reach.

use super::*;
use crate::action::Act;
use crate::key::Origin;
use crate::lifecycle::Transition;
use crate::refusals::house::{House, campaign, key, material, zpk};

use Progress::{Accepting, Activated, Wrapped};
use Transition::{T4, T6, T8};

/// A key: the moves since its birth, and how far it is at the node, if it was wrapped for it.
type Held<'a> = (&'a [Transition], Option<Progress>);

/// The steps that a node of the zone is told: the keys have the numbers 1, 2, …, and `protecting` is the key set's.
fn told(protecting: u32, keys: &[Held<'_>]) -> Vec<(u32, Step)> {
    let target = target(protecting, keys, 1);
    target.key_sets.iter().flat_map(|set| &set.generations).map(|one| (one.generation.0, one.step)).collect()
}

// The same as a whole, with blocks under the root KEK of this number; the node's is 1.
fn target(protecting: u32, keys: &[Held<'_>], root_kek: u32) -> Target {
    let house = House::founded();
    let mut tx = Change::new(house.core.state());
    let set = tx.get::<KeySet>(&zpk()).unwrap().clone();
    tx.edit::<KeySet>(&zpk()).unwrap().protecting = Some(Generation(protecting));
    for (number, (moves, progress)) in (1..).zip(keys) {
        let mut one =
            Key::born(&set, Generation(number), Origin::Generated, material(), Digest::default(), house.now);
        moves.iter().for_each(|transition| one.apply(*transition, house.now).unwrap());
        if moves.contains(&T6) {
            one.suspect = Some("seen".into());
        }
        tx.add(one).unwrap();
        if let Some(progress) = *progress {
            tx.put(Copy {
                node: house.node(0),
                key_set: zpk(),
                generation: key(zpk(), number).generation,
                block: "D".into(),
                earlier: vec![],
                throw_away: None,
                root_kek,
                kcv: "A1B2C3".into(),
                progress,
                refused: None,
                used: None,
            });
        }
    }
    of(&tx, &house.node(0)).unwrap()
}

#[test]
fn a_block_under_another_root_kek_is_made_again_only_for_a_key_that_is_brought() {
    let brought = target(1, &[(&[T4], Some(Activated)), (&[T4], Some(Wrapped))], 7);
    assert_eq!(brought.missing, [key(zpk(), 2)]);
    let ended = target(1, &[(&[T4], Some(Activated)), (&[T4, T6], Some(Wrapped))], 7);
    assert!(ended.missing.is_empty(), "nothing keeps the node from being told");
    let steps: Vec<_> =
        ended.key_sets[0].generations.iter().map(|one| (one.step, one.block.is_none())).collect();
    assert_eq!(steps, [(Step::Protect, true), (Step::Retire, true)]);
}

// How long a key is processed is told of keys in use; of one that is out of use its step says what follows.
#[test]
fn a_node_is_told_how_long_it_processes() {
    let house = House::founded();
    let node = house.core.node(&house.node(0)).unwrap().clone();
    let mut tx = Change::new(house.core.state());
    let set = tx.get::<KeySet>(&zpk()).unwrap().clone();
    tx.edit::<KeySet>(&zpk()).unwrap().protecting = Some(Generation(1));
    let ends = |moves: &[Transition], step| {
        let mut one =
            Key::born(&set, Generation(1), Origin::Generated, material(), Digest::default(), house.now);
        moves.iter().for_each(|transition| one.apply(*transition, house.now).unwrap());
        (one.windows.originator_until, one.windows.recipient_until) = (Some(7), Some(9));
        let copy = Copy {
            node: node.id,
            key_set: zpk(),
            generation: Generation(1),
            block: "D".into(),
            earlier: vec![],
            throw_away: None,
            root_kek: 1,
            kcv: "A1B2C3".into(),
            progress: Activated,
            refused: None,
            used: None,
        };
        let told = generation(&node, &one, &copy, Wanted::now(step));
        (told.originator_until.map(|until| until.0), told.recipient_until.map(|until| until.0))
    };
    assert_eq!(ends(&[T4], Step::Protect), (Some(7), Some(9)));
    assert_eq!(ends(&[T4], Step::Accept), (None, Some(9)));
    // Its period is over and no key follows: processed on, to its end.
    assert_eq!(ends(&[T4, T8], Step::Protect), (Some(7), Some(9)));
    assert_eq!(ends(&[T4, T8], Step::Accept), (None, None));
    assert_eq!(ends(&[T4, T8], Step::Retire), (None, None));
}

#[test]
fn a_node_is_told_until_when_the_key_protects_that_another_follows() {
    let mut house = House::founded();
    house.zone_key();
    house.end(campaign(1));
    let plan = house.plan(2);
    house.carry(Act::Rotate(vec![plan.clone()]));
    let mut one = house.core.campaign(&plan.campaign).unwrap().clone();
    one.old_until = Some(7);
    let mut tx = Change::new(house.core.state());
    let of =
        |tx: &Change<'_>, n| protects_until(tx, tx.get::<KeySet>(&zpk()).unwrap(), Generation(n)).unwrap();
    let ends = |tx: &Change<'_>| [of(tx, 1), of(tx, 2)];
    for phase in [Phase::Accepting, Phase::Protecting, Phase::Overlap, Phase::RollingBack] {
        one.phase = phase;
        tx.put(one.clone());
        assert_eq!(ends(&tx), [(phase == Phase::Protecting).then_some(7), None], "{phase:?}");
    }
}

#[test]
fn a_node_that_was_away_switches_to_the_key_that_protects() {
    let both = [(&[T4][..], Some(Activated)), (&[T4], Some(Wrapped))];
    assert_eq!(told(2, &both), [(1, Step::Accept), (2, Step::Protect)]);
}

#[test]
fn a_key_whose_period_was_over_before_it_came_leaves_the_one_before_in_its_place() {
    for old in [&[T4][..], &[T4, T8]] {
        let late = [(old, Some(Activated)), (&[T4, T8], Some(Wrapped))];
        assert_eq!(told(2, &late), [(1, Step::Protect)], "wrapped and not there");
        let never = [(old, Some(Activated)), (&[T4, T8], None)];
        assert_eq!(told(2, &never), [(1, Step::Protect)], "not even wrapped");
    }
}

#[test]
fn a_key_whose_period_is_over_keeps_its_place_where_it_is() {
    let there = [(&[T4][..], Some(Accepting)), (&[T4, T8], Some(Activated))];
    assert_eq!(told(2, &there), [(1, Step::Accept), (2, Step::Protect)]);
}

#[test]
fn a_revoked_key_is_followed_by_none_but_the_next() {
    let revoked = [(&[T4, T8][..], Some(Activated)), (&[T4, T6], Some(Accepting))];
    assert_eq!(told(2, &revoked), [(1, Step::Protect), (2, Step::Retire)]);
}

#[test]
fn a_node_two_keys_behind_goes_through_the_one_between() {
    for between in [Accepting, Wrapped] {
        let keys = [(&[T4, T8][..], Some(Activated)), (&[T4], Some(between)), (&[T4], Some(Wrapped))];
        let expected = [(1, Step::Accept), (2, Step::Protect), (3, Step::Accept)];
        assert_eq!(told(3, &keys), expected, "{between:?}");
    }
    // Then it gives the oldest up, and follows the others.
    let keys = [(&[T4, T8][..], Some(Accepting)), (&[T4], Some(Activated)), (&[T4], Some(Accepting))];
    assert_eq!(told(3, &keys), [(1, Step::Retire), (2, Step::Protect), (3, Step::Accept)]);
    let keys = [(&[T4, T8][..], Some(Progress::Retired)), (&[T4], Some(Activated)), (&[T4], Some(Accepting))];
    assert_eq!(told(3, &keys), [(1, Step::Retire), (2, Step::Accept), (3, Step::Protect)]);
}
