//! A key management centre whose master key is on a PKCS#11 token: made, served, rotated, found again and refused; and
//! what goes on while the token is away. The module is SoftHSM behind `p11-shim`.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::house::House;
use tests::server::shim;
use tests::softhsm::TempToken;

const PERSONS: [&str; 5] = ["ada", "ben", "cleo", "otto", "ida"];
const ROLES: [&str; 4] = ["--operator", "otto.person", "--auditor", "ida.person"];
const SERVE: [&str; 4] = ["kmc", "serve", "--kmc", "kmc"];

// The whole file at once: it is read whenever it has changed.
fn rule(control: &Path, rules: &str) {
    let fresh = control.with_extension("new");
    std::fs::write(&fresh, rules).unwrap();
    std::fs::rename(&fresh, control).unwrap();
}

fn begin(token: &TempToken) -> (House, PathBuf) {
    let control = token.folder().join("rules");
    rule(&control, "");
    let uri = format!("pkcs11:token=payhsm-test?module-path={}", shim().display());
    let variables =
        [("P11_SHIM_MODULE", PathBuf::from(token.module())), ("P11_SHIM_CONTROL", control.clone())];
    (House::found_over(token, &uri, &variables, &PERSONS, &ROLES), control)
}

fn status(house: &House) -> Value {
    house.json("ida", &["kmc", "status"])
}

fn sign(house: &House) {
    for officer in ["ada", "ben"] {
        house.run(officer, &["approve", "sign", "--all", "--yes"]);
    }
}

fn phase(house: &House) -> String {
    let all = house.json("otto", &["campaign", "list"]);
    all.as_array().unwrap().last().expect("a campaign")["phase"].as_str().unwrap().to_owned()
}

#[test]
fn keys_are_rotated_under_a_master_key_on_a_token() {
    let Some(token) = TempToken::new() else { return };
    let (mut house, control) = begin(&token);
    // Nodes know one address, so it is the same after a restart.
    let link = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let manager = house.serve(&["--link", &link]);
    let said = status(&house);
    for (name, value) in
        [("backend_class", "B"), ("master_key_place", "token"), ("signing_keys_place", "sealed file")]
    {
        assert_eq!(said[name], value, "{said}");
    }
    assert!(said["backend_ready"] == true && said["test_master_key"] == false, "{said}");
    let check = said["master_key_check_value"].as_str().unwrap().to_owned();
    assert!(house.run("ida", &["report", "nodes"]).contains(&check));

    let (_one, first) = house.node("n1");
    let (_two, second) = house.node("n2");
    house.until("both ask", |house| house.json("otto", &["node", "asking"]).as_array().unwrap().len() == 2);
    let zone =
        ["zone", "new", "east", "--enrol", &first, "--enrol", &second, "--overlap", "2s", "--lead", "1s"];
    house.run("otto", &zone);
    sign(&house);
    house.until("root KEKs", |house| {
        let nodes = house.json("otto", &["node", "list"]);
        nodes.as_array().unwrap().iter().all(|node| node["root_kek"]["kcv"].is_string())
    });
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    sign(&house);
    house.run("otto", &["campaign", "watch"]);
    assert_eq!(phase(&house), "completed");

    // The token is away: what needs keys waits, with one alarm; the rest goes on, and nobody is blamed.
    rule(&control, "* device-removed");
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    sign(&house);
    house.until("the manager sees it", |house| status(house)["backend_ready"] == false);
    house.until("an alarm", |house| house.run("ida", &["kmc", "alarms"]).contains("Backend"));
    let size = || status(&house)["log_size"].as_u64().unwrap();
    let before = size();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(phase(&house), "generating");
    assert!(size() < before + 5, "the log does not fill: {before} to {}", size());
    assert!(house.run("otto", &["kmc", "verify"]).contains("signatures checked"));
    assert!(house.log().contains("the backend does not answer"));

    // It is back: everything goes on by itself.
    rule(&control, "");
    house.run("otto", &["campaign", "watch"]);
    assert!(phase(&house) == "completed" && status(&house)["backend_ready"] == true);
    assert!(!house.run("ida", &["kmc", "alarms"]).contains("Backend"), "the alarm has ended");
    let nodes = house.json("otto", &["node", "list"]);
    assert!(nodes.as_array().unwrap().iter().all(|node| node["quarantined"].is_null()), "{nodes}");

    // A later start needs no option: the folder knows token, identifier and check value.
    drop(manager);
    let manager = house.serve(&["--link", &link]);
    assert_eq!(status(&house)["master_key_check_value"], check.as_str());
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    sign(&house);
    house.run("otto", &["campaign", "watch"]);
    assert!(house.run("ida", &["kmc", "verify"]).contains("signatures checked"));

    // What the folder remembered is gone: then the keys of the store tell another master key.
    drop(manager);
    std::fs::remove_file(house.path("kmc/master.toml")).unwrap();
    let test_key =
        house.attempt("admin", &[&SERVE[..], &["--backend", "sim", "--insecure-test-lmk"]].concat());
    assert!(test_key.code == 1 && test_key.err.contains("under another master key"), "{}", test_key.err);
    assert!(!house.path("kmc/master.toml").exists());
    let (uri, pin) = (token.uri(), token.pin_file());
    drop(house.serve(&["--token", &uri, "--pin-file", &pin]));
    assert!(house.path("kmc/master.toml").exists());
}

