//! The writer over a store that fails on command.

use super::*;
use crate::audit::{verify_store, verify_store_in_use};
use crate::log::Record;
use crate::store::faulty::{Fault, Faults};
use crate::store::{Location, Table};
use ed25519_dalek::SigningKey;
use std::sync::atomic::{AtomicU64, Ordering};
use toy::{Counters, Input, Refusal};

#[path = "../../tests/common/toy.rs"]
mod toy;

struct Rig {
    folder: tempfile::TempDir,
    faults: Faults,
    utc_ms: Arc<AtomicU64>,
}

impl Rig {
    fn new() -> Self {
        let utc_ms = Arc::new(AtomicU64::new(1_800_000_000_000));
        Self { folder: tempfile::TempDir::new().unwrap(), faults: Faults::default(), utc_ms }
    }

    fn location(&self) -> Location {
        Location::Sqlite(self.folder.path().join("kmc.db"))
    }

    // Nothing is written but what the test asks for.
    fn start(&self) -> Writer<Counters> {
        self.start_with(Duration::from_secs(3600))
    }

    fn start_with(&self, quiet: Duration) -> Writer<Counters> {
        let (location, faults, utc_ms) = (self.location(), self.faults.clone(), self.utc_ms.clone());
        let mut options = Options::new(
            move || faults.lead(&location),
            || CheckpointKey::new("kmc.test/log", SigningKey::from_bytes(&[3; 32])).unwrap(),
            move || Instant3 { utc_ms: utc_ms.load(Ordering::Relaxed), ..Instant3::default() },
            "manager",
        );
        options.quiet = quiet;
        options.expire_every = Duration::ZERO;
        Writer::start(options).unwrap()
    }

    fn holds(&self) -> bool {
        verify_store(&mut Store::read(&self.location()).unwrap(), Default::default()).unwrap().holds
    }

    fn actions(&self) -> Vec<String> {
        let mut actions = Vec::new();
        let mut store = Store::read(&self.location()).unwrap();
        let mut each = |_: u64, line: String| {
            actions.push(Record::parse(&line).unwrap().entry.action);
            Ok(())
        };
        store.each_line(0, &mut each).unwrap();
        actions
    }
}

fn open(name: &str) -> Input {
    Input::Open { name: name.into() }
}

fn raise(name: &str, by: u64) -> Input {
    Input::Raise { name: name.into(), by }
}

fn key(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn value(writer: &Writer<Counters>, name: &str) -> Option<u64> {
    writer.view(|counters| counters.0.get(name).map(|counter| counter.value))
}

#[test]
fn many_requests_share_a_commit_and_refusals_leave_no_trace() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    let before = writer.standing();
    let sent: Vec<_> = (1..=1000).map(|_| writer.send(None, raise("a", 1)).unwrap()).collect();
    let mut answers: Vec<u64> =
        sent.into_iter().map(|answer| answer.blocking_recv().unwrap().unwrap()).collect();
    answers.sort_unstable();
    assert_eq!(answers, (1..=1000).collect::<Vec<_>>());
    let after = writer.standing();
    assert!(after.commits - before.commits < 100, "{} commits", after.commits - before.commits);
    assert_eq!(after.log_size, before.log_size + 1000);
    assert!(matches!(writer.submit_blocking(key("k"), open("a")), Err(SubmitError::Refused(Refusal::Known))));
    assert!(matches!(
        writer.submit_blocking(None, raise("b", 1)),
        Err(SubmitError::Refused(Refusal::Unknown))
    ));
    assert_eq!(writer.standing().log_size, after.log_size);
    drop(writer);
    assert!(rig.holds());
    let writer = rig.start();
    assert_eq!((value(&writer, "a"), writer.standing().epoch), (Some(1000), 2));
}

