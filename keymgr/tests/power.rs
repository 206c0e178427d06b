//! Power loss: a store is written while every file operation is recorded; then disks are made that hold what
//! was synced and any part of what was not, and on each of them nothing acknowledged is missing.
//!
//! A process that is killed does not show this, for the kernel keeps what it wrote. The recording is made by a
//! small library (`trace.c`) that stands between the program and the C library. `PAYHSM_POWER_IMAGES` sets the
//! number of disks (300 if unset).
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, clippy::print_stderr)] // figures and skips are for people

mod common;

use common::toy::{Counters, Input};
use common::{BEGIN_MS, Place, key};
use keylink::Instant3;
use keymgr::audit::{Options as Verify, verify_store};
use keymgr::log::Ledger;
use keymgr::store::{Location, Store, Table};
use keymgr::writer::{Options, Writer};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The child: writes, and puts a word into a file of its own whenever something is acknowledged.
#[test]
#[ignore = "the process that is recorded; started by the test below"]
fn child() {
    let Ok(folder) = std::env::var("PAYHSM_POWER_FOLDER") else { return };
    let location = Location::Sqlite(Path::new(&folder).join("kmc.db"));
    let mut options = Options::new(
        move || Store::lead(&location),
        key,
        || Instant3 { utc_ms: BEGIN_MS, ..Instant3::default() },
        "manager",
    );
    options.quiet = std::time::Duration::from_millis(2);
    let writer = Writer::<Counters>::start(options).unwrap();
    let acknowledged = Path::new(&folder).join("acknowledged");
    for round in 0..60u64 {
        let sent: Vec<_> = (0..1 + round % 20)
            .map(|n| {
                let name = format!("counter {n}");
                let known = writer.view(|counters| counters.0.contains_key(&name));
                let input = if known { Input::Raise { name, by: round } } else { Input::Open { name } };
                (n, writer.send(None, input).unwrap())
            })
            .collect();
        for (n, answer) in sent {
            let value = answer.blocking_recv().unwrap().unwrap();
            // One write: it is in the recording where it was made.
            fs::write(&acknowledged, format!("{n} {value}")).unwrap();
        }
        if round % 7 == 6 {
            std::thread::sleep(std::time::Duration::from_millis(6));
        }
    }
}

#[derive(Debug)]
enum Step {
    Write { file: String, at: u64, bytes: Vec<u8> },
    Cut { file: String, size: u64 },
    Sync { file: String },
    Acknowledged { counter: u64, value: u64 },
}

// One step a line: `w FILE OFFSET HEX`, `t FILE SIZE`, `s FILE`.
fn steps(trace: &str) -> Vec<Step> {
    let step = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let file = words[1].rsplit('/').next().unwrap().to_owned();
        match (words[0], file.as_str()) {
            ("w", "acknowledged") => {
                let text = String::from_utf8(hex::decode(words[3]).unwrap()).unwrap();
                let (counter, value) = text.split_once(' ').unwrap();
                Some(Step::Acknowledged { counter: counter.parse().unwrap(), value: value.parse().unwrap() })
            }
            (_, "kmc.db" | "kmc.db-wal") => Some(match words[0] {
                "w" => {
                    Step::Write { file, at: words[2].parse().unwrap(), bytes: hex::decode(words[3]).unwrap() }
                }
                "t" => Step::Cut { file, size: words[2].parse().unwrap() },
                _ => Step::Sync { file },
            }),
            _ => None,
        }
    };
    trace.lines().filter_map(step).collect()
}

/// A file on a disk: what is surely there, and what may be.
#[derive(Clone, Default)]
struct Disk {
    synced: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Write(u64, Vec<u8>),
    Cut(u64),
}

fn apply(bytes: &mut Vec<u8>, change: &Pending) {
    match change {
        Pending::Cut(size) => bytes.resize(usize::try_from(*size).unwrap(), 0),
        Pending::Write(at, data) => {
            let at = usize::try_from(*at).unwrap();
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[at..at + data.len()].copy_from_slice(data);
        }
    }
}

impl Disk {
    fn sync(&mut self) {
        let Self { synced, pending } = self;
        pending.drain(..).for_each(|change| apply(synced, &change));
    }

    /// What the disk holds after the power went: of the unsynced writes none, all, or any of their sectors.
    fn after_power_loss(&self, how: u64, draw: &mut impl FnMut() -> u64) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.pending {
            match change {
                _ if how == 0 => {}
                _ if how == 1 => apply(&mut bytes, change),
                Pending::Cut(_) => {
                    if draw().is_multiple_of(2) {
                        apply(&mut bytes, change);
                    }
                }
                Pending::Write(at, data) => {
                    for (n, sector) in data.chunks(512).enumerate() {
                        if !draw().is_multiple_of(3) {
                            apply(&mut bytes, &Pending::Write(at + 512 * n as u64, sector.to_vec()));
                        }
                    }
                }
            }
        }
        bytes
    }
}

