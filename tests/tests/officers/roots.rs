//! Officers who come and go after the beginning: the register first, then the next root document under the quorum of
//! the one before, and what happens when too few sign. Recovery keys when no officer is left.

use tests::house::House;

#[test]
fn an_officer_is_replaced_and_the_root_follows() {
    let persons = ["ada", "ben", "cleo", "otto"];
    let mut house = House::found(&persons, &["--operator", "otto.person"]);
    let _manager = house.serve(&[]);
    house.run("dora", &["person", "new", "dora"]);
    let alone = house.attempt("otto", &["person", "revoke", "cleo"]);
    assert!(
        alone.code == 1 && alone.err.contains("too_few_officers") && alone.err.contains("--replacement"),
        "{}",
        alone.err
    );
    house.approved("otto", &["person", "revoke", "cleo", "--replacement", "dora.person"]);
    // She is out at once, and he who came is in.
    let out = house.attempt("cleo", &["approve", "list"]);
    assert!(out.code == 1 && out.err.contains("(caller)"), "{}", out.err);
    assert_eq!(house.attempt("dora", &["approve", "list"]).code, 0);
    let alarms = house.run("otto", &["kmc", "alarms"]);
    assert!(alarms.contains("RootBehind"), "{alarms}");
    // The next document: one signature is too few, and the one who left does not count.
    house.run("otto", &["root", "next", "--to", "next.json"]);
    house.run("ada", &["root", "sign", "next.json", "--yes"]);
    let few = house.attempt("otto", &["root", "install", "next.json"]);
    assert!(few.code == 1 && few.err.contains("(root)"), "{}", few.err);
    house.run("ben", &["root", "sign", "next.json", "--yes"]);
    house.run("otto", &["root", "install", "next.json"]);
    let root = house.json("dora", &["root", "show"]);
    assert_eq!((&root["documents"], &root["document"]["number"]), (&2.into(), &2.into()));
    assert!(!house.run("otto", &["kmc", "alarms"]).contains("RootBehind"));
    assert_eq!(house.attempt("otto", &["root", "install", "next.json"]).code, 1, "once");
    // He who came approves, and a document that was altered is none.
    house.run("otto", &["zone", "new", "late"]);
    house.run("dora", &["approve", "sign", "--all", "--yes"]);
    let text = std::fs::read_to_string(house.path("next.json"))
        .unwrap()
        .replace("\"payload\": \"", "\"payload\": \"e");
    std::fs::write(house.path("altered.json"), text).unwrap();
    assert_eq!(house.attempt("otto", &["root", "install", "altered.json"]).code, 1);
    // A higher quorum is asked for and approved; a lower one than is compiled in is not even asked for.
    assert_eq!(house.attempt("otto", &["root", "quorum", "export", "1"]).code, 2);
    house.run("dora", &["person", "list"]);
    house.approved("otto", &["root", "quorum", "export", "2"]);
    let verified = house.run("otto", &["kmc", "verify"]);
    assert!(verified.contains("signatures checked"));
}

#[test]
fn what_officers_who_left_had_approved_is_approved_again() {
    let mut house = House::found(&["ada", "ben", "cleo", "otto"], &["--operator", "otto.person"]);
    let _manager = house.serve(&[]);
    house.approved("otto", &["zone", "new", "east"]);
    house.run("dora", &["person", "new", "dora"]);
    house.approved("otto", &["person", "revoke", "cleo", "--replacement", "dora.person"]);
    house.run("otto", &["root", "next", "--to", "next.json"]);
    for officer in ["ada", "ben"] {
        house.run(officer, &["root", "sign", "next.json", "--yes"]);
    }
    house.run("otto", &["root", "install", "next.json"]);
    let asked = house.json("otto", &["zone", "reaffirm", "east"]);
    let words: Vec<_> = asked.as_array().unwrap().iter().map(|one| one["word"].as_str().unwrap()).collect();
    assert_eq!(words[0], "action.reaffirm members");
    assert!(words[1].starts_with("action.reaffirm key set ") && words.len() == 2, "no key yet: {words:?}");
    for officer in ["ada", "dora"] {
        house.run(officer, &["approve", "sign", "--all", "--yes"]);
    }
    for one in asked.as_array().unwrap() {
        let action = house.json("ada", &["approve", "show", one["action"].as_str().unwrap()]);
        assert_eq!(action["state"], "done", "{action}");
    }
    // What is not there, what was not approved, and who may not ask.
    assert_eq!(house.attempt("otto", &["zone", "reaffirm", "west"]).code, 2);
    let none = house.attempt("otto", &["key", "reaffirm", "east ZPK/1", "--what", "end"]);
    assert!(none.code == 1 && none.err.contains("(unknown)"), "{}", none.err);
    assert_eq!(house.attempt("otto", &["key", "reaffirm", "east ZPK/1", "--what", "all"]).code, 2);
}

