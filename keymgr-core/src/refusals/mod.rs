//! Every refusal of the core, reached through what it is told and nothing else. After a refusal nothing has changed.
//!
//! A new word in [`Refusal::CODES`] without a case fails the test.

mod certificate;
mod enrolment;
pub(super) mod house;
mod keys;
mod nodes;
mod people;
mod root_keks;
mod signing;
mod waiting;
mod wipe;

use super::refusal::Refusal;
use house::House;
use std::collections::BTreeSet;

/// What is refused, the stable word that says so, and how it comes about.
type Case = (&'static str, &'static str, fn(&mut House) -> Refusal);

#[test]
fn every_refusal_has_a_case_and_changes_nothing() {
    let mut met = BTreeSet::new();
    let cases = [
        people::CASES,
        keys::CASES,
        nodes::CASES,
        enrolment::CASES,
        certificate::CASES,
        root_keks::CASES,
        signing::CASES,
    ];
    for (what, code, provoke) in cases.concat() {
        let mut house = House::founded();
        let refusal = provoke(&mut house);
        assert_eq!(refusal.code(), code, "{what}: {refusal}");
        assert!(!refusal.to_string().is_empty());
        met.insert(code);
    }
    let without: Vec<_> = Refusal::CODES.iter().filter(|code| !met.contains(**code)).collect();
    assert!(without.is_empty(), "no case is refused with {without:?}");
}
