//! Thousands of node sides in one process: the one that `serve` uses, each with its own keys, certificate and
//! connection, all with one store.

use crate::centre::Centre;
use crate::rotation::installer;
use gateway::node::{
    Answer, EnrolError, Enrolment, HttpsTransport, Identity, Installer, NodeSide, Nowhere, Parts, Store,
    SystemClock, TlsIdentity, Transport, join,
};
use keylink::endpoint::Endpoint;
use keylink::envelope::{bytes_of, strict};
use keylink::message::{EnrolmentToken, Mail, Parcel, Step};
use keylink::node::{About, Rules};
use keylink::{Digest, NodeId, PublicKey, Signed};
use keymgr::core::action::Act;
use keymgr::core::node::{BackendClass, NewNode};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

// Nodes in one action: what the interface takes in one request.
const ACTION_MAX: usize = 1000;

// For mail that is on its way.
const MAIL_WAIT_S: u16 = 1;

struct Member {
    identity: Identity,
    side: NodeSide,
}

/// What a node has stored and not sent, in its order.
pub struct Owed {
    /// The node.
    pub node: NodeId,
    /// Its signature key.
    pub key: PublicKey,
    /// What it has signed.
    pub receipts: Vec<Signed>,
}

/// All nodes.
pub struct Fleet {
    members: Vec<Member>,
    places: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct Waiting {
    name: String,
    key: PublicKey,
    csr: Digest,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

// Runs work for each of them, as many at a time as there are places.
async fn each<T, U, F>(
    places: &Arc<Semaphore>,
    all: Vec<T>,
    work: impl Fn(T) -> F + Clone + Send + 'static,
) -> Result<Vec<U>, String>
where
    T: Send + 'static,
    U: Send + 'static,
    F: Future<Output = Result<U, String>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for one in all {
        let (places, work) = (Arc::clone(places), work.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await.map_err(text)?;
            work(one).await
        });
    }
    let mut done = Vec::new();
    while let Some(one) = running.join_next().await {
        done.push(one.map_err(text)??);
    }
    Ok(done)
}

async fn once(name: &str, enrolment: &Enrolment, store: &Store) -> Result<Identity, EnrolError> {
    let identity = enrolment.identity();
    let anonymous = TlsIdentity { certificate: String::new(), ..identity.tls() };
    let transport = HttpsTransport::new(&identity.url, &anonymous)?;
    join(enrolment, name, "C", &transport, store, keymgr::client::utc_ms()).await
}

impl Fleet {
    /// Nodes ask, are let in, and fetch their certificates; their node sides begin.
    pub async fn enrol(
        centre: &Centre,
        count: usize,
        folder: &Path,
        connections: usize,
    ) -> Result<Self, String> {
        let places = Arc::new(Semaphore::new(connections));
        let store = Store::open(&folder.join("nodes.db")).map_err(text)?;
        let wanted = json!({ "count": count });
        let tokens: Vec<EnrolmentToken> =
            centre.operator.post("/enrolment-tokens", &wanted).await.map_err(text)?;
        let named = tokens.into_iter().enumerate().map(|(n, token)| (format!("node-{n:05}"), token));
        let nodes = store.clone();
        let asking = each(&places, named.collect(), move |(name, token)| {
            let store = nodes.clone();
            async move {
                let enrolment = Enrolment::new(token).map_err(text)?;
                match once(&name, &enrolment, &store).await {
                    Err(EnrolError::Waiting) => Ok((name, Arc::new(enrolment))),
                    Err(error) => Err(error.to_string()),
                    Ok(_) => Err("a node was let in without an approval".to_owned()),
                }
            }
        })
        .await?;
        let waiting: Vec<Waiting> = centre.operator.all("/enrolments").await.map_err(text)?;
        let new = waiting.into_iter().map(|one| NewNode {
            key: one.key,
            csr: one.csr,
            name: one.name,
            class: BackendClass::C,
        });
        let new: Vec<NewNode> = new.collect();
        let acts: Vec<Act> = new.chunks(ACTION_MAX).map(|part| Act::EnrolNodes(part.to_vec())).collect();
        centre.ask(&acts).await?;
        let installer = installer()?;
        let members = each(&places, asking, move |(name, enrolment)| {
            let (store, installer) = (store.clone(), installer.clone());
            async move {
                let identity = once(&name, &enrolment, &store).await.map_err(text)?;
                Member::begin(identity, store, installer).await
            }
        });
        Ok(Self { members: members.await?, places })
    }

    /// Their ids.
    pub fn ids(&self) -> BTreeSet<NodeId> {
        self.members.iter().map(Member::id).collect()
    }

