//! A log that is cut, old or another: what its own checkpoints know, and what only a head kept elsewhere knows.

use crate::common::{self, BEGIN_MS, Place, key};
use crate::{fill, kinds, make};
use keymgr::audit::{Head, Options, Report, verify_store};
use keymgr::log::{CheckpointKey, Ledger};
use keymgr::store::Store;
use std::fs;

fn head(ledger: &Ledger) -> Head {
    Head::parse("node-1", ledger.newest_checkpoint().unwrap().1.as_bytes()).unwrap()
}

fn against(place: &Place, heads: Vec<Head>) -> Report {
    verify_store(&mut place.read(), Options { heads, ..Options::default() }).unwrap()
}

#[test]
fn a_cut_tail_an_older_copy_and_a_second_history_need_a_head_and_are_found_with_it() {
    let (place, other) = (Place::sqlite(), Place::sqlite());
    let mut ledger = place.lead().unwrap();
    ledger.commit(vec![make(1)], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    let early = head(&ledger);
    drop(ledger);
    fs::copy(place.file(), other.file()).unwrap();

    let mut ledger = place.lead().unwrap();
    ledger.commit(vec![make(2), make(3)], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    let late = head(&ledger);
    drop(ledger);
    let report = against(&place, vec![early.clone(), late.clone()]);
    assert!(report.holds && report.anchored && report.heads == 2, "{report:?}");

    // The older copy alone looks well; it is the head that knows.
    let report = against(&other, Vec::new());
    assert!(report.holds && !report.anchored, "{report:?}");
    assert_eq!(kinds(&against(&other, vec![early.clone(), late.clone()])), ["rolled_back"]);

    // Two histories from the same beginning, both signed: one auditor saw this, the other that.
    let mut ledger = other.lead().unwrap();
    ledger.commit(vec![make(4), make(5), make(6)], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    assert!(against(&other, vec![early.clone()]).holds);
    let report = against(&other, vec![early.clone(), late]);
    assert_eq!(kinds(&report), ["forked"]);
    assert!(!report.holds && report.findings[0].key == "node-1");

    // A forger's own key cannot sign for a head that the true key signed.
    let third = Place::sqlite();
    let forger = CheckpointKey::new(common::ORIGIN, ed25519_dalek::SigningKey::from_bytes(&[1; 32])).unwrap();
    drop(Ledger::lead(Store::lead(&third.location()).unwrap(), forger, "m", BEGIN_MS).unwrap());
    assert_eq!(kinds(&against(&third, vec![early])), ["head"]);
    let pinned = Options { key: Some(key().public().clone()), ..Options::default() };
    assert_eq!(kinds(&verify_store(&mut third.read(), pinned).unwrap()), ["key"]);
}

#[test]
fn a_rewritten_log_is_held_against_its_checkpoints() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap(), 1100);
        // Whoever cuts the tail, but cannot sign, leaves a checkpoint over what is gone, or rows without one.
        place.run("DELETE FROM log WHERE seq >= 1100");
        assert!(kinds(&place.verify()).contains(&"rolled_back"), "{:?}", place.verify());
        place.run("DELETE FROM checkpoints WHERE size > 1100");
        assert!(kinds(&place.verify()).contains(&"uncovered"));
    }
}
