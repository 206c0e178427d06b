//! The nodes of a run: the node side that `serve` uses, one for each, with durable states in one store, their own
//! clocks, certificates and sessions over HTTPS.

use super::desk::Desk;
use super::load::{Order, SKEW_MS};
use super::people::{People, called};
use super::sabotage::{Losing, Sabotage};
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
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What a node has stored, as far as the run looks.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Highest checkpoint of the manager's log.
    pub checkpoint: Option<String>,
    /// Key sets whose newest key it protects with or is ordered to, from the second generation.
    pub ordered: usize,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// One node.
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    identity: Identity,
    seen: Arc<Mutex<Seen>>,
    running: Option<Running>,
}

/// All nodes.
pub struct Fleet {
    /// In order of their numbers.
    pub members: Vec<Member>,
    store: Store,
    installer: Installer,
    orders: Sender<Order>,
    fault: Option<Sabotage>,
    /// The receipts of the node with a fault get lost from then on.
    pub losing: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct Waiting {
    node: NodeId,
    name: String,
    key: PublicKey,
    csr: Digest,
}

/// Nodes that have asked to be known.
pub struct Asking(Vec<(String, Enrolment)>);

async fn once(name: &str, enrolment: &Enrolment, store: &Store) -> Result<Identity, EnrolError> {
    let identity = enrolment.identity();
    let anonymous = TlsIdentity { certificate: String::new(), ..identity.tls() };
    let transport = HttpsTransport::new(&identity.url, &anonymous)?;
    join(enrolment, name, "C", &transport, store, keymgr::client::utc_ms()).await
}

impl Asking {
    /// So many nodes ask with tokens of the operator; their fingerprints are compared, and officers let them in.
    pub async fn ask(count: usize, people: &People, store: &Store) -> Result<Self, Failure> {
        let tokens: Vec<EnrolmentToken> =
            people.operator.post("/enrolment-tokens", &json!({ "count": count })).await.map_err(called)?;
        let mut asking = Vec::new();
        for (number, token) in tokens.into_iter().enumerate() {
            let name = format!("node-{number:03}");
            let enrolment = Enrolment::new(token).map_err(Failure::environment)?;
            match once(&name, &enrolment, store).await {
                Err(EnrolError::Waiting) => asking.push((name, enrolment)),
                Err(error) => return Err(Failure::environment(format!("{name}: {error}"))),
                Ok(_) => return Err(Failure::check(format!("{name} was let in without an approval"))),
            }
        }
        let waiting: Vec<Waiting> = people.operator.get("/enrolments").await.map_err(called)?;
        let known: HashMap<NodeId, Digest> = asking.iter().map(|(_, one)| one.fingerprints()).collect();
        if waiting.len() != count || waiting.iter().any(|one| known.get(&one.node) != Some(&one.csr)) {
            return Err(Failure::check("the manager shows other nodes than those that asked"));
        }
        let new = waiting.into_iter().map(|one| NewNode {
            key: one.key,
            csr: one.csr,
            name: one.name,
            class: BackendClass::C,
        });
        people.ask(&[Act::EnrolNodes(new.collect())], 0).await?;
        Ok(Self(asking))
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().map(|(_, one)| one.fingerprints().0)
    }
}

/// The store of all nodes.
pub fn store(folder: &Path) -> Result<Store, Failure> {
    Store::open(&folder.join("nodes.db")).map_err(Failure::environment)
}

impl Fleet {
    /// The nodes fetch their certificates.
    pub async fn gather(
        asking: &Asking,
        store: Store,
        orders: Sender<Order>,
        fault: Option<Sabotage>,
    ) -> Result<Self, Failure> {
        let mut members = Vec::new();
        for (name, enrolment) in &asking.0 {
            let identity = once(name, enrolment, &store).await.map_err(Failure::environment)?;
            let (id, name) = (identity.node(), name.clone());
            members.push(Member { id, name, identity, seen: Arc::default(), running: None });
        }
        let backend = || -> Box<dyn hsm::Backend> {
            let simulator = Simulator::new(&LmkSet::public_test(), Options::default());
            Box::new(simulator.unwrap_or_else(|error| unreachable!("the public test LMKs load: {error}")))
        };
        let installer =
            Installer::start(Arc::new(backend), InstallerLmks { traffic: LmkId(0), kek: LmkId(2) });
        let installer = installer.ok_or_else(|| Failure::environment("no backend for delivered keys"))?;
        Ok(Self { members, store, installer, orders, fault, losing: Arc::default() })
    }

    // From -SKEW_MS to +SKEW_MS, over all nodes.
    fn offset_ms(&self, number: usize) -> i64 {
        let (span, last) = (2 * SKEW_MS as i64, self.members.len().saturating_sub(1).max(1) as i64);
        span * number as i64 / last - SKEW_MS as i64
    }

    /// A node begins, or begins again from its stored state.
    pub async fn start(&mut self, number: usize) -> Result<(), Failure> {
        let clock = SystemClock::with_offset(self.offset_ms(number)).map_err(Failure::environment)?;
        let fault = self.fault.filter(|fault| fault.is_at(number));
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        let seen = Arc::clone(&member.seen);
        let parts = Parts {
            store: self.store.clone(),
            installer: self.installer.clone(),
            publish: Box::new(Desk::new(number, self.orders.clone(), fault)),
            clock: Arc::new(clock),
            about: About { software: "payhsm demo".into(), backend_class: "C".into() },
            ready: Arc::new(|| true),
            stored: Some(Arc::new(move |state| {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::of(state);
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
        let (handle, requests) = SideHandle::new();
        let pace = Pace { retry_longest: Duration::from_millis(500), ..Pace::default() };
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

    /// A node goes away.
    pub async fn stop(&mut self, number: usize) {
        let Some(running) = self.members.get_mut(number).and_then(|member| member.running.take()) else {
            return;
        };
        let _ = running.stop.send(());
        let _ = running.task.await;
    }

    /// Nodes that are ordered to protect with a newer key than their first, or do.
    pub fn ordered(&self, zones: usize) -> u32 {
        let ready = self.members.iter().filter(|member| member.seen().ordered >= zones).count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }

    /// The receipts of the node with a fault get lost from now on.
    pub fn lose(&self) {
        self.losing.store(true, Relaxed);
    }
}

impl Member {
    /// What it has stored last.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        }
    }
}
