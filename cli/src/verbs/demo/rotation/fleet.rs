//! The nodes of a run: the node side that `serve` uses, one for each, with durable states in one store, their own
//! clocks, certificates and sessions over HTTPS. A few are processes of their own.

use super::desk::Desk;
use super::gate::{Gate, Gated};
use super::load::{Order, SKEW_MS};
use super::people::{People, called};
use super::sabotage::{Losing, Sabotage};
use super::unit::Unit;
use crate::exit::Failure;
use gateway::node::{
    EnrolError, Enrolment, HttpsTransport, Identity, Installer, InstallerLmks, NodeSide, Pace, Parts,
    SideHandle, Store, SystemClock, TlsIdentity, Transport, join, run,
};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use keylink::message::{EnrolmentToken, Step};
use keylink::node::{About, NodeState, Rules};
use keylink::{Digest, NodeId, PublicKey};
use keymgr::core::action::Act;
use keymgr::core::node::{BackendClass, NewNode};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The node that is killed between store and receipt.
pub const HOLDING: usize = 1;
/// Between two beats of a node of this process: each tells its clock, and a small fleet has done all of it before a
/// unit's own time between beats has passed.
const BEAT: Duration = Duration::from_secs(2);

/// What a node has stored, as far as the run looks.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Highest checkpoint of the manager's log.
    pub checkpoint: Option<String>,
    /// Key sets whose newest key it protects with or is ordered to, from the second generation.
    pub ordered: usize,
    /// The last message it has taken, its last receipt, and how many of them are not confirmed.
    pub at: (u64, u64, usize),
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A node side in this process.
pub struct Here {
    identity: Identity,
    seen: Arc<Mutex<Seen>>,
    running: Option<Running>,
}

/// Where a node is.
pub enum Place {
    /// In this process.
    Here(Box<Here>),
    /// In one of its own.
    Process(Unit),
}

/// One node.
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The key that signs its receipts, as it was when it asked to be known.
    pub key: PublicKey,
    /// Where it is.
    pub place: Place,
}

/// All nodes.
pub struct Fleet {
    /// In order of their numbers.
    pub members: Vec<Member>,
    /// What holds them back until a kill has come.
    pub gate: Arc<Gate>,
    store: Store,
    installer: Installer,
    orders: Sender<Order>,
    fault: Option<Sabotage>,
    zones: usize,
    offsets_ms: Vec<i64>,
    losing: Arc<AtomicBool>,
}

/// How wrong the clock of each node is: those in traffic from one end to the other, and so those that are away; a
/// process has the machine's clock.
pub fn offsets_ms(nodes: usize, processes: usize, away: usize) -> Vec<i64> {
    let here =
        |numbers: std::ops::Range<usize>| numbers.filter(move |number| !is_process(*number, processes));
    let mut offsets = vec![0; nodes];
    for group in [here(0..nodes - away), here(nodes - away..nodes)] {
        let group: Vec<usize> = group.collect();
        let (span, last) = (2 * SKEW_MS as i64, group.len().saturating_sub(1).max(1) as i64);
        for (place, number) in group.into_iter().enumerate() {
            if let Some(offset) = offsets.get_mut(number) {
                *offset = span * place as i64 / last - SKEW_MS as i64;
            }
        }
    }
    offsets
}

#[derive(Deserialize)]
struct Waiting {
    node: NodeId,
    name: String,
    key: PublicKey,
    csr: Digest,
}

enum Candidate {
    Here(Box<Enrolment>),
    Process(Unit),
}

/// Nodes that have asked to be known.
pub struct Asking(Vec<(String, PublicKey, Candidate)>);

async fn once(name: &str, enrolment: &Enrolment, store: &Store) -> Result<Identity, EnrolError> {
    let identity = enrolment.identity();
    let anonymous = TlsIdentity { certificate: String::new(), ..identity.tls() };
    let transport = HttpsTransport::new(&identity.url, &anonymous)?;
    join(enrolment, name, "C", &transport, store, keymgr::client::utc_ms()).await
}

impl Candidate {
    fn fingerprints(&self) -> (NodeId, Digest) {
        match self {
            Self::Here(enrolment) => enrolment.fingerprints(),
            Self::Process(unit) => unit.fingerprints,
        }
    }
}

/// Whether the node with this number is a process of its own: those behind the first, which has the faults.
pub fn is_process(number: usize, processes: usize) -> bool {
    (1..=processes).contains(&number)
}

