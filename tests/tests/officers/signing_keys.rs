//! The centre's own keys are changed while nodes work: one node takes part, one is away and comes back afterwards, and
//! whoever verifies the log later needs public keys only.

use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use tests::house::{House, Process};

fn house() -> (House, Process) {
    let mut house = House::found(&["ada", "ben", "cleo", "otto"], &["--operator", "otto.person"]);
    // Nodes find the manager where it was, when it starts again.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = std::fs::read_to_string(house.path("kmc/kmc.toml")).unwrap();
    let settings = settings.replace("link = \"127.0.0.1:0\"", &format!("link = \"{free}\""));
    std::fs::write(house.path("kmc/kmc.toml"), settings).unwrap();
    let manager = house.serve(&[]);
    (house, manager)
}

fn key(house: &House, which: &str) -> Value {
    let keys = house.json("otto", &["kmc", "key", "list"]);
    keys.as_array().unwrap().iter().find(|key| key["key"] == which).unwrap().clone()
}

// Asks, approves, waits for the end. Gives the keys before and after.
fn rotated(house: &House, which: &str) -> (Value, Value) {
    let before = key(house, which)["public"].clone();
    house.approved("otto", &["kmc", "key", "rotate", which, "--yes"]);
    house.until("the change ends", |house| {
        let now = key(house, which);
        now["change"].is_null() && now["public"] != before
    });
    let after = key(house, which)["public"].clone();
    (before, after)
}

fn files(house: &House, which: &str) -> usize {
    let names = std::fs::read_dir(house.path("kmc")).unwrap().flatten();
    let own = |name: String| name.starts_with(which) && name.ends_with(".pem");
    names.filter(|file| own(file.file_name().to_string_lossy().into_owned())).count()
}

fn verified(house: &House, export: &Path, head: &Path) {
    let verify = ["audit", "verify", export.to_str().unwrap(), "--head", head.to_str().unwrap()];
    house.run("otto", &[&verify[..], &["--require-head", "--signatures"]].concat());
}

fn zone_rotated(house: &House) {
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    for officer in ["ada", "ben"] {
        house.run(officer, &["approve", "sign", "--all", "--yes"]);
    }
    house.run("otto", &["campaign", "watch", "--json"]);
}