// Between a batch and its checkpoint the end of the log is not covered: a verification beside the writer waits for it.
#[test]
fn a_store_is_verified_beside_its_writer() {
    let rig = Rig::new();
    let writer = rig.start_with(Duration::from_millis(20));
    writer.submit_blocking(None, open("a")).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                writer.submit_blocking(None, raise("a", 1)).unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        for _ in 0..20 {
            let mut store = Store::read(&rig.location()).unwrap();
            let report = verify_store_in_use(&mut store, Default::default()).unwrap();
            assert!(report.holds, "{:?}", report.findings);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(value(&writer, "a") > Some(1));
    drop(writer);
    // Nobody writes any more, and the end has no checkpoint: it is said, and soon.
    let other = rusqlite::Connection::open(rig.folder.path().join("kmc.db")).unwrap();
    other.execute_batch("DELETE FROM checkpoints WHERE size = (SELECT MAX(size) FROM checkpoints)").unwrap();
    let began = std::time::Instant::now();
    let mut store = Store::read(&rig.location()).unwrap();
    let report = verify_store_in_use(&mut store, Default::default()).unwrap();
    assert!(report.findings.iter().any(|finding| finding.kind == "uncovered"), "{:?}", report.findings);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_request_is_done_once_under_one_key() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    // In one batch, in later ones, and after a restart.
    let both: Vec<_> = (0..2).map(|_| writer.send(key("k"), raise("a", 5)).unwrap()).collect();
    assert!(both.into_iter().all(|answer| answer.blocking_recv().unwrap().unwrap() == 5));
    assert_eq!(writer.submit_blocking(key("k"), raise("a", 5)).unwrap(), 5);
    assert!(matches!(writer.submit_blocking(key("k"), raise("a", 6)), Err(SubmitError::KeyReused)));
    drop(writer);
    let writer = rig.start();
    assert_eq!(writer.submit_blocking(key("k"), raise("a", 5)).unwrap(), 5);
    assert_eq!(value(&writer, "a"), Some(5));
    rig.utc_ms.fetch_add(KEPT_MS, Ordering::Relaxed);
    assert_eq!(
        writer.submit_blocking(key("k"), raise("a", 5)).unwrap(),
        10,
        "the answer was kept for seven days"
    );
}

#[test]
fn an_unknown_outcome_is_told_as_such_and_found_out_by_asking_again() {
    for (fault, done) in [(Fault::LostAfterCommit, true), (Fault::LostBeforeCommit, false)] {
        let rig = Rig::new();
        let writer = rig.start();
        writer.submit_blocking(None, open("a")).unwrap();
        rig.faults.next(fault);
        assert!(matches!(writer.submit_blocking(key("k"), raise("a", 5)), Err(SubmitError::OutcomeUnknown)));
        assert_eq!(value(&writer, "a"), Some(if done { 5 } else { 0 }), "{fault:?}");
        assert_eq!(writer.standing().epoch, 2);
        assert_eq!(writer.submit_blocking(key("k"), raise("a", 5)).unwrap(), 5);
        assert_eq!(value(&writer, "a"), Some(5));
        drop(writer);
        assert!(rig.holds());
        assert_eq!(
            rig.actions(),
            if done {
                ["store.make", "open", "raise", "leader.takeover"]
            } else {
                ["store.make", "open", "leader.takeover", "raise"]
            }
        );
    }
}

#[test]
fn a_refusal_that_rests_on_what_is_not_done_is_not_told() {
    let rig = Rig::new();
    let writer = rig.start();
    rig.faults.hold();
    let first = writer.send(None, open("x")).unwrap();
    let sent: Vec<_> = (0..2).map(|_| writer.send(None, open("a")).unwrap()).collect();
    rig.faults.next(Fault::LostBeforeCommit);
    rig.faults.next(Fault::LostBeforeCommit);
    rig.faults.release();
    assert!(first.blocking_recv().unwrap().is_err());
    for answer in sent {
        assert!(matches!(
            answer.blocking_recv().unwrap(),
            Err(SubmitError::OutcomeUnknown | SubmitError::NotLeading)
        ));
    }
    assert_eq!(value(&writer, "a"), None);
}

#[test]
fn without_room_writing_is_refused_and_reading_goes_on() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    rig.faults.next(Fault::Full);
    assert!(matches!(writer.submit_blocking(key("k"), raise("a", 5)), Err(SubmitError::Full)));
    assert_eq!(value(&writer, "a"), Some(0));
    assert!(writer.standing().full && writer.standing().leading);
    assert!(
        matches!(writer.submit_blocking(key("k"), raise("a", 5)), Err(SubmitError::Full)),
        "not tried at once"
    );
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(writer.submit_blocking(key("k"), raise("a", 5)).unwrap(), 5);
    assert!(!writer.standing().full && writer.standing().epoch == 1);
    drop(writer);
    assert!(rig.holds());
}

