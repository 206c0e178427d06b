//! docs/security.md, the table of what is clear where: under traffic no clear key, PIN or PIN block is in the memory
//! of a gateway whose engine is in workers, nor in what it logs or counts. BA and NG, which carry clear PINs by
//! definition, are wiped after their reply.
#![allow(clippy::print_stdout)] // what could not be tested here

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::canary::{Canaries, clear_block};
use tests::hex;
use tests::load::Traffic;
use tests::model::{open_s, pin_of, tdes_ecb};
use tests::processes::children;
use tests::server::{Server, program};
use tests::softhsm::TempToken;
use tests::wire::text;

const COMPONENTS: [&str; 2] = [
    "8F21C5D07A3E96B4F15D0C83E7A94B62C86E13F5D9072BA48E5F31C6907AD2EB",
    "3C94E07B61D8F25AC3079E4DB8165FA2E97D20C45B83F6199AE0C4573D1F8B60",
];
const PIN: &str = "314159265358";
const ACCOUNT: &str = "471610006884";

fn lmk() -> Vec<u8> {
    let [a, b] = COMPONENTS.map(|text| hex::decode(text).expect("hex"));
    a.iter().zip(&b).map(|(a, b)| a ^ b).collect()
}

fn private(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("closed");
    path.to_path_buf()
}

