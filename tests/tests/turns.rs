//! Beside commands that need a run of the backend for every byte of their frames, others are answered within a bound
//! of runs: in the gateway's process and in a worker. The backend runs when the test lets it, so that runs are
//! counted and no clock is asked.
#![allow(clippy::arithmetic_side_effects)] // a test

use gateway::worker::wire::{Answer, Request, facts, take};
use gateway::worker::{self, Ended};
use gateway::{Config, Gateway, ListenerConfig, Running};
use hostcmd::command::{Command as _, Expect};
use hostcmd::commands::cc_pin_zpk_to_zpk::PinZpkToZpk;
use hostcmd::{Authorised, Engine, Port, Settings, Unit};
use hsm::{Backend, BackendClass, LmkId, LmkInfo, OpBatch};
use hsm_sim::{LmkSet, Options, Simulator};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tests::wire::{Wire, append};

const ROUNDS: usize = Engine::ROUNDS;
const LONG: usize = 2000;

#[derive(Default)]
struct State {
    permits: usize,
    runs: usize,
    waits: bool,
    panics: bool,
}

/// What lets the backend run.
#[derive(Default)]
struct Gate(Mutex<State>, Condvar);

impl Gate {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().expect("sound"));
        self.1.notify_all();
    }

    fn give(&self, permits: usize) {
        self.change(|state| state.permits += permits);
    }

    // Until the backend stands at the gate.
    fn wait_blocked(&self) {
        let state = self.0.lock().expect("sound");
        let limit = Duration::from_secs(20);
        let (_state, timeout) = self
            .1
            .wait_timeout_while(state, limit, |state| !state.waits || state.permits > 0)
            .expect("sound");
        assert!(!timeout.timed_out(), "the backend is not asked");
    }

    fn pass(&self) {
        let mut state = self.0.lock().expect("sound");
        while state.permits == 0 {
            state.waits = true;
            self.1.notify_all();
            state = self.1.wait(state).expect("sound");
        }
        (state.waits, state.permits, state.runs) = (false, state.permits - 1, state.runs + 1);
        let panics = std::mem::take(&mut state.panics);
        drop(state);
        assert!(!panics, "as the test wants it");
    }

    fn runs(&self) -> usize {
        self.0.lock().expect("sound").runs
    }
}

/// Opens the gate at the end of a test, also when that comes by a panic: nobody can stop who stands at it.
struct Opened<'g>(&'g Gate);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.give(usize::MAX / 4);
    }
}

struct Gated(Simulator, Arc<Gate>);

impl Backend for Gated {
    fn run(&mut self, ops: &mut OpBatch) {
        self.1.pass();
        self.0.run(ops);
    }
    fn lmks(&self) -> &[LmkInfo] {
        self.0.lmks()
    }
    fn class(&self) -> BackendClass {
        self.0.class()
    }
}

fn simulator() -> Simulator {
    Simulator::new(&LmkSet::public_test(), Options::default()).expect("test LMKs")
}

fn gated(gate: &Arc<Gate>) -> Box<dyn Backend> {
    Box::new(Gated(simulator(), Arc::clone(gate)))
}

// M0 in CFB8, which needs a run for each byte.
fn long(length: usize) -> Vec<u8> {
    let head = format!("M0020000BU3E9CE2724797FC6021B7A50C0AB6592D47A548B20AE81906{length:04X}");
    [head.as_bytes(), &vec![0x5A; length]].concat()
}

fn translation() -> (Vec<u8>, Vec<u8>) {
    let mut examples = PinZpkToZpk::EXAMPLES.iter().filter(|example| example.lmk == 0);
    let pair = examples.find_map(|example| match example.expect {
        Expect::Reply(reply) => Some((example.request.to_vec(), reply.to_vec())),
        _ => None,
    });
    pair.expect("an example")
}

fn expected(request: &[u8]) -> Vec<u8> {
    let mut engine = Engine::new(Box::new(simulator()), Unit::default());
    let port = Rc::new(Port { header_length: 0, ..Port::new(LmkId(0), Settings::STRICT) });
    let ticket = engine.submit(&port, request);
    engine.run();
    let mut out = Vec::new();
    engine.finish(ticket, &mut out);
    assert!(out.starts_with(b"M100"), "{}", tests::wire::text(&out));
    out
}