fn record(folder: &Path) -> Option<Vec<Step>> {
    let library = folder.join("trace.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trace.c");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no C compiler");
        eprintln!("SKIP no C compiler `cc`: power loss is not tested");
        return None;
    }
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    let trace = folder.join("trace");
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored"])
        .env("PAYHSM_POWER_FOLDER", &data)
        .env("TRACE_BELOW", &data)
        .env("TRACE_TO", &trace)
        .env("LD_PRELOAD", &library)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    Some(steps(&fs::read_to_string(trace).unwrap()))
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let images: u64 = std::env::var("PAYHSM_POWER_IMAGES").map_or(300, |text| text.parse().unwrap());
    let folder = tempfile::TempDir::new().unwrap();
    let Some(steps) = record(folder.path()) else { return };
    let count = |wanted: fn(&Step) -> bool| steps.iter().filter(|step| wanted(step)).count();
    let acknowledged = count(|step| matches!(step, Step::Acknowledged { .. }));
    let syncs = count(|step| matches!(step, Step::Sync { .. }));
    let first = steps.iter().position(|step| matches!(step, Step::Acknowledged { .. })).unwrap();
    assert!(acknowledged > 500 && syncs > 60, "{acknowledged} acknowledged, {syncs} syncs");

    let mut state = 7u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    // Moments in order, so that the recording is walked once.
    let mut moments: Vec<usize> =
        (0..images).map(|_| first + usize::try_from(draw()).unwrap() % (steps.len() - first)).collect();
    moments.sort_unstable();
    let mut disks: HashMap<String, Disk> = HashMap::new();
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut at, mut dropped) = (0, 0usize);
    for (image, moment) in moments.into_iter().enumerate() {
        for step in &steps[at..=moment] {
            match step {
                Step::Write { file, at, bytes } => {
                    disks.entry(file.clone()).or_default().pending.push(Pending::Write(*at, bytes.clone()));
                }
                Step::Cut { file, size } => {
                    disks.entry(file.clone()).or_default().pending.push(Pending::Cut(*size))
                }
                Step::Sync { file } => disks.entry(file.clone()).or_default().sync(),
                Step::Acknowledged { counter, value } => {
                    told.insert(*counter, *value);
                }
            }
        }
        at = moment + 1;
        dropped += disks.values().map(|disk| disk.pending.len()).sum::<usize>();
        judge(&disks, &told, image as u64 % 3, &mut draw).unwrap();
    }
    println!("settings {:?}", settings());
    println!(
        "{images} disks from {} recorded steps, {syncs} syncs, {acknowledged} acknowledged; {dropped} unsynced writes in doubt",
        steps.len()
    );
    assert!(dropped > 0);
    liar(&steps, &told, &mut draw);
}

// The test is able to see a loss: a disk that forgets what it said was synced is found out.
fn liar(steps: &[Step], told: &BTreeMap<u64, u64>, draw: &mut impl FnMut() -> u64) {
    let mut disks: HashMap<String, Disk> = HashMap::new();
    for (n, step) in steps.iter().enumerate() {
        match step {
            Step::Write { file, at, bytes } => {
                disks.entry(file.clone()).or_default().pending.push(Pending::Write(*at, bytes.clone()));
            }
            Step::Cut { file, size } => {
                disks.entry(file.clone()).or_default().pending.push(Pending::Cut(*size))
            }
            Step::Sync { file } if n < steps.len() / 2 => disks.entry(file.clone()).or_default().sync(),
            Step::Sync { .. } | Step::Acknowledged { .. } => {}
        }
    }
    let found = judge(&disks, told, 0, draw).unwrap_err();
    assert!(found.contains("acknowledged"), "{found}");
}

fn settings() -> Vec<(String, String)> {
    let place = Place::sqlite();
    place.lead().unwrap().store().settings().unwrap()
}

// A new manager on the disk as the power left it.
fn judge(
    disks: &HashMap<String, Disk>,
    told: &BTreeMap<u64, u64>,
    how: u64,
    draw: &mut impl FnMut() -> u64,
) -> Result<(), String> {
    let place = Place::sqlite();
    let folder = place.file().parent().unwrap().to_owned();
    for (file, disk) in disks {
        fs::write(folder.join(file), disk.after_power_loss(how, draw)).unwrap();
    }
    let mut ledger = Store::lead(&place.location())
        .and_then(|store| Ledger::lead(store, key(), "manager", BEGIN_MS))
        .map_err(|error| error.to_string())?;
    for (counter, value) in told {
        let row = ledger.store().get(Table::KeySets, format!("counter {counter}").as_bytes()).unwrap();
        let held = row.map_or(0, |row| row.object::<common::toy::Counter>().unwrap().value);
        // It may be ahead: committed and not acknowledged yet.
        if held < *value {
            return Err(format!("counter {counter}: {value} acknowledged, {held} there"));
        }
    }
    drop(ledger);
    let report = verify_store(&mut place.read(), Verify::default()).map_err(|error| error.to_string())?;
    if report.holds { Ok(()) } else { Err(format!("{:?}", report.findings)) }
}
