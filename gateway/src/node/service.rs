//! The node side of a running gateway: a thread with its own event loop, so that no core waits for the manager, the
//! store or the backend that installs keys.

use super::clock::SystemClock;
use super::https::{HttpsTransport, TlsIdentity};
use super::identity::{Identity, IdentityError, Who};
use super::installer::{Installer, InstallerLmks};
use super::keeper::{Keeper, erase};
use super::publish::{Cores, Publish};
use super::push::PushListener;
use super::renew::Renewal;
use super::run::{Pace, SideHandle, run};
use super::side::{NodeSide, Parts, SideError, Stored};
use super::store::{Store, StoreError};
use super::token::Custody;
use super::transport::{Transport, TransportError};
use crate::background::stand_back;
use crate::{BackendFactory, Health, Switches};
use gateway_config::NodeTable;
use hsm::{BackendClass, LmkId, LmkInfo, LmkScheme};
use keylink::node::{About, Rules};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Where a node keeps its identity, below the data folder.
pub fn identity_file(data: &Path) -> PathBuf {
    data.join("node.json")
}

/// Where a node keeps the keys with which it asks until officers have decided, below the data folder.
pub fn pending_file(data: &Path) -> PathBuf {
    data.join("node-pending.json")
}

/// Where a node keeps its state, below the data folder.
pub fn store_file(data: &Path) -> PathBuf {
    data.join("node.sqlite")
}

/// Why the node side does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The identity does not read: not enrolled, no permission, or sealed under another LMK.
    #[error("{path}: {source}", path = path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// The LMKs that keys are kept under are not loaded.
    #[error("node: no LMK {0} is loaded that can hold {1}")]
    Lmk(String, &'static str),
    /// State.
    #[error(transparent)]
    Side(#[from] SideError),
    /// Certificates, or the push listener's address.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Thread, runtime or randomness.
    #[error("node: {0}")]
    System(String),
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        Self::Side(error.into())
    }
}

/// Which LMKs a node uses: those that are named, or the first of all and the first AES key-block LMK.
pub fn choose_lmks(table: &NodeTable, lmks: &[LmkInfo]) -> Result<InstallerLmks, ServiceError> {
    let id = |lmk: Option<u8>| lmk.map_or_else(|| "at all".to_owned(), |id| LmkId(id).to_string());
    let find = |named: Option<u8>, fits: &dyn Fn(&LmkInfo) -> bool| {
        lmks.iter().find(|lmk| named.is_none_or(|id| lmk.id == LmkId(id)) && fits(lmk)).map(|lmk| lmk.id)
    };
    let traffic = find(table.lmk, &|_| true);
    let kek = find(table.kek_lmk, &|lmk| lmk.scheme == LmkScheme::AesBlock);
    Ok(InstallerLmks {
        traffic: traffic.ok_or_else(|| ServiceError::Lmk(id(table.lmk), "keys of traffic"))?,
        kek: kek.ok_or_else(|| ServiceError::Lmk(id(table.kek_lmk), "an AES root KEK"))?,
    })
}

/// What the service is made of.
pub struct ServiceSetup {
    /// Folder with identity and state.
    pub data: PathBuf,
    /// `[node]`.
    pub table: NodeTable,
    /// The gateway's cores.
    pub switches: Switches,
    /// Whether it serves.
    pub health: Health,
    /// LMKs of the backend.
    pub lmks: Vec<LmkInfo>,
    /// What the backend may claim.
    pub class: BackendClass,
    /// Makes the backend that installs keys.
    pub backend: Arc<BackendFactory>,
    /// Where signature keys of nodes are made, if the backend is of a token.
    pub token: Option<Custody>,
    /// See [`Parts::stored`].
    pub stored: Option<Stored>,
}

impl std::fmt::Debug for ServiceSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceSetup").field("table", &self.table).finish_non_exhaustive()
    }
}

