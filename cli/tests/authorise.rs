//! Officers, the authorised state and decimalisation tables, over the control socket of a real server.
#![allow(clippy::unwrap_used)]

mod serving;

use hostcmd::command::Command as _;
use hostcmd::commands::{ba_clear_pin_to_lmk::ClearPinToLmk, da_verify_pin_tpk_ibm::VerifyPinTpkIbm};
use rustix::process::Signal;
use serving::{Serving, address, payhsm};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ANNA: &str = "anna\nanna has a long one\n";
const BEN: &str = "ben\nben has one as well\n";
const WRONG: &str = "ben\nben has forgotten it\n";
const NOBODY: &str = "carl\nben has one as well\n";

/// The table of the first example of DA: valid, and not registered.
const TABLE: &str = "9876543210987654";

struct Unit {
    folder: tempfile::TempDir,
    serving: Serving,
    // By LMK.
    ports: Vec<SocketAddr>,
}

fn serve(folder: &tempfile::TempDir) -> Command {
    payhsm(
        folder,
        &["serve", "--insecure-test-lmk", "--listen", "127.0.0.1:0", "--data", "data", "--cores", "2"],
    )
}

fn told(folder: &tempfile::TempDir, words: &[&str], lines: &str) -> (Option<i32>, String, String) {
    let mut command = payhsm(folder, words);
    command.env("PAYHSM_DATA", "data").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A verb that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

impl Unit {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for officer in [ANNA, BEN] {
            let (name, passphrase) = officer.split_once('\n').unwrap();
            assert_eq!(told(&folder, &["officer", "add", name], passphrase).0, Some(0));
        }
        Self::start(folder)
    }

    fn start(folder: tempfile::TempDir) -> Self {
        let mut serving = Serving::start(serve(&folder));
        let ports = (0..3).map(|_| address(&serving.line())).collect();
        Self { folder, serving, ports }
    }

    fn end(self) -> (tempfile::TempDir, String) {
        let (code, log) = self.serving.end(Signal::TERM);
        assert_eq!(code, Some(0), "{log}");
        assert!(!self.folder.path().join("data/control.sock").exists());
        (self.folder, log)
    }

    #[track_caller]
    fn done(&self, words: &[&str], lines: &str) -> String {
        let (code, out, errors) = told(&self.folder, words, lines);
        assert_eq!(code, Some(0), "{errors}");
        out
    }

    #[track_caller]
    fn refused(&self, words: &[&str], lines: &str, says: &str) {
        let (code, out, errors) = told(&self.folder, words, lines);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains(says), "{errors}");
    }

    // Reply and error code on each core: connections are dealt to them in turn.
    fn codes(&self, lmk: usize, request: &str) -> [String; 2] {
        [0, 1].map(|_| {
            let mut stream = TcpStream::connect(self.ports[lmk]).unwrap();
            let message = format!("HEAD{request}");
            stream.write_all(&[&(message.len() as u16).to_be_bytes(), message.as_bytes()].concat()).unwrap();
            let mut reply = [0; 10];
            stream.read_exact(&mut reply).unwrap();
            String::from_utf8(reply[6..].to_vec()).unwrap()
        })
    }

    #[track_caller]
    fn clear_pin(&self, code: &str) {
        let example = &ClearPinToLmk::EXAMPLES[2];
        let request = std::str::from_utf8(example.request).unwrap();
        assert_eq!(self.codes(example.lmk.into(), request), [code, code]);
    }

    #[track_caller]
    fn verify(&self, table: &str, code: &str) {
        let request = std::str::from_utf8(VerifyPinTpkIbm::EXAMPLES[0].request).unwrap();
        assert!(request.contains(TABLE));
        assert_eq!(self.codes(1, &request.replace(TABLE, table)), [code, code]);
    }
}

#[test]
fn two_officers_authorise_for_a_time() {
    let unit = Unit::new();
    unit.clear_pin("BB17");
    assert_eq!(unit.done(&["authorise", "--show"], ""), "nothing is authorised\n");
    unit.done(&["authorise", "weak-export"], &[ANNA, BEN].concat());
    unit.clear_pin("BB17");
    unit.done(&["authorise", "clear-pin", "--for", "2s"], &[BEN, ANNA].concat());
    let granted = Instant::now();
    unit.clear_pin("BB00");
    let shown: Vec<serde_json::Value> =
        serde_json::from_str(&unit.done(&["authorise", "--show", "--json"], "")).unwrap();
    assert!(shown.iter().all(|one| one["activity"].is_string() && one.get("seconds").is_some()), "{shown:?}");
    assert!(!shown.is_empty());
    let shown = unit.done(&["authorise", "--show"], "");
    assert!(shown.contains("weak-export        9m"), "{shown}");
    assert!(!shown.contains("components"), "{shown}");
    std::thread::sleep(Duration::from_millis(2500).saturating_sub(granted.elapsed()));
    unit.clear_pin("BB17");
    let shown = unit.done(&["authorise", "--show"], "");
    assert!(!shown.contains("clear-pin") && shown.contains("weak-export"), "{shown}");
    let (_, log) = unit.end();
    for says in ["first=\"ben\" second=\"anna\"", "activity=\"clear-pin\" seconds=2", "authorisation is over"]
    {
        assert!(plain(&log).contains(says), "{log}");
    }
}

