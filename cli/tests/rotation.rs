//! The acceptance run of the key management centre, small: it holds when nothing is wrong, on both stores, and every
//! planted fault makes it fail for its own reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../keymgr/tests/common/postgres.rs"]
#[allow(dead_code, missing_docs, clippy::print_stderr)] // it tells when it is skipped
mod postgres;

use serde_json::Value;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

// Each run needs the machine's time: a load that is late proves nothing.
static ALONE: Mutex<()> = Mutex::new(());

fn begin(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payhsm"));
    command.args(["demo", "rotation", "--json", "--nodes", "30"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn document(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{out:?}"))
}

fn failed(document: &Value) -> Vec<(&str, &str)> {
    let checks = document["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["holds"] == false)
        .map(|check| (check["what"].as_str().unwrap(), check["found"].as_str().unwrap()))
        .collect()
}

// Everything that the run is to show is a check of its own; none of them may be missing.
const CHECKS: [&str; 24] = [
    "no transaction is refused",
    "no PIN is wrong",
    "nothing is asked twice",
    "the load keeps its rate",
    "every node in traffic carries at least 5 transactions a second",
    "every stage has seen enough transactions",
    "old blocks are processed after activation",
    "both directions around the switch",
    "no node protects before all accept and its time has come",
    "no node protects with the old key once all are activated",
    "nodes that were away catch up and carry at least 100 transactions",
    "nodes that are processes of their own carry traffic over TCP",
    "the node that was killed takes traffic again",
    "the slowest and the fastest clock are in traffic at the switch",
    "every kill hit its phase",
    "a node is killed between store and receipt",
    "the campaigns are completed",
    "all zones rotate at once",
    "two of three officers have approved each rotation",
    "every receipt is there",
    "every receipt is verified",
    "the node killed between store and receipt loses and doubles nothing",
    "`payhsm audit verify --require-head --signatures` holds with heads of two nodes",
    "all of it within its time",
];

fn holds(store: &[&str]) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let args =
        ["--zones", "2", "--offline", "10", "--kills", "3", "--rate", "1000", "--stage-transactions", "500"];
    let out = begin(&[&args[..], store].concat()).wait_with_output().unwrap();
    let document = document(&out);
    assert_eq!(failed(&document), []);
    let checks: Vec<&str> =
        document["checks"].as_array().unwrap().iter().map(|check| check["what"].as_str().unwrap()).collect();
    assert_eq!(checks, CHECKS);
    assert_eq!((out.status.code(), &document["holds"]), (Some(0), &Value::Bool(true)));
    let kills = document["kills"].as_array().unwrap();
    let pids: std::collections::BTreeSet<u64> =
        kills.iter().map(|kill| kill["pid"].as_u64().unwrap()).collect();
    assert_eq!((kills.len(), pids.len()), (3, 3), "each kill ends another process");
    let [first, second] = [&kills[0], &kills[1]].map(|kill| kill["before"].as_u64().unwrap());
    assert!((11..38).contains(&first) && (38..54).contains(&second), "{kills:?}");
    let clocks = document["figures"]["clock_skews_ms"].as_array().unwrap();
    assert!(clocks[0].as_i64() <= Some(-300) && clocks[1].as_i64() >= Some(300), "{clocks:?}");
    assert_eq!(document["figures"]["processes"].as_array().unwrap().len(), 3);
    assert_ne!(document["node_kill"]["pids"][0], document["node_kill"]["pids"][1]);
}

#[test]
fn two_zones_rotate_under_load_while_manager_and_node_are_killed() {
    holds(&[]);
}

#[test]
fn the_same_with_a_shared_store() {
    let Some(cluster) = postgres::cluster() else { return };
    holds(&["--store", &cluster.url(&cluster.database())]);
}

// The check that names a planted fault, and what it says.
fn is_named(out: &Output, what: &str, why: &str) -> bool {
    failed(&document(out)).iter().any(|(check, found)| *check == what && found.contains(why))
}

fn was_disturbed(out: &Output) -> bool {
    failed(&document(out)).iter().any(|(check, _)| *check == "the load keeps its rate")
}

// All at once: most of their time is waiting. A run that is disturbed by its neighbours fails for more than its fault,
// which does no harm here; but where the load stood still when the fault was to be seen, nobody saw it, and it is done
// again.
#[test]
fn every_planted_fault_is_found_and_named() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
    let begin_with = |fault: &str| {
        // A receipt that never comes is waited for until the end of the run's time.
        let limit = if fault == "lost-receipt" { "20" } else { "60" };
        // Of the blocks that are on their way at the switch, one in thirty comes to the one node: there must be many.
        let rate = if fault == "drop-previous" { "1800" } else { "600" };
        let small = ["--processes", "0", "--stage-transactions", "200"];
        begin(&[&small[..], &["--rate", rate, "--sabotage", fault, "--limit", limit]].concat())
    };
    let begun = faults.map(|(fault, ..)| begin_with(fault));
    let ended = begun.map(|child| child.wait_with_output().unwrap());
    for ((fault, what, why), mut out) in faults.into_iter().zip(ended) {
        for _ in 0..2 {
            if !is_named(&out, what, why) && was_disturbed(&out) {
                out = begin_with(fault).wait_with_output().unwrap();
            }
        }
        assert!(is_named(&out, what, why), "{fault}: {:?}", failed(&document(&out)));
        assert_eq!(out.status.code(), Some(1), "{fault}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(why), "{fault}: the reason is told");
    }
}

#[test]
fn a_fault_that_nobody_knows_is_wrong_usage() {
    for args in [&["--sabotage", "meteor"][..], &["--processes", "29"]] {
        assert_eq!(begin(args).wait_with_output().unwrap().status.code(), Some(2));
    }
}
