//! `payhsm doctor` and `payhsm token`: what they find, what they refuse, and their exit codes.

use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tests::server::{program, shim};
use tests::softhsm::{PIN, TempToken};

const OK: i32 = 0;
const DOES_NOT_HOLD: i32 = 1;
const USAGE: i32 = 2;
const ENVIRONMENT: i32 = 3;

fn run(token: Option<&TempToken>, words: &[&str], input: &str, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAYHSM_")) {
        command.env_remove(name);
    }
    if let Some(token) = token {
        command.env("SOFTHSM2_CONF", token.configuration());
    }
    command.envs(variables.iter().copied()).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    // A verb that refuses its arguments reads nothing.
    let _unread = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("ends")
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    assert!(!text.contains(PIN) && !errors.contains(PIN), "a PIN is shown: {text}{errors}");
    text
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    serde_json::from_str(&ended(output, code)).expect("one JSON document")
}

fn state<'v>(document: &'v Value, check: &str) -> &'v str {
    let checks = document["checks"].as_array().expect("checks");
    let found = checks.iter().find(|entry| entry["check"] == check);
    found.unwrap_or_else(|| panic!("no {check}: {document}"))["state"].as_str().expect("a word")
}

fn private(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("closed");
    path.to_path_buf()
}

fn with_lmk() -> Option<TempToken> {
    let token = TempToken::new()?;
    std::fs::set_permissions(token.pin_file(), std::fs::Permissions::from_mode(0o600)).expect("closed");
    let init = ["lmk", "init", "--token", &token.uri(), "--pin-file", &token.pin_file()];
    ended(&run(Some(&token), &init, "", &[]), OK);
    Some(token)
}

