//! Hostile frames over several connections while another one works and checks every reply (security.md,
//! attacks 18 and 19): the program stays up, answers every whole frame or closes, and gives no reply to a
//! header that is not its own. Half of the frames are mutations of valid ones of every command.
//!
//! `PAYHSM_HOSTILE_FRAMES` sets their number, `PAYHSM_SEED` what they are.

#![allow(clippy::print_stdout)] // counts for whoever reads the log

use hostcmd::decode::{Way, find};
use hostcmd::table::TABLE;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tests::expect::{Case, File};
use tests::mutate::{Numbers, mutate, noise};
use tests::server::Server;
use tests::softhsm::Backend;
use tests::wire::{self, Wire};

const CONNECTIONS: u64 = 4;
/// Bytes in flight on a connection: less than socket buffers hold, so that nobody waits for the other.
const BATCH_BYTES: usize = 24_000;
const BATCH_FRAMES: usize = 64;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

// Valid messages of every command: examples of the table and of the wire file.
fn valid_messages() -> Vec<Vec<u8>> {
    let examples = TABLE.iter().flat_map(|row| row.examples).map(|example| example.request.to_vec());
    let steps = File::load().cases.into_iter().flat_map(|case| case.steps);
    let from_file = steps.map(|step| wire::bytes(&step.req.replace("${pinl}", "01234")));
    let exists = |message: &Vec<u8>| {
        message.first_chunk::<2>().is_some_and(|code| find(Way::Request, *code).is_some())
    };
    examples.chain(from_file).filter(exists).collect()
}

fn hostile_message(valid: &[Vec<u8>], n: &mut Numbers) -> Vec<u8> {
    let code = TABLE[n.below(TABLE.len())].about.code;
    let message = match n.below(8) {
        0..=3 => {
            let message: &Vec<u8> = n.one(valid);
            mutate(message, valid, n)
        }
        4 => noise(n),
        5 => [code.as_slice(), &noise(n)].concat(),
        6 => {
            let tail: &Vec<u8> = n.one(valid);
            [code.as_slice(), tail.get(2..).unwrap_or_default()].concat()
        }
        _ => [code.as_slice(), &vec![*n.one(b"0F9AUSK;%"); n.below(4000)]].concat(),
    };
    // LG makes every reply wait, which is no attack but would make the test wait too.
    if message.starts_with(b"LG") { code.to_vec() } else { message }
}

// Shorter than a code, or a code that no reply can be made of: the connection is closed.
fn is_closed(message: &[u8]) -> bool {
    message.first_chunk::<2>().is_none_or(|code| !code.iter().all(u8::is_ascii_graphic))
}

#[derive(Default)]
struct Seen {
    codes: BTreeMap<String, u64>,
    closed: u64,
}

struct Attacker {
    address: SocketAddr,
    wire: Wire,
    valid: Vec<Vec<u8>>,
    n: Numbers,
    header: u32,
    seen: Seen,
}

impl Attacker {
    fn run(mut self, frames: u64) -> Seen {
        let mut left = frames;
        while left > 0 {
            let batch = self.batch(left);
            left -= u64::try_from(batch.len()).expect("small");
            self.exchange(&batch);
        }
        self.seen
    }

    // A batch ends with the frame that closes the connection, so that the close loses no reply before it.
    fn batch(&mut self, most: u64) -> Vec<Vec<u8>> {
        let (mut batch, mut size) = (Vec::new(), 0);
        while batch.len() < BATCH_FRAMES && (batch.len() as u64) < most && size < BATCH_BYTES {
            let message = hostile_message(&self.valid, &mut self.n);
            self.header = self.header.wrapping_add(1);
            let frame = [self.header.to_be_bytes().as_slice(), &message].concat();
            size += frame.len();
            batch.push(frame);
            if is_closed(&message) {
                break;
            }
        }
        batch
    }

    fn exchange(&mut self, batch: &[Vec<u8>]) {
        let mut out = Vec::new();
        batch.iter().for_each(|frame| wire::append(&mut out, frame));
        self.wire.write(&out).expect("the server reads");
        for frame in batch {
            let (header, message) = frame.split_at(4);
            let shown = || wire::text(message);
            let reply = self.wire.read().unwrap_or_else(|e| panic!("{e} after {:?}", shown()));
            if is_closed(message) {
                assert!(reply.is_none(), "a reply to {:?}", shown());
                self.seen.closed += 1;
                self.wire = Wire::connect(self.address).expect("a new connection");
                continue;
            }
            let reply = reply.unwrap_or_else(|| panic!("closed at {:?}", shown()));
            assert_eq!(reply.get(..4), Some(header), "header of another frame, at {:?}", shown());
            let code = [message[0], message[1].wrapping_add(1)];
            assert_eq!(reply.get(4..6), Some(code.as_slice()), "reply code at {:?}", shown());
            let error =
                wire::text(reply.get(6..8).unwrap_or_else(|| panic!("no error code at {:?}", shown())));
            assert!(error.bytes().all(|c| c.is_ascii_alphanumeric()), "error code at {:?}", shown());
            assert_ne!(error, "41", "an internal error at {:?}", shown());
            *self.seen.codes.entry(error).or_default() += 1;
        }
    }
}