#[test]
fn it_ends_by_revocation_and_at_a_restart() {
    let unit = Unit::new();
    unit.done(&["authorise", "all"], &[ANNA, BEN].concat());
    unit.clear_pin("BB00");
    let shown = unit.done(&["authorise", "--show"], "");
    assert!(shown.lines().count() == 4 && shown.contains("clear-pin          9m"), "{shown}");
    unit.refused(&["authorise", "--revoke", "clear-pin"], WRONG, "not right");
    unit.clear_pin("BB00");
    unit.done(&["authorise", "--revoke", "clear-pin"], BEN);
    unit.clear_pin("BB17");
    unit.done(&["authorise", "all", "--for", "12h"], &[ANNA, BEN].concat());
    unit.clear_pin("BB00");
    let unit = Unit::start(unit.end().0);
    unit.clear_pin("BB17");
    assert_eq!(unit.done(&["authorise", "--show"], ""), "nothing is authorised\n");
}

#[test]
fn what_stood_from_the_start_can_be_revoked() {
    let unit = Unit::new();
    let (folder, _) = unit.end();
    let mut command = serve(&folder);
    command.arg("--authorised");
    let mut serving = Serving::start(command);
    let ports = (0..3).map(|_| address(&serving.line())).collect();
    let unit = Unit { folder, serving, ports };
    unit.clear_pin("BB00");
    let shown = unit.done(&["authorise", "--show"], "");
    assert!(
        shown.lines().count() == 4 && shown.lines().all(|line| line.ends_with("until the server ends")),
        "{shown}"
    );
    unit.done(&["authorise", "--revoke", "all"], ANNA);
    unit.clear_pin("BB17");
}

#[test]
fn what_is_not_two_right_officers_is_refused_with_one_answer() {
    let unit = Unit::new();
    let words = ["authorise", "clear-pin"];
    unit.refused(&words, &[ANNA, ANNA].concat(), "two different officers");
    let stranger = "anna\nben has one as well\n";
    for second in [WRONG, NOBODY] {
        unit.refused(&words, &[ANNA, second].concat(), "an officer or a passphrase is not right");
        unit.refused(&words, &[second, ANNA].concat(), "an officer or a passphrase is not right");
    }
    unit.refused(&words, &[stranger, BEN].concat(), "an officer or a passphrase is not right");
    // The fifth failure was the last that was judged.
    unit.refused(&words, &[ANNA, BEN].concat(), "too many failures");
    unit.refused(&["authorise", "--revoke", "all"], ANNA, "too many failures");
    unit.refused(&["dectab", "add", TABLE], &[ANNA, BEN].concat(), "too many failures");
    unit.clear_pin("BB17");
    let (folder, log) = unit.end();
    assert!(log.contains("anna (unknown)") && !log.contains("carl"), "{log}");
    for secret in ["long one", "as well", "forgotten", "argon2"] {
        assert!(!log.contains(secret), "{log}");
    }
    let kept = std::fs::read_to_string(folder.path().join("data/officers.json")).unwrap();
    assert!(kept.contains("$argon2id$v=19$m=65536,t=3,p=1$") && !kept.contains("long one"), "{kept}");
}

#[test]
fn a_registered_table_is_taken_at_once_and_after_a_restart() {
    let unit = Unit::new();
    unit.verify(TABLE, "DB25");
    unit.refused(&["dectab", "add", TABLE], &[ANNA, ANNA].concat(), "two different officers");
    unit.refused(&["dectab", "add", TABLE], &[ANNA, WRONG].concat(), "not right");
    unit.verify(TABLE, "DB25");
    unit.done(&["dectab", "add", TABLE], &[ANNA, BEN].concat());
    unit.verify(TABLE, "DB00");
    unit.done(&["dectab", "add", TABLE], &[ANNA, BEN].concat());
    let (folder, _) = unit.end();
    let kept: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("data/dectabs.json")).unwrap())
            .unwrap();
    // Not the table that is there under the test LMKs only.
    assert_eq!(kept, serde_json::json!({ "tables": [TABLE] }));
    let unit = Unit::start(folder);
    unit.verify(TABLE, "DB00");
    unit.verify("8876543210987654", "DB25");
}

