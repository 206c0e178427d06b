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
const OWN_KEYS: [&str; 3] = ["manifest", "checkpoint", "transport"];
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

// Public half and place of the key that signs.
fn own_key(house: &House, which: &str) -> (String, String) {
    let keys = house.json("otto", &["kmc", "key", "list"]);
    let key = keys.as_array().unwrap().iter().find(|key| key["key"] == which).unwrap().clone();
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    (text("public"), text("place"))
}

// How many objects the token has, as its module keeps them.
fn objects_on(token: &TempToken) -> usize {
    let mut tokens = std::fs::read_dir(token.folder().join("tokens")).unwrap();
    let own = tokens.next().unwrap().unwrap().path();
    let names = std::fs::read_dir(own).unwrap().flatten();
    names.filter(|file| file.file_name().to_string_lossy().ends_with(".object")).count()
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
        [("backend_class", "B"), ("master_key_place", "token"), ("signing_keys_place", "token")]
    {
        assert_eq!(said[name], value, "{said}");
    }
    assert!(said["backend_ready"] == true && said["test_master_key"] == false, "{said}");
    let check = said["master_key_check_value"].as_str().unwrap().to_owned();
    assert!(house.run("ida", &["report", "nodes"]).contains(&check));

    for which in OWN_KEYS {
        let (public, place) = own_key(&house, which);
        assert!(place.starts_with("token payhsm/kmc/") && place.contains(&public[..16]), "{place}");
        assert!(house.run("ida", &["report", "nodes"]).contains(&place));
    }

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

    // Its own keys are made in the token and destroyed there; what nodes and auditors follow is the same.
    let objects = objects_on(&token);
    for which in OWN_KEYS {
        let (before, _) = own_key(&house, which);
        house.approved("otto", &["kmc", "key", "rotate", which, "--yes"]);
        house.until("the change ends", |house| {
            house
                .json("otto", &["kmc", "key", "list"])
                .as_array()
                .unwrap()
                .iter()
                .all(|k| k["change"].is_null())
                && own_key(house, which).0 != before
        });
        let (public, place) = own_key(&house, which);
        assert!(place.starts_with("token payhsm/kmc/") && place.contains(&public[..16]), "{place}");
    }
    house.until("old keys are destroyed", |_| objects_on(&token) == objects);
    let mut own = house.files("kmc");
    own.retain(|(file, _)| OWN_KEYS.iter().any(|which| file.starts_with(which)));
    assert!(own.len() == OWN_KEYS.len() && own.iter().all(|(file, _)| file.ends_with(".token")), "{own:?}");
    assert!(house.run("ida", &["kmc", "verify"]).contains("signatures checked"));

    // The token is away: what needs keys waits, with one alarm; the rest goes on, and nobody is blamed.
    rule(&control, "* device-removed");
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    sign(&house);
    house.until("the manager sees it", |house| status(house)["backend_ready"] == false);
    house.until("an alarm", |house| house.run("ida", &["kmc", "alarms"]).contains("Backend"));
    let size = || status(&house)["log_size"].as_u64().unwrap();
    // Nodes whose mail waits for a signature ask again, less and less often.
    let began = std::time::Instant::now();
    loop {
        let before = size();
        std::thread::sleep(Duration::from_secs(4));
        let after = size();
        if after < before + 5 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(180), "the log does not fill: {before} to {after}");
    }
    assert_eq!(phase(&house), "generating");
    // The log goes on; what no checkpoint covers yet is said, since nobody has signed it.
    let verified = house.attempt("otto", &["kmc", "verify"]);
    assert!(verified.out.contains("signatures checked"), "{}", verified.out);
    assert!(verified.code == 1 && verified.out.contains("behind the last checkpoint"), "{}", verified.out);
    assert!(house.run("ida", &["kmc", "alarms"]).contains("own keys does not sign"));
    assert!(
        house.log().contains("the backend does not answer") && house.log().contains("keys does not sign")
    );
    let refused = house.attempt("otto", &["kmc", "key", "rotate", "manifest", "--yes"]);
    assert!(refused.code != 0 && refused.err.contains("token"), "no key is made meanwhile: {}", refused.err);

    // It is back: everything goes on by itself.
    rule(&control, "");
    house.run("otto", &["campaign", "watch"]);
    assert!(phase(&house) == "completed" && status(&house)["backend_ready"] == true);
    house.until("the alarms have ended", |house| !house.run("ida", &["kmc", "alarms"]).contains("Backend"));
    house.until("the log is signed to its end", |house| house.attempt("otto", &["kmc", "verify"]).code == 0);
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

    // What the folder remembered is gone: then the centre's own keys tell that they are elsewhere.
    drop(manager);
    std::fs::remove_file(house.path("kmc/master.toml")).unwrap();
    let test_key =
        house.attempt("admin", &[&SERVE[..], &["--backend", "sim", "--insecure-test-lmk"]].concat());
    assert!(
        test_key.code == 1 && test_key.err.contains("key") && test_key.err.contains("is in a token"),
        "{}",
        test_key.err
    );
    assert!(!house.path("kmc/master.toml").exists());
    let (uri, pin) = (token.uri(), token.pin_file());
    drop(house.serve(&["--token", &uri, "--pin-file", &pin]));
    assert!(house.path("kmc/master.toml").exists());
}

