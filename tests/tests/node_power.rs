//! Power loss at a node: its store and its identity are written while every file operation is recorded; then disks are
//! made that hold what was synced and any part of what was not. On each of them the floors are no lower than what was
//! receipted, and the identity is whole, or not there yet.
//!
//! `PAYHSM_POWER_IMAGES` sets the number of disks (300 if unset). The manager's store is tested the same way
//! (`keymgr/tests/power.rs`).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stderr)] // skips are for people

#[path = "../../keymgr/tests/common/disk.rs"]
mod disk;
#[path = "../../keymgr/tests/common/shown.rs"]
mod shown;

use disk::{ACKNOWLEDGED, Disk, Step, draws, images, moments, record};
use gateway::node::{Identity, Store, identity_file, store_file};
use keylink::node::NodeState;
use keylink::root::{Recovery, RootDocument, SignedRoot};
use keylink::wire::U64;
use keylink::{Digest, KmcId, NodeId, PublicKey};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Nodes that share one store, as those of a simulated fleet do.
const NODES: u8 = 6;
const ROUNDS: u64 = 120;
/// Versions of the identity: it is written anew with each certificate.
const IDENTITIES: u64 = 20;

fn node(n: u8) -> NodeId {
    NodeId([n + 1; 32])
}

fn root() -> SignedRoot {
    SignedRoot::new(&RootDocument {
        number: 1,
        kmc: None,
        previous: None,
        created_ms: U64(1),
        name: "power".to_owned(),
        manifest_keys: vec![PublicKey([1; 32])],
        checkpoint_keys: vec![PublicKey([2; 32])],
        transport_keys: Vec::new(),
        officers: Vec::new(),
        quorums: Vec::new(),
        recovery: Recovery::default(),
    })
}

// What a node has stored when it sends its receipt of this number. Its length differs from one to the next.
fn state(node: NodeId, number: u64) -> NodeState {
    let mut state = NodeState::new(KmcId([3; 32]), node, root());
    state.epoch = U64(1 + number / 50);
    state.seq = U64(number);
    state.receipt = (U64(number), Some(receipt(number)));
    state.manifests = (0..number % 60).map(receipt).collect();
    state
}

fn receipt(number: u64) -> Digest {
    Digest::of(&number.to_be_bytes())
}

// Over several sectors, as a chain of certificates is.
fn identity(version: u64) -> Identity {
    let identity = json!({
        "kmc": KmcId([3; 32]),
        "url": format!("https://manager/{version}"),
        "seed": hex::encode([4; 32]),
        "transport_key": "k".repeat(300),
        "certificate": format!("{version} ").repeat(400),
        "authorities": (0..6).map(|n| PublicKey([n; 32])).collect::<Vec<_>>(),
    });
    serde_json::from_value(identity).unwrap()
}

fn version(identity: &Identity) -> u64 {
    identity.url.rsplit('/').next().unwrap().parse().unwrap()
}

/// The child: stores states of several nodes at a time and, now and then, an identity. What is stored is told: a receipt
/// goes out, a certificate is in use.
#[tokio::test]
#[ignore = "the process that is recorded; started by the test below"]
async fn child() {
    let Ok(folder) = std::env::var("PAYHSM_POWER_FOLDER") else { return };
    let folder = Path::new(&folder);
    let store = Store::open(&store_file(folder)).unwrap();
    // One write: it is in the recording where it was made.
    let tell = |text: String| std::fs::write(folder.join(ACKNOWLEDGED), text).unwrap();
    for round in 1..=ROUNDS {
        let put = |n: u8| {
            let (store, body) = (store.clone(), serde_json::to_vec(&state(node(n), round)).unwrap());
            tokio::spawn(async move { store.put(node(n), body).await })
        };
        // Not always all of them: their numbers differ.
        let nodes = (0..NODES).filter(|n| (round + u64::from(*n)) % 5 < 4);
        let puts: Vec<_> = nodes.map(|n| (n, put(n))).collect();
        for (n, put) in puts {
            put.await.unwrap().unwrap();
            tell(format!("node {n} {round}"));
        }
        if round % (ROUNDS / IDENTITIES) == 0 {
            let number = round / (ROUNDS / IDENTITIES);
            identity(number).save(&identity_file(folder)).unwrap();
            tell(format!("identity 0 {number}"));
        }
    }
}

/// The highest number that was told: of each node's receipts, and of the identity.
#[derive(Default)]
struct Told {
    receipts: BTreeMap<u8, u64>,
    identity: Option<u64>,
}

impl Told {
    fn follow(&mut self, step: &Step) {
        let Step::Acknowledged(text) = step else { return };
        let words: Vec<&str> = text.split(' ').collect();
        let number = words[2].parse().unwrap();
        if words[0] == "identity" {
            self.identity = Some(number);
        } else {
            self.receipts.insert(words[1].parse().unwrap(), number);
        }
    }
}

