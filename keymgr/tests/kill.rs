//! The manager is killed, as SIGKILL does it, at named places; what it had acknowledged is there afterwards,
//! what it had not is there wholly or not at all, and asking again under the same key gives one answer.
//!
//! `PAYHSM_KILL_ROUNDS` sets the number of rounds (50 if unset), `PAYHSM_KILL_SEED` the first seed (1).
#![allow(clippy::print_stdout, clippy::print_stderr)] // figures and skips are for people

mod common;
#[path = "common/shown.rs"]
mod shown;

use common::tail::Tail;
use common::toy::{Counters, Input};
use common::{BEGIN_MS, Place, key};
use keylink::Instant3;
use keymgr::failpoint::STORE as NAMES;
use keymgr::store::{Location, Store};
use keymgr::writer::{Options, SubmitError, Writer};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::str::FromStr;

const COUNTERS: usize = 8;

fn writer(location: &Location) -> Writer<Counters> {
    let place = location.clone();
    let mut options = Options::new(
        move || Store::lead(&place),
        key,
        || Instant3 { utc_ms: BEGIN_MS, ..Instant3::default() },
        "manager",
    );
    options.quiet = std::time::Duration::from_millis(1);
    Writer::start(options).unwrap()
}

fn idempotency(counter: usize, step: u64) -> Option<String> {
    Some(format!("tester:{counter}:{step}"))
}

fn step(counter: usize, step: u64) -> Input {
    let name = format!("counter {counter}");
    if step == 0 { Input::Open { name } } else { Input::Raise { name, by: step } }
}

// What a counter holds after so many steps.
fn value(steps: u64) -> u64 {
    (0..steps).sum()
}

/// The child: every thread drives one counter from where it stands and says what was acknowledged.
#[test]
#[ignore = "the process that is killed; started by the test below"]
fn child() {
    let Ok(place) = std::env::var("PAYHSM_KILL_STORE") else { return };
    let first: u64 = std::env::var("PAYHSM_KILL_FIRST").unwrap().parse().unwrap();
    let writer = writer(&Location::from_str(&place).unwrap());
    std::thread::scope(|scope| {
        for counter in 0..COUNTERS {
            let writer = &writer;
            scope.spawn(move || {
                for n in first..first + 25 {
                    let outcome = writer.submit_blocking(idempotency(counter, n), step(counter, n)).unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "\nack {counter} {n} {outcome}").unwrap();
                    out.flush().unwrap();
                    drop(out);
                    if n % 5 == 4 {
                        std::thread::sleep(std::time::Duration::from_millis(3));
                    }
                }
            });
        }
    });
}

// Runs the child until it dies; what it acknowledged, and whether it was killed.
fn run_child(location: &str, first: u64, failpoint: &str) -> (BTreeMap<usize, u64>, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env("PAYHSM_KILL_STORE", location)
        .env("PAYHSM_KILL_FIRST", first.to_string())
        .env("PAYHSM_FAILPOINT", failpoint)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut journal = BTreeMap::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some(rest) = line.strip_prefix("ack ") else { continue };
        let words: Vec<u64> = rest.split(' ').map(|word| word.parse().unwrap()).collect();
        assert_eq!(words[2], value(words[1] + 1), "an answer that does not fit");
        journal.insert(usize::try_from(words[0]).unwrap(), words[1]);
    }
    let killed = std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()) == Some(9);
    (journal, killed)
}

/// Kills on one store; then a fresh one is made, under a seed of its own.
const A_STORE: u64 = 250;
/// After every kill the tail of the log is verified and the rows it speaks of; all of it after so many.
const WHOLE_EVERY: u64 = 25;

