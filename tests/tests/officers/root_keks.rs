//! Root KEKs by the verbs: changed by agreement, then formed from components at the centre and at the node's own place.

use serde_json::Value;
use tests::house::{House, Process};

const ONE: &str = "0123456789ABCDEFFEDCBA987654321000112233445566778899AABBCCDDEEFF";
const TWO: &str = "13579BDF02468ACE0F1E2D3C4B5A69788796A5B4C3D2E1F01122334455667788";

fn node(house: &House) -> Value {
    house.json("otto", &["node", "list"])[0].clone()
}

fn has(house: &House, number: u64) -> String {
    house.until("root KEK", |house| node(house)["root_kek"]["number"] == number);
    node(house)["root_kek"]["kcv"].as_str().unwrap().to_owned()
}

fn form(house: &House, more: &[&str], typed: &str) -> tests::house::Ended {
    let args = ["node", "form-kek", "--data", "n1", "--insecure-test-lmk"];
    house.try_typed("admin", &[&args[..], more].concat(), typed)
}

#[test]
fn root_keks_by_their_verbs() {
    let persons = ["ada", "ben", "cleo", "otto", "cora", "carl"];
    let options =
        [["--operator", "otto.person"], ["--custodian", "cora.person"], ["--custodian", "carl.person"]];
    let mut house = House::found(&persons, options.as_flattened());
    let _manager = house.serve(&[]);
    let (process, asks) = house.node("n1");
    house.until("it asks", |house| house.json("otto", &["node", "asking"]).as_array().unwrap().len() == 1);
    house.approved("otto", &["zone", "new", "east", "--enrol", &asks, "--overlap", "2s", "--lead", "1s"]);
    let first = has(&house, 1);

    // What would happen, then the order.
    let preview = house.run("otto", &["node", "rekey", "n1", "--dry-run"]);
    assert!(preview.contains(&format!("1 {first}")) && preview.contains("stay usable"), "{preview}");
    assert!(node(&house)["ordered_root_kek"].is_null(), "nothing was asked");
    assert_eq!(house.attempt("otto", &["node", "rekey", "n9", "--yes"]).code, 2);
    house.approved("otto", &["node", "rekey", "n1", "--yes"]);
    assert_ne!(has(&house, 2), first);

    // The centre's custodians first.
    let id = house.approved("otto", &["ceremony", "root-kek", "n1", "cora", "carl"]);
    for (who, component) in [("cora", ONE), ("carl", TWO)] {
        house.typed(who, &["ceremony", "component", &id], &format!("{component}\n{component}\n"));
    }
    let done = house.json("otto", &["ceremony", "finish", &id]);
    let kcv = done["kcv"].as_str().unwrap().to_owned();
    assert!(house.run("otto", &["node", "show", "n1"]).contains("not proved yet"));

    // Then those of the node. Its service must not run.
    let both = format!("{ONE}\n{ONE}\n{TWO}\n{TWO}\n");
    assert_ne!(form(&house, &[], &both).code, 0, "the store is in use");
    drop(process);
    let zero = "0".repeat(64);
    for (more, typed, said) in [
        (&["--number", "2"][..], both.clone(), "only rises"),
        (&[], format!("{ONE}\n{TWO}\n"), "differ"),
        (&[], "0123\n0123\n".to_owned(), "hexadecimal digits"),
        (&[], format!("{ONE}\n{ONE}\n{ONE}\n{ONE}\n"), "the same"),
        (&[], format!("{ONE}\n{ONE}\n{zero}\n{zero}\n"), "all zero"),
        (&["--kcv", "0000000000"], both.clone(), "nothing is changed"),
    ] {
        let ended = form(&house, more, &typed);
        assert!(ended.code != 0 && ended.err.contains(said), "{said}: {}", ended.err);
        assert!(!ended.err.contains(&ONE[..16]) && !ended.out.contains(&ONE[..16]));
    }
    let local = || house.json("admin", &["node", "show", "--data", "n1"])["root_kek_number"].clone();
    assert_eq!(local(), 2);
    let ended = form(&house, &["--kcv", &kcv, "--json"], &both);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let formed: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&formed["kcv"], &formed["number"]), (&done["kcv"], &Value::from(3)));
    assert_eq!(formed["components"], Value::from(checks(&done)));
    let _again: Process = house.node_back("n1");
    assert_eq!(has(&house, 3), kcv);

    // And a key under it arrives.
    house.approved("otto", &["rotate", "zone", "east", "--yes"]);
    house.until("it is done", |house| {
        house.json("otto", &["campaign", "list"])[0]["phase"].as_str().unwrap().starts_with("completed")
    });
    // Others may know it.
    let preview = house.run("otto", &["node", "rekey", "n1", "--dry-run", "--suspect", "a page was lost"]);
    assert!(preview.contains("no key goes to"), "{preview}");
    house.approved("otto", &["node", "rekey", "n1", "--yes", "--suspect", "a page was lost"]);
    assert_ne!(has(&house, 4), kcv);
    let verified = house.run("ada", &["kmc", "verify"]);
    assert!(verified.contains("signatures checked"), "{verified}");
}

fn checks(done: &Value) -> Vec<String> {
    let parts = done["parts"].as_array().unwrap().iter();
    parts.map(|part| part["check"].as_str().unwrap().to_owned()).collect()
}