impl ServiceSetup {
    /// What seals this node's keys.
    pub fn keeper(&self) -> Result<Keeper, ServiceError> {
        let lmks = choose_lmks(&self.table, &self.lmks)?;
        Ok(Keeper::new(Arc::clone(&self.backend), lmks.kek, self.token.clone()))
    }
}

/// The running service. Dropping it ends it; traffic goes on with the last table.
#[derive(Debug)]
pub struct NodeService {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    push: Option<SocketAddr>,
}

impl NodeService {
    /// Starts it; done when the stored key table is with the cores.
    pub fn start(setup: ServiceSetup) -> Result<Self, ServiceError> {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let work = move || serve(&setup, stopped, &ready);
        let thread = std::thread::Builder::new().name("node".to_owned()).spawn(work);
        let thread = thread.map_err(|error| ServiceError::System(error.to_string()))?;
        match is_ready.recv() {
            Ok(Ok(push)) => Ok(Self { stop: Some(stop), thread: Some(thread), push }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ServiceError::System("thread ended".to_owned())),
        }
    }

    /// Address at which pushes are taken.
    pub const fn push(&self) -> Option<SocketAddr> {
        self.push
    }
}

impl Drop for NodeService {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("node: thread panicked");
        }
    }
}

type Ready = mpsc::Sender<Result<Option<SocketAddr>, ServiceError>>;

fn serve(setup: &ServiceSetup, mut stopped: oneshot::Receiver<()>, ready: &Ready) {
    stand_back();
    let mut told = Told::No(ready);
    loop {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return told.failed(ServiceError::System(error.to_string())),
        };
        // What is shared with the rest of the process are key tables, which are handed over whole.
        let life = || runtime.block_on(live(setup, &mut stopped, &mut told));
        let lived = catch_unwind(AssertUnwindSafe(life));
        match lived.unwrap_or_else(|_| Err(ServiceError::System("panicked".to_owned()))) {
            Ok(()) => return,
            // Who starts it hears of it, and decides.
            Err(error) if !told.is_begun() => return told.failed(error),
            Err(error) => tracing::error!(%error, "node: begins anew from what is stored"),
        }
        let ended = async { tokio::time::timeout(PAUSE, &mut stopped).await.is_ok() };
        if runtime.block_on(ended) {
            return;
        }
    }
}

/// Between two lives of a node side.
const PAUSE: Duration = Duration::from_secs(1);

// Whether who started the service knows of it.
enum Told<'a> {
    No(&'a Ready),
    Yes,
}

impl Told<'_> {
    const fn is_begun(&self) -> bool {
        matches!(self, Self::Yes)
    }

    // False when nobody is there any more.
    fn begun(&mut self, push: Option<SocketAddr>) -> bool {
        match core::mem::replace(self, Self::Yes) {
            Self::No(ready) => ready.send(Ok(push)).is_ok(),
            Self::Yes => true,
        }
    }

    fn failed(&self, error: ServiceError) {
        match self {
            Self::No(ready) => _ = ready.send(Err(error)),
            Self::Yes => tracing::error!(%error, "node: ended"),
        }
    }
}

// One life of the node side, from what is stored until it is stopped.
async fn live(
    setup: &ServiceSetup,
    stopped: &mut oneshot::Receiver<()>,
    told: &mut Told<'_>,
) -> Result<(), ServiceError> {
    let Begun { side, transport, push } = begin(setup).await?;
    let (handle, requests) = SideHandle::new();
    if !told.begun(push.as_ref().map(PushListener::address)) {
        return Ok(());
    }
    let pushes = push.map(|push| tokio::spawn(push.serve(handle.clone(), core::future::pending())));
    // Ready when the service is dropped, too.
    let stop = async { drop(stopped.await) };
    let ended = run(side, transport, requests, Pace::default(), stop).await;
    pushes.inspect(tokio::task::JoinHandle::abort);
    Ok(ended?)
}

struct Begun {
    side: NodeSide,
    transport: Option<Arc<dyn Transport>>,
    push: Option<PushListener>,
}

