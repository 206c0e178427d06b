//! The gateway's side of worker processes, against a worker that the test plays: what is sent to it, and what may come
//! back in which order.

mod common;

use common::*;
use gateway::worker::wire::{Answer, Request, hello, take};
use gateway::{Gateway, Running, Workers};
use hostcmd::Code;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Played {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// Unit records so far.
    units: usize,
}

impl Played {
    // The next frame: its number and text.
    fn frame(&mut self) -> (u64, Vec<u8>) {
        loop {
            let mut rest = self.bytes.as_slice();
            let mut frame = None;
            let Some(record) = take(&mut rest).unwrap() else {
                let mut room = [0; 65_536];
                let read = self.stream.read(&mut room).unwrap();
                assert!(read > 0, "the gateway has ended it");
                self.bytes.extend_from_slice(&room[..read]);
                continue;
            };
            match Request::read(record).unwrap() {
                Request::Frame(number, _, text) => frame = Some((number, text.to_vec())),
                Request::Unit(_) => self.units += 1,
                Request::Table(..) => panic!("no table was asked for"),
            }
            self.bytes = rest.to_vec();
            if let Some(frame) = frame {
                return frame;
            }
        }
    }

    fn answer(&mut self, answer: &Answer<'_>) {
        let mut out = Vec::new();
        answer.write(&mut out);
        self.stream.write_all(&out).unwrap();
    }

    // Header, reply code and 00.
    fn reply(&mut self, (number, text): &(u64, Vec<u8>)) {
        let reply = [&text[..5], &[text[5] + 1], b"00"].concat();
        self.answer(&Answer::Reply(*number, Code::OK, &reply));
    }
}

fn play(deadline: Duration) -> (Running, Receiver<Played>) {
    let (sender, played) = channel();
    let sender = Mutex::new(sender);
    let spawn = move |socket| {
        let mut stream = UnixStream::from(socket);
        let backend = backend();
        let mut out = Vec::new();
        Answer::Hello(&hello(backend.class(), backend.lmks())).write(&mut out);
        stream.write_all(&out)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let _test_is_over = sender.lock().unwrap().send(Played { stream, bytes: Vec::new(), units: 0 });
        // The process is watched; what it says is the test's.
        Command::new("sleep").arg("60").stdin(Stdio::null()).spawn()
    };
    let workers = Workers { count: 1, deadline, spawn: Arc::new(spawn) };
    (Gateway::start_with_workers(config(), &workers).unwrap(), played)
}

fn asked(stream: &mut TcpStream, code: &str, times: usize) {
    let frames: Vec<u8> = (0..times).flat_map(|n| frame(format!("{n:04}{code}").as_bytes())).collect();
    stream.write_all(&frames).unwrap();
}

// An echo that anybody may send cuts no batch of others; whoever reads counts costs the link it goes to one record.
#[test]
fn the_state_of_the_unit_goes_ahead_of_those_only_that_report_counts() {
    let (running, played) = play(Duration::from_secs(5));
    let mut worker = played.recv().unwrap();
    let mut host = connect(&running);
    let begun = std::time::Instant::now();
    for code in ["B20000", "NC", "N0001", "NO00"] {
        asked(&mut host, code, 100);
        for _ in 0..100 {
            let frame = worker.frame();
            worker.reply(&frame);
        }
        (0..100).for_each(|_| drop(receive(&mut host)));
    }
    // One when it was attached, and one a second.
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(worker.units <= 2 + seconds, "{} records", worker.units);
    let before = worker.units;
    for code in ["J2", "J4", "J800", "JK"] {
        asked(&mut host, code, 1);
        let frame = worker.frame();
        worker.reply(&frame);
        drop(receive(&mut host));
    }
    assert!(worker.units >= before + 4, "{} records", worker.units - before);
}

// A worker answers what is done. A connection gets its replies in the order of its frames, and waits for nobody else's.
#[test]
fn answers_may_come_in_any_order_and_once() {
    let (running, played) = play(Duration::from_secs(5));
    let mut worker = played.recv().unwrap();
    let (mut one, mut other) = (connect(&running), connect(&running));
    asked(&mut one, "NC", 2);
    let (first, second) = (worker.frame(), worker.frame());
    asked(&mut other, "NO00", 1);
    let third = worker.frame();
    worker.reply(&third);
    assert_eq!(receive(&mut other), b"0000NP00");
    worker.reply(&second);
    worker.answer(&Answer::Busy);
    worker.reply(&first);
    assert_eq!((receive(&mut one), receive(&mut one)), (b"0000ND00".to_vec(), b"0001ND00".to_vec()));
    // Nobody asked for that again: it is no worker of ours, and another one is started.
    asked(&mut one, "NC", 1);
    let held = worker.frame();
    worker.reply(&second);
    assert_eq!(receive(&mut one), b"0000ND42", "{held:?}");
    let mut next = played.recv_timeout(Duration::from_secs(5)).unwrap();
    asked(&mut one, "NC", 1);
    let frame = next.frame();
    next.reply(&frame);
    assert_eq!(receive(&mut one), b"0000ND00");
}

#[test]
fn a_worker_that_says_that_it_is_at_work_is_not_hung_and_a_silent_one_is() {
    let (running, played) = play(Duration::from_millis(200));
    let mut worker = played.recv().unwrap();
    let mut host = connect(&running);
    asked(&mut host, "NC", 1);
    let frame = worker.frame();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(30));
        worker.answer(&Answer::Busy);
    }
    worker.reply(&frame);
    assert_eq!(receive(&mut host), b"0000ND00", "three times the deadline later");
    asked(&mut host, "NC", 1);
    assert_eq!(receive(&mut host), b"0000ND42");
    drop(worker);
}
