//! A gateway whose keys are rotated while it serves: the node side that `serve` uses, in the process of the server,
//! and a manager in memory that takes one generation after the other from staging to the end.
//!
//! A manager has a machine of its own elsewhere; here it is on the gateway's processor too, so that what is measured
//! is an upper bound. It knows nothing of the load.

#[allow(dead_code)] // shared with the tests of key distribution, which ask more of it
#[path = "../../../tests/tests/key_distribution/manager.rs"]
mod manager;

use gateway::node::{
    Cores, Enrolment, Installer, InstallerLmks, NodeSide, Pace, Parts, Sending, SideHandle, Store,
    SystemClock, Transport, join, run,
};
use gateway::{Running, stand_back};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use keylink::endpoint::Endpoint;
use keylink::message::{Definition, Indices, KeyKind, Overlap, ReceiptKind, Scope, Shape, Step};
use keylink::node::{About, Rules};
use keylink::{NodeId, ZoneId};
use manager::{Keys, Manager, key_set, utc_ms};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle, Runtime};

/// How a command names the key that is rotated, to protect with it.
pub const INDEX: &str = "K100";

/// Values of the key: generations take them in turn, so that replies are known.
pub const CLEAR: [[u8; 16]; 2] = [
    [0x0B, 0x1A, 0x29, 0x38, 0x46, 0x57, 0x64, 0x75, 0x83, 0x92, 0xA1, 0xB0, 0xC2, 0xD3, 0xE0, 0xF1],
    [0x10, 0x23, 0x32, 0x45, 0x54, 0x67, 0x76, 0x89, 0x98, 0xAB, 0xBA, 0xCD, 0xDC, 0xEF, 0xFE, 0x01],
];

/// More than a run can reach.
const GENERATIONS: usize = 100_000;

/// An order that comes on standard input: any byte begins, and the next one ends.
pub const ORDER: &[u8] = b".";

/// The manager as it is from the node: its work is done by a thread of its own.
struct Remote {
    manager: Manager,
    thread: Handle,
}

impl Transport for Remote {
    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        let manager = self.manager.clone();
        let asked = self.thread.spawn(async move { manager.post(endpoint, body).await });
        Box::pin(async move {
            let lost = |_| Err(gateway::node::TransportError::Unreachable("the manager ended".to_owned()));
            asked.await.unwrap_or_else(lost)
        })
    }
}

/// A backend for delivered keys, as a unit's own: traffic under the variant LMK, root KEKs under the AES one.
pub fn installer() -> Result<Installer, String> {
    let backend = || -> Box<dyn hsm::Backend> {
        let simulator = Simulator::new(&LmkSet::public_test(), Options::default());
        Box::new(simulator.unwrap_or_else(|error| unreachable!("the public test LMKs load: {error}")))
    };
    let lmks = InstallerLmks { traffic: LmkId(0), kek: LmkId(2) };
    Installer::start(Arc::new(backend), lmks).ok_or_else(|| "no backend for delivered keys".to_owned())
}

/// A node and its manager.
pub struct Rotation {
    manager: Manager,
    thread: Runtime,
    node: NodeId,
    keys: Keys,
    /// That protects.
    generation: u32,
    _folder: TempDir,
}