impl Asking {
    /// So many nodes ask with tokens of the operator; their fingerprints are compared, and officers let them in.
    pub async fn ask(
        count: usize,
        processes: usize,
        people: &People,
        store: &Store,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let tokens: Vec<EnrolmentToken> =
            people.operator.post("/enrolment-tokens", &json!({ "count": count })).await.map_err(called)?;
        let mut asking = Vec::new();
        for (number, token) in tokens.into_iter().enumerate() {
            let name = format!("node-{number:03}");
            if is_process(number, processes) {
                let holds = number == HOLDING;
                asking.push((name.clone(), Candidate::Process(Unit::start(folder, &name, &token, holds)?)));
                continue;
            }
            let enrolment = Enrolment::new(token).map_err(Failure::environment)?;
            match once(&name, &enrolment, store).await {
                Err(EnrolError::Waiting) => asking.push((name, Candidate::Here(Box::new(enrolment)))),
                Err(error) => return Err(Failure::environment(format!("{name}: {error}"))),
                Ok(_) => return Err(Failure::check(format!("{name} was let in without an approval"))),
            }
        }
        let waiting = Self::waiting(count, people).await?;
        let known: HashMap<NodeId, &Waiting> = waiting.iter().map(|one| (one.node, one)).collect();
        let compared = |(name, candidate): (String, Candidate)| {
            let (node, csr) = candidate.fingerprints();
            let shown = known.get(&node).filter(|one| one.csr == csr && one.name == name);
            // The id is the hash of the key: who compares the id compares the key.
            let key = shown.map(|one| one.key).filter(|key| Digest::of(&key.0).0 == node.0)?;
            Some((name, key, candidate))
        };
        let strangers = || Failure::check("the manager shows other nodes than those that asked");
        let asked = asking.into_iter().map(compared).collect::<Option<Vec<_>>>().ok_or_else(strangers)?;
        if waiting.len() != count {
            return Err(strangers());
        }
        let new = waiting.into_iter().map(|one| NewNode {
            key: one.key,
            csr: one.csr,
            name: one.name,
            class: BackendClass::C,
        });
        people.ask(&[Act::EnrolNodes(new.collect())], 0).await?;
        Ok(Self(asked))
    }