// A call that does not return costs whoever asked for it a bounded time; the rest goes on meanwhile, and everything
// when it has returned.
#[test]
fn a_token_that_hangs_keeps_nobody_waiting_for_ever() {
    let Some(token) = TempToken::new() else { return };
    let (mut house, control) = begin(&token);
    let _manager = house.serve(&["--backend-deadline-ms", "1000"]);
    house.run("otto", &["zone", "new", "east"]);
    sign(&house);
    assert_eq!(status(&house)["backend_ready"], true);
    rule(&control, "* hang=600000");
    house.until("the manager sees it", |house| status(house)["backend_ready"] == false);
    assert!(house.log().contains("the backend does not answer"));
    // Log, state and reports are there, and people may ask for more.
    assert!(house.run("otto", &["kmc", "verify"]).contains("signatures checked"));
    assert!(house.run("ida", &["report", "inventory"]).contains("Key inventory"));
    house.run("otto", &["zone", "new", "west"]);
    sign(&house);
}

// The same with a call that returns after a while.
#[test]
fn a_token_that_hung_is_used_again() {
    let Some(token) = TempToken::new() else { return };
    let (mut house, control) = begin(&token);
    let _manager = house.serve(&["--backend-deadline-ms", "1000"]);
    house.run("otto", &["zone", "new", "east"]);
    sign(&house);
    rule(&control, "* hang=6000 once");
    house.until("the manager sees it", |house| status(house)["backend_ready"] == false);
    house.until("it answers again", |house| status(house)["backend_ready"] == true);
    assert!(house.log().contains("the backend answers again"));
}

#[test]
fn another_master_key_is_refused_and_nothing_is_written() {
    let (Some(token), Some(other)) = (TempToken::new(), TempToken::new()) else { return };
    let (mut house, _) = begin(&token);
    let officers = ["--officer", "ada.person", "--officer", "ben.person", "--officer", "cleo.person"];
    let init = [&["kmc", "init", "--kmc", "second"], &officers[..]].concat();
    let (pin, other_pin, other_uri) = (token.pin_file(), other.pin_file(), other.uri());
    let missing = ["--backend", "pkcs11", "--token", "pkcs11:token=nowhere", "--pin-file", &pin];
    for (more, code) in [(&missing[..2], 2), (&missing[..], 3)] {
        let ended = house.attempt("admin", &[&init[..], more].concat());
        assert!(ended.code == code && !house.path("second").exists(), "{more:?}: {}", ended.err);
    }
    // Founded, and then stopped.
    drop(house.serve(&[]));
    let files = |house: &House| {
        let mut files = house.files("kmc");
        files.sort();
        files
    };
    let before = files(&house);
    let refused = |house: &House, more: &[&str], code: i32, word: &str| {
        let ended = house.attempt("admin", &[&SERVE[..], more].concat());
        assert!(ended.code == code && ended.err.contains(word), "{more:?}: {} {}", ended.code, ended.err);
        assert!(files(house) == before, "{more:?}: written");
    };
    refused(&house, &["--insecure-test-lmk"], 2, "no public test LMK");
    refused(&house, &["--lmk", "3"], 1, "no AES key-block LMK 03");
    refused(&house, &["--backend", "sim", "--insecure-test-lmk"], 1, "another master key");
    refused(&house, &["--token", "pkcs11:token=nowhere"], 3, "token");
    std::fs::write(token.folder().join("wrong"), "00000000").unwrap();
    let wrong = token.folder().join("wrong").display().to_string();
    refused(&house, &["--pin-file", &wrong], 1, "refused the PIN");
    // Another token under the same label, with another LMK under the same identifier.
    house.set("SOFTHSM2_CONF", &other.configuration());
    house.set("STATE_DIRECTORY", other.folder());
    refused(&house, &["--pin-file", &other_pin], 1, "no LMK on the token");
    let place = ["--token", &other_uri, "--pin-file", &other_pin];
    house.run("admin", &[&["lmk", "init", "--id", "2"], &place[..]].concat());
    refused(&house, &place, 1, "another master key");
    // The right one is taken again.
    house.set("SOFTHSM2_CONF", &token.configuration());
    house.set("STATE_DIRECTORY", &house.path("ada"));
    drop(house.serve(&[]));
}
