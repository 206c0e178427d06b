//! `serve` and `config check` as a process: what they print, refuse and end with.
#![allow(clippy::unwrap_used)]

mod serving;

use rustix::process::Signal;
use serving::{Serving, address, payhsm};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::time::{Duration, Instant};

#[track_caller]
fn refused(words: &[&str], variables: &[(&str, &str)], code: i32, says: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = payhsm(&folder, words).envs(variables.iter().copied()).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(errors.contains(says), "{errors}");
}

#[test]
fn what_cannot_be_served_ends_with_2_and_says_what_to_do() {
    let test = "--insecure-test-lmk";
    refused(&["serve"], &[], 2, "--insecure-test-lmk");
    refused(&["serve", test, "--listen", "127.0.0.1:1", "--listen", "127.0.0.1:2"], &[], 2, "overlap");
    refused(&["serve", test, "--listen", "0.0.0.0:1"], &[], 2, "--allow");
    refused(&["serve", test, "--listen", "boss@127.0.0.1"], &[], 2, "boss");
    refused(&["serve", test, "--listen", "tls:127.0.0.1"], &[], 2, "--tls-cert");
    refused(&["serve", test, "--set", "singel_des=true"], &[], 2, "single_des");
    refused(&["serve", test, "--lmk-file", "a"], &[], 2, "cannot be used with");
    refused(&["serve", test, "--header-len", "256"], &[], 2, "255");
    refused(&["serve", "--authorised"], &[], 2, "test LMKs");
    refused(&["serve", test], &[("PAYHSM_LIMITS_DEPHT", "3")], 2, "PAYHSM_LIMITS_DEPTH");
}

#[test]
fn what_is_missing_ends_with_3() {
    refused(&["serve", "--config", "none.toml"], &[], 3, "none.toml");
    refused(&["serve", "--lmk-file", "none.lmk"], &[], 3, "none.lmk");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("{}/00", taken.local_addr().unwrap());
    refused(&["serve", "--insecure-test-lmk", "--listen", &listen], &[], 3, "cannot listen");
}

#[test]
fn config_check_ends_with_0_or_1_and_shows_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str, words: &[&str]| -> Output {
        std::fs::write(folder.path().join("payhsm.toml"), text).unwrap();
        payhsm(&folder, &[&["config", "check"], words].concat()).output().unwrap()
    };
    assert_eq!(check("insecure_test_lmk = true", &[]).status.code(), Some(0));
    let bad = check("cores = 1\n[limits]\nidle = 3\n", &[]);
    let picture = String::from_utf8(bad.stderr).unwrap();
    assert_eq!(bad.status.code(), Some(1));
    assert!(picture.contains("payhsm.toml:3:1") && picture.contains("did you mean `idle_s`?"), "{picture}");
    let bad = check("profile = 'lax'", &["--json"]);
    let document: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((bad.status.code(), bad.stderr.len()), (Some(1), 0));
    assert_eq!((&document["good"], &document["problem"]["line"]), (&false.into(), &1.into()));
    let missing = payhsm(&folder, &["config", "check", "none.toml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(3));
}

fn echo(address: SocketAddr, header: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let message = format!("{header}B20004ping");
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message.as_bytes()].concat()).unwrap();
    let mut reply = vec![0; 2 + header.len() + 8];
    stream.read_exact(&mut reply).unwrap();
    String::from_utf8(reply[2..].to_vec()).unwrap()
}

#[test]
fn ready_lines_name_every_port_and_sigterm_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["serve", "--insecure-test-lmk", "--listen", "127.0.0.1:0", "--listen", "officer@[::1]:0/02"];
    let mut serving = Serving::start(payhsm(&folder, &[&words[..], &["--admin", "127.0.0.1:0"]].concat()));
    let lines: Vec<String> = (0..4).map(|_| serving.line()).collect();
    for (line, end) in lines.iter().zip(["00 role=any", "01 role=any", "02 role=any", "02 role=officer"]) {
        assert!(line.starts_with("ready listen=") && line.ends_with(&format!(" lmk={end}")), "{line}");
        assert_eq!(echo(address(line), "HEAD"), "HEADB300ping");
    }
    assert!(serving.line().starts_with("admin listen=127.0.0.1:"));
    let began = Instant::now();
    let (code, log) = serving.end(Signal::TERM);
    assert_eq!(code, Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(log.contains("public test LMKs") && !log.contains("HEAD") && !log.contains("ping"), "{log}");
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = "insecure_test_lmk = true\nheader_len = 2\n[[listener]]\nlisten = '127.0.0.1:0/01'\n";
    std::fs::write(folder.path().join("payhsm.toml"), file).unwrap();
    let started = |words: &[&str], variables: &[(&str, &str)], header: &str| {
        let mut command = payhsm(&folder, &[&["serve", "--log-format", "json"], words].concat());
        command.envs(variables.iter().copied());
        let mut serving = Serving::start(command);
        let line = serving.line();
        assert_eq!(echo(address(&line), header), format!("{header}B300ping"));
        let (code, log) = serving.end(Signal::INT);
        assert_eq!(code, Some(0), "{log}");
        let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert!(log.lines().all(json), "{log}");
        line
    };
    assert!(started(&[], &[], "ab").contains("lmk=01"));
    let environment = [("PAYHSM_HEADER_LEN", "3"), ("PAYHSM_LISTEN", "127.0.0.1:0/02")];
    assert!(started(&[], &environment, "abc").contains("lmk=02"));
    let words = ["--header-len", "1", "--listen", "issuer@127.0.0.1:0/00"];
    assert!(started(&words, &environment, "a").ends_with("lmk=00 role=issuer"));
}