#[test]
fn keys_are_changed_under_nodes_one_of_which_is_away() {
    let (mut house, manager) = house();
    let (one, first) = house.node("n1");
    let (two, second) = house.node("n2");
    house.until("both ask", |house| house.json("otto", &["node", "asking"]).as_array().unwrap().len() == 2);
    house.approved(
        "otto",
        &["zone", "new", "east", "--enrol", &first, "--enrol", &second, "--overlap", "2s", "--lead", "1s"],
    );
    house.until("root KEKs", |house| {
        let nodes = house.json("otto", &["node", "list"]);
        nodes.as_array().unwrap().iter().all(|node| node["root_kek"]["kcv"].is_string())
    });
    house.run("otto", &["node", "traffic", "n1", "in"]);
    let (early, late) = (house.path("early"), house.path("late"));
    house.run("otto", &["kmc", "verify", "--to", early.to_str().unwrap()]);
    // One node is away, and said to be.
    two.end();
    house.run("otto", &["node", "traffic", "n2", "offline"]);
    let preview = house.json("otto", &["kmc", "key", "rotate", "manifest", "--dry-run"]);
    let waited = |name: &str| {
        let nodes = preview["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["name"] == name).unwrap()["waited_for"].clone()
    };
    assert_eq!((waited("n1"), waited("n2")), (true.into(), false.into()), "{preview}");
    for which in ["manifest", "checkpoint"] {
        let (before, after) = rotated(&house, which);
        assert_ne!(before, after);
        let root = house.json("otto", &["root", "show"]);
        assert_eq!(root["document"][format!("{which}_keys")], serde_json::json!([after]));
    }
    assert_eq!(house.json("otto", &["root", "show"])["documents"], 5);
    house.until("old keys are erased", |house| files(house, "manifest") + files(house, "checkpoint") == 2);
    assert!(!house.path("kmc/manifest.pem").exists());
    assert!(house.run("otto", &["kmc", "status"]).contains("manifest_key"));
    house.run("otto", &["kmc", "verify", "--to", late.to_str().unwrap()]);
    // What was exported before holds, and what was exported after holds with the head from before.
    verified(&house, &early, &early);
    verified(&house, &late, &early);
    // A manager that starts again knows which keys sign; the node that was away follows.
    drop(manager);
    let _manager = house.serve(&[]);
    let _two = house.node_back("n2");
    house.until("it has followed", |house| house.attempt("otto", &["node", "traffic", "n2", "in"]).code == 0);
    zone_rotated(&house);
    let last = house.path("last");
    house.run("otto", &["kmc", "verify", "--to", last.to_str().unwrap()]);
    verified(&house, &last, &early);
    verified(&house, &last, &late);
    let alarms = house.run("otto", &["kmc", "alarms"]);
    for kind in ["NodeRefuses", "NodeReports", "Undeclared"] {
        assert!(!alarms.contains(kind), "{alarms}");
    }
    drop(one);
}

#[test]
fn a_change_that_nobody_approved_changes_nothing_and_leaves_no_key() {
    let (mut house, manager) = house();
    let before = key(&house, "checkpoint")["public"].clone();
    let asked = house.json("otto", &["kmc", "key", "rotate", "checkpoint", "--yes"]);
    let action = asked[0]["action"].as_str().unwrap().to_owned();
    assert_eq!(files(&house, "checkpoint"), 2, "sealed before it is asked for");
    house.run("ada", &["approve", "sign", &action, "--yes"]);
    let shown = house.run("ada", &["approve", "show", &action]);
    assert!(shown.contains("checkpoint key") && shown.contains("names both"), "{shown}");
    house.run("otto", &["approve", "withdraw", &action]);
    house.until("the key is erased", |house| files(house, "checkpoint") == 1);
    // One that was only looked at is there for whoever asks next, also after a restart.
    house.run("otto", &["kmc", "key", "rotate", "checkpoint", "--dry-run"]);
    assert_eq!(files(&house, "checkpoint"), 2);
    drop(manager);
    let _manager = house.serve(&[]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    house.run("otto", &["kmc", "key", "rotate", "checkpoint", "--dry-run"]);
    assert_eq!(files(&house, "checkpoint"), 2);
    assert_eq!(key(&house, "checkpoint")["public"], before);
    assert_eq!(house.attempt("otto", &["kmc", "key", "rotate", "channel", "--yes"]).code, 2);
}

fn node(house: &House, name: &str) -> Value {
    let nodes = house.json("otto", &["node", "list"]);
    nodes.as_array().unwrap().iter().find(|node| node["name"] == name).unwrap().clone()
}

fn seen(house: &House, name: &str) -> u64 {
    let seen = &node(house, name)["seen_utc_ms"];
    seen.as_u64().or_else(|| seen.as_str()?.parse().ok()).unwrap()
}

fn package(house: &House, name: &str, args: &[&str]) -> Value {
    house.json("otto", &[&["node", "package", name], args].concat())
}

fn carried(house: &House, name: &str) {
    let carry = ["node", "carry", "there", "back", "--data", name, "--insecure-test-lmk"];
    assert_eq!(house.attempt("admin", &carry).code, 0);
}

fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn the_authority_is_changed_under_nodes_that_ask_are_pushed_to_or_are_away() {
    let (mut house, manager) = house();
    let (one, first) = house.node("n1");
    let (two, second) = house.node("n2");
    let (three, third) = house.node("n3");
    house.until("all ask", |house| house.json("otto", &["node", "asking"]).as_array().unwrap().len() == 3);
    let enrol = ["--enrol", &first, "--enrol", &second, "--enrol", &third];
    let new = ["zone", "new", "east", "--overlap", "2s", "--lead", "1s"];
    house.approved("otto", &[&new[..], &enrol].concat());
    house.until("root KEKs", |house| {
        ["n1", "n2", "n3"].iter().all(|name| node(house, name)["root_kek"]["kcv"].is_string())
    });
    // One asks, one is pushed to, one is away.
    two.end();
    three.end();
    let address = free();
    std::fs::write(house.path("push.toml"), format!("[node]\npull = false\npush = \"{address}\"\n")).unwrap();
    let pushed = ["--config", "push.toml"];
    let two = house.node_back_with("n2", &pushed);
    house.run("otto", &["node", "push", "n2", &address]);
    house.run("otto", &["node", "traffic", "n3", "offline"]);
    let before = seen(&house, "n2");
    house.until("it is pushed to", |house| seen(house, "n2") > before);
    for name in ["n1", "n2"] {
        house.until("in traffic", |house| house.attempt("otto", &["node", "traffic", name, "in"]).code == 0);
    }
    let early = house.path("early");
    house.run("otto", &["kmc", "verify", "--to", early.to_str().unwrap()]);

    let (old, new) = rotated(&house, "transport");
    let root = house.json("otto", &["root", "show"]);
    assert_eq!(root["document"]["transport_keys"], serde_json::json!([new]));
    let by = |house: &House, name: &str| node(house, name)["certificate_by"].clone();
    assert_eq!((by(&house, "n1"), by(&house, "n2"), by(&house, "n3")), (new.clone(), new.clone(), old));
    house.until("the old key is erased", |house| files(house, "transport") == 1);
    assert!(!house.path("kmc/transport.pem").exists());
    assert!(house.run("otto", &["kmc", "status"]).contains("transport_key"));
    // Without a start of anybody, and after one of all.
    zone_rotated(&house);
    drop((manager, one, two));
    let _manager = house.serve(&[]);
    let (_one, _two) = (house.node_back("n1"), house.node_back_with("n2", &pushed));
    let before = seen(&house, "n1").max(seen(&house, "n2"));
    house.until("both are back", |house| seen(house, "n1") > before && seen(house, "n2") > before);
    zone_rotated(&house);

    // The one that was away knows nobody and is known by nobody, until somebody has carried to it.
    let gone = seen(&house, "n3");
    let three = house.node_back("n3");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(seen(&house, "n3"), gone);
    drop(three);
    package(&house, "n3", &["--out", "there"]);
    carried(&house, "n3");
    let answered = package(&house, "n3", &["--take", "back", "--out", "there"]);
    assert!(answered["messages"].as_array().unwrap().contains(&"renewed".into()), "{answered}");
    carried(&house, "n3");
    package(&house, "n3", &["--take", "back"]);
    assert_eq!(by(&house, "n3"), new);
    let gone = seen(&house, "n3");
    let _three = house.node_back("n3");
    house.until("it is back", |house| seen(house, "n3") > gone);
    house.until("in traffic", |house| house.attempt("otto", &["node", "traffic", "n3", "in"]).code == 0);
    zone_rotated(&house);
    let last = house.path("last");
    house.run("otto", &["kmc", "verify", "--to", last.to_str().unwrap()]);
    verified(&house, &last, &early);
    let alarms = house.run("otto", &["kmc", "alarms"]);
    assert!(!alarms.contains("NodeRefuses") && !alarms.contains("SigningKey"), "{alarms}");
}