// Names of files of the folder that say that a key comes or goes.
fn unfinished(house: &House, folder: &str) -> Vec<String> {
    let names = house.files(folder).into_iter().map(|(file, _)| file);
    names.filter(|file| file.ends_with(".coming") || file.ends_with(".going")).collect()
}

// The process ends in the midst of what it does with a key in the token: the next one starts, and nothing is left.
#[test]
fn a_manager_that_ends_while_a_key_comes_or_goes_starts_again_and_leaves_none_behind() {
    let Some(token) = TempToken::new() else { return };
    let (mut house, control) = begin(&token);
    let objects = objects_on(&token);
    // Between the halves of a key that comes; with both there; with one half of the old key gone.
    for (rules, left, waits) in [
        ("C_CopyObject segfault after 1 once", 1, ".coming"),
        ("C_DestroyObject segfault once", 2, ".coming"),
        ("C_DestroyObject segfault after 3 once", 1, ".going"),
    ] {
        let manager = house.serve(&[]);
        let (before, _) = own_key(&house, "manifest");
        let _ = std::fs::remove_file(control.with_extension("fired"));
        rule(&control, rules);
        let asked = house.attempt("otto", &["kmc", "key", "rotate", "manifest", "--yes"]);
        if asked.code == 0 {
            // The last of them may find it gone.
            for officer in ["ada", "ben"] {
                house.attempt(officer, &["approve", "sign", "--all", "--yes"]);
            }
        }
        house.until("it is killed", |house| house.attempt("otto", &["kmc", "key", "list"]).code != 0);
        drop(manager);
        assert!(objects_on(&token) == objects + left, "{rules}: {}", objects_on(&token));
        let files = unfinished(&house, "kmc");
        assert!(files.len() == 1 && files[0].ends_with(waits), "{rules}: {files:?}");
        rule(&control, "");
        let manager = house.serve(&[]);
        assert!(objects_on(&token) == objects && unfinished(&house, "kmc").is_empty(), "{rules}");
        let (now, _) = own_key(&house, "manifest");
        assert_eq!(now != before, waits == ".going", "{rules}");
        drop(manager);
    }
}