#[test]
fn an_encrypted_table_is_taken_and_no_single_officer_makes_one() {
    let unit = Unit::new();
    let words = |lmk| ["dectab", "encrypt", TABLE, "--lmk", lmk];
    unit.refused(&words("01"), &[BEN, BEN].concat(), "two different officers");
    unit.refused(&words("01"), &[NOBODY, ANNA].concat(), "not right");
    unit.refused(&words("07"), &[ANNA, BEN].concat(), "no such LMK");
    let field = unit.done(&words("01"), &[ANNA, BEN].concat());
    unit.verify(field.trim(), "DB00");
    unit.verify(TABLE, "DB25");
    let other = unit.done(&words("02"), &[ANNA, BEN].concat());
    assert_eq!((other.len(), &other[..1]), (34, "L"), "{other}");
    let (code, _, errors) = told(&unit.folder, &["dectab", "encrypt", "0000000000000000", "--lmk", "1"], "");
    assert_eq!(code, Some(2), "{errors}");
}

#[test]
fn files_and_socket_are_for_their_owner_and_bad_requests_change_nothing() {
    let unit = Unit::new();
    let data = unit.folder.path().join("data");
    for (name, mode) in [("", 0o700), ("officers.json", 0o600), ("control.sock", 0o600)] {
        let found = std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    let raw = |text: &str| {
        let mut stream = UnixStream::connect(data.join("control.sock")).unwrap();
        // The server may have refused it before the last byte.
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        reply
    };
    let long = format!("{{\"show\":{{}}{}}}\n", " ".repeat(5000));
    assert_eq!([raw(""), raw("{\"show\":{}}"), raw(&long)], [""; 3]);
    for wrong in
        ["\n", "{}\n", "{\"show\":{\"all\":1}}\n", "{\"authorise\":{\"activity\":\"all\",\"seconds\":9}}\n"]
    {
        assert_eq!(raw(wrong), "{\"refused\":\"not a request of this version\"}\n", "{wrong}");
    }
    let one = "{\"name\":\"anna\",\"passphrase\":\"anna has a long one\"}";
    let two = "{\"name\":\"ben\",\"passphrase\":\"ben has one as well\"}";
    let ask = |seconds: u64, officers: &str| {
        raw(&format!(
            "{{\"authorise\":{{\"activity\":\"all\",\"seconds\":{seconds},\"officers\":[{officers}]}}}}\n"
        ))
    };
    assert!(ask(9, one).contains("not a request"));
    for seconds in [0, 43_201, u64::MAX] {
        assert!(ask(seconds, &format!("{one},{two}")).contains("12 hours"));
    }
    unit.clear_pin("BB17");
    assert_eq!(raw("{\"show\":{}}\n"), "{\"standing\":[]}\n");
    let open = tempfile::tempdir().unwrap();
    std::fs::create_dir(open.path().join("data")).unwrap();
    std::fs::set_permissions(open.path().join("data"), std::fs::Permissions::from_mode(0o770)).unwrap();
    let output = serve(&open).output().unwrap();
    assert!(
        output.status.code() == Some(3)
            && plain(&String::from_utf8_lossy(&output.stderr)).contains("chmod 700")
    );
    // Another server does not take the socket away.
    let other = serve(&unit.folder).output().unwrap();
    assert_eq!(other.status.code(), Some(3));
    assert_eq!(raw("{\"show\":{}}\n"), "{\"standing\":[]}\n");
}

#[test]
fn without_a_server_or_with_wrong_words_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, errors) = told(&folder, &["authorise", "--show"], "");
    assert!(code == Some(3) && errors.contains("--data"), "{errors}");
    for words in [&["authorise"][..], &["authorise", "clear_pin"], &["authorise", "all", "--for", "13h"]] {
        assert_eq!(told(&folder, words, "").0, Some(2), "{words:?}");
    }
    assert_eq!(told(&folder, &["authorise", "all", "--show"], "").0, Some(2));
    assert_eq!(told(&folder, &["officer", "add", "anna"], "short\n").0, Some(2));
    assert_eq!(told(&folder, &["officer", "add", "Anna"], "long enough it is\n").0, Some(2));
    assert_eq!(told(&folder, &["officer", "add", "anna"], "long enough it is\n").0, Some(0));
    assert_eq!(told(&folder, &["officer", "add", "anna"], "another long one\n").0, Some(1));
    assert_eq!(told(&folder, &["officer", "list"], "").1, "anna\n");
    // What others may write is not believed.
    let file = folder.path().join("data/officers.json");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(told(&folder, &["officer", "list"], "").0, Some(3));
}

// Without the colours of a log.
fn plain(log: &str) -> String {
    let mut out = String::new();
    let mut rest = log;
    while let Some((text, escape)) = rest.split_once('\u{1b}') {
        out.push_str(text);
        rest = escape.split_once('m').map_or("", |(_, rest)| rest);
    }
    out + rest
}
