//! Tokens, and nodes that ask by them.

use super::Case;
use super::house::{House, OPERATOR};
use super::nodes::another;
use crate::Core;
use crate::action::Act;
use crate::enrolment::{FORGET_AFTER_MS, TOKEN_LIFE_MS};
use crate::ids::Digest;
use crate::input::{Caller, Input, Outcome};
use crate::people::Role;
use crate::rows::{Token, TokenVoid};
use crate::table::{State, Table};
use keylink::{NodeId, TokenId};

pub const CASES: &[Case] = &[
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
