//! How long nodes are told to process a key while other nodes still protect with it, and what a lost key does to a campaign.

use crate::action::Act;
use crate::alarm::AlarmKind;
use crate::campaign::{Campaign, Mark, Phase, RotateTarget};
use crate::ids::CampaignId;
use crate::input::Input;
use crate::key::Windows;
use crate::lifecycle::KeyState;
use crate::policy::DAY_MS;
use crate::refusals::house::{House, campaign, key, material, zpk};
use keylink::wire::U64;

const OVERLAP_MS: u64 = 7 * DAY_MS;
const LATE_MS: u64 = 30 * DAY_MS;

fn windows(house: &House, generation: u32) -> Windows {
    house.core.key(&key(zpk(), generation)).expect("a key").windows
}

fn phase(house: &House, id: CampaignId) -> Phase {
    house.core.campaign(&id).expect("a campaign").phase
}

// All nodes receipt a mark; time passes.
fn all(house: &mut House, id: CampaignId, mark: Mark, ms: u64) -> Campaign {
    let campaign = house.core.state.campaigns.get_mut(&id).expect("a campaign");
    campaign.counts.marks[mark as usize] = campaign.counts.gated;
    house.now += ms;
    house.must(Input::Tick);
    house.core.campaign(&id).expect("a campaign").clone()
}

// Nodes were told to protect with generation 2, and a late one does not for a month.
fn protecting(hard_stop: bool) -> (House, CampaignId) {
    let mut house = House::founded();
    house.core.state.key_sets.get_mut(&zpk()).expect("a set").definition.hard_stop = hard_stop;
    house.zone_key();
    house.end(campaign(1));
    let mut plan = house.plan(2);
    (plan.overlap_ms, plan.deadline) = (U64(OVERLAP_MS), U64(house.now + 90 * DAY_MS));
    house.carry(Act::Rotate(vec![plan.clone()]));
    let id = plan.campaign;
    house.must(Input::Generated { campaign: id, material: material() });
    all(&mut house, id, Mark::Proven, 1);
    all(&mut house, id, Mark::Accepting, 1);
    assert_eq!(phase(&house, id), Phase::Protecting);
    house.now += LATE_MS;
    house.must(Input::Tick);
    assert_eq!(phase(&house, id), Phase::Protecting, "the gate waits");
    (house, id)
}

#[test]
fn nodes_do_not_stop_to_process_what_a_late_node_protects_with() {
    let (mut house, id) = protecting(true);
    assert_eq!(windows(&house, 1).recipient_until, None, "a late node protects with it");
    let until = all(&mut house, id, Mark::Activated, 1).overlap_until.expect("it is over one day");
    assert!(until > house.now);
    // Of what protected, not longer than was planned, and never shorter than the overlap.
    let from = windows(&house, 1).originator_until.expect("it was told");
    assert_eq!(windows(&house, 1).recipient_until, Some(until.max(from + OVERLAP_MS)));
    // Others are told at once, since they go on with an alarm; and longer when it was later than was thought.
    let (mut house, id) = protecting(false);
    let from = windows(&house, 1).originator_until.expect("it was told");
    assert_eq!(windows(&house, 1).recipient_until, Some(from + OVERLAP_MS));
    let until = all(&mut house, id, Mark::Activated, 1).overlap_until;
    assert_eq!(windows(&house, 1).recipient_until, until);
}

#[test]
fn nodes_do_not_stop_to_process_the_new_key_while_a_roll_back_is_under_way() {
    for hard_stop in [true, false] {
        let (mut house, id) = protecting(hard_stop);
        house.carry(Act::RollBack { campaign: id });
        let (ordered, told) = (house.now, windows(&house, 2).recipient_until);
        // No shorter than the overlap that was asked for, although the policy alone says a day.
        assert_eq!(told, (!hard_stop).then_some(ordered + OVERLAP_MS));
        house.now += LATE_MS;
        house.must(Input::Tick);
        assert_eq!((phase(&house, id), windows(&house, 2).recipient_until), (Phase::RollingBack, told));
        let until = all(&mut house, id, Mark::Returned, 1).overlap_until.expect("all have come back");
        assert_eq!(until, house.now + OVERLAP_MS);
        assert_eq!(windows(&house, 2).recipient_until, Some(until));
        // A key that is revoked meanwhile keeps the end that it got; the campaign ends with it.
        house.now = until;
        house.must(Input::Tick);
        assert_eq!(phase(&house, id), Phase::RolledBack);
        assert_eq!(windows(&house, 2).recipient_until, Some(until));
    }
}

fn revoke(house: &mut House, generation: u32) {
    house.carry(Act::RevokeKey { key: key(zpk(), generation), reason: "seen on paper".into() });
}

fn is_told(house: &House, generation: u32) -> bool {
    let subject = key(zpk(), generation).to_string();
    house.core.alarms().any(|alarm| alarm.kind == AlarmKind::KeyLost && alarm.subject == subject)
}

// A rotation at once from its begin to its end.
fn rotated_at_once(house: &mut House, plan: RotateTarget) -> Campaign {
    let id = plan.campaign;
    house.carry(Act::RotateAtOnce { targets: vec![plan], reason: "seen on paper".into() });
    house.must(Input::Generated { campaign: id, material: material() });
    for mark in [Mark::Proven, Mark::Accepting, Mark::Activated] {
        all(house, id, mark, 1);
    }
    house.now = house.core.campaign(&id).and_then(|c| c.overlap_until).expect("all protect with it");
    house.must(Input::Tick);
    all(house, id, Mark::Retired, 1)
}

#[test]
fn a_campaign_ends_when_the_key_is_lost_that_was_to_protect() {
    for (rolls_back, lost, left) in [(false, 2, 1), (true, 1, 2)] {
        let (mut house, id) = protecting(false);
        if rolls_back {
            house.carry(Act::RollBack { campaign: id });
        }
        revoke(&mut house, lost);
        assert_eq!(phase(&house, id), Phase::Aborted, "{lost} was to protect");
        assert!(is_told(&house, lost));
        // The next campaign takes away what this one left behind.
        let plan = house.plan(3);
        let campaign = rotated_at_once(&mut house, plan);
        assert_eq!((campaign.phase, campaign.retiring.map(|g| g.0)), (Phase::Completed, Some(left)));
        let state = |generation| house.core.key(&key(zpk(), generation)).map(|key| key.state());
        assert_eq!(state(lost), Some(KeyState::Compromised));
        assert_eq!(state(left), Some(KeyState::Deactivated), "nobody said that it was seen");
        assert!(!is_told(&house, lost));
    }
}

#[test]
fn a_campaign_that_takes_a_key_away_goes_on_when_that_is_lost() {
    let (mut house, id) = protecting(false);
    house.carry(Act::RollBack { campaign: id });
    revoke(&mut house, 2);
    assert_eq!(phase(&house, id), Phase::RollingBack);
    assert!(!is_told(&house, 2), "it does not protect");
    let until = all(&mut house, id, Mark::Returned, 1).overlap_until.expect("all have come back");
    house.now = until;
    house.must(Input::Tick);
    assert_eq!(phase(&house, id), Phase::RolledBack);
}