fn start(gate: &Arc<Gate>) -> Running {
    let listeners = vec![ListenerConfig::new("127.0.0.1:0/00".parse().expect("a listener"))];
    let gate = Arc::clone(gate);
    let backend = move || gated(&gate);
    Gateway::start(Config { listeners, cores: 1, ..Config::default() }, Arc::new(backend)).expect("starts")
}

fn connect(running: &Running) -> Wire {
    let mut wire = Wire::connect(running.listeners()[0].address).expect("connects");
    wire.stream().set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    assert!(wire.exchange(b"NC").expect("a reply").starts_with(b"ND00"));
    wire
}

fn framed(messages: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|(header, message)| append(&mut out, &[&header[..], message].concat()));
    out
}

fn has_nothing(wire: &Wire) -> bool {
    wire.stream().set_nonblocking(true).expect("a socket");
    let peeked = wire.stream().peek(&mut [0]);
    wire.stream().set_nonblocking(false).expect("a socket");
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn others_are_answered_within_two_turns_beside_a_flood_of_long_commands() {
    let gate = Arc::<Gate>::default();
    let running = start(&gate);
    let _opened = Opened(&gate);
    let (mut flood, mut host) = (connect(&running), connect(&running));
    let (request, reply) = translation();
    let begun = gate.runs();
    flood
        .write(&framed(&[(b"0001", &long(LONG)), (b"0002", &long(LONG)), (b"0003", &long(LONG))]))
        .expect("sent");
    gate.wait_blocked();
    for number in 1..=5 {
        host.write(&framed(&[(b"host", &request)])).expect("sent");
        // What is left of the turn that it comes into, and the next one.
        gate.give(2 * ROUNDS);
        let got = host.read().expect("answered beside the flood").expect("open");
        assert_eq!(got, [&b"host"[..], &reply].concat(), "{number}");
        gate.wait_blocked();
        assert!(has_nothing(&flood), "{number}");
    }
    assert_eq!(gate.runs() - begun, 5 * 2 * ROUNDS);
    gate.give(usize::MAX / 4);
    let long = expected(&long(LONG));
    for header in [b"0001", b"0002", b"0003"] {
        let got = flood.read().expect("answered").expect("open");
        assert_eq!(got, [&header[..], &long].concat());
    }
}

#[test]
fn replies_of_a_connection_keep_their_order_around_a_long_command() {
    let gate = Arc::<Gate>::default();
    gate.give(usize::MAX / 4);
    let running = start(&gate);
    let _opened = Opened(&gate);
    let (request, translated) = translation();
    let (long, ciphered) = (long(LONG), expected(&long(LONG)));
    let mut wire = connect(&running);
    let frames = framed(&[
        (b"0001", &request),
        (b"0002", &long),
        (b"0003", &request),
        (b"0004", b"B20004ping"),
        (b"0005", &long),
    ]);
    wire.write(&frames).expect("sent");
    // While the first are held; cut where it hurts.
    let more = framed(&[(b"0006", b"B20004pong"), (b"0007", &request)]);
    for part in more.chunks(7) {
        wire.write(part).expect("sent");
        std::thread::sleep(Duration::from_micros(300));
    }
    wire.stream().shutdown(Shutdown::Write).expect("a socket");
    let replies: [(&[u8; 4], &[u8]); 7] = [
        (b"0001", &translated),
        (b"0002", &ciphered),
        (b"0003", &translated),
        (b"0004", b"B300ping"),
        (b"0005", &ciphered),
        (b"0006", b"B300pong"),
        (b"0007", &translated),
    ];
    for (header, reply) in replies {
        let got = wire.read().expect("answered").expect("open");
        assert_eq!(tests::wire::text(&got), tests::wire::text(&[&header[..], reply].concat()));
    }
    assert!(wire.read().is_ok_and(|end| end.is_none()), "closed behind the last reply");
}

#[test]
fn who_goes_away_meanwhile_harms_nobody_and_a_panic_costs_what_is_held() {
    let gate = Arc::<Gate>::default();
    let running = start(&gate);
    let _opened = Opened(&gate);
    let (mut gone, mut held, mut host) = (connect(&running), connect(&running), connect(&running));
    let (request, reply) = translation();
    gone.write(&framed(&[(b"gone", &long(LONG))])).expect("sent");
    gate.wait_blocked();
    drop(gone);
    held.write(&framed(&[(b"held", &long(LONG))])).expect("sent");
    gate.give(ROUNDS * 3);
    gate.wait_blocked();
    gate.change(|state| state.panics = true);
    gate.give(1);
    assert!(held.read().expect("closed").is_none());
    gate.give(usize::MAX / 4);
    for _ in 0..3 {
        assert_eq!(host.exchange(&request).expect("served by a new engine"), reply);
    }
}

/// A worker on a thread, and its gateway's end of the socket.
struct Worker {
    stream: UnixStream,
    bytes: Vec<u8>,
    thread: JoinHandle<Ended>,
}

impl Worker {
    fn start(gate: &Arc<Gate>) -> Self {
        let (stream, theirs) = UnixStream::pair().expect("sockets");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        let gate = Arc::clone(gate);
        let thread = std::thread::spawn(move || worker::serve(theirs, gated(&gate), 16 << 20));
        let mut worker = Self { stream, bytes: Vec::new(), thread };
        assert!(worker.record(|answer| matches!(answer, Answer::Hello(_))));
        worker
    }

    fn send(&mut self, number: u64, message: &[u8]) {
        let port = Port { header_length: 0, ..Port::new(LmkId(0), Settings::STRICT) };
        let mut out = Vec::new();
        Request::Frame(number, facts(&port, Authorised::NONE), message).write(&mut out);
        self.stream.write_all(&out).expect("sent");
    }

    fn record<T>(&mut self, look: impl FnOnce(Answer<'_>) -> T) -> T {
        loop {
            let mut rest = self.bytes.as_slice();
            if let Some(record) = take(&mut rest).expect("well-formed") {
                let looked = look(Answer::read(record).expect("well-formed"));
                let used = self.bytes.len() - rest.len();
                self.bytes.drain(..used);
                return looked;
            }
            let mut room = [0; 4096];
            let read = self.stream.read(&mut room).expect("an answer");
            assert!(read > 0, "it ended");
            self.bytes.extend_from_slice(&room[..read]);
        }
    }

    // The next reply, and how often it said before that it is at work.
    fn reply(&mut self) -> (u64, Vec<u8>, usize) {
        let mut busy = 0;
        loop {
            let reply = self.record(|answer| match answer {
                Answer::Busy => None,
                Answer::Reply(number, _, reply) => Some((number, reply.to_vec())),
                other => panic!("{other:?}"),
            });
            match reply {
                Some((number, reply)) => return (number, reply, busy),
                None => busy += 1,
            }
        }
    }
}

#[test]
fn a_worker_answers_others_within_two_turns_and_says_that_it_is_at_work() {
    let gate = Arc::<Gate>::default();
    let mut worker = Worker::start(&gate);
    let _opened = Opened(&gate);
    let (request, translated) = translation();
    worker.send(1, &long(LONG));
    gate.wait_blocked();
    for number in 2..7 {
        worker.send(number, &request);
        gate.give(2 * ROUNDS);
        let (answered, reply, _) = worker.reply();
        assert_eq!((answered, &reply), (number, &translated));
        gate.wait_blocked();
    }
    // Nothing to answer for longer than it may be silent.
    std::thread::sleep(Duration::from_millis(30));
    gate.give(1);
    assert!(worker.record(|answer| answer == Answer::Busy));
    gate.give(usize::MAX / 4);
    let (answered, reply, _) = worker.reply();
    assert_eq!((answered, reply), (1, expected(&long(LONG))));
    drop(worker.stream);
    assert!(matches!(worker.thread.join().expect("no panic"), Ended::Closed));
}
