//! The verbs of point 6 one by one: text for people, `--json` for programs, exit codes, and what to do next.

use serde_json::Value;
use tests::house::{House, Process};

fn house() -> (House, Process) {
    let mut house = House::found(
        &["ada", "ben", "cleo", "otto", "ida"],
        &["--operator", "otto.person", "--auditor", "ida.person"],
    );
    let manager = house.serve(&[]);
    (house, manager)
}

// Each verb that shows something prints JSON under --json and nothing else on standard output.
#[test]
fn every_verb_speaks_json() {
    let (house, _manager) = house();
    let waits = house.json("otto", &["zone", "new", "east"]);
    assert!(waits.as_array().unwrap().len() >= 2);
    for officer in ["ada", "ben"] {
        let signed = house.json(officer, &["approve", "sign", "--all", "--yes"]);
        assert_eq!(signed.as_array().unwrap().len(), waits.as_array().unwrap().len());
    }
    let lists: &[&[&str]] = &[
        &["kmc", "status"],
        &["kmc", "alarms"],
        &["kmc", "verify"],
        &["root", "show"],
        &["person", "list"],
        &["node", "list"],
        &["node", "asking"],
        &["zone", "list"],
        &["zone", "show", "east"],
        &["key", "list"],
        &["key", "show", "east ZPK"],
        &["key", "expiring"],
        &["policy", "list"],
        &["policy", "show", "east ZPK"],
        &["campaign", "list"],
        &["ceremony", "list"],
        &["approve", "list"],
        &["rotate", "zone", "east", "--dry-run"],
        &["report", "inventory"],
        &["report", "expiring", "--days", "400"],
        &["report", "nodes"],
        &["report", "compliance"],
    ];
    for args in lists {
        let _: Value = house.json("ida", args);
        let text = house.run("ida", args);
        assert!(serde_json::from_str::<Value>(&text).is_err(), "text for people: {args:?}\n{text}");
    }
    let tokens = house.json("otto", &["node", "token", "n1"]);
    assert_eq!(tokens[0]["name"], "n1");
    let withdrawn = house.json("otto", &["zone", "new", "west"]);
    for one in withdrawn.as_array().unwrap() {
        house.json("otto", &["approve", "withdraw", one["action"].as_str().unwrap()]);
    }
    assert_eq!(house.json("ada", &["approve", "list"]).as_array().unwrap().len(), 0);
}

// Where it is and what it rests on, for a program that starts it.
#[test]
fn the_manager_says_in_json_that_it_is_ready() {
    let house = House::found(&["ada", "ben", "cleo", "ida"], &["--auditor", "ida.person"]);
    let serve = ["kmc", "serve", "--kmc", "kmc", "--insecure-test-lmk", "--json"];
    let (_manager, line) = house.first_line("admin", &serve);
    let said: Value = serde_json::from_str(&line).unwrap();
    let [api, key, manager] = ["api", "key", "manager"].map(|name| said[name].as_str().unwrap());
    assert_eq!(manager, format!("https://{api}#{key}"));
    assert!(said["link"].is_string() && said["store"].is_object(), "{said}");
    let status = house.json("ida", &["kmc", "status", "--manager", manager]);
    assert_eq!(said["store"], status["store"]);
    assert_eq!((&said["master"]["class"], &said["master"]["lmk"]), (&"C".into(), &status["master_key_lmk"]));
    assert_eq!(said["master"]["check"], status["master_key_check_value"]);
}

