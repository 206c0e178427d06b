//! Limits: who is turned away, who is cut and when, and that the others are served all the while.

mod common;

use common::*;
use gateway::{Config, Gateway, Limits};
use hsm::{
    Backend, BackendClass, Binding, HsmError, Hygiene, Key, KeyAttributes, LmkId, LmkInfo, LmkScheme, Op,
};
use hsm::{OpBatch, Outcome};
use paytypes::{CipherKind, KeyShape};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const QUICK: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

fn patient() -> Limits {
    Limits { first_byte: LONG, whole_frame: LONG, idle: LONG, write_stall: LONG, ..Limits::default() }
}

fn with(limits: Limits) -> Config {
    with_admin(Config { limits, ..config() })
}

fn rejected(running: &gateway::Running, reason: &str, count: u32) {
    let line = format!("payhsm_connections_rejected_total{{reason=\"{reason}\"}} {count}");
    wait_for_metric(running.admin().unwrap(), &line);
}

// The limit holds from below, and is not exceeded by more than two ticks and the machine's own delays.
fn assert_cut_in_time(since: Instant) {
    let took = since.elapsed();
    assert!(took >= QUICK && took < QUICK * 10, "cut after {took:?}");
}

#[test]
fn a_dripped_frame_is_cut_by_its_first_byte_not_by_each_read() {
    let running = start(with(Limits { whole_frame: QUICK, ..patient() }));
    let mut stream = connect(&running);
    stream.write_all(&echo(1, b"quick frames pass")).unwrap();
    receive(&mut stream);
    stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let began = Instant::now();
    let frame = echo(2, &[b'x'; 1000]);
    let cut = frame.iter().position(|byte| {
        let read = stream.read(&mut [0; 1]);
        let gone = matches!(read, Ok(0)) || read.is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock);
        gone || stream.write_all(&[*byte]).is_err()
    });
    assert!(cut.is_some());
    assert_cut_in_time(began);
    rejected(&running, "whole_frame", 1);
    still_serves(&running);
}

#[test]
fn silence_from_the_start_and_silence_later_have_limits_of_their_own() {
    let running = start(with(Limits { first_byte: QUICK, ..patient() }));
    let mut spoke = connect(&running);
    spoke.write_all(&echo(1, b"x")).unwrap();
    receive(&mut spoke);
    let began = Instant::now();
    assert!(closed(&mut connect(&running)));
    assert_cut_in_time(began);
    rejected(&running, "first_byte", 1);
    spoke.write_all(&echo(2, b"x")).unwrap();
    assert_eq!(receive(&mut spoke), echoed(2, b"x"));

    let running = start(with(Limits { idle: QUICK, ..patient() }));
    let mut stream = connect(&running);
    for n in 0..16 {
        stream.write_all(&echo(n, b"x")).unwrap();
        receive(&mut stream);
        std::thread::sleep(QUICK / 8);
    }
    let began = Instant::now() - QUICK / 8;
    assert!(closed(&mut stream));
    assert_cut_in_time(began);
    rejected(&running, "idle", 1);
}

#[test]
fn a_peer_that_takes_no_reply_is_cut() {
    let running = start(with(Limits { write_stall: QUICK, ..patient() }));
    let mut stream = connect(&running);
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let frame = echo(1, &[b'x'; 8000]);
    let began = Instant::now();
    while stream.write_all(&frame).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(4), "never cut");
    }
    rejected(&running, "write_stall", 1);
    still_serves(&running);
}

#[test]
fn limits_per_address_and_in_all_give_places_back() {
    for (limits, reason) in [
        (Limits { per_address: 3, ..patient() }, "per_address"),
        (Limits { connections: 3, ..patient() }, "total"),
    ] {
        let running = start(with(limits));
        let mut held: Vec<_> = (0..3).map(|_| connect(&running)).collect();
        for stream in &mut held {
            stream.write_all(&echo(1, b"x")).unwrap();
            receive(stream);
        }
        assert!(closed(&mut connect(&running)));
        rejected(&running, reason, 1);
        drop(held.pop());
        let address = running.listeners()[0].address;
        let line = format!("payhsm_connections{{listener=\"{address}/00\"}} 2");
        wait_for_metric(running.admin().unwrap(), &line);
        still_serves(&running);
    }
}