// Translates a PIN for as long as the attack lasts, and checks every byte that comes back.
fn work(server: &Server, lmk: u8, over: &AtomicBool) -> u64 {
    let cases = File::load().cases;
    let is_good = |case: &&Case| case.command == "CC" && case.slot == lmk && case.id.ends_with("positive");
    let case = cases.iter().find(is_good).expect("CC");
    let request = wire::bytes(&case.steps[0].req);
    let mut wire = server.connect(lmk);
    let expected = wire::text(&wire.exchange(&request).expect("a reply"));
    assert!(expected.starts_with("CD00"), "{expected}");
    let mut replies = 0;
    while !over.load(Ordering::Relaxed) {
        let reply = wire.exchange(&request).expect("a reply in time");
        assert_eq!(wire::text(&reply), expected, "after {replies} good replies");
        replies += 1;
        thread::sleep(Duration::from_micros(200));
    }
    replies
}

fn assert_unharmed(server: &mut Server) {
    assert!(server.is_up(), "the program has ended:\n{}", server.log());
    assert!(!server.log().contains("panicked"), "a panic:\n{}", server.log());
}

fn attack(backend: Backend, profile: &str, frames: u64, seed: u64) {
    let valid = valid_messages();
    let Some(mut server) = Server::start_on(backend, &["--profile", profile, "--authorised"]) else { return };
    let lmks = backend.lmks();
    let over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let worker = scope.spawn(|| work(&server, lmks[0], &over));
        let attackers: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let address = server.address(lmks[usize::try_from(number).expect("small") % lmks.len()]);
                let attacker = Attacker {
                    address,
                    wire: Wire::connect(address).expect("connects"),
                    valid: valid.clone(),
                    n: Numbers::new(seed.wrapping_mul(1000).wrapping_add(number)),
                    header: u32::try_from(number << 24).expect("small"),
                    seen: Seen::default(),
                };
                scope.spawn(move || attacker.run(frames / CONNECTIONS))
            })
            .collect();
        let results: Vec<_> = attackers.into_iter().map(|attacker| attacker.join()).collect();
        over.store(true, Ordering::Relaxed);
        let replies = worker.join().expect("every reply of the good connection is right");
        assert!(replies > 10, "the good connection got {replies} replies only");
        println!("{backend:?}, {profile}, seed {seed}: {replies} good replies meanwhile");
        results.into_iter().map(|seen| seen.expect("attack")).collect::<Vec<_>>()
    });
    let (mut codes, mut closed) = (BTreeMap::<String, u64>::new(), 0);
    for one in seen {
        closed += one.closed;
        one.codes.into_iter().for_each(|(code, count)| *codes.entry(code).or_default() += count);
    }
    println!("closed {closed}, replies by code {codes:?}");
    assert_eq!(codes.values().sum::<u64>() + closed, frames / CONNECTIONS * CONNECTIONS);
    assert!(codes.get("15").is_some_and(|count| *count > frames / 20), "frames did not reach the parsers");
    assert!(codes.contains_key("00"), "no frame was near enough to a valid one");
    assert_unharmed(&mut server);
}

#[test]
fn hostile_frames_harm_nobody() {
    let frames = setting("PAYHSM_HOSTILE_FRAMES", 40_000);
    let seed = setting("PAYHSM_SEED", 1);
    attack(Backend::Simulator, "legacy", frames / 2, seed);
    attack(Backend::Simulator, "strict", frames / 2, seed.wrapping_add(1));
}

#[test]
fn hostile_frames_harm_no_token() {
    let frames = setting("PAYHSM_HOSTILE_FRAMES", 40_000).min(40_000);
    attack(Backend::SoftHsm, "legacy", frames, setting("PAYHSM_SEED", 1).wrapping_add(2));
}

#[test]
fn frames_that_are_none() {
    let mut server = Server::start(&[]);
    for length in 0u16..6 {
        let mut wire = server.connect(0);
        let frame = [&length.to_be_bytes()[..], &b"HEADB"[..usize::from(length)]].concat();
        wire.write(&frame).unwrap();
        assert_eq!(wire.read().unwrap(), None, "a frame of {length} bytes is closed without a reply");
    }
    assert_unharmed(&mut server);
}

#[test]
fn a_frame_above_the_limit_is_answered_and_closed() {
    let mut server = Server::start(&[]);
    let mut wire = server.connect(0);
    wire.write(&40_000u16.to_be_bytes()).unwrap();
    wire.write(b"HEADB20000").unwrap();
    assert_eq!(wire.read().unwrap().map(|reply| wire::text(&reply)), Some("HEADB315".to_owned()));
    assert!(matches!(wire.read(), Ok(None) | Err(_)), "the connection is closed");
    assert_unharmed(&mut server);
}

#[test]
fn a_frame_at_the_limit_is_served() {
    let server = Server::start(&[]);
    let mut wire = server.connect(0);
    let data = vec![b'x'; 32_768 - 10];
    let reply = wire.exchange(&[format!("B2{:04X}", data.len()).as_bytes(), &data].concat()).unwrap();
    assert_eq!(reply.len(), 4 + data.len());
    assert!(reply.starts_with(b"B300x"));
}

#[test]
fn half_a_frame_is_never_answered_and_harms_nobody() {
    let mut server = Server::start(&[]);
    let whole = [b"\0\x0EHEADB20004ping".as_slice(), b"\0\x0EHEADB20004pong"].concat();
    for cut in 1..whole.len() {
        let mut wire = server.connect(0);
        wire.write(&whole[..cut]).unwrap();
        wire.stream().shutdown(std::net::Shutdown::Write).unwrap();
        let expected = if cut < 16 { None } else { Some(b"HEADB300ping".to_vec()) };
        assert_eq!(wire.read().unwrap(), expected, "cut at {cut}");
    }
    let mut slow = server.connect(0);
    for byte in &whole[..16] {
        slow.write(&[*byte]).unwrap();
    }
    assert_eq!(slow.read().unwrap(), Some(b"HEADB300ping".to_vec()));
    assert_unharmed(&mut server);
}