// 0 done, 1 refused or does not hold, 2 usage, 3 environment; each says what to do next.
#[test]
fn exit_codes_and_what_to_do_next() {
    let (house, manager) = house();
    let ended = |who: &str, args: &[&str]| {
        let ended = house.attempt(who, args);
        (ended.code, ended.err)
    };
    let refused: &[(&str, &[&str], &str)] = &[
        ("ida", &["zone", "new", "east"], "next: ask a person with that role"),
        ("otto", &["campaign", "watch"], "there is no campaign"),
        ("otto", &["ceremony", "show", "01998877-6655-7fff-bfff-000000000000"], "(unknown)"),
    ];
    house.run("mallory", &["person", "new", "mallory"]);
    for (who, args, text) in refused {
        let (code, said) = ended(who, args);
        assert!(code == 1 && said.contains(text), "{who} {args:?}: {code} {said}");
    }
    assert!(ended("mallory", &["kmc", "status"]).1.contains("next: somebody who is registered asks"));
    house.run("otto", &["zone", "new", "east"]);
    let own = house.json("otto", &["approve", "list"]);
    let action = own[0]["id"].as_str().unwrap();
    let (code, said) = ended("otto", &["approve", "sign", action, "--yes"]);
    assert!(code == 1 && said.contains("next: other officers approve"), "{said}");
    house.run("ada", &["approve", "sign", action, "--yes"]);
    let (code, said) = ended("ada", &["approve", "sign", action, "--yes"]);
    assert!(code == 1 && said.contains("next: another officer approves"), "{said}");
    let usage: &[&[&str]] = &[
        &["zone"],
        &["zone", "new", "x", "--shape", "ROT-13"],
        &["zone", "show", "nowhere"],
        &["rotate", "zone", "nowhere"],
        &["rotate", "zone", "east", "--emergency"],
        &["key", "show", "nothing"],
        &["key", "new", "nowhere", "more"],
        &["policy", "show", "nothing"],
        &["policy", "set", "east ZPK"],
        &["policy", "set", "nothing", "--lead", "1s", "--yes"],
        &["node", "kcv-only", "nobody"],
        &["node", "traffic", "nobody", "in"],
        &["person", "entrust", "nobody", "east ZPK", "1"],
        &["key", "suspend", "no generation"],
        &["approve", "sign"],
        &["approve", "sign", action],
        &["node", "show", "nobody"],
        &["root", "quorum", "rotate", "1"],
        &["root", "quorum", "everything", "2"],
        &["report", "everything"],
        &["kmc", "status", "--manager", "http://nowhere"],
    ];
    for args in usage {
        let (code, said) = ended("otto", args);
        assert!(code == 2 && !said.is_empty(), "{args:?}: {code} {said}");
    }
    // A folder that others may enter is no home, and a token that is there is not replaced.
    std::fs::create_dir(house.path("open")).unwrap();
    std::fs::set_permissions(house.path("open"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let (code, said) = ended("open", &["person", "new", "olga"]);
    assert!(code == 3 && house.files("open").is_empty(), "{code} {said}");
    house.run("otto", &["node", "token", "n1"]);
    let (code, said) = ended("otto", &["node", "token", "n2", "n1"]);
    assert!(code == 3 && said.contains("there already") && !house.path("n2.token").exists(), "{code} {said}");
    house.run("ida", &["kmc", "verify", "--to", "kept.txt"]);
    let kept = std::fs::read(house.path("kept.txt")).unwrap();
    assert_eq!(ended("ida", &["kmc", "verify", "--to", "kept.txt"]).0, 3);
    assert_eq!(std::fs::read(house.path("kept.txt")).unwrap(), kept);
    drop(manager);
    let (code, said) = ended("otto", &["kmc", "status"]);
    assert!(code == 3 && said.contains("next: is `payhsm kmc serve` running"), "{code} {said}");
    assert_eq!(ended("nobody", &["kmc", "status"]).0, 3, "no home folder");
}

// A report is one file that prints, with nothing from elsewhere; a table for spreadsheets; and JSON.
#[test]
fn reports_in_three_forms() {
    let (house, _manager) = house();
    house.approved("otto", &["zone", "new", "east"]);
    for report in ["inventory", "expiring", "nodes", "compliance"] {
        let html = house.run("ida", &["report", report, "--html"]);
        assert!(html.starts_with("<!doctype html>") && html.contains("@media print"), "{html:.80}");
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("<script"), "{report}");
        let csv = house.run("ida", &["report", report, "--csv"]);
        let json = house.json("ida", &["report", report]);
        let columns: Vec<String> = json["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| format!("\"{}\"", name.as_str().unwrap()))
            .collect();
        assert_eq!(csv.lines().next().unwrap(), columns.join(","));
        let facts = json["facts"].to_string();
        assert!(facts.contains("backend class") && facts.contains("test master key"), "{facts}");
    }
}