    async fn all<F>(&mut self, work: impl Fn(Member) -> F + Clone + Send + 'static) -> Result<(), String>
    where
        F: Future<Output = Result<Member, String>> + Send + 'static,
    {
        let members = std::mem::take(&mut self.members);
        self.members = each(&self.places, members, work).await?;
        Ok(())
    }

    /// Every node begins a session and agrees on its root KEK.
    pub async fn greet(&mut self) -> Result<(), String> {
        self.all(|mut member| async move {
            let mut talk = Talk::begin(&mut member).await?;
            talk.until(&mut member, |side| side.machine().state().kek.is_some()).await?;
            Ok(member)
        })
        .await
    }

    /// Every node comes with a new connection, waits for its manifest and has its receipt confirmed. How long it took
    /// until the last was.
    pub async fn stage(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        self.all(|mut member| async move {
            let mut talk = Talk::begin(&mut member).await?;
            talk.until(&mut member, |side| Member::holds(side) && side.machine().outbox().is_empty()).await?;
            Ok(member)
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Every node takes its mail and does what is ordered; what it has to say about it stays with it, for
    /// [`Self::owed`]. What it had to say before has been counted, and is confirmed.
    pub async fn take_mail(&mut self) -> Result<(), String> {
        self.all(|mut member| async move {
            let counted = member.side.machine().outbox().to_vec();
            let mut talk = Talk::begin(&mut member).await?;
            if !counted.is_empty() {
                let parcel = bytes_of(&Parcel { messages: counted });
                talk.post(&mut member, Endpoint::Receipts, parcel).await?;
            }
            if member.side.machine().outbox().is_empty() {
                let pull = member.side.pull(MAIL_WAIT_S).map_err(text)?.to_bytes();
                talk.post(&mut member, Endpoint::Pull, pull).await?;
            }
            // What is no receipt, as a request to be told everything anew.
            let messages = std::mem::take(&mut talk.said);
            if !messages.is_empty() {
                talk.post(&mut member, Endpoint::Receipts, bytes_of(&Parcel { messages })).await?;
            }
            Ok(member)
        })
        .await
    }

    /// What nodes have stored and not sent, each in its order.
    pub fn owed(&self) -> Vec<Owed> {
        let owed = |member: &Member| Owed {
            node: member.id(),
            key: member.identity.who().key,
            receipts: member.side.machine().outbox().to_vec(),
        };
        self.members.iter().map(owed).collect()
    }

    /// Nodes in whose stored state the key is.
    pub fn proven(&self) -> Result<u64, String> {
        let held = self.members.iter().filter(|member| Member::holds(&member.side)).count();
        u64::try_from(held).map_err(text)
    }
}

impl Member {
    async fn begin(identity: Identity, store: Store, installer: Installer) -> Result<Self, String> {
        let parts = Parts {
            store,
            installer,
            publish: Box::new(Nowhere),
            clock: Arc::new(SystemClock::new().map_err(text)?),
            about: About { software: "payhsm benches".into(), backend_class: "C".into() },
            ready: Arc::new(|| true),
            stored: None,
        };
        let side = NodeSide::start(&identity, parts, Rules::default()).await.map_err(text)?;
        Ok(Self { identity, side })
    }

    fn id(&self) -> NodeId {
        self.identity.node()
    }

    fn holds(side: &NodeSide) -> bool {
        let sets = &side.machine().state().key_sets;
        sets.iter().flat_map(|set| &set.generations).any(|key| key.step >= Step::Stage)
    }
}

// One session over one connection.
struct Talk {
    transport: HttpsTransport,
    said: Vec<Signed>,
}

impl Talk {
    async fn begin(member: &mut Member) -> Result<Self, String> {
        let transport = HttpsTransport::new(&member.identity.url, &member.identity.tls()).map_err(text)?;
        let mut talk = Self { transport, said: Vec::new() };
        member.side.bind(talk.transport.session().await);
        let hello = member.side.hello().map_err(text)?.to_bytes();
        talk.post(member, Endpoint::Hello, hello).await?;
        Ok(talk)
    }

    async fn post(&mut self, member: &mut Member, endpoint: Endpoint, body: Vec<u8>) -> Result<(), String> {
        let Answer::Taken(body) = self.transport.post(endpoint, body).await.map_err(text)? else {
            return Err("the manager makes a known node wait".to_owned());
        };
        if !body.is_empty() {
            let mail: Mail = strict(&body).map_err(text)?;
            self.said.extend(member.side.mail(&mail).await.map_err(text)?);
            member.side.settle().await.map_err(text)?;
        }
        Ok(())
    }

    // Pulls and answers until `done`.
    async fn until(&mut self, member: &mut Member, done: impl Fn(&NodeSide) -> bool) -> Result<(), String> {
        while !done(&member.side) {
            if self.said.is_empty() && member.side.machine().outbox().is_empty() {
                let pull = member.side.pull(25).map_err(text)?.to_bytes();
                self.post(member, Endpoint::Pull, pull).await?;
            } else {
                let parcel = member.side.parcel(std::mem::take(&mut self.said));
                self.post(member, Endpoint::Receipts, bytes_of(&parcel)).await?;
            }
        }
        Ok(())
    }
}
