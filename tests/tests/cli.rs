//! The verbs that engineers type: `decode`, `explain` and `send`, the last against the real server.

use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use tests::server::{Server, program};

const OK: i32 = 0;
const DOES_NOT_HOLD: i32 = 1;
const USAGE: i32 = 2;
const ENVIRONMENT: i32 = 3;

fn payhsm(words: &[&str]) -> Output {
    Command::new(program()).args(words).stdin(Stdio::null()).output().expect("runs")
}

fn with_input(words: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    child.stdin.take().expect("piped").write_all(input).expect("takes input");
    child.wait_with_output().expect("ends")
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    text
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    serde_json::from_str(&ended(output, code)).expect("one JSON document")
}

fn field<'v>(document: &'v Value, name: &str) -> &'v Value {
    let fields = document["fields"].as_array().expect("fields");
    fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("no {name}: {document}"))
}

const CC: &str = "HEADCCU4F2E0FFE78C277771B15A5434BD03188U908933434BF4AC9473952D615C535905\
                  12B4FACE42D28DC39E0501471610006884%00";

#[test]
fn decode_shows_fields_and_hides_what_is_secret() {
    let document = json(&payhsm(&["decode", "--json", CC]), OK);
    assert_eq!((&document["way"], &document["command"]), (&"request".into(), &"CC".into()));
    assert_eq!(document["lmk"], "00");
    let text = document.to_string();
    for secret in ["4F2E0FFE", "90893343", "B4FACE42", "471610006884"] {
        assert!(!text.contains(secret), "{secret} is shown: {text}");
    }
    assert_eq!(field(&document, "account")["text"], "47******6884");
    let revealed = json(&payhsm(&["decode", "--json", "--reveal", CC]), OK);
    assert_eq!(field(&revealed, "account")["text"], "471610006884");
    assert_eq!(field(&revealed, "source PIN block")["text"], "B4FACE42D28DC39E");
}

#[test]
fn decode_reads_every_form_of_a_frame() {
    let hex = "000E484541444232303030 3470696E67";
    let ebcdic = "C8C5C1C4C2F2F0F0F0F470696E67";
    for words in [
        &["decode", "--json", "HEADB20004ping"][..],
        &["decode", "--json", hex],
        &["decode", "--json", "SEVBREIyMDAwNHBpbmc="],
        &["decode", "--json", "--ebcdic", "--from", "hex", ebcdic],
        &["decode", "--json", "--header-len", "0", "B20004ping"],
    ] {
        let document = json(&payhsm(words), OK);
        assert_eq!(field(&document, "data length")["text"], "0004", "{words:?}");
    }
    let piped = with_input(&["decode", "--json"], b"HEADB20004ping\n");
    assert_eq!(field(&json(&piped, OK), "data length")["text"], "0004");
    let binary = with_input(&["decode", "--json", "-"], b"\0\x0EHEADB20004\0\x01\x02\x03");
    assert_eq!(field(&json(&binary, OK), "data")["length"], 4);
}

#[test]
fn decode_tells_replies_from_requests() {
    let document = json(&payhsm(&["decode", "--json", "HEADCD0006D04B70B919CB882101"]), OK);
    assert_eq!((&document["way"], &document["code"]), (&"reply".into(), &"00".into()));
    assert_eq!(field(&document, "PIN length")["text"], "06");
    let refusal = ended(&payhsm(&["decode", "--reply", "HEADCD15"]), OK);
    assert!(refusal.contains("code 15: input data not valid"), "{refusal}");
}

#[test]
fn decode_says_where_a_broken_frame_stops() {
    let text = ended(&payhsm(&["decode", "HEADB20004pi"]), DOES_NOT_HOLD);
    assert!(text.contains("parsing stopped with 80") && text.contains("2 bytes at the end"), "{text}");
    ended(&payhsm(&["decode", "HEAD~~"]), DOES_NOT_HOLD);
    ended(&payhsm(&["decode", "--from", "hex", "HEAD"]), USAGE);
    ended(&payhsm(&["decode", "--reply", "--request", "HEAD"]), USAGE);
}

#[test]
fn explain_knows_codes_and_what_they_mean_for_a_command() {
    assert!(ended(&payhsm(&["explain", "a6"]), OK).starts_with("A6: key usage"));
    let text = ended(&payhsm(&["explain", "23", "CC"]), OK);
    assert!(text.contains("CC Translate a PIN") && text.contains("answers with 23"), "{text}");
    let document = json(&payhsm(&["explain", "80", "B2", "--json"]), OK);
    assert_eq!(document["command"]["cases"][0]["request"]["stopped"], "80");
    ended(&payhsm(&["explain", "zz"]), DOES_NOT_HOLD);
    ended(&payhsm(&["explain", "123"]), USAGE);
    ended(&payhsm(&["explain", "15", "~~"]), USAGE);
}

#[test]
fn send_shows_the_reply_and_ends_with_its_code() {
    let server = Server::start(&[]);
    let address = server.address(0).to_string();
    let send = |words: &[&str]| payhsm(&[&["send", "--target", &address], words].concat());
    let document = json(&send(&["--json", "--header", "abcd", &CC[4..]]), OK);
    assert_eq!(document["reply"], "abcdCD0006D04B70B919CB882101");
    assert_eq!(field(&document["decoded"], "PIN length")["text"], "06");
    let text = ended(&send(&["B20004ping\\x19tail"]), OK);
    assert!(text.starts_with("HEADB300ping\\x19tail\n"), "{text}");
    ended(&send(&["--hex", "4232303030347069 6E67"]), OK);
    ended(&send(&["B20004pingpong"]), DOES_NOT_HOLD);
    ended(&send(&["--hex", "4"]), USAGE);
    ended(&send(&[]), USAGE);
    ended(&send(&["B20000", "--hex", "42"]), USAGE);
    ended(&send(&["--tls", "B20000"]), USAGE);
    ended(&send(&["--file", "/nowhere/at/all"]), ENVIRONMENT);
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("message");
    std::fs::write(&file, b"B20002\x00\xFF").expect("written");
    let text = ended(&send(&["--file", file.to_str().expect("path")]), OK);
    assert!(text.starts_with("HEADB300\\x00\\xFF\n"), "{text}");
}

#[test]
fn send_without_a_server_is_an_environment_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("address").to_string();
    drop(listener);
    let output = payhsm(&["send", "--target", &address, "NC"]);
    ended(&output, ENVIRONMENT);
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot connect"));
}

#[test]
fn send_gives_up_on_a_server_that_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("address").to_string();
    ended(&payhsm(&["send", "--target", &address, "--timeout-s", "1", "NC"]), ENVIRONMENT);
}