#[test]
fn what_comes_to_nothing_is_not_written_and_finds_out_all_the_same() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    let before = writer.standing();
    assert_eq!(writer.submit_blocking(None, Input::Look).unwrap(), 1);
    assert_eq!((writer.standing().log_size, writer.standing().commits), (before.log_size, before.commits));
    // That another manager leads, or that the store is gone, is seen by the next one.
    rig.faults.next(Fault::LostBeforeCommit);
    rig.faults.closed(true);
    assert!(writer.submit_blocking(None, Input::Look).is_err());
    assert!(!writer.standing().leading);
    rig.faults.closed(false);
    assert_eq!(writer.submit_blocking(None, Input::Look).unwrap(), 1);
    // And that there is room again.
    rig.faults.next(Fault::Full);
    assert!(matches!(writer.submit_blocking(None, raise("a", 1)), Err(SubmitError::Full)));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(writer.submit_blocking(None, Input::Look).unwrap(), 1);
    assert!(!writer.standing().full);
    drop(writer);
    assert!(rig.holds());
    assert_eq!(rig.actions(), ["store.make", "open", "leader.takeover", "look"]);
}

#[test]
fn a_store_that_is_gone_is_led_again_when_it_is_back() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    rig.faults.next(Fault::LostBeforeCommit);
    rig.faults.closed(true);
    assert!(matches!(writer.submit_blocking(key("k"), raise("a", 5)), Err(SubmitError::OutcomeUnknown)));
    assert!(!writer.standing().leading);
    assert!(matches!(writer.submit_blocking(key("k"), raise("a", 5)), Err(SubmitError::NotLeading)));
    rig.faults.closed(false);
    assert_eq!(writer.submit_blocking(key("k"), raise("a", 5)).unwrap(), 5);
    assert!(writer.standing().leading);
}

