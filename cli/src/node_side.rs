//! The node side of key distribution within `payhsm serve`: becomes known with a token, then takes keys until the
//! process ends. Traffic never waits for it.

use crate::exit::Failure;
use gateway::node::{
    Cores, EnrolError, Enrolment, HttpsTransport, Identity, Installer, InstallerLmks, NodeSide, NodeTable, Pace, Parts,
    PushListener, SideHandle, Store, SystemClock, TlsIdentity, Transport, join, run,
};
use gateway::{BackendFactory, Switches};
use hsm::LmkId;
use keylink::message::EnrolmentToken;
use keylink::node::{About, Rules};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const IDENTITY: &str = "node.json";
const ASKING: &str = "node-asking.json";
const STORE: &str = "node.sqlite";
/// Between two questions whether officers have decided.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What `serve` was told about its manager.
#[derive(Debug)]
pub struct NodeSetup {
    /// Folder of identity and state.
    pub folder: PathBuf,
    /// File with the token, for a node that is not known yet.
    pub token: Option<PathBuf>,
    /// Name for people.
    pub name: String,
    /// `[node]` of the configuration.
    pub table: NodeTable,
}

impl NodeSetup {
    /// Whether this gateway takes keys from a manager at all.
    pub fn wanted(&self) -> bool {
        self.token.is_some() || self.folder.join(IDENTITY).exists()
    }
}

/// Begins; gives the line that says who this node is. Must be called within a runtime, which then does the work.
pub fn begin(setup: NodeSetup, switches: Switches, backend: Arc<BackendFactory>) -> Result<String, Failure> {
    let lmks = InstallerLmks {
        traffic: LmkId(setup.table.lmk.unwrap_or(0)),
        kek: LmkId(setup.table.kek_lmk.unwrap_or(2)),
    };
    let installer = Installer::start(backend, lmks).ok_or_else(|| {
        Failure::usage("[node] lmk and kek_lmk name LMKs of this unit, the second an AES key-block LMK")
    })?;
    let path = setup.folder.join(STORE);
    let store = Store::open(&path).map_err(|e| Failure::environment(format!("{}: {e}", path.display())))?;
    let cores = Cores::new(switches, lmks.traffic);
    if setup.folder.join(IDENTITY).exists() {
        let identity = load(&setup.folder.join(IDENTITY))?;
        let line = format!("node id={} enrolled", identity.node());
        tokio::spawn(live(setup, identity, store, installer, cores));
        return Ok(line);
    }
    let enrolment = asking(&setup)?;
    let (node, request) = enrolment.fingerprints();
    let line = format!("node name={} id={node} request={request}", setup.name);
    tokio::spawn(async move {
        match enrol(&setup, &enrolment, &store).await {
            Ok(identity) => live(setup, identity, store, installer, cores).await,
            Err(error) => tracing::error!(%error, "not enrolled"),
        }
    });
    Ok(line)
}

fn load(path: &Path) -> Result<Identity, Failure> {
    Identity::load(path).map_err(|e| Failure::environment(format!("{}: {e}", path.display())))
}

// The keys with which a node asks are kept until officers have decided, through restarts.
fn asking(setup: &NodeSetup) -> Result<Enrolment, Failure> {
    let file = setup.token.as_deref().ok_or_else(|| Failure::usage("a node becomes known by --enrol TOKEN-FILE"))?;
    let text = std::fs::read_to_string(file).map_err(|e| Failure::environment(format!("{}: {e}", file.display())))?;
    let token = EnrolmentToken::from_line(&text)
        .ok_or_else(|| Failure::usage(format!("{}: not a token for a node", file.display())))?;
    let kept = setup.folder.join(ASKING);
    if kept.exists() {
        return Enrolment::again(load(&kept)?, token).map_err(Failure::environment);
    }
    let enrolment = Enrolment::new(token).map_err(Failure::environment)?;
    let saved = enrolment.identity().save(&kept);
    saved.map_err(|e| Failure::environment(format!("{}: {e}", kept.display())))?;
    Ok(enrolment)
}

async fn enrol(setup: &NodeSetup, enrolment: &Enrolment, store: &Store) -> Result<Identity, EnrolError> {
    let anonymous = TlsIdentity { certificate: String::new(), ..enrolment.identity().tls() };
    let url = setup.table.manager.clone().unwrap_or_else(|| enrolment.identity().url.clone());
    let transport = HttpsTransport::new(&url, &anonymous)?;
    loop {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let utc_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        match join(enrolment, &setup.name, "C", &transport, store, utc_ms).await {
            Ok(identity) => {
                let kept = identity.save(&setup.folder.join(IDENTITY));
                kept.map_err(|error| EnrolError::Keys(error.to_string()))?;
                tracing::info!(node = %identity.node(), "enrolled");
                return Ok(identity);
            }
            Err(EnrolError::Waiting) => {}
            Err(EnrolError::Transport(error)) => tracing::warn!(%error, "asks again"),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn live(setup: NodeSetup, identity: Identity, store: Store, installer: Installer, cores: Cores) {
    if let Err(error) = try_live(&setup, &identity, store, installer, cores).await {
        tracing::error!(%error, "key distribution has ended; traffic goes on with the keys that are there");
    }
}

async fn try_live(
    setup: &NodeSetup,
    identity: &Identity,
    store: Store,
    installer: Installer,
    cores: Cores,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let parts = Parts {
        store,
        installer,
        publish: Box::new(cores),
        clock: Arc::new(SystemClock::new()?),
        about: About {
            software: format!("payhsm {}", env!("CARGO_PKG_VERSION")),
            backend_class: "C".to_owned(),
        },
        ready: Arc::new(|| true),
        stored: None,
    };
    let mut rules = Rules::default();
    rules.skew_max_ms = setup.table.skew_max_ms.unwrap_or(rules.skew_max_ms);
    let side = NodeSide::start(identity, parts, rules).await?;
    let url = setup.table.manager.clone().unwrap_or_else(|| identity.url.clone());
    let transport: Option<Arc<dyn Transport>> = match setup.table.pull.unwrap_or(true) {
        true => Some(Arc::new(HttpsTransport::new(&url, &identity.tls())?)),
        false => None,
    };
    let (handle, requests) = SideHandle::new();
    if let Some(address) = setup.table.push {
        let listener = PushListener::bind(address, &identity.tls()).await?;
        tokio::spawn(listener.serve(handle.clone(), core::future::pending()));
    }
    // The handle lives as long as the node side: without it requests would end at once.
    let pace = Pace::default();
    let ended = run(side, transport, requests, pace, core::future::pending()).await;
    drop(handle);
    Ok(ended?)
}