fn indices(house: &House, set: &str) -> Vec<u64> {
    let indices = house.json("ida", &["key", "show", set])["key_set"]["definition"]["indices"].clone();
    ["base", "odd", "even"].iter().map(|name| indices[*name].as_u64().unwrap()).collect()
}

// What waits for officers has its indices already; what cannot be asked for as a whole is not asked for at all.
#[test]
fn zones_asked_for_at_once_and_one_that_cannot_be() {
    let (house, _manager) = house();
    for zone in ["east", "west", "south"] {
        house.run("otto", &["zone", "new", zone]);
    }
    for officer in ["ada", "ben"] {
        house.run(officer, &["approve", "sign", "--all", "--yes"]);
    }
    let mut all: Vec<u64> =
        ["east ZPK", "west ZPK", "south ZPK"].iter().flat_map(|set| indices(&house, set)).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 9);
    // The zone could have this name, its key set cannot.
    let long = "n".repeat(62);
    let refused = house.attempt("otto", &["zone", "new", &long]);
    assert!(refused.code == 1 && refused.err.contains("zone.create"), "{}", refused.err);
    assert!(refused.err.contains("is taken back"), "{}", refused.err);
    assert_eq!(house.json("ada", &["approve", "list"]).as_array().unwrap().len(), 0);
}

#[test]
fn a_further_key_set_a_policys_next_version_and_names_beside_what_is_signed() {
    let mut house = House::found(
        &["ada", "ben", "cleo", "otto", "cora", "ida"],
        &["--operator", "otto.person", "--custodian", "cora.person", "--auditor", "ida.person"],
    );
    let _manager = house.serve(&[]);
    house.approved("otto", &["zone", "new", "east"]);
    let planned = house.json(
        "otto",
        &["key", "new", "east", "east exchange", "--kind", "zmk", "--shape", "AES-128", "--dry-run"],
    );
    assert_eq!(planned["definition"]["name"], "east exchange");
    house.approved("otto", &["key", "new", "east", "east exchange", "--kind", "zmk", "--shape", "AES-128"]);
    let used = indices(&house, "east ZPK");
    assert!(indices(&house, "east exchange").iter().all(|index| !used.contains(index)));
    let text = house.run("otto", &["policy", "set", "east ZPK", "--overlap", "2h", "--dry-run"]);
    assert!(text.contains("1h") && text.contains("2h") && !text.contains("lead"), "{text}");
    house.approved(
        "otto",
        &["policy", "set", "east ZPK", "--overlap", "2h", "--window", "mon 02:00-04:00", "--yes"],
    );
    let policy = house.json("ida", &["policy", "show", "east ZPK"]);
    assert_eq!((&policy["version"], &policy["overlap_ms"]), (&2.into(), &7_200_000.into()));
    assert!(house.run("ida", &["policy", "show", "east ZPK"]).contains("mon 02:00-04:00"));
    let asked = house.json("otto", &["person", "entrust", "cora", "east exchange", "1"]);
    let shown = house.run("ada", &["approve", "show", asked[0]["action"].as_str().unwrap()]);
    assert!(shown.contains(": person cora") && shown.contains(": key set (ZMK) east exchange"), "{shown}");
    assert!(shown.contains("asked by  person otto ("), "{shown}");
}

// A log that grows by itself hides what people have done.
#[test]
fn a_centre_where_nothing_happens_writes_nothing() {
    let (house, _manager) = house();
    let size = |house: &House| house.json("ida", &["kmc", "status"])["log_size"].as_u64().unwrap();
    let before = size(&house);
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(size(&house), before);
}