    // Processes ask in their own time.
    async fn waiting(count: usize, people: &People) -> Result<Vec<Waiting>, Failure> {
        let began = Instant::now();
        loop {
            let waiting: Vec<Waiting> = people.operator.all("/enrolments").await.map_err(called)?;
            if waiting.len() >= count || began.elapsed() > Duration::from_secs(30) {
                return Ok(waiting);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().map(|(_, _, one)| one.fingerprints().0)
    }
}

/// The store of all nodes.
pub fn store(folder: &Path) -> Result<Store, Failure> {
    Store::open(&folder.join("nodes.db")).map_err(Failure::environment)
}

impl Fleet {
    /// The nodes fetch their certificates.
    pub async fn gather(
        asking: Asking,
        store: Store,
        orders: Sender<Order>,
        fault: Option<Sabotage>,
        zones: usize,
        offsets_ms: Vec<i64>,
    ) -> Result<Self, Failure> {
        let mut members = Vec::new();
        for (name, key, candidate) in asking.0 {
            let (id, _) = candidate.fingerprints();
            let place = match candidate {
                Candidate::Process(unit) => Place::Process(unit),
                Candidate::Here(enrolment) => {
                    let identity = once(&name, &enrolment, &store).await.map_err(Failure::environment)?;
                    Place::Here(Box::new(Here { identity, seen: Arc::default(), running: None }))
                }
            };
            members.push(Member { id, name, key, place });
        }
        let backend = || -> Box<dyn hsm::Backend> {
            let simulator = Simulator::new(&LmkSet::public_test(), Options::default());
            Box::new(simulator.unwrap_or_else(|error| unreachable!("the public test LMKs load: {error}")))
        };
        let installer =
            Installer::start(Arc::new(backend), InstallerLmks { traffic: LmkId(0), kek: LmkId(2) });
        let installer = installer.ok_or_else(|| Failure::environment("no backend for delivered keys"))?;
        let (losing, gate) = (Arc::default(), Arc::default());
        Ok(Self { members, gate, store, installer, orders, fault, zones, offsets_ms, losing })
    }

    /// A node of this process begins, or begins again from its stored state.
    pub async fn start(&mut self, number: usize) -> Result<(), Failure> {
        let offset_ms = self.offsets_ms.get(number).copied().unwrap_or_default();
        let clock = SystemClock::with_offset(offset_ms).map_err(Failure::environment)?;
        let fault = self.fault.filter(|fault| fault.is_at(number));
        let Some(Member { place: Place::Here(member), .. }) = self.members.get_mut(number) else {
            return Ok(());
        };
        let (seen, gate, zones) = (Arc::clone(&member.seen), Arc::clone(&self.gate), self.zones);
        let parts = Parts {
            store: self.store.clone(),
            installer: self.installer.clone(),
            publish: Box::new(Desk::new(number, self.orders.clone(), fault)),
            clock: Arc::new(clock),
            about: About { software: "payhsm demo".into(), backend_class: "C".into() },
            ready: Arc::new(|| true),
            stored: Some(Arc::new(move |state| {
                let now = Seen::of(state);
                gate.stored(number, &now, zones);
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
            })),
        };
        let side =
            NodeSide::start(&member.identity, parts, Rules::default()).await.map_err(Failure::environment)?;
        let https = HttpsTransport::new(&member.identity.url, &member.identity.tls())
            .map_err(Failure::environment)?;
        let transport: Arc<dyn Transport> = match fault {
            Some(Sabotage::LostReceipt) => Arc::new(Losing::new(https, Arc::clone(&self.losing))),
            _ => Arc::new(https),
        };
        let transport: Arc<dyn Transport> = Arc::new(Gated::new(transport, Arc::clone(&self.gate), number));
        let (handle, requests) = SideHandle::new();
        let pace = Pace { retry_longest: Duration::from_millis(500), beat: BEAT, ..Pace::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let _handle = handle;
            let stopped = async {
                let _ = stopped.await;
            };
            if let Err(error) = run(side, Some(transport), requests, pace, stopped).await {
                eprintln!("payhsm: a node ended: {error}");
            }
        });
        member.running = Some(Running { stop, task });
        Ok(())
    }

    /// A node of this process goes away.
    pub async fn stop(&mut self, number: usize) {
        let Some(Member { place: Place::Here(member), .. }) = self.members.get_mut(number) else { return };
        let Some(running) = member.running.take() else { return };
        let _ = running.stop.send(());
        let _ = running.task.await;
    }

    /// Nodes of this process that have stored the order to protect with a newer key than their first.
    pub fn ordered(&self) -> usize {
        self.seen().filter(|seen| seen.ordered >= self.zones).count()
    }

    /// What the nodes of this process have stored last.
    pub fn seen(&self) -> impl Iterator<Item = Seen> {
        let here = self.members.iter().filter_map(|member| match &member.place {
            Place::Here(here) => Some(here),
            Place::Process(_) => None,
        });
        here.map(|here| here.seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The nodes that are processes, with their numbers.
    pub fn units(&mut self) -> impl Iterator<Item = (usize, &str, &mut Unit)> {
        self.members.iter_mut().enumerate().filter_map(|(number, member)| match &mut member.place {
            Place::Process(unit) => Some((number, member.name.as_str(), unit)),
            Place::Here(_) => None,
        })
    }

    /// The receipts of the node with a fault get lost from now on.
    pub fn lose(&self) {
        self.losing.store(true, Relaxed);
    }
}

impl Seen {
    fn of(state: &NodeState) -> Self {
        let ordered = |set: &&keylink::node::KeySetRecord| {
            set.generations
                .iter()
                .any(|g| g.generation.0 > 1 && (g.protect_from.is_some() || g.step == Step::Protect))
        };
        Self {
            checkpoint: state.checkpoint.as_ref().map(|checkpoint| checkpoint.note.clone()),
            ordered: state.key_sets.iter().filter(ordered).count(),
            at: (state.seq.0, state.receipt.0.0, state.outbox.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_and_the_slowest_clock_are_in_traffic_and_among_those_away() {
        for (nodes, processes, away) in [(300, 3, 15), (30, 3, 3), (30, 0, 0), (6, 3, 1), (3, 0, 0)] {
            let offsets = offsets_ms(nodes, processes, away);
            let ends = |group: &[i64]| (group.iter().min().copied(), group.iter().max().copied());
            let (there, gone) = offsets.split_at(nodes - away);
            assert_eq!(ends(there), (Some(-400), Some(400)), "{nodes} {processes} {away}");
            assert_eq!((offsets.len(), gone.len()), (nodes, away));
            assert!(away < 2 || ends(gone) == (Some(-400), Some(400)));
            assert!((1..=processes).all(|number| offsets.get(number) == Some(&0)));
        }
    }
}
