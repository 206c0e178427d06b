//! A token that goes away, hangs, lies or takes its process with it, under load, through gateway and workers: no
//! wrong answer, no lost reply, and service again when the token is. The module is SoftHSM behind `p11-shim`.
#![allow(clippy::print_stdout)] // figures for whoever reads the log

use hostcmd::command::Command as _;
use hostcmd::command::Expect;
use hostcmd::commands::cc_pin_zpk_to_zpk::PinZpkToZpk;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tests::load::{Pair, Traffic};
use tests::processes::children;
use tests::server::{Server, shim};
use tests::softhsm::TempToken;

/// Of the 3DES key-block test LMK, under which all frames are.
const LMK: u8 = 1;

struct Bench {
    server: Server,
    traffic: Traffic,
    control: PathBuf,
    _folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

// One at a time: each keeps two workers and their token busy, and holds against a clock how soon they are back.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pairs() -> Vec<Pair> {
    let examples = PinZpkToZpk::EXAMPLES.iter().filter(|example| example.lmk == LMK);
    let pair = |example: &hostcmd::command::Example| match example.expect {
        Expect::Reply(reply) => Some((example.request.to_vec(), reply.to_vec())),
        _ => None,
    };
    let pairs: Vec<Pair> = examples.filter_map(pair).collect();
    assert!(!pairs.is_empty());
    pairs
}

// Three workers see the change whatever the steps of the file system's clock: it is another file.
fn set(control: &Path, rules: &str) {
    let fresh = control.with_extension("new");
    std::fs::write(&fresh, rules).expect("written");
    std::fs::rename(&fresh, control).expect("in place");
}

impl Bench {
    fn start() -> Option<Self> {
        Self::start_with("1000")
    }

    fn start_with(deadline_ms: &str) -> Option<Self> {
        let turn = turn();
        let token = TempToken::new()?;
        let folder = tempfile::tempdir().expect("folder");
        let control = folder.path().join("rules");
        set(&control, "");
        let uri = format!("pkcs11:token=payhsm-test?module-path={}", shim().display());
        let kept = "P11_SHIM_MODULE,P11_SHIM_CONTROL,P11_SHIM_TRACE";
        let options = ["--workers", "2", "--worker-deadline-ms", deadline_ms, "--worker-env", kept];
        let variables = [
            ("P11_SHIM_MODULE", PathBuf::from(token.module())),
            ("P11_SHIM_CONTROL", control.clone()),
            ("P11_SHIM_TRACE", folder.path().join("trace")),
        ];
        let server = Server::start_token(token, &uri, &[1, 2], &options, &variables);
        let traffic = Traffic::start(server.address(LMK), 4, 4, &pairs());
        let bench = Self { server, traffic, control, _folder: folder, _turn: turn };
        bench.traffic.wait_for_right(Duration::from_secs(10)).expect("serves");
        Some(bench)
    }

    fn refused(&self) -> u64 {
        self.traffic.counts().refused.load(Relaxed)
    }