// The token fails in the midst of `kmc init`: that is no centre, and the next attempt leaves nothing of it behind.
#[test]
fn an_init_that_fails_at_the_token_is_done_again() {
    let Some(token) = TempToken::new() else { return };
    let (house, control) = begin(&token);
    let objects = objects_on(&token);
    let (uri, pin) = (format!("pkcs11:token=payhsm-test?module-path={}", shim().display()), token.pin_file());
    let place = ["--backend", "pkcs11", "--token", &uri, "--pin-file", &pin];
    let officers = ["--officer", "ada.person", "--officer", "ben.person", "--officer", "cleo.person"];
    let init = [&["kmc", "init", "--kmc", "second", "--listen", "127.0.0.1:0"], &officers[..]].concat();
    let with_token = [&init[..], &place].concat();
    for (rules, left) in [("C_CopyObject device-error after 3", 3), ("C_CopyObject segfault after 4 once", 4)]
    {
        let _ = std::fs::remove_file(control.with_extension("fired"));
        rule(&control, rules);
        assert_ne!(house.attempt("admin", &with_token).code, 0, "{rules}");
        assert_eq!(objects_on(&token), objects + left, "{rules}");
        rule(&control, "");
        let ended = house.attempt("admin", &["kmc", "serve", "--kmc", "second"]);
        assert!(ended.code != 0 && ended.err.contains("holds no manager"), "{}", ended.err);
        let elsewhere = house.attempt("admin", &[&init[..], &["--insecure-test-lmk"]].concat());
        assert!(elsewhere.code == 1 && elsewhere.err.contains("did not end"), "{}", elsewhere.err);
    }
    house.run("admin", &with_token);
    assert_eq!(objects_on(&token), objects + 2 * OWN_KEYS.len());
    assert!(house.path("second/genesis.json").exists() && unfinished(&house, "second").is_empty());
    let again = house.attempt("admin", &with_token);
    assert!(again.code == 1 && again.err.contains("holds a manager already"), "{}", again.err);
    // One file is lost of a centre that an officer has signed: its keys are not taken for those of an attempt.
    house.run("ada", &["person", "sign-root", "second/genesis.json", "--yes"]);
    std::fs::remove_file(house.path("second/kmc.toml")).unwrap();
    let again = house.attempt("admin", &with_token);
    assert!(again.code == 1 && again.err.contains("holds a manager already"), "{}", again.err);
    assert_eq!(objects_on(&token), objects + 2 * OWN_KEYS.len());
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
    house.until("an alarm", |house| house.run("ida", &["kmc", "alarms"]).contains("own keys does not sign"));
    assert!(house.attempt("otto", &["kmc", "verify"]).out.contains("signatures checked"));
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
    for (call, again) in [("C_GenerateRandom", "the backend answers again"), ("C_Sign", "keys signs again")] {
        // Once for each control file.
        let _ = std::fs::remove_file(control.with_extension("fired"));
        rule(&control, &format!("{call} hang=6000 once"));
        house.run("otto", &["zone", "new", call]);
        house.until("the manager sees it", |house| status(house)["backend_ready"] == false);
        house.until("it answers again", |house| status(house)["backend_ready"] == true);
        assert!(house.log().contains(again), "{call}");
        rule(&control, "");
    }
    house.until("the log is signed to its end", |house| house.attempt("otto", &["kmc", "verify"]).code == 0);
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

// The centre's own keys lie in one place; a folder that is opened as if they lay in another names the key.
#[test]
fn a_folder_of_the_other_class_is_refused_and_the_key_named() {
    let Some(token) = TempToken::new() else { return };
    let (house, _) = begin(&token);
    let test_key = ["--backend", "sim", "--insecure-test-lmk"];
    std::fs::remove_file(house.path("kmc/master.toml")).unwrap();
    let ended = house.attempt("admin", &[&SERVE[..], &test_key].concat());
    let named = ["the manifest key", "is in a token", "--backend pkcs11"];
    assert!(ended.code == 1 && named.iter().all(|word| ended.err.contains(word)), "{}", ended.err);

    // A key that the token does not hold.
    let file = house.path("kmc/checkpoint.token");
    let known = std::fs::read_to_string(&file).unwrap();
    let (uri, pin) = (token.uri(), token.pin_file());
    let place = ["--backend", "pkcs11", "--token", &uri, "--pin-file", &pin];
    std::fs::write(&file, format!("{}\n", "ab".repeat(32))).unwrap();
    let ended = house.attempt("admin", &[&SERVE[..], &place].concat());
    let named = "does not hold the checkpoint key abababababababab";
    assert!(ended.code == 1 && ended.err.contains(named), "{}", ended.err);
    std::fs::write(&file, "no key").unwrap();
    let ended = house.attempt("admin", &[&SERVE[..], &place].concat());
    assert!(ended.code == 1 && ended.err.contains("checkpoint.token"), "{}", ended.err);
    std::fs::write(&file, known).unwrap();

    // The other way round: keys of sealed files under a master key on a token.
    let mut sealed = House::found(&PERSONS, &ROLES);
    sealed.set("SOFTHSM2_CONF", &token.configuration());
    sealed.set("STATE_DIRECTORY", token.folder());
    let ended = sealed.attempt("admin", &[&SERVE[..], &place].concat());
    let named = ["the manifest key", "manifest.pem", "made without a token"];
    assert!(ended.code == 1 && named.iter().all(|word| ended.err.contains(word)), "{}", ended.err);
}