#[test]
fn a_quiet_log_is_signed_to_its_end_and_only_stored_checkpoints_are_shown() {
    let rig = Rig::new();
    let writer = rig.start_with(Duration::from_millis(5));
    writer.submit_blocking(None, open("a")).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while writer.standing().checkpoint.is_none_or(|(size, _)| size < 2) {
        assert!(std::time::Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    let stored = Store::read(&rig.location()).unwrap().last_checkpoint().unwrap();
    assert_eq!(writer.standing().checkpoint, stored);
}

#[test]
fn answers_past_their_time_are_taken_away_and_that_is_logged() {
    let rig = Rig::new();
    let writer = rig.start_with(Duration::from_millis(5));
    writer.submit_blocking(key("k"), open("a")).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(Store::read(&rig.location()).unwrap().count(Table::Idempotency).unwrap(), 1);
    rig.utc_ms.fetch_add(KEPT_MS, Ordering::Relaxed);
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while Store::read(&rig.location()).unwrap().count(Table::Idempotency).unwrap() > 0 {
        assert!(std::time::Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(writer);
    assert!(rig.holds() && rig.actions().contains(&"idempotency.expire".to_owned()));
}

#[tokio::test]
async fn answers_reach_asynchronous_callers() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit(None, open("a")).await.unwrap();
    assert_eq!(writer.submit(key("k"), raise("a", 3)).await.unwrap(), 3);
    tokio::task::spawn_blocking(move || drop(writer)).await.unwrap();
    assert_eq!(Store::read(&rig.location()).unwrap().count(Table::KeySets).unwrap(), 1);
}

// A sum that overflows stands for any fault of a machine: its batch is lost and nothing else is.
#[test]
fn a_request_that_panics_costs_its_batch() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    writer.submit_blocking(None, raise("a", 5)).unwrap();
    for _ in 0..2 {
        let answer = writer.submit_blocking(None, raise("a", u64::MAX));
        assert!(matches!(answer, Err(SubmitError::OutcomeUnknown)), "{answer:?}");
    }
    writer.submit_blocking(None, raise("a", 2)).unwrap();
    assert_eq!((value(&writer, "a"), writer.standing().leading), (Some(7), true));
    drop(writer);
    assert!(rig.holds());
}

#[test]
fn a_pause_that_panics_costs_nothing() {
    let rig = Rig::new();
    let (location, faults) = (rig.location(), rig.faults.clone());
    let trip = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tripped = trip.clone();
    let mut options = Options::new(
        move || faults.lead(&location),
        || CheckpointKey::new("kmc.test/log", SigningKey::from_bytes(&[3; 32])).unwrap(),
        move || {
            assert!(!tripped.swap(false, Ordering::Relaxed), "told to");
            Instant3::default()
        },
        "manager",
    );
    options.quiet = Duration::from_millis(10);
    let writer: Writer<Counters> = Writer::start(options).unwrap();
    writer.submit_blocking(None, open("a")).unwrap();
    trip.store(true, Ordering::Relaxed);
    while trip.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(writer.submit_blocking(None, raise("a", 2)).unwrap(), 2);
    drop(writer);
    assert!(rig.holds());
}

#[test]
fn a_look_that_panics_keeps_nobody_out() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    let look = || writer.look_aside(|_| panic!("while it looks"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(look)).is_err());
    assert_eq!(value(&writer, "a"), Some(0));
    assert_eq!(writer.look_aside(|counters| counters.0.len()), 1);
    assert!(!writer.shared.machine.is_poisoned());
    assert_eq!(writer.submit_blocking(None, raise("a", 2)).unwrap(), 2);
}

// More requests than are written by the hand that decides: all in one batch, which waits for the first one.
fn together(
    rig: &Rig,
    writer: &Writer<Counters>,
    inputs: Vec<(Option<String>, Input)>,
) -> Vec<Answer<Counters>> {
    rig.faults.hold();
    let first = writer.send(None, raise("a", 0)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let sent: Vec<_> = inputs.into_iter().map(|(key, input)| writer.send(key, input).unwrap()).collect();
    rig.faults.release();
    assert!(first.blocking_recv().unwrap().is_ok());
    sent.into_iter()
        .map(|answer| answer.blocking_recv().unwrap_or(Err(SubmitError::OutcomeUnknown)))
        .collect()
}

#[test]
fn a_full_batch_that_fails_leaves_nothing_behind() {
    for fault in [Fault::Full, Fault::LostBeforeCommit] {
        let rig = Rig::new();
        let writer = rig.start();
        writer.submit_blocking(None, open("a")).unwrap();
        rig.faults.second(fault);
        let answers = together(&rig, &writer, (0..100).map(|_| (None, raise("a", 1))).collect());
        assert!(answers.iter().all(Result::is_err), "{fault:?}: {answers:?}");
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(writer.submit_blocking(None, raise("a", 1)).unwrap(), 1, "{fault:?}");
        drop(writer);
        assert!(rig.holds());
    }
}

#[test]
fn a_full_batch_with_a_request_that_panics_is_not_written() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    writer.submit_blocking(None, raise("a", 5)).unwrap();
    let mut inputs: Vec<_> = (0..40).map(|_| (None, raise("a", 1))).collect();
    inputs.push((None, raise("a", u64::MAX)));
    let answers = together(&rig, &writer, inputs);
    assert!(answers.iter().all(|answer| matches!(answer, Err(SubmitError::OutcomeUnknown))), "{answers:?}");
    assert_eq!(writer.submit_blocking(None, raise("a", 2)).unwrap(), 7);
    drop(writer);
    assert!(rig.holds());
}

#[test]
fn a_full_batch_does_each_request_of_a_key_once() {
    let rig = Rig::new();
    let writer = rig.start();
    writer.submit_blocking(None, open("a")).unwrap();
    assert_eq!(writer.submit_blocking(key("k0"), raise("a", 1)).unwrap(), 1);
    let mut inputs: Vec<_> = (0..30).map(|n| (key(&format!("k{}", n % 15)), raise("a", 1))).collect();
    inputs.push((key("k1"), raise("a", 9)));
    let answers = together(&rig, &writer, inputs);
    let done: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().copied()).collect();
    assert_eq!(done[..15], (1..=15).map(Some).collect::<Vec<_>>());
    assert_eq!(done[15..30], done[..15]);
    assert!(matches!(answers[30], Err(SubmitError::KeyReused)));
    drop(writer);
    assert!(rig.holds());
}
