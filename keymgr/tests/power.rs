//! Power loss: a store is written while every file operation is recorded; then disks are made that hold what
//! was synced and any part of what was not, and on each of them nothing acknowledged is missing.
//!
//! A process that is killed does not show this, for the kernel keeps what it wrote. `PAYHSM_POWER_IMAGES` sets the
//! number of disks (300 if unset). A node's store is tested the same way (`tests/tests/node_power.rs`).
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr)] // skips are for people

mod common;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/shown.rs"]
mod shown;

use common::toy::{Counters, Input};
use common::{BEGIN_MS, Place, key};
use disk::{ACKNOWLEDGED, Disk, Step, draws, images, moments, record};
use keylink::Instant3;
use keymgr::audit::{Options as Verify, verify_store};
use keymgr::log::Ledger;
use keymgr::store::{Location, Store, Table};
use keymgr::writer::{Options, Writer};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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
    let acknowledged = Path::new(&folder).join(ACKNOWLEDGED);
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

/// The newest value of each counter.
type Told = BTreeMap<u64, u64>;

fn tell(told: &mut Told, step: &Step) {
    if let Step::Acknowledged(text) = step {
        let (counter, value) = text.split_once(' ').unwrap();
        told.insert(counter.parse().unwrap(), value.parse().unwrap());
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let images = images();
    let folder = tempfile::TempDir::new().unwrap();
    let Some(steps) = record(folder.path(), &["kmc.db", "kmc.db-wal"]) else { return };
    let count = |wanted: fn(&Step) -> bool| steps.iter().filter(|step| wanted(step)).count();
    let acknowledged = count(|step| matches!(step, Step::Acknowledged(_)));
    let syncs = count(|step| matches!(step, Step::Sync { .. }));
    let first = steps.iter().position(|step| matches!(step, Step::Acknowledged(_))).unwrap();
    assert!(acknowledged > 500 && syncs > 60, "{acknowledged} acknowledged, {syncs} syncs");

    let mut draw = draws();
    let (mut disk, mut told) = (Disk::default(), Told::new());
    let (mut at, mut dropped) = (0, 0usize);
    for (image, moment) in moments(images, first, steps.len(), &mut draw).into_iter().enumerate() {
        for step in &steps[at..=moment] {
            disk.follow(step);
            tell(&mut told, step);
        }
        at = moment + 1;
        dropped += disk.in_doubt();
        judge(&disk, &told, image as u64 % 3, &mut draw).unwrap();
    }
    let found = format!(
        "{images} disks of a manager from {} recorded steps, {syncs} syncs, {acknowledged} acknowledged; {dropped} \
         unsynced writes in doubt, nothing lost\nsettings {:?}",
        steps.len(),
        settings()
    );
    shown::show("power", &found);
    assert!(dropped > 0);
    liar(&steps, &told, &mut draw);
}

// The test is able to see a loss: a disk that forgets what it said was synced is found out.
fn liar(steps: &[Step], told: &Told, draw: &mut impl FnMut() -> u64) {
    let mut disk = Disk::default();
    for (n, step) in steps.iter().enumerate() {
        disk.lies = n >= steps.len() / 2;
        disk.follow(step);
    }
    let found = judge(&disk, told, 0, draw).unwrap_err();
    assert!(found.contains("acknowledged"), "{found}");
}

fn settings() -> Vec<(String, String)> {
    let place = Place::sqlite();
    place.lead().unwrap().store().settings().unwrap()
}

// A new manager on the disk as the power left it.
fn judge(disk: &Disk, told: &Told, how: u64, draw: &mut impl FnMut() -> u64) -> Result<(), String> {
    let place = Place::sqlite();
    disk.after_power_loss(place.file().parent().unwrap(), how, draw);
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
