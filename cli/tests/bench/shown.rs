//! What people see of a run: its page, its progress, and that nothing of it is lost.

use crate::{bench, payhsm};
use std::io::Read;
use std::process::{Command, Stdio};

// Every tag is closed in the order in which it was opened, but those that HTML leaves open.
fn well_formed(page: &str) {
    let (mut open, mut rest) = (Vec::new(), page);
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.starts_with('!') && !tag.ends_with('/') && name != "meta" {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_report_is_one_page_that_needs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (plain, sweep) = (file("plain<&.html"), file("sweep.html"));
    let run = bench(&["echo", "--rate", "500", "--html", &plain, "--assert", "p50<1us"]);
    assert_eq!(run.status.code(), Some(1));
    let words = ["echo", "--sweep", "500..1k", "--limit", "p50<1s", "--html", &sweep];
    assert_eq!(bench(&words).status.code(), Some(0));
    for (path, plots) in [(&plain, 3), (&sweep, 4)] {
        let page = std::fs::read_to_string(path).unwrap();
        well_formed(&page);
        assert_eq!(page.matches("<svg ").count(), plots, "{path}");
        for foreign in ["http:", "https:", "<script", "<link", "<img", "url(", "@import", "src=", "href="] {
            assert!(!page.contains(foreign), "{path}: {foreign}");
        }
        assert!(page.contains("Method: ") && page.contains("Latency by percentile"), "{path}");
    }
    let page = std::fs::read_to_string(&plain).unwrap();
    assert!(page.contains("p50&lt;1us does not hold") && page.contains("plain&lt;&amp;.html"));
}

#[test]
fn progress_is_told_when_it_is_asked_for() {
    let words =
        ["bench", "echo", "--rate", "200", "--duration", "0.5", "--warmup", "0.3", "--progress", "0.1"];
    let output = payhsm(&words);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("warming up, ") && told.contains("measuring, ") && told.contains("/s"), "{told}");
    let quiet = bench(&["echo"]);
    assert!(quiet.stderr.is_empty(), "{}", String::from_utf8_lossy(&quiet.stderr));
}

#[test]
fn a_result_is_shown_and_files_are_opened_before_the_run() {
    let long = ["bench", "echo", "--duration", "60", "--warmup", "0"];
    for option in ["--hdr", "--html"] {
        let output = payhsm(&[&long[..], &[option, "/nowhere/at/all"]].concat());
        assert_eq!(output.status.code(), Some(3), "{option}");
        assert!(
            output.stdout.is_empty() && String::from_utf8(output.stderr).unwrap().contains("/nowhere/at/all")
        );
    }
    let full = bench(&["echo", "--html", "/dev/full"]);
    assert_eq!(full.status.code(), Some(3));
    assert!(String::from_utf8(full.stdout).unwrap().contains("Method: "));
}

// Whoever reads the progress may stop.
#[test]
fn a_closed_standard_error_does_not_end_a_run() {
    let words = ["bench", "echo", "--progress", "0.05", "--duration", "0.5", "--warmup", "0"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_payhsm"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    let mut table = String::new();
    child.stdout.take().unwrap().read_to_string(&mut table).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(table.contains("Method: "), "{table}");
    let mut page = Command::new(env!("CARGO_BIN_EXE_payhsm"))
        .arg("explain")
        .arg("--commands-page")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(page.stdout.take());
    let ended = page.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("panicked"));
}