// The next process opens what the power has left.
fn floors(folder: &Path, told: &Told) -> Result<(), String> {
    let store = Store::open(&store_file(folder)).map_err(|error| error.to_string())?;
    for (n, number) in &told.receipts {
        let stored = store.load(node(*n)).map_err(|error| error.to_string())?;
        let stored = stored.ok_or_else(|| format!("node {n}: {number} receipted, nothing there"))?;
        let found: NodeState = serde_json::from_slice(&stored).map_err(|error| error.to_string())?;
        // It may be ahead: stored and not told yet.
        if found.seq.0 < *number || found.receipt.0.0 < *number {
            return Err(format!("node {n}: {number} receipted, {} there", found.seq.0));
        }
        if found != state(node(*n), found.seq.0) {
            return Err(format!("node {n}: a state that was never stored"));
        }
    }
    Ok(())
}

fn whole(folder: &Path, told: &Told) -> Result<(), String> {
    let file = identity_file(folder);
    if !file.exists() {
        return told.identity.map_or(Ok(()), |number| Err(format!("identity {number} in use, none there")));
    }
    let found = Identity::load(&file).map_err(|error| format!("identity: {error}"))?;
    let number = version(&found);
    if told.identity.is_some_and(|told| number < told) {
        return Err(format!("identity {:?} in use, {number} there", told.identity));
    }
    let same = serde_json::to_value(&found).unwrap() == serde_json::to_value(identity(number)).unwrap();
    if same { Ok(()) } else { Err("an identity that was never written".to_owned()) }
}

fn on_a_disk<T>(disk: &Disk, how: u64, draw: &mut impl FnMut() -> u64, look: impl Fn(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    disk.after_power_loss(folder.path(), how, draw);
    look(folder.path())
}

#[test]
fn a_node_is_never_behind_its_receipts_when_the_power_goes() {
    let images = images();
    let folder = tempfile::tempdir().unwrap();
    let files = ["node.sqlite", "node.sqlite-wal", "node.json", "node.new"];
    let Some(steps) = record(folder.path(), &files) else { return };
    let count = |wanted: fn(&Step) -> bool| steps.iter().filter(|step| wanted(step)).count();
    let told_of = count(|step| matches!(step, Step::Acknowledged(_)));
    let (syncs, renames) = (
        count(|step| matches!(step, Step::Sync { .. } | Step::SyncFolder)),
        count(|step| matches!(step, Step::Rename { .. })),
    );
    let first = steps.iter().position(|step| matches!(step, Step::Acknowledged(_))).unwrap();
    assert!(told_of > 500 && syncs > 100, "{told_of} acknowledged, {syncs} syncs");
    assert_eq!(u64::try_from(renames).unwrap(), IDENTITIES);

    let mut draw = draws();
    let (mut disk, mut told) = (Disk::default(), Told::default());
    let (mut at, mut dropped) = (0, 0);
    for (image, moment) in moments(images, first, steps.len(), &mut draw).into_iter().enumerate() {
        for step in &steps[at..=moment] {
            disk.follow(step);
            told.follow(step);
        }
        at = moment + 1;
        dropped += disk.in_doubt();
        let judged = on_a_disk(&disk, image as u64 % 3, &mut draw, |folder| {
            floors(folder, &told).and_then(|()| whole(folder, &told))
        });
        assert_eq!(judged, Ok(()), "image {image} at step {moment}");
    }
    let settings = Store::open(&store_file(folder.path())).unwrap().settings().to_vec();
    let found = format!(
        "{images} disks of nodes from {} recorded steps, {syncs} syncs, {told_of} acknowledged; {dropped} unsynced \
         writes in doubt, no floor below a receipt, each identity whole\nsettings {settings:?}",
        steps.len()
    );
    shown::show("power", &found);
    assert!(dropped > 0);
    liars(&steps, &mut draw);
}

// The test is able to see a loss: on a disk that forgets what it said was synced, floors are lower and the identity is
// an older one; and where the file was not synced before it got its name, it is not whole.
fn liars(steps: &[Step], draw: &mut impl FnMut() -> u64) {
    let (mut disk, mut told) = (Disk::default(), Told::default());
    for (n, step) in steps.iter().enumerate() {
        disk.lies = n >= steps.len() / 2;
        disk.follow(step);
        told.follow(step);
    }
    let (low, old) = on_a_disk(&disk, 0, draw, |folder| (floors(folder, &told), whole(folder, &told)));
    assert!(low.clone().unwrap_err().contains("receipted"), "{low:?}");
    assert!(old.clone().unwrap_err().contains("in use"), "{old:?}");
    let mut disk = Disk::default();
    steps.iter().filter(|step| !matches!(step, Step::Sync { file } if file == "node.new")).for_each(|step| {
        disk.follow(step);
    });
    let torn = on_a_disk(&disk, 0, draw, |folder| whole(folder, &Told::default()));
    assert!(torn.is_err(), "a file that was never synced is whole");
}