async fn begin(setup: &ServiceSetup) -> Result<Begun, ServiceError> {
    let lmks = choose_lmks(&setup.table, &setup.lmks)?;
    let publish = Box::new(Cores::new(setup.switches.clone(), lmks.traffic));
    let ready = {
        let health = setup.health.clone();
        Arc::new(move || health.ready())
    };
    let (identity, mut side) = open(
        &setup.data,
        &setup.table,
        lmks,
        setup.keeper()?,
        setup.class,
        publish,
        ready,
        setup.stored.clone(),
    )
    .await?;
    let pull = setup.table.pull.unwrap_or(true);
    let url = setup.table.manager.as_deref().unwrap_or(&identity.url);
    let https = if pull { Some(HttpsTransport::new(url, &identity.tls())?) } else { None };
    let push = match setup.table.push {
        Some(address) => Some(PushListener::bind(address, &identity.tls()).await?),
        None => None,
    };
    let (asks, pushed) = (https.clone(), push.as_ref().map(PushListener::tls));
    let used = move |tls: &TlsIdentity| {
        asks.as_ref().map_or(Ok(()), |https| https.identify(tls))?;
        pushed.as_ref().map_or(Ok(()), |pushed| pushed.identify(tls))
    };
    match Renewal::new(identity.clone(), &identity_file(&setup.data), used) {
        Ok(renewal) => side.renew_by(renewal),
        Err(error) => tracing::warn!(%error, "the transport certificate will not be made anew"),
    }
    let transport = https.map(|https| -> Arc<dyn Transport> { Arc::new(https) });
    tracing::info!(node = %identity.node(), manager = url, pull, "key distribution");
    Ok(Begun { side, transport, push })
}

/// Opens the node side of a data folder.
#[allow(clippy::too_many_arguments)] // the parts of a side, which only this and `carry` put together
pub async fn open(
    data: &Path,
    table: &NodeTable,
    lmks: InstallerLmks,
    keeper: Keeper,
    class: BackendClass,
    publish: Box<dyn Publish>,
    ready: Arc<dyn Fn() -> bool + Send + Sync>,
    stored: Option<Stored>,
) -> Result<(Identity, NodeSide), ServiceError> {
    let path = identity_file(data);
    let failed = |path| move |source| ServiceError::Identity { path, source };
    Who::load(&path).map_err(failed(path.clone()))?;
    // Whoever has the store has the identity too: nobody else writes it meanwhile.
    let store = Store::open(&store_file(data))?;
    let mut identity = keeper.open(&path).map_err(failed(path.clone()))?;
    // Of no more use, and its keys may be clear.
    for left in [pending_file(data), pending_file(data).with_extension("new")] {
        erase(&left).map_err(failed(left.clone()))?;
    }
    let installer = Installer::start(keeper.backend(), lmks);
    let installer = installer.ok_or_else(|| ServiceError::Lmk(lmks.kek.to_string(), "an AES root KEK"))?;
    let clock = SystemClock::new().map_err(|error| ServiceError::System(error.to_string()))?;
    let parts = Parts {
        store,
        installer,
        publish,
        clock: Arc::new(clock),
        about: About {
            software: format!("payhsm {}", env!("CARGO_PKG_VERSION")),
            backend_class: class_letter(class).to_owned(),
        },
        ready,
        stored,
    };
    let skew_max_ms = table.skew_max_ms.unwrap_or(Rules::default().skew_max_ms);
    let side = NodeSide::start(&identity, parts, Rules { skew_max_ms }).await?;
    // The pinned document goes before what the file says.
    identity.authorities.clone_from(&side.machine().document().transport_keys);
    Ok((identity, side))
}

/// The letter of a backend class.
pub const fn class_letter(class: BackendClass) -> &'static str {
    match class {
        BackendClass::A => "A",
        BackendClass::B => "B",
        BackendClass::C => "C",
    }
}