fn draws(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

struct Counted {
    place: &'static str,
    rounds: u64,
    kills: u64,
    acknowledged: u64,
}

fn rounds(place: &Place, rounds: u64, seed: u64) -> Counted {
    let location = match place {
        Place::Sqlite(_) => place.file().display().to_string(),
        Place::Postgres(cluster, database) => cluster.url(database),
    };
    let mut counted = Counted { place: place.name(), rounds, kills: 0, acknowledged: 0 };
    println!("{} seed {seed}: {rounds} rounds", place.name());
    let (mut draw, mut tail) = (draws(seed), Tail::default());
    for round in 0..rounds {
        let name = NAMES[usize::try_from(round).unwrap() % NAMES.len()];
        let count = if name.starts_with("takeover") { 1 } else { 1 + draw() % 13 };
        let first = round * 25;
        let (journal, killed) = run_child(&location, first, &format!("{name}:{count}"));
        counted.kills += u64::from(killed);
        counted.acknowledged += journal.values().map(|last| last + 1 - first).sum::<u64>();
        settle(place, first, &journal, name);
        tail = tail.verify(&mut place.read());
        if round % WHOLE_EVERY == WHOLE_EVERY - 1 || round + 1 == rounds {
            let report = place.verify();
            assert!(report.holds, "{name}: {:?}", report.findings);
            assert_eq!(report.entries, tail.size);
        }
    }
    let settings = place.read().settings().unwrap();
    shown::show("manager-writer-kills", &format!("{} seed {seed}: settings {settings:?}", place.name()));
    counted
}

// After the kill: a new manager on the same store.
fn settle(place: &Place, first: u64, journal: &BTreeMap<usize, u64>, name: &str) {
    let writer = writer(&place.location());
    std::thread::scope(|scope| {
        for counter in 0..COUNTERS {
            let (writer, last) = (&writer, journal.get(&counter).copied());
            scope.spawn(move || settled(writer, counter, first, last, name));
        }
    });
}

fn settled(writer: &Writer<Counters>, counter: usize, first: u64, last: Option<u64>, name: &str) {
    let steps = last.map_or(first, |last| last + 1);
    let here =
        writer.view(|counters| counters.0.get(&format!("counter {counter}")).map_or(0, |one| one.value));
    // One more may be there: committed and not acknowledged. Never half of it.
    assert!(
        here == value(steps) || here == value(steps + 1),
        "{name}: counter {counter} holds {here} after {steps} steps"
    );
    // Asked again, all of them are done once, in order.
    for n in steps.saturating_sub(1)..first + 25 {
        match writer.submit_blocking(idempotency(counter, n), step(counter, n)) {
            Ok(outcome) => assert_eq!(outcome, value(n + 1), "{name}: counter {counter}, step {n}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    let reused = writer.submit_blocking(idempotency(counter, first), step(counter, first + 1));
    assert!(matches!(reused, Err(SubmitError::KeyReused)));
}

// Store after store, until there were so many kills.
fn all(place: impl Fn() -> Place, many: u64) {
    let seed: u64 = std::env::var("PAYHSM_KILL_SEED").map_or(1, |text| text.parse().unwrap());
    let counted: Vec<Counted> = (0..many.div_ceil(A_STORE))
        .map(|n| rounds(&place(), A_STORE.min(many - n * A_STORE), seed + n))
        .collect();
    let sum = |of: fn(&Counted) -> u64| counted.iter().map(of).sum::<u64>();
    let (rounds, kills) = (sum(|one| one.rounds), sum(|one| one.kills));
    let found = format!(
        "{}: {rounds} rounds from seed {seed}, {kills} kills, {} acknowledged, none lost",
        counted[0].place,
        sum(|one| one.acknowledged)
    );
    shown::show("manager-writer-kills", &found);
    assert!(kills * 10 >= rounds * 8, "{kills} of {rounds} were killed");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_manager_is_killed() {
    let many: u64 = std::env::var("PAYHSM_KILL_ROUNDS").map_or(50, |text| text.parse().unwrap());
    all(Place::sqlite, many);
    // The cluster runs as long as a place on it is held.
    if let Some(_held) = Place::postgres() {
        all(|| Place::postgres().unwrap(), many.div_ceil(5));
    }
}
