//! The verbs on tokens, as officers type them: `lmk init`, `lmk show` and `serve --backend pkcs11`, and what they
//! refuse.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use tests::server::program;
use tests::softhsm::{PIN, TempToken};

const OK: i32 = 0;
const DOES_NOT_HOLD: i32 = 1;
const USAGE: i32 = 2;
const ENVIRONMENT: i32 = 3;

fn payhsm(token: &TempToken, words: &[&str]) -> Output {
    Command::new(program())
        .args(words)
        .env("SOFTHSM2_CONF", token.configuration())
        .env("STATE_DIRECTORY", token.folder())
        .stdin(Stdio::null())
        .output()
        .expect("runs")
}

// Nothing that a verb prints may hold the PIN.
#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(!out.contains(PIN) && !err.contains(PIN), "the PIN is shown");
    format!("{out}{err}")
}

fn init(token: &TempToken, more: &[&str]) -> Output {
    let (uri, pin) = (token.uri(), token.pin_file());
    payhsm(
        token,
        &[&["lmk", "init", "--backend", "pkcs11", "--token", &uri, "--pin-file", &pin], more].concat(),
    )
}

fn shown(token: &TempToken) -> Vec<(String, String, String)> {
    let (uri, pin) = (token.uri(), token.pin_file());
    let output = payhsm(token, &["lmk", "show", "--json", "--token", &uri, "--pin-file", &pin]);
    let document: Value = serde_json::from_str(&ended(&output, OK)).expect("JSON");
    let text = |lmk: &Value, name: &str| lmk[name].as_str().expect("text").to_owned();
    let lmks = document["lmks"].as_array().expect("a list");
    lmks.iter().map(|lmk| (text(lmk, "id"), text(lmk, "scheme"), text(lmk, "check_value"))).collect()
}

fn serve(token: &TempToken, more: &[&str]) -> Output {
    let (uri, pin) = (token.uri(), token.pin_file());
    payhsm(
        token,
        &[&["serve", "--listen", "127.0.0.1:0", "--token", &uri, "--pin-file", &pin], more].concat(),
    )
}

#[test]
fn lmks_are_made_shown_and_not_made_twice() {
    let Some(token) = TempToken::new() else { return };
    ended(&init(&token, &["--id", "3"]), OK);
    ended(&init(&token, &["--scheme", "3des"]), OK);
    let lmks = shown(&token);
    let kinds: Vec<_> = lmks.iter().map(|(id, scheme, _)| (id.as_str(), scheme.as_str())).collect();
    assert_eq!(kinds, [("00", "TdesBlock"), ("03", "AesBlock")]);
    assert!(lmks.iter().all(|(_, _, check)| check.len() == 6 && check != "000000"));
    assert!(ended(&init(&token, &["--id", "3"]), DOES_NOT_HOLD).contains("already on the token"));
    ended(&init(&token, &["--id", "20"]), USAGE);
    ended(&init(&token, &["--scheme", "variant"]), USAGE);
    ended(&init(&token, &["--insecure-test-lmk", "--components", "2"]), USAGE);
    assert_eq!(shown(&token), lmks, "a refusal changes nothing");
}

#[test]
fn the_test_lmks_have_their_published_check_values() {
    let Some(token) = TempToken::new() else { return };
    ended(&init(&token, &["--insecure-test-lmk"]), OK);
    let checks: Vec<_> = shown(&token).into_iter().map(|(id, _, check)| (id, check)).collect();
    assert_eq!(checks, [("01".into(), "8E0EC0".into()), ("02".into(), "DB3FB6".into())]);
    // A token with a public LMK is served under the word that says so, and no other way.
    assert!(ended(&serve(&token, &[]), USAGE).contains("public test LMK"));
    ended(&serve(&token, &["--authorised"]), USAGE);
}

#[test]
fn serve_refuses_what_is_not_there() {
    let Some(token) = TempToken::new() else { return };
    assert!(ended(&serve(&token, &[]), DOES_NOT_HOLD).contains("payhsm lmk init"));
    ended(&init(&token, &["--id", "0"]), OK);
    let text = ended(&serve(&token, &["--insecure-test-lmk"]), USAGE);
    assert!(text.contains("no public test LMK"), "{text}");
    ended(&serve(&token, &["--backend", "sim"]), USAGE);
    ended(&serve(&token, &["--lmk-file", "lmk.json"]), USAGE);
    let with = |uri: &str, pin: &str| {
        payhsm(&token, &["serve", "--backend", "pkcs11", "--token", uri, "--pin-file", pin])
    };
    let (uri, pin) = (token.uri(), token.pin_file());
    ended(&payhsm(&token, &["serve", "--backend", "pkcs11"]), USAGE);
    ended(&with("token=a", &pin), USAGE);
    ended(&with(&format!("{uri}&pin-value={PIN}"), &pin), USAGE);
    ended(&with("pkcs11:token=another", &pin), ENVIRONMENT);
    ended(&with("pkcs11:token=a?module-path=/nowhere/at/all.so", &pin), ENVIRONMENT);
    ended(&with(&uri, "/nowhere/at/all"), ENVIRONMENT);
    ended(&payhsm(&token, &["serve", "--token", &uri]), USAGE);
}

#[test]
fn a_refused_pin_and_a_pin_file_that_others_may_write() {
    let Some(token) = TempToken::new() else { return };
    let (uri, pin) = (token.uri(), token.pin_file());
    std::fs::write(&pin, "99999999").expect("written");
    let text = ended(&init(&token, &["--id", "0"]), DOES_NOT_HOLD);
    assert!(text.contains("refused the PIN") && !text.contains("99999999"), "{text}");
    // A service manager that starts it again and again does not lock the PIN.
    for _ in 0..3 {
        let text = ended(&serve(&token, &["--backend", "pkcs11"]), DOES_NOT_HOLD);
        assert!(text.contains("login not tried: it failed 1 times"), "{text}");
    }
    std::fs::write(&pin, PIN).expect("written");
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o666)).expect("mode");
    ended(&init(&token, &["--id", "0"]), ENVIRONMENT);
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).expect("mode");
    ended(&init(&token, &["--id", "0"]), OK);
    // The URI may name the file.
    let named = format!("{uri}&pin-source=file:{pin}");
    ended(&payhsm(&token, &["lmk", "show", "--token", &named]), OK);
}

#[test]
fn components_of_custodians_form_the_lmk() {
    let Some(token) = TempToken::new() else { return };
    let (uri, pin) = (token.uri(), token.pin_file());
    let (a, b) = ("0123456789ABCDEF".repeat(4), "FEDCBA98765432100011223344556677".repeat(2));
    let mut child = Command::new(program())
        .args(["lmk", "init", "--token", &uri, "--pin-file", &pin, "--id", "5", "--components", "2"])
        .env("SOFTHSM2_CONF", token.configuration())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, format!("{a}\n{b}\n").as_bytes()).expect("takes input");
    drop(input);
    let text = ended(&child.wait_with_output().expect("ends"), OK);
    assert!(text.contains("component 1 check value") && text.contains("component 2 check value"), "{text}");
    assert!(!text.contains(&a) && !text.contains(&b));
    let sum: Vec<u8> = tests::hex::decode(&a)
        .expect("hex")
        .into_iter()
        .zip(tests::hex::decode(&b).expect("hex"))
        .map(|(a, b)| a ^ b)
        .collect();
    let expected = tests::model::check_value('A', &sum, 6);
    assert_eq!(shown(&token), [("05".to_owned(), "AesBlock".to_owned(), expected)]);
}