#[test]
fn credentials_come_and_go() {
    let mut house = House::found(&["ada", "ben", "cleo", "otto"], &["--operator", "otto.person"]);
    let _manager = house.serve(&[]);
    // A second key of the same person, in another home.
    house.run("ada2", &["person", "new", "ada second"]);
    house.approved("otto", &["person", "add-key", "ada", "ada second.person"]);
    house.run("otto", &["zone", "new", "east"]);
    house.run("ada", &["approve", "sign", "--all", "--yes"]);
    let pending = house.json("ben", &["approve", "list"]);
    let action = pending[0]["id"].as_str().unwrap().to_owned();
    // One person counts once, whatever the key.
    let twice = house.attempt("ada2", &["approve", "sign", &action, "--yes"]);
    assert!(twice.code == 1 && twice.err.contains("approval_twice"), "{}", twice.err);
    // The first key goes: what it has signed goes with it.
    let key = std::fs::read_to_string(house.path("ada.person")).unwrap();
    let payload =
        serde_json::from_str::<serde_json::Value>(&key).unwrap()["payload"].as_str().unwrap().to_owned();
    let request = tests::house::base64(&payload);
    let approval_key = serde_json::from_slice::<serde_json::Value>(&request).unwrap()["approval_key"]
        .as_str()
        .unwrap()
        .to_owned();
    house.run("otto", &["person", "revoke-key", &approval_key]);
    let waiting = house.json("ben", &["approve", "list"]);
    let revoke = waiting.as_array().unwrap().iter().find(|one| one["word"] == "credential.revoke").unwrap();
    let revoke = revoke["id"].as_str().unwrap().to_owned();
    for officer in ["ben", "cleo"] {
        house.run(officer, &["approve", "sign", &revoke, "--yes"]);
    }
    assert_eq!(house.attempt("ada", &["approve", "list"]).code, 1);
    let left = house.json("ada2", &["approve", "show", &action]);
    assert_eq!(left["approvals"].as_array().unwrap().len(), 0);
    house.run("ada2", &["approve", "sign", &action, "--yes"]);
}

// No officer can sign any more: the recovery keys name others, and nothing happens before 72 hours are over.
#[test]
fn recovery_keys_wait() {
    let house = [
        "--operator",
        "otto.person",
        "--recovery",
        "safe1.person",
        "--recovery",
        "safe2.person",
        "--recovery-needed",
        "2",
    ];
    let mut house = House::found_with(&["ada", "ben", "cleo", "otto"], &["safe1", "safe2"], &house);
    let _manager = house.serve(&[]);
    for name in ["dora", "emil"] {
        house.run(name, &["person", "new", name]);
    }
    let new = [
        "root",
        "recover",
        "--officer",
        "dora.person",
        "--officer",
        "emil.person",
        "--officer",
        "ada.person",
        "--to",
        "r.json",
    ];
    house.run("otto", &new);
    // She who stays is named as she is registered.
    let show = house.json("otto", &["root", "show"]);
    let ada = show["document"]["officers"].as_array().unwrap();
    let draft = std::fs::read_to_string(house.path("r.json")).unwrap();
    let payload = serde_json::from_str::<serde_json::Value>(&draft).unwrap()["payload"].clone();
    let payload = tests::house::base64(payload.as_str().unwrap());
    let document: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let officers = document["officers"].as_array().unwrap();
    assert_eq!(officers.iter().filter(|officer| ada.contains(officer)).count(), 1, "{officers:?}");
    for officer in ["dora", "emil", "safe1"] {
        house.run(officer, &["root", "sign", "r.json", "--yes"]);
    }
    let few = house.attempt("otto", &["root", "install", "r.json"]);
    assert!(few.code == 1 && few.err.contains("(root)"), "one of two recovery keys: {}", few.err);
    house.run("safe2", &["root", "sign", "r.json", "--yes"]);
    house.run("otto", &["root", "install", "r.json"]);
    // Nothing has changed but the alarm.
    assert_eq!(house.json("otto", &["root", "show"])["documents"], 1);
    assert!(house.run("otto", &["kmc", "alarms"]).contains("Recovery"));
    assert_eq!(house.attempt("dora", &["approve", "list"]).code, 1);
    assert_eq!(house.attempt("ada", &["approve", "list"]).code, 0);
}
