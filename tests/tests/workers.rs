//! The engine in worker processes: killed, stopped and replaced under load, without a wrong or a lost reply.
#![allow(clippy::print_stdout)] // figures for whoever reads the log

use hostcmd::command::Command as _;
use hostcmd::command::Expect;
use hostcmd::commands::cc_pin_zpk_to_zpk::PinZpkToZpk;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tests::load::{Counts, Pair, Traffic};
use tests::processes::{children, lives, signal, status};
use tests::server::{Server, program};

/// Back in service after a lost worker.
const RECOVERY: Duration = Duration::from_secs(1);

// Opened keys, PIN blocks and a refusal, with the replies that the examples name.
fn pairs() -> Vec<Pair> {
    let examples = PinZpkToZpk::EXAMPLES.iter().filter(|example| example.lmk == 0);
    let pairs: Vec<Pair> = examples
        .filter_map(|example| {
            let reply = match example.expect {
                Expect::Reply(reply) => reply.to_vec(),
                Expect::Code(code) => [b"CD", &code[..]].concat(),
                _ => return None,
            };
            Some((example.request.to_vec(), reply))
        })
        .collect();
    assert!(pairs.len() >= 2);
    pairs
}

fn sound(counts: &Counts) {
    let faults = counts.faults.lock().expect("sound");
    assert!(faults.is_empty(), "{} faults, the first: {:?}", faults.len(), &faults[..faults.len().min(3)]);
}