    // The fault, for so long; then how long it takes until there is a right reply of a command that needs the token.
    fn through(&self, rules: &str, time: Duration) -> (u64, Duration) {
        let before = self.refused();
        set(&self.control, rules);
        std::thread::sleep(time);
        set(&self.control, "");
        let ended = Instant::now();
        let mut wire = self.server.connect(LMK);
        let (request, reply) = pairs().remove(0);
        while wire.exchange(&request).expect("a reply") != reply {
            assert!(ended.elapsed() < Duration::from_secs(5), "{rules}: not back\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        (self.refused() - before, ended.elapsed())
    }

    fn end(mut self) {
        assert!(self.server.is_up(), "{}", self.server.log());
        let deadline = Instant::now() + Duration::from_secs(5);
        while children(self.server.pid()).len() < 2 {
            assert!(Instant::now() < deadline, "a worker is missing\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = self.server.log();
        let counts = self.traffic.stop();
        let faults = counts.faults.lock().expect("sound");
        assert!(faults.is_empty(), "{} faults: {:?}\n{log}", faults.len(), &faults[..faults.len().min(3)]);
    }
}

#[test]
fn return_codes_of_a_token_in_trouble_cost_error_codes_only() {
    let Some(bench) = Bench::start() else { return };
    for fault in ["device-removed", "session-invalid", "not-logged-in", "host-memory", "device-error"] {
        let (refused, recovery) = bench.through(&format!("* {fault}"), Duration::from_millis(1500));
        assert!(refused > 0, "{fault}: commands must be refused meanwhile\n{}", bench.server.log());
        assert!(recovery < Duration::from_secs(2), "{fault}: {recovery:?}");
        println!("{fault} for 1.5 s: {refused} refused by 42, back after {recovery:?}");
    }
    bench.end();
}

#[test]
fn a_single_failed_call_is_done_again_and_nobody_sees_it() {
    // One call of both workers together: with neither of them there is nobody who could do it again. The traffic
    // decrypts; only the workers' own look at their token, once a second, makes MACs of AES.
    for (function, ms) in [("C_DecryptUpdate", 200), ("C_Sign", 1500)] {
        for fault in ["device-removed", "session-invalid", "not-logged-in"] {
            let Some(bench) = Bench::start() else { return };
            let rule = format!("{function} {fault} once");
            let (refused, _) = bench.through(&rule, Duration::from_millis(ms));
            println!("{rule}: {refused} refused");
            let log = bench.server.log();
            assert!(refused == 0 && !log.contains("worker lost"), "{rule}: {refused} refused\n{log}");
            assert!(bench.control.with_extension("fired").exists(), "{rule}: nothing was hit");
            bench.end();
        }
    }
}

#[test]
fn a_slow_token_is_slow_and_nothing_else() {
    let Some(bench) = Bench::start_with("5000") else { return };
    let before = bench.traffic.counts().right.load(Relaxed);
    let (refused, recovery) = bench.through("* slow=100", Duration::from_secs(2));
    let right = bench.traffic.counts().right.load(Relaxed) - before;
    println!("100 times slower for 2 s: {right} right, {refused} refused, back after {recovery:?}");
    assert!(right > 0 && refused == 0, "{right} {refused}\n{}", bench.server.log());
    bench.end();
}

#[test]
fn a_token_that_hangs_or_crashes_costs_its_worker() {
    for (rule, worker) in [("* hang=30000 once", "hung"), ("* segfault once", "ended")] {
        let Some(bench) = Bench::start() else { return };
        let (refused, recovery) = bench.through(rule, Duration::from_millis(1500));
        println!("{rule}: {refused} refused by 42, right again {recovery:?} after the fault was over");
        assert!(refused > 0, "{rule}\n{}", bench.server.log());
        assert!(bench.server.log().contains(&format!("reason=\"{worker}\"")), "{}", bench.server.log());
        assert!(recovery < Duration::from_secs(1), "{rule}: {recovery:?}");
        bench.end();
    }
}

#[test]
fn a_token_that_crashes_every_worker_is_back_when_it_stops_doing_so() {
    let Some(bench) = Bench::start() else { return };
    let (refused, recovery) = bench.through("C_DecryptUpdate segfault", Duration::from_millis(1500));
    println!("segfault at every use for 1.5 s: {refused} refused by 42, back after {recovery:?}");
    assert!(refused > 0);
    assert!(recovery < Duration::from_secs(1), "{recovery:?}");
    bench.end();
}

// A bit flipped in what a token says: a check value or a known answer that is wrong ends the worker within a
// second of traffic, and no worker serves as long as the token lies.
#[test]
fn a_token_that_lies_is_given_up() {
    let Some(bench) = Bench::start() else { return };
    let (refused, recovery) = bench.through("C_Sign flip", Duration::from_millis(2500));
    println!("lies in MACs for 2.5 s: {refused} refused by 42, back after {recovery:?}");
    assert!(refused > 0, "{}", bench.server.log());
    bench.end();
    // In data the block of known answer in front of every call is wrong.
    let Some(bench) = Bench::start() else { return };
    let (refused, _) = bench.through("C_EncryptUpdate flip", Duration::from_millis(2500));
    assert!(refused > 0, "{}", bench.server.log());
    let wrong = bench.traffic.counts().faults.lock().expect("sound").len();
    std::thread::sleep(Duration::from_millis(1500));
    let later = bench.traffic.counts().faults.lock().expect("sound").len();
    println!("lies in data for 2.5 s: {refused} refused by 42, {later} wrong");
    assert_eq!((wrong, later), (0, 0));
}

// Two workers, a PIN that the token refuses from now on: it is tried twice in all, five seconds apart.
#[test]
fn a_refused_pin_is_not_tried_until_it_is_locked() {
    let Some(bench) = Bench::start() else { return };
    // CKR_PIN_INCORRECT, and every worker has lost its login.
    set(&bench.control, "C_Login rv=0xA0\nC_DecryptUpdate not-logged-in\nC_GetSessionInfo not-logged-in\n");
    let begun = Instant::now();
    while bench.server.log().matches("the token refused the PIN twice").count() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(15), "{}", bench.server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}\n{}", begun.elapsed(), bench.server.log());
    let tried = bench.server.log().matches("the token refused the PIN\"").count();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(tried, 2, "{}", bench.server.log());
    assert_eq!(
        bench.server.log().matches("the token refused the PIN\"").count(),
        tried,
        "{}",
        bench.server.log()
    );
    // The module has not been asked more often either, by whichever process.
    let trace = std::fs::read_to_string(bench.control.with_file_name("trace")).expect("a trace");
    assert_eq!(trace.matches("C_Login 0xA0").count(), 2, "{trace}");
    let mut wire = bench.server.connect(LMK);
    assert_eq!(&wire.exchange(b"NC").expect("a reply")[..4], b"ND42", "the gateway is up and says so");
}

// M0 in CFB8 under the DEK of its example: a call of the token for each byte.
fn long(length: usize) -> Vec<u8> {
    let example = hostcmd::commands::m0_encrypt_data::EncryptData::EXAMPLES.iter().find(|e| e.lmk == LMK);
    let request = example.expect("an example").request;
    // Code, mode, formats and key type are 9 characters; then `S` and the block, which tells its length.
    let (_, block) = request.split_at(10);
    let whole = std::str::from_utf8(&block[1..5]).expect("digits").parse::<usize>().expect("a length");
    let tail = format!("0123456789ABCDEF{length:04X}");
    let head = [&b"M00200FFFS"[..], &block[..whole], tail.as_bytes()].concat();
    [head, vec![0x5A; length]].concat()
}

// Much longer than the deadline, in a worker that answers nothing else: it is at work, and says so.
#[test]
fn a_slow_token_ends_a_long_command_and_keeps_its_worker() {
    let Some(bench) = Bench::start_with("300") else { return };
    let mut wire = bench.server.connect(LMK);
    let begun = Instant::now();
    let right = wire.exchange(&long(2000)).expect("a reply");
    assert!(right.starts_with(b"M100") && right.len() > 2000, "{}", tests::wire::text(&right));
    println!("2000 bytes in {:?}", begun.elapsed());
    set(&bench.control, "* slow=20");
    let begun = Instant::now();
    let slow = wire.exchange(&long(2000)).expect("a reply");
    let took = begun.elapsed();
    set(&bench.control, "");
    println!("2000 bytes in {took:?} over a slow token");
    assert!(slow == right, "{}\n{}", tests::wire::text(&slow[..slow.len().min(8)]), bench.server.log());
    assert!(took > Duration::from_millis(300), "longer than the deadline, else this shows nothing: {took:?}");
    assert_eq!(bench.server.log().matches("worker lost").count(), 0, "{}", bench.server.log());
    bench.end();
}

fn kill_all(bench: &Bench) {
    children(bench.server.pid()).into_iter().for_each(|worker| tests::processes::signal(worker, "KILL"));
}

fn wait_for_workers(bench: &Bench, count: usize, limit: Duration) -> Duration {
    let (begun, up) = (Instant::now(), || bench.server.log().matches("worker up").count());
    while up() < count {
        assert!(begun.elapsed() < limit, "{} of {count} starts\n{}", up(), bench.server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}

// One start hangs: the other place is up soon, and the one that hung within the limit for a token's return.
#[test]
fn a_start_that_hangs_holds_up_no_other() {
    let Some(bench) = Bench::start() else { return };
    set(&bench.control, "C_OpenSession hang=30000 once");
    kill_all(&bench);
    let first = wait_for_workers(&bench, 3, Duration::from_secs(2));
    let second = wait_for_workers(&bench, 4, Duration::from_secs(5));
    println!("one start hangs: the other place is up after {first:?}, this one {second:?} later");
    bench.end();
}

// Every login hangs for half a minute, then the token is back.
#[test]
fn service_is_back_soon_after_a_token_on_which_every_login_hung() {
    let Some(bench) = Bench::start() else { return };
    set(&bench.control, "C_Login hang=30000");
    kill_all(&bench);
    std::thread::sleep(Duration::from_secs(5));
    set(&bench.control, "");
    let back = wait_for_workers(&bench, 3, Duration::from_secs(5));
    println!("every login hung for 5 s: back {back:?} after the token's return");
    let (request, reply) = pairs().remove(0);
    assert_eq!(bench.server.connect(LMK).exchange(&request).expect("a reply"), reply);
    bench.end();
}