#[test]
fn only_the_allow_list_gets_in_and_it_is_asked_before_a_byte_is_read() {
    let mut config = with_admin(listening(&["127.0.0.1:0/00", "127.0.0.1:0/01", "[::1]:0/00"]));
    config.listeners[0].allow = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.9/32".parse().unwrap()];
    config.listeners[1].allow = vec!["127.0.0.0/8".parse().unwrap()];
    config.listeners[2].allow = vec!["::1/128".parse().unwrap()];
    let running = start(config);
    let [refused, allowed, six] = running.listeners() else { panic!("three listeners") };
    let mut stream = connect_to(refused.address);
    let _ = stream.write_all(&echo(1, b"x"));
    assert!(closed(&mut stream));
    rejected(&running, "allow_list", 1);
    for listener in [allowed, six] {
        let mut stream = connect_to(listener.address);
        stream.write_all(&echo(1, b"x")).unwrap();
        assert_eq!(receive(&mut stream), echoed(1, b"x"));
    }
}

#[test]
fn many_idle_connections_harm_nobody() {
    let limits = Limits { per_address: 1000, ..patient() };
    let running = start(with(limits));
    let idle: Vec<_> = (0..400).map(|_| connect(&running)).collect();
    still_serves(&running);
    let address = running.listeners()[0].address;
    let line = format!("payhsm_connections{{listener=\"{address}/00\"}} 400");
    wait_for_metric(running.admin().unwrap(), &line);
    drop(idle);
    let line = format!("payhsm_connections{{listener=\"{address}/00\"}} 0");
    wait_for_metric(running.admin().unwrap(), &line);
}

/// Opens every key, counts them, and returns every block as it came.
struct Opening(Vec<LmkInfo>, Arc<AtomicUsize>);

impl Backend for Opening {
    fn run(&mut self, ops: &mut OpBatch) {
        ops.for_each(|op, _, _| match op {
            Op::Open { key_type, .. } => {
                self.1.fetch_add(1, Ordering::Relaxed);
                let shape = KeyShape { kind: CipherKind::Tdes, length: 16 };
                let binding = Binding::Variant(*key_type);
                Ok(Outcome::Key(Key::new(KeyAttributes { shape, binding, hygiene: Hygiene::GOOD }, ())))
            }
            _ => Err(HsmError::Backend),
        });
    }
    fn lmks(&self) -> &[LmkInfo] {
        &self.0
    }
    fn class(&self) -> BackendClass {
        BackendClass::C
    }
}

// A key that ten commands name, one after the other, is opened for the first of them with a cache, and for each of them
// without.
#[test]
fn a_key_cache_that_is_off_keeps_nothing() {
    let opened = |key_cache| {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let backend = move || -> Box<dyn Backend> {
            let (id, scheme, comment) = (LmkId(0), LmkScheme::Variant, String::new());
            let lmk = LmkInfo { id, scheme, test: true, check: *b"000000", comment };
            Box::new(Opening(vec![lmk], Arc::clone(&seen)))
        };
        let limits = Limits { key_cache, ..patient() };
        let running = Gateway::start(Config { limits, cores: 1, ..config() }, Arc::new(backend)).unwrap();
        let mut stream = connect(&running);
        let mut replies = Vec::new();
        for _ in 0..10 {
            let (key, block) = ("U1B6B8A8B4F2A6D5C1B6B8A8B4F2A6D5C", "0123456789ABCDEF");
            stream
                .write_all(&frame(format!("HEADCC{key}{key}12{block}0101123456789012").as_bytes()))
                .unwrap();
            replies.push(receive(&mut stream));
        }
        (count.load(Ordering::Relaxed), replies)
    };
    let (kept, of_cache) = opened(Limits::default().key_cache);
    let (anew, of_none) = opened(0);
    // Twice in the first, which names it twice.
    assert_eq!((kept, anew), (2, 20));
    assert!(of_none == of_cache && of_none.iter().all(|reply| reply.starts_with(b"HEADCD")));
}