fn in_ci_or(full: &str, few: usize) -> usize {
    std::env::var(full).ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

#[test]
fn a_worker_that_is_killed_costs_what_is_in_flight_and_nothing_else() {
    let rounds = in_ci_or("PAYHSM_WORKER_KILLS", 12);
    for workers in ["1", "2"] {
        let mut server = Server::start(&["--workers", workers]);
        let traffic = Traffic::start(server.address(0), 8, 16, &pairs());
        let mut longest = Duration::ZERO;
        traffic.wait_for_right(Duration::from_secs(10)).expect("serves");
        for round in 0..rounds {
            let before = children(server.pid());
            let victim = before[round % before.len()];
            let killed = Instant::now();
            signal(victim, "KILL");
            // Right replies again, and as many workers as before.
            traffic.wait_for_right(RECOVERY).unwrap_or_else(|| panic!("round {round}\n{}", server.log()));
            // One look: between two the victim may go before another comes.
            let replaced = |now: &[u32]| now.len() >= before.len() && !now.contains(&victim);
            while !replaced(&children(server.pid())) {
                assert!(killed.elapsed() < RECOVERY, "round {round}: no new worker\n{}", server.log());
                std::thread::sleep(Duration::from_millis(2));
            }
            traffic.wait_for_right(RECOVERY).unwrap_or_else(|| panic!("round {round}\n{}", server.log()));
            longest = longest.max(killed.elapsed());
            assert!(server.is_up());
        }
        let counts = traffic.stop();
        sound(&counts);
        assert!(longest < RECOVERY, "{longest:?}");
        println!(
            "{workers} workers, {rounds} kills: {} right, {} refused by 42, 0 wrong, 0 lost; longest recovery {longest:?}",
            counts.right.load(Relaxed),
            counts.refused.load(Relaxed),
        );
    }
}

#[test]
fn a_hung_worker_is_replaced_and_the_others_go_on_meanwhile() {
    let server = Server::start(&["--workers", "2", "--worker-deadline-ms", "400"]);
    let traffic = Traffic::start(server.address(0), 8, 4, &pairs());
    traffic.wait_for_right(Duration::from_secs(10)).expect("serves");
    let victim = children(server.pid())[0];
    signal(victim, "STOP");
    let stopped = Instant::now();
    while lives(victim) {
        assert!(stopped.elapsed() < Duration::from_secs(3), "it is not ended\n{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let found = stopped.elapsed();
    assert!(found >= Duration::from_millis(350), "not before its time: {found:?}");
    traffic.wait_for_right(RECOVERY).expect("serves again");
    let counts = traffic.stop();
    sound(&counts);
    assert!(counts.refused.load(Relaxed) > 0, "what it held is refused");
    assert_eq!(children(server.pid()).len(), 2, "{}", server.log());
    println!("hung worker found after {found:?}");
}

#[test]
fn frames_that_come_while_no_worker_is_up_wait_for_the_next_one() {
    let server = Server::start(&["--workers", "1"]);
    let mut wire = server.connect(0);
    for _ in 0..3 {
        assert!(wire.exchange(b"NC").expect("reply").starts_with(b"ND00"));
        let victim = children(server.pid())[0];
        signal(victim, "KILL");
        while lives(victim) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Nothing is in flight, so nothing is refused.
        assert!(wire.exchange(b"NC").expect("reply").starts_with(b"ND00"), "{}", server.log());
    }
}

#[test]
fn workers_give_up_what_they_do_not_need() {
    let server = Server::start(&["--workers", "2"]);
    let workers = children(server.pid());
    assert_eq!(workers.len(), 2);
    for worker in workers {
        assert_eq!(status(worker, "NoNewPrivs"), "1");
        assert_eq!(status(worker, "Seccomp"), "2", "{}", server.log());
        assert_ne!(status(worker, "VmLck"), "0 kB", "{}", server.log());
        let environment = std::fs::read(format!("/proc/{worker}/environ")).expect("readable");
        let names = environment.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        let names: Vec<_> = names.map(String::from_utf8_lossy).collect();
        let kept = ["SOFTHSM2_CONF=", "TMPDIR=", "STATE_DIRECTORY=", "CREDENTIALS_DIRECTORY="];
        let is_kept = |entry: &&std::borrow::Cow<str>| kept.iter().any(|name| entry.starts_with(name));
        assert!(names.iter().all(|entry| is_kept(&entry)), "{names:?}");
        let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).expect("readable");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    }
}

#[test]
fn workers_may_have_a_user_of_their_own() {
    if !status(std::process::id(), "Uid").starts_with("0\t") {
        println!("SKIP another user for workers: it needs root");
        return;
    }
    let server = Server::start(&["--workers", "1", "--worker-user", "65534"]);
    let worker = children(server.pid())[0];
    assert_eq!(status(worker, "Uid"), "65534\t65534\t65534\t65534");
    assert_ne!(status(worker, "Gid").split('\t').next(), Some("0"));
    assert!(status(worker, "CapEff").bytes().all(|digit| digit == b'0'), "no rights of root are left");
    assert!(server.connect(0).exchange(b"NC").expect("reply").starts_with(b"ND00"));
    // It ends with a gateway that is killed all the same.
    signal(worker, "STOP");
    signal(server.pid(), "KILL");
    let begun = Instant::now();
    while lives(worker) {
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn workers_end_with_the_gateway_however_it_ends() {
    for name in ["TERM", "KILL"] {
        let mut server = Server::start(&["--workers", "2"]);
        let workers = children(server.pid());
        // A stopped worker cannot see that its socket is closed.
        signal(workers[0], "STOP");
        signal(server.pid(), name);
        let begun = Instant::now();
        while workers.iter().any(|worker| lives(*worker)) || server.is_up() {
            assert!(begun.elapsed() < Duration::from_secs(8), "{name}: {}", server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_drain_answers_what_workers_have() {
    let server = Server::start(&["--workers", "2"]);
    let mut wire = server.connect(0);
    let mut out = Vec::new();
    for number in 0..200_u32 {
        tests::wire::append(&mut out, &[&number.to_be_bytes(), &b"B20004ping"[..]].concat());
    }
    wire.write(&out).expect("sent");
    let first = wire.read().expect("reply").expect("open");
    assert_eq!(&first[4..], b"B300ping");
    signal(server.pid(), "TERM");
    for number in 1..200_u32 {
        let reply = wire.read().expect("reply").unwrap_or_else(|| panic!("closed before {number}"));
        assert_eq!(reply, [&number.to_be_bytes(), &b"B300ping"[..]].concat());
    }
}

#[test]
fn roles_and_the_authorised_state_hold_across_the_processes() {
    let free: SocketAddr = "127.0.0.1:0".parse().expect("address");
    let listen = format!("acquirer@{free}/00");
    let server = Server::start_with(&["--workers", "1", "--listen", &listen], &[0]);
    let mut wire = server.connect(0);
    assert_eq!(wire.exchange(b"A00000U").expect("reply"), b"A168", "an officer's command");
    assert_eq!(wire.exchange(b"ZZ").expect("reply"), b"Z[68");
    assert!(wire.exchange(b"NC\x19tail").expect("reply").ends_with(b"\x19tail"));
    let open = Server::start(&["--workers", "1", "--authorised"]);
    let closed = Server::start(&["--workers", "1"]);
    let clear = b"BA1234F569757235443";
    assert_eq!(closed.connect(0).exchange(clear).expect("reply"), b"BB17");
    assert_eq!(&open.connect(0).exchange(clear).expect("reply")[..4], b"BB00");
}

#[test]
fn status_commands_tell_the_gateways_counts() {
    let server = Server::start(&["--workers", "2"]);
    let mut wire = server.connect(0);
    for _ in 0..7 {
        wire.exchange(b"B20004ping").expect("reply");
    }
    let volumes = wire.exchange(b"J4").expect("reply");
    let text = tests::wire::text(&volumes);
    assert!(text.starts_with("J500"), "{text}");
    assert!(text.contains("B2") && text.contains('7'), "{text}");
}

#[test]
fn a_worker_that_cannot_start_ends_the_gateway_with_3_and_a_worker_alone_is_usage() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("no.lmk");
    let file = file.to_str().expect("path");
    let output = Command::new(program())
        .args(["serve", "--workers", "2", "--lmk-file", file, "--lmk-pass-file", file])
        .args(["--listen", "acquirer@127.0.0.1:0/00"])
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("no crypto worker"), "{text}");
    let alone = Command::new(program()).args(["worker", "--insecure-test-lmk"]).stdin(Stdio::null()).output();
    assert_eq!(alone.expect("runs").status.code(), Some(2));
}
