//! A node whose signature key is in a PKCS#11 token: made there when it asks, used there, in no file; and what goes on
//! while the token is away. The module is SoftHSM behind `p11-shim`.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tests::house::{House, Process};
use tests::server::shim;
use tests::softhsm::TempToken;

// The whole file at once: it is read whenever it has changed.
fn rule(control: &Path, rules: &str) {
    let fresh = control.with_extension("new");
    std::fs::write(&fresh, rules).unwrap();
    std::fs::rename(&fresh, control).unwrap();
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

fn serve(house: &House, place: &[&str]) -> Process {
    let args = ["serve", "--listen", "127.0.0.1:0/01", "--data", "n1"];
    let log = std::fs::File::options().create(true).append(true).open(house.path("n1.log")).unwrap();
    let mut command = house.command("admin", &[&args[..], place].concat());
    Process(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

fn log(house: &House) -> String {
    std::fs::read_to_string(house.path("n1.log")).unwrap_or_default()
}

#[test]
fn a_nodes_key_is_made_in_its_token_and_a_token_that_is_away_costs_no_receipt() {
    let Some(token) = TempToken::new() else { return };
    let mut house = House::found(&["ada", "ben", "cleo", "otto"], &["--operator", "otto.person"]);
    let control = token.folder().join("rules");
    rule(&control, "");
    house.set("SOFTHSM2_CONF", &token.configuration());
    house.set("STATE_DIRECTORY", token.folder());
    house.set("P11_SHIM_MODULE", &PathBuf::from(token.module()));
    house.set("P11_SHIM_CONTROL", &control);
    let uri = format!("pkcs11:token=payhsm-test?module-path={}", shim().display());
    let pin = token.pin_file();
    let place = ["--token", &uri, "--pin-file", &pin, "--insecure-test-lmk"];
    let _manager = house.serve(&[]);

    house.run("otto", &["node", "token", "n1"]);
    let join = ["node", "join", "n1.token", "--data", "n1", "--name", "n1", "--wait-s", "0"];
    let join = [&join[..], &place].concat();
    let (first, again) = (house.attempt("admin", &join), house.attempt("admin", &join));
    for asked in [&first, &again] {
        assert!(asked.code == 1 && asked.err.contains("waiting for the officers"), "{}", asked.err);
    }
    assert_eq!(first.out, again.out, "one key");
    let id = first.out.lines().find_map(|line| line.strip_prefix("node=")).unwrap().to_owned();
    house.run(
        "otto",
        &["zone", "new", "east", "--enrol", &format!("n1={id}"), "--overlap", "2s", "--lead", "1s"],
    );
    sign(&house);
    assert!(house.run("admin", &join).contains("enrolled kmc="));
    let text: Value = serde_json::from_slice(&std::fs::read(house.path("n1/node.json")).unwrap()).unwrap();
    assert_eq!(text["in_token"], "kept");
    assert!(
        text["sealed"].is_object() && text["seed"].is_null() && text["transport_key"].is_null(),
        "{text}"
    );
    assert_eq!(house.json("admin", &["node", "show", "--data", "n1"])["node"], id.as_str());

    let on_token = [&["--backend", "pkcs11"], &place[..]].concat();
    let node = serve(&house, &on_token);
    house
        .until("a root KEK", |house| house.json("otto", &["node", "list"])[0]["root_kek"]["kcv"].is_string());
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    sign(&house);
    house.run("otto", &["campaign", "watch"]);
    assert_eq!(phase(&house), "completed");

    // Away for a moment in the midst of a rotation: it is told of, and the rotation ends.
    rule(&control, "C_Sign device-removed");
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    sign(&house);
    house.until("the node says so", |house| log(house).contains("signature key does not sign"));
    rule(&control, "");
    house.run("otto", &["campaign", "watch"]);
    assert_eq!(phase(&house), "completed");
    assert!(log(&house).contains("signs again"), "{}", log(&house));
    let nodes = house.json("otto", &["node", "list"]);
    assert!(nodes[0]["quarantined"].is_null(), "{nodes}");

    // Without its token it does not start, and says which file and why.
    drop(node);
    let kept = std::fs::read(house.path("n1/node.json")).unwrap();
    let simulator = ["serve", "--listen", "127.0.0.1:0/01", "--data", "n1", "--insecure-test-lmk"];
    let refused = house.attempt("admin", &simulator);
    let said = &refused.err;
    assert!(
        refused.code != 0 && said.contains("node.json") && said.contains("in a token that is not"),
        "{said}"
    );
    assert_eq!(std::fs::read(house.path("n1/node.json")).unwrap(), kept);
}
