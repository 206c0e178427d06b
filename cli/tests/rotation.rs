//! The acceptance run of the key management centre, small: it holds when nothing is wrong, and every planted fault
//! makes it fail for its own reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use std::process::{Command, Output};

fn rotation(args: &[&str]) -> Output {
    let common = ["demo", "rotation", "--json", "--stage-transactions", "500", "--rate", "1500"];
    Command::new(env!("CARGO_BIN_EXE_payhsm")).args(common).args(args).output().unwrap()
}

fn failed(document: &Value) -> Vec<(&str, &str)> {
    let checks = document["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["holds"] == false)
        .map(|check| (check["what"].as_str().unwrap(), check["found"].as_str().unwrap()))
        .collect()
}

#[test]
fn two_zones_rotate_under_load_while_the_manager_is_killed() {
    let out = rotation(&["--nodes", "30", "--zones", "2", "--offline", "10", "--kills", "3"]);
    let document: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{out:?}"));
    // So few nodes can send all their proofs between two looks of the run, and then a kill comes late: that is judged
    // by the run of 300. Whenever it came, nothing may be lost by it.
    let late = "every kill hit its phase";
    let failed = failed(&document);
    assert!(failed.iter().all(|(what, _)| *what == late), "{failed:?}");
    assert_eq!(out.status.code(), Some(i32::from(!failed.is_empty())));
    assert_eq!(document["kills"].as_array().unwrap().len(), 3);
}

// One after the other: each of them needs the machine's time.
#[test]
fn every_planted_fault_is_found_and_named() {
    let faults = [
        ("protect-first", "no node protects before all accept and its time has come", "node-000"),
        (
            "retire-early",
            "no transaction is refused",
            "has dropped the previous generation within the overlap",
        ),
        ("drop-previous", "no transaction is refused", "node-000 has dropped the previous generation"),
        ("stale-table", "no node protects with the old key once all are activated", "node-000"),
        ("lost-receipt", "every receipt is there", "node-000 owes proven"),
    ];
    for (fault, what, why) in faults {
        let out = rotation(&["--nodes", "30", "--limit", "30", "--sabotage", fault]);
        let document: Value =
            serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{fault}: {out:?}"));
        let failed = failed(&document);
        let named = failed.iter().any(|(check, found)| *check == what && found.contains(why));
        assert!(named, "{fault}: {failed:?}");
        assert_eq!(out.status.code(), Some(1), "{fault}");
    }
}

#[test]
fn a_fault_that_nobody_knows_is_wrong_usage() {
    assert_eq!(rotation(&["--sabotage", "meteor"]).status.code(), Some(2));
}
