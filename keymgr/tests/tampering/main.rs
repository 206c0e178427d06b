//! Whoever can write to the store cannot write unseen: every column of every table, rows that come, go and
//! change places, a cut tail, an older copy, a second history, flipped bits of the file.
#![allow(clippy::print_stdout, clippy::print_stderr)] // figures and skips are for people

mod ceremonies;
mod columns;
#[path = "../common/mod.rs"]
mod common;
mod exports;
mod flips;
mod histories;
mod rows;
mod signatures;

use common::{BEGIN_MS, Place};
use keymgr::audit::{Options, Report, verify_store};
use keymgr::log::{Entry, Ledger};
use keymgr::store::{Change, Kind, Table, Value};
use std::collections::BTreeSet;

fn filled(table: Table, n: u8) -> Change {
    let columns: Vec<(&str, Value)> = table
        .definition()
        .columns
        .iter()
        .map(|(name, kind)| {
            let value = match kind {
                Kind::Int => Value::Int(1000 + i64::from(n)),
                Kind::Text => format!("{name} {n}").as_str().into(),
                Kind::Bytes => [n, 1, 2].as_slice().into(),
            };
            (*name, value)
        })
        .collect();
    Change::raw(table, vec![n, 0xaa], &columns, format!("{{\"n\":{n}}}").into_bytes())
}

fn make(n: u8) -> (Entry, Vec<Change>) {
    (Entry { action: "make".into(), ..Entry::default() }, vec![filled(Table::Zones, n)])
}

/// A store with rows in every table, full tiles and several checkpoints. The last checkpoint covers all.
fn fill(ledger: &mut Ledger, beats: usize) {
    let entry = |action: &str| Entry { actor: "anna".into(), action: action.into(), ..Entry::default() };
    let open = Table::ALL
        .iter()
        .filter(|table| !matches!(table, Table::Meta | Table::Leader | Table::CheckpointKeys));
    for &table in open {
        let rows = (1..=3).map(|n| (entry("make"), vec![filled(table, n)]));
        ledger.commit(rows.collect(), BEGIN_MS, true).unwrap();
    }
    ledger.commit(vec![(entry("beat"), Vec::new()); beats], BEGIN_MS, true).unwrap();
    ledger.checkpoint().unwrap();
    ledger.commit(vec![(entry("change"), vec![filled(Table::Zones, 9)])], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
}

fn named(report: &Report) -> BTreeSet<(String, String)> {
    report.findings.iter().map(|finding| (finding.table.clone(), finding.key.clone())).collect()
}

fn kinds(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

/// What verification finds when signatures count, in a store to which these batches were written.
fn judged(batches: Vec<(Entry, Vec<Change>)>) -> Report {
    let place = Place::sqlite();
    let mut ledger = place.lead().unwrap();
    ledger.commit(batches, BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    verify_store(&mut place.read(), Options { signatures: true, ..Options::default() }).unwrap()
}
