//! Nodes in this process, with the node side of `serve`, a store on disk and HTTPS to the manager.

use gateway::node::{
    EnrolError, Enrolment, HttpsTransport, Identity, Installer, InstallerLmks, NodeSide, Nowhere, Pace,
    Parts, Publish, SideHandle, Store, SystemClock, TlsIdentity, Transport, join, run,
};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use keylink::message::EnrolmentToken;
use keylink::node::{About, Rules};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub fn installer() -> Installer {
    let backend = || -> Box<dyn hsm::Backend> {
        Box::new(Simulator::new(&LmkSet::public_test(), Options::default()).unwrap())
    };
    Installer::start(Arc::new(backend), InstallerLmks { traffic: LmkId(0), kek: LmkId(2) }).unwrap()
}

pub struct Asking {
    pub enrolment: Enrolment,
    pub name: String,
    transport: HttpsTransport,
    pub store: Store,
}

impl Asking {
    pub async fn ask(token: &EnrolmentToken, name: &str, folder: &Path) -> Self {
        let asking = Self::by(Enrolment::new(token.clone()).unwrap(), name, folder);
        assert!(matches!(asking.once().await, Err(EnrolError::Waiting)));
        asking
    }

    pub fn by(enrolment: Enrolment, name: &str, folder: &Path) -> Self {
        let anonymous = TlsIdentity { certificate: String::new(), ..enrolment.identity().tls() };
        let transport = HttpsTransport::new(&enrolment.identity().url, &anonymous).unwrap();
        let store = Store::open(&folder.join(format!("{name}.db"))).unwrap();
        Self { enrolment, name: name.to_owned(), transport, store }
    }

    pub async fn once(&self) -> Result<Identity, EnrolError> {
        let now = keymgr::client::utc_ms();
        join(&self.enrolment, &self.name, "C", &self.transport, &self.store, now).await
    }
}

pub async fn start(identity: &Identity, store: &Store) -> tokio::task::JoinHandle<()> {
    start_with(identity, store, Box::new(Nowhere)).await
}

pub async fn start_with(
    identity: &Identity,
    store: &Store,
    publish: Box<dyn Publish>,
) -> tokio::task::JoinHandle<()> {
    let transport = HttpsTransport::new(&identity.url, &identity.tls()).unwrap();
    begin(identity, store, publish, Arc::new(transport)).await
}

pub async fn start_over(
    identity: &Identity,
    store: &Store,
    transport: Arc<dyn Transport>,
) -> tokio::task::JoinHandle<()> {
    begin(identity, store, Box::new(Nowhere), transport).await
}

/// A node side that speaks to nobody by itself: what `payhsm node carry` opens.
pub async fn side(identity: &Identity, store: &Store, publish: Box<dyn Publish>) -> NodeSide {
    let parts = Parts {
        store: store.clone(),
        installer: installer(),
        publish,
        clock: Arc::new(SystemClock::new().unwrap()),
        about: About { software: "test".into(), backend_class: "C".into() },
        ready: Arc::new(|| true),
        stored: None,
    };
    NodeSide::start(identity, parts, Rules::default()).await.unwrap()
}

async fn begin(
    identity: &Identity,
    store: &Store,
    publish: Box<dyn Publish>,
    transport: Arc<dyn Transport>,
) -> tokio::task::JoinHandle<()> {
    let side = side(identity, store, publish).await;
    let (handle, requests) = SideHandle::new();
    let pace = Pace { pull_wait_s: 2, retry_longest: Duration::from_millis(300), ..Pace::default() };
    tokio::spawn(async move {
        let _handle = handle;
        run(side, Some(transport), requests, pace, core::future::pending()).await.unwrap();
    })
}

/// The signature key of a node, as whoever has it would use it.
pub fn signer_of(identity: &Identity) -> keylink::SoftSigner {
    let text = serde_json::to_value(identity).unwrap();
    let seed = hex::decode(text["seed"].as_str().unwrap()).unwrap();
    keylink::SoftSigner::new(&seed.try_into().unwrap())
}
