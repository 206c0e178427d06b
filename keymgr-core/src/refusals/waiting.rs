//! Approved actions that wait to be performed: not for ever, not by the approvals of people who have gone since, and
//! not by messages that nobody signed.

use super::house::{CUSTODIANS, House, material, zmk};
use crate::action::Act;
use crate::approval::{APPROVED_MS, Action, ActionState, Quorum};
use crate::ids::ActionId;
use crate::input::Input;
use crate::key::Origin;
use crate::table::Record;
use keylink::action::ActionClass;

fn waiting(house: &mut House) -> ActionId {
    let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
    house.carry(Act::FormKey { key_set: zmk(), custodians })
}

fn form(house: &House, action: ActionId) -> Input {
    house.formed(action, Origin::Components, material())
}

fn state(house: &House, action: &ActionId) -> ActionState {
    house.core.state().action(action).expect("there").state.clone()
}

// Whoever asks what may be performed is told the same as whoever performs it.
fn refused(house: &mut House, action: ActionId) -> String {
    let asked = house.core.performable(&action, house.now).expect_err("not to be performed");
    let refusal = house.refused(form(house, action));
    assert_eq!((refusal.code(), refusal.to_string()), ("outdated", asked.to_string()));
    assert_eq!(state(house, &action), ActionState::Approved);
    refusal.to_string()
}

#[test]
fn what_is_approved_waits_for_its_time_and_no_longer() {
    let mut house = House::founded();
    let action = waiting(&mut house);
    house.now += APPROVED_MS - 1;
    house.must(Input::Tick);
    assert!(house.core.performable(&action, house.now).is_ok());
    house.must(form(&house, action));
    assert_eq!(state(&house, &action), ActionState::Done);

    let mut house = House::founded();
    let action = waiting(&mut house);
    house.now += APPROVED_MS;
    assert!(refused(&mut house, action).contains("too long ago"));
    house.must(Input::Tick);
    assert_eq!(state(&house, &action), ActionState::Lapsed);
    assert!(house.core.to_perform().is_empty());
    house.refused(form(&house, action));
    assert_eq!(house.unproposed(Act::Abandon { action }).code(), "outdated");
}

#[test]
fn an_approver_who_has_gone_since_does_not_count() {
    let mut house = House::founded();
    let action = waiting(&mut house);
    let person = house.by(0).person;
    house.carry(Act::RevokePerson { person, replacement: None });
    assert!(refused(&mut house, action).contains("too few"));
    // It can be given up all the same.
    let asked = house.propose(Act::Abandon { action }).expect("asked for");
    for person in [1, 2] {
        let given = house.approval(person, asked, |_| ());
        house.must(given);
    }
    assert_eq!(state(&house, &action), ActionState::Withdrawn);

    let mut house = House::founded();
    let action = waiting(&mut house);
    house.carry(Act::RevokeCredential { credential: house.by(1).credential });
    assert!(refused(&mut house, action).contains("too few"));
}

// One person stops a node or a key, and ends nothing that others have approved.
#[test]
fn to_give_up_what_was_approved_takes_two_approvals() {
    let mut house = House::founded();
    let action = waiting(&mut house);
    let asked = house.propose(Act::Abandon { action }).expect("asked for");
    let given_up = asked.0;
    for person in [0, 1] {
        assert_eq!(state(&house, &action), ActionState::Approved, "by {person} persons");
        assert!(house.core.performable(&action, house.now).is_ok());
        let given = house.approval(person, asked, |_| ());
        house.must(given);
    }
    assert_eq!(
        (state(&house, &action), state(&house, &given_up)),
        (ActionState::Withdrawn, ActionState::Done)
    );
    assert!(house.core.performable(&action, house.now).is_err());
    assert_eq!(house.unproposed(Act::Abandon { action }).code(), "outdated");
}

#[test]
fn a_larger_quorum_holds_for_what_waits() {
    let mut house = House::founded();
    let action = waiting(&mut house);
    let quorum = Quorum::try_from(3).expect("three");
    house.carry(Act::SetQuorum { class: ActionClass::Ceremony, quorum });
    assert!(refused(&mut house, action).contains("more approvals"));
}

#[test]
fn approvals_are_counted_from_messages_that_were_signed() {
    let forgeries: [fn(&mut Action); 3] = [
        |action| action.approvals[0].signed.signature[0] ^= 1,
        |action| action.approvals[1].signed = action.approvals[0].signed.clone(),
        |action| action.approvals.truncate(1),
    ];
    for forge in forgeries {
        let mut house = House::founded();
        let action = waiting(&mut house);
        let mut record = house.core.state().action(&action).expect("there").clone();
        assert!(house.core.performable(&action, house.now).is_ok());
        forge(&mut record);
        house.core.absorb(Record::Action(Box::new(record)));
        assert!(refused(&mut house, action).contains("too few"));
    }
}