#[test]
fn the_machine_alone() {
    let document = json(&run(None, &["doctor", "--json"], "", &[]), OK);
    assert_eq!(document["ok"], true);
    for check in ["clock", "open files", "core dumps", "memory lock", "system call filter"] {
        assert!(["ok", "warning"].contains(&state(&document, check)), "{check}");
    }
    let folder = tempfile::tempdir().expect("folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("opened");
    let data = folder.path().to_str().expect("path");
    let document = json(&run(None, &["doctor", "--json", "--data", data], "", &[]), DOES_NOT_HOLD);
    assert_eq!(state(&document, "data folder"), "wrong");
}

#[test]
fn a_sound_token_is_sound_and_its_pin_file_must_be_private() {
    let Some(token) = with_lmk() else { return };
    let (uri, pin_file) = (token.uri(), token.pin_file());
    let words = ["doctor", "--json", "--token", &uri, "--pin-file", &pin_file, "--workers", "4"];
    let document = json(&run(Some(&token), &words, "", &[]), OK);
    for check in
        ["module", "token", "PIN file", "login", "mechanisms", "sessions", "LMK", "known answers", "objects"]
    {
        assert_eq!(state(&document, check), "ok", "{check}: {document}");
    }
    assert_eq!(document["lmks"][0]["test"], false);
    assert_eq!(document["objects"]["orphans"], 0);
    let offered =
        document["mechanisms"].as_array().expect("a list").iter().all(|need| need["offered"] == true);
    assert!(offered, "{document}");
    let text = ended(&run(Some(&token), &["doctor", "--token", &uri, "--pin-file", &pin_file], "", &[]), OK);
    assert!(text.contains("ok       known answers"), "{text}");

    std::fs::set_permissions(&pin_file, std::fs::Permissions::from_mode(0o644)).expect("opened");
    let document = json(&run(Some(&token), &words, "", &[]), DOES_NOT_HOLD);
    assert_eq!(state(&document, "PIN file"), "wrong");
}

#[test]
fn what_a_module_without_des_means_for_each_command() {
    let Some(token) = with_lmk() else { return };
    let (uri, pin_file) = (token.uri(), token.pin_file());
    let words = ["doctor", "--json", "--token", &uri, "--pin-file", &pin_file, "--without-des"];
    let document = json(&run(Some(&token), &words, "", &[]), OK);
    let commands = document["commands"].as_array().expect("a list");
    for code in ["CW", "DC", "DA", "CC", "M6", "A0"] {
        let named = commands.iter().any(|entry| entry["commands"].as_str().is_some_and(|c| c.contains(code)));
        assert!(named, "{code}: {document}");
    }
    let missing =
        document["mechanisms"].as_array().expect("a list").iter().filter(|need| need["offered"] == false);
    assert!(missing.count() >= 2, "{document}");
}

#[test]
fn orphans_are_seen() {
    let Some(token) = with_lmk() else { return };
    let tool = Command::new("pkcs11-tool")
        .args(["--module", token.module(), "--token-label", "payhsm-test", "--login", "--pin", PIN])
        .args(["--keygen", "--key-type", "AES:16", "--id", "77"])
        .env("SOFTHSM2_CONF", token.configuration())
        .output();
    // Package opensc; what it would leave behind is a warning, not more.
    let Ok(output) = tool else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (uri, pin_file) = (token.uri(), token.pin_file());
    let document = json(
        &run(Some(&token), &["doctor", "--json", "--token", &uri, "--pin-file", &pin_file], "", &[]),
        OK,
    );
    assert_eq!((state(&document, "orphans"), &document["objects"]["orphans"]), ("warning", &1.into()));
}

#[test]
fn what_is_missing_is_3_what_does_not_hold_is_1_and_nonsense_is_2() {
    let missing = ["doctor", "--json", "--token", "pkcs11:token=x?module-path=/nowhere.so"];
    assert_eq!(state(&json(&run(None, &missing, "", &[]), ENVIRONMENT), "module"), "missing");
    ended(&run(None, &["doctor", "--token", "x:y"], "", &[]), USAGE);
    let Some(token) = TempToken::new() else { return };
    let other = format!("pkcs11:token=other?module-path={}", token.module());
    let document = json(&run(Some(&token), &["doctor", "--json", "--token", &other], "", &[]), ENVIRONMENT);
    assert_eq!(state(&document, "token"), "missing");

    let folder = tempfile::tempdir().expect("folder");
    let wrong = private(&folder.path().join("pin"), "99999999");
    let (uri, wrong) = (token.uri(), wrong.display().to_string());
    let words = ["doctor", "--json", "--token", &uri, "--pin-file", &wrong];
    assert_eq!(state(&json(&run(Some(&token), &words, "", &[]), DOES_NOT_HOLD), "login"), "wrong");
    // No LMK yet.
    let right = private(&folder.path().join("right"), PIN).display().to_string();
    let words = ["doctor", "--json", "--token", &uri, "--pin-file", &right];
    assert_eq!(state(&json(&run(Some(&token), &words, "", &[]), DOES_NOT_HOLD), "LMK"), "wrong");
}

#[test]
fn a_token_that_lies_is_not_sound() {
    let Some(token) = with_lmk() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let rules = private(&folder.path().join("rules"), "C_Encrypt flip\n");
    let uri = format!("pkcs11:token=payhsm-test?module-path={}", shim().display());
    let pin_file = token.pin_file();
    let words = ["doctor", "--json", "--token", &uri, "--pin-file", &pin_file];
    let variables = [("P11_SHIM_MODULE", Path::new(token.module())), ("P11_SHIM_CONTROL", rules.as_path())];
    let document = json(&run(Some(&token), &words, "", &variables), DOES_NOT_HOLD);
    assert_eq!(state(&document, "known answers"), "wrong");
}

#[test]
fn token_init_makes_a_token_and_erases_none_unasked() {
    let Some(token) = TempToken::new() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str, text: &str| private(&folder.path().join(name), text).display().to_string();
    let (so, user, short) = (file("so", "271828182"), file("user", PIN), file("short", "12"));
    let init = |label: &'static str, more: &[&str], input: &str| {
        let words =
            ["token", "init", "--json", "--label", label, "--module", token.module(), "--so-pin-file", &so];
        run(Some(&token), &[&words, more].concat(), input, &[])
    };
    let document = json(&init("fresh", &["--pin-file", &user], ""), OK);
    assert_eq!(
        (&document["tokens"][0]["label"], &document["tokens"][0]["has_pin"]),
        (&"fresh".into(), &true.into())
    );

    // It can be used at once, and is not erased unasked.
    let uri = format!("pkcs11:token=fresh?module-path={}", token.module());
    ended(&run(Some(&token), &["lmk", "init", "--token", &uri, "--pin-file", &user], "", &[]), OK);
    let refused = init("fresh", &["--pin-file", &user], "");
    ended(&refused, DOES_NOT_HOLD);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("would be lost"));
    ended(&init("fresh", &["--pin-file", &user, "--force"], "fresch\n"), DOES_NOT_HOLD);
    let shown = run(Some(&token), &["lmk", "show", "--token", &uri, "--pin-file", &user], "", &[]);
    assert!(!ended(&shown, OK).is_empty(), "the LMK is still there");
    ended(&init("fresh", &["--pin-file", &user, "--force"], "fresh\n"), OK);
    let words = ["doctor", "--json", "--token", &uri, "--pin-file", &user];
    assert_eq!(state(&json(&run(Some(&token), &words, "", &[]), DOES_NOT_HOLD), "LMK"), "wrong");

    // PINs: typed ones, equal ones, and those that the token does not take.
    ended(&init("typed", &[], &format!("{PIN}\n")), OK);
    ended(&init("equal", &["--pin-file", &so], ""), USAGE);
    ended(&init("short", &["--pin-file", &short], ""), USAGE);
    ended(&init("a label that is longer than a label can be", &["--pin-file", &user], ""), USAGE);
    let list =
        json(&run(Some(&token), &["token", "list", "--json", "--module", token.module()], "", &[]), OK);
    let labels: Vec<_> =
        list["tokens"].as_array().expect("tokens").iter().map(|t| t["label"].clone()).collect();
    assert!(labels.contains(&"fresh".into()) && labels.contains(&"typed".into()), "{list}");
    assert!(!labels.contains(&"short".into()), "{list}");
    ended(&run(None, &["token", "list", "--module", "/nowhere.so"], "", &[]), ENVIRONMENT);
}