// Custodians type their components into another process than the one that is looked at.
fn make_lmk(words: &[&str], environment: &[(&str, PathBuf)]) {
    let mut child = Command::new(program())
        .args(words)
        .args(["--components", "2"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("runs");
    let typed = format!("{}\n{}\n", COMPONENTS[0], COMPONENTS[1]);
    child.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("typed");
    assert!(child.wait().expect("ends").success());
}

// Listeners in the order in which they were asked for: officer, issuer, admin.
fn ports(server: &Server) -> Vec<SocketAddr> {
    let begun = Instant::now();
    loop {
        let log = server.log();
        let lines = log.lines().filter(|line| line.starts_with("ready ") || line.starts_with("admin "));
        let listen = |line: &str| line.split("listen=").nth(1)?.split_whitespace().next()?.parse().ok();
        let all: Vec<_> = lines.filter_map(listen).collect();
        if all.len() == 3 {
            return all;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{log}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn metrics(admin: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(admin).expect("admin port");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("asked");
    let mut page = Vec::new();
    stream.read_to_end(&mut page).expect("answered");
    page
}

// A ZPK that the server made, and its clear value as an independent model sees it.
fn zpk(wire: &mut tests::wire::Wire) -> (String, Vec<u8>) {
    let reply = text(&wire.exchange(b"A00FFFS#72T2B00E00").expect("a reply"));
    assert_eq!(&reply[..5], "A100S", "{reply}");
    let block = &reply[5..];
    let length: usize = block[1..5].parse().expect("a length");
    let block = &block[..length];
    let (_, clear) = open_s(&lmk(), block).expect("the model opens it");
    (format!("S{block}"), clear)
}

fn scan(server: &Server, seen_in_worker: bool) {
    let ports = ports(server);
    let mut officer = tests::wire::Wire::connect(ports[0]).expect("officer's port");
    let ((from, from_clear), (to, to_clear)) = (zpk(&mut officer), zpk(&mut officer));
    let block = hex::encode(&tdes_ecb(&from_clear, true, &clear_block(PIN, ACCOUNT)));
    let translate = format!("CC{from}{to}12{block}0101{ACCOUNT}");

    let mut issuer = tests::wire::Wire::connect(ports[1]).expect("issuer's port");
    let translated = text(&issuer.exchange(translate.as_bytes()).expect("a reply"));
    let made = translated.strip_prefix("CD0012").unwrap_or_else(|| panic!("{translated}"));
    assert_eq!(
        pin_of('T', &to_clear, "01", ACCOUNT, &made[..16]),
        Ok(PIN.to_owned()),
        "the PIN went through"
    );
    let store = format!("JE{from}{block}01{ACCOUNT}");
    let stored = text(&issuer.exchange(store.as_bytes()).expect("a reply"));
    assert_eq!(&stored[..4], "JF00", "{stored}");
    let refused = format!("CC{from}{to}12{}0101{ACCOUNT}", "0".repeat(16));
    let refusal = issuer.exchange(refused.as_bytes()).expect("a reply");

    let mut canaries = Canaries::default();
    canaries.key("LMK", &lmk());
    canaries.key("source ZPK", &from_clear);
    canaries.key("destination ZPK", &to_clear);
    canaries.pin(PIN, ACCOUNT);
    let pairs = [(translate.into_bytes(), translated.into_bytes()), (refused.into_bytes(), refusal)];
    let traffic = Traffic::start(ports[1], 4, 16, &pairs);
    for _ in 0..5 {
        traffic.wait_for_right(Duration::from_secs(10)).expect("serves");
        std::thread::sleep(Duration::from_millis(100));
        let Some(found) = search(&canaries, server) else { break };
        assert!(found.is_empty(), "in the gateway: {found:#?}");
    }
    let workers = children(server.pid());
    let held =
        workers.iter().any(|pid| canaries.found_in_process(*pid).is_some_and(|found| !found.is_empty()));
    let counts = traffic.stop();
    assert!(counts.faults.lock().expect("sound").is_empty(), "{:?}", counts.faults);
    // The search finds what is there: a worker of the simulator has the LMK.
    assert!(
        held || !seen_in_worker || search(&canaries, server).is_none(),
        "the search finds nothing anywhere: is it sound?"
    );
    let found = search(&canaries, server).unwrap_or_default();
    assert!(found.is_empty(), "in the gateway, after traffic: {found:#?}");
    let log = server.log();
    assert_eq!(canaries.found_in(log.as_bytes()), [""; 0], "in the log");
    assert_eq!(canaries.found_in(&metrics(ports[2])), [""; 0], "in the metrics");
}

// Needs the right to look into another process: root, as CI is.
fn search(canaries: &Canaries, server: &Server) -> Option<Vec<String>> {
    let found = canaries.found_in_process(server.pid());
    if found.is_none() {
        println!("SKIP the search of process memory: it needs root");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI runs as root");
    }
    found
}

const LISTENERS: [&str; 4] = ["--listen", "officer@127.0.0.1:0/02", "--listen", "issuer@127.0.0.1:0/02"];

#[test]
fn a_gateway_over_simulator_workers_holds_no_secret() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("keys.lmk");
    let pass = private(&folder.path().join("pass"), "a passphrase of this test");
    let (file, pass) = (file.to_str().expect("path"), pass.to_str().expect("path"));
    make_lmk(&["lmk", "new", "--file", file, "--id", "2", "--kind", "aes", "--pass-file", pass], &[]);
    let own = ["--workers", "2", "--lmk-file", file, "--lmk-pass-file", pass];
    let environment = [("PAYHSM_LOG", PathBuf::from("trace"))];
    scan(&Server::start_own(&[&LISTENERS[..], &own].concat(), &[2], &environment), true);
}

#[test]
fn a_gateway_over_token_workers_holds_no_secret() {
    let Some(token) = TempToken::new() else { return };
    let (uri, pin_file) = (token.uri(), token.pin_file());
    let environment = [("SOFTHSM2_CONF", token.configuration()), ("PAYHSM_LOG", PathBuf::from("trace"))];
    make_lmk(&["lmk", "init", "--token", &uri, "--pin-file", &pin_file, "--id", "2"], &environment[..1]);
    let own = ["--workers", "2", "--token", &uri, "--pin-file", &pin_file];
    let server = Server::start_own(&[&LISTENERS[..], &own].concat(), &[2], &environment);
    scan(&server, false);
    // Nor the PIN of the token.
    let mut canaries = Canaries::default();
    canaries.pin("481516230000", ACCOUNT);
    canaries.key("token PIN", tests::softhsm::PIN.as_bytes());
    let found = search(&canaries, &server).unwrap_or_default();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn frames_with_clear_pins_are_wiped_after_their_reply() {
    let server = Server::start(&["--workers", "1", "--authorised"]);
    let mut wire = server.connect(2);
    for _ in 0..50 {
        let stored = text(&wire.exchange(format!("BA{PIN}F{ACCOUNT}").as_bytes()).expect("a reply"));
        let stored = stored.strip_prefix("BB00").unwrap_or_else(|| panic!("{stored}"));
        let clear = text(&wire.exchange(format!("NG{ACCOUNT}{stored}").as_bytes()).expect("a reply"));
        assert_eq!(clear, format!("NH00{PIN}F"));
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut canaries = Canaries::default();
    canaries.pin(PIN, ACCOUNT);
    let found = search(&canaries, &server).unwrap_or_default();
    assert!(found.is_empty(), "in the gateway: {found:#?}");
    assert_eq!(canaries.found_in(server.log().as_bytes()), [""; 0], "in the log");
}

// Replies of NG in batches that grow, so that buffers do: nothing of them is left in memory, whether it is still in use
// or was given back.
#[test]
fn replies_with_clear_pins_leave_nothing_behind() {
    for workers in ["0", "1"] {
        let server = Server::start(&["--workers", workers, "--authorised"]);
        let mut replies = Canaries::default();
        replies.bytes("NG reply", b"zQ7xNH004436F");
        let frames = |count: usize| {
            let mut out = Vec::new();
            (0..count).for_each(|_| tests::wire::append(&mut out, b"zQ7xNG62438250179801229"));
            out
        };
        let mut wire = server.connect(0);
        for count in [1, 3, 10, 30, 100, 250, 1000] {
            wire.write(&frames(count)).expect("sent");
            for _ in 0..count {
                assert_eq!(wire.read().expect("a reply").as_deref(), Some(&b"zQ7xNH004436F"[..]));
            }
        }
        for pid in std::iter::once(server.pid()).chain(children(server.pid())) {
            let Some(found) = replies.found_in_process(pid) else {
                println!("SKIP memory of {pid}: it may not be read");
                continue;
            };
            assert_eq!(found, Vec::<String>::new(), "--workers {workers}, process {pid}");
        }
        assert_eq!(wire.exchange(b"B20004ping").expect("a reply"), b"B300ping");
    }
}