impl Rotation {
    /// Enrols the gateway and brings the first generation into use.
    pub fn start(gateway: &Running) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let manager = Manager::new();
        let thread =
            Builder::new_multi_thread().worker_threads(1).on_thread_start(stand_back).enable_all().build()?;
        let remote = Remote { manager: manager.clone(), thread: thread.handle().clone() };
        let node = begin(gateway, remote, folder.path().to_owned())?;
        let rotation = Self { manager, thread, node, keys: keys(), generation: 1, _folder: folder };
        rotation.manager.with(|state| state.offer_kek(node));
        rotation.wait(ReceiptKind::KekInstalled, 1);
        rotation.post(&[(1, Step::Protect)]);
        rotation.wait(ReceiptKind::Activated, 1);
        Ok(rotation)
    }

    /// Rotates from one order on standard input to the next, and tells on standard output how often it did; ends with
    /// standard input.
    pub fn obey(&mut self) -> io::Result<()> {
        stand_back();
        let (orders, queue) = mpsc::channel();
        std::thread::spawn(move || {
            for order in io::stdin().lock().bytes().map_while(Result::ok) {
                let _main_thread_has_ended = orders.send(order);
            }
        });
        while queue.recv().is_ok() {
            let before = self.generation;
            while queue.try_recv() == Err(TryRecvError::Empty) {
                self.turn();
            }
            println!("{}", self.generation - before);
            io::stdout().flush()?;
        }
        Ok(())
    }

    // The next generation is staged, accepted and protects; the one before retires.
    fn turn(&mut self) {
        let (old, new) = (self.generation, self.generation + 1);
        for (old_step, new_step, said, count) in [
            (Step::Protect, Step::Stage, ReceiptKind::Proven, new),
            (Step::Protect, Step::Accept, ReceiptKind::Accepting, new),
            (Step::Accept, Step::Protect, ReceiptKind::Activated, new),
            (Step::Retire, Step::Protect, ReceiptKind::Retired, old),
        ] {
            self.post(&[(old, old_step), (new, new_step)]);
            self.wait(said, count);
        }
        self.generation = new;
    }

    fn post(&self, steps: &[(u32, Step)]) {
        let (node, keys) = (self.node, &self.keys);
        self.manager.with(|state| {
            let targets = steps.iter().map(|(n, step)| state.target(node, keys, *n, *step)).collect();
            state.post(node, keys, targets);
        });
    }

    fn wait(&self, kind: ReceiptKind, count: u32) {
        self.thread.block_on(self.manager.wait(self.node, kind, count as usize));
    }
}

// The node side on a thread of its own, as a service has it.
fn begin(gateway: &Running, remote: Remote, folder: std::path::PathBuf) -> io::Result<NodeId> {
    let (ready, is_ready) = mpsc::channel();
    let switches = gateway.switches();
    std::thread::Builder::new().name("node".to_owned()).spawn(move || {
        stand_back();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let cores = Cores::new(switches, LmkId(0));
            let side = side(&remote, Box::new(cores), &folder).await.map_err(io::Error::other)?;
            let _main_thread_has_ended = ready.send(side.machine().state().node);
            let (_keeps_it_open, requests) = SideHandle::new();
            let ended = run(side, Some(Arc::new(remote)), requests, Pace::default(), core::future::pending());
            ended.await.map_err(io::Error::other)
        })
    })?;
    is_ready.recv().map_err(|_| io::Error::other("the node side does not start"))
}

async fn side(
    remote: &Remote,
    publish: Box<dyn gateway::node::Publish>,
    folder: &Path,
) -> Result<NodeSide, Box<dyn std::error::Error + Send + Sync>> {
    let store = Store::open(&folder.join("node.sqlite"))?;
    let enrolment = Enrolment::new(remote.manager.token("https://kmc.bench"))?;
    let identity = join(&enrolment, "bench", "C", remote, &store, utc_ms()).await?;
    let parts = Parts {
        store,
        installer: installer()?,
        publish,
        clock: Arc::new(SystemClock::new()?),
        about: About { software: "payhsm benches".into(), backend_class: "C".into() },
        ready: Arc::new(|| true),
        stored: None,
    };
    Ok(NodeSide::start(&identity, parts, Rules::default()).await?)
}

fn keys() -> Keys {
    let definition = Definition {
        key_set: key_set(8),
        name: "ZPK bench".into(),
        scope: Scope::Zone(ZoneId([7; 16])),
        kind: KeyKind::Zpk,
        shape: Shape::Tdes2,
        overlap: Overlap::Time,
        indices: Indices { base: 0x100, odd: 0x101, even: 0x102 },
        hard_stop: false,
    };
    let clear = CLEAR.iter().map(|key| key.to_vec()).cycle().take(GENERATIONS).collect();
    Keys { definition, clear }
}
