//! A manager as a process runs it: the folder opened, the store led, both listeners taken. Over a vault that
//! the caller has opened, since this crate does not choose backends.

pub use crate::house::GENESIS;

use crate::api;
use crate::channel::{ListenerKey, Room, Share, Tls, serve};
use crate::core::Core;
use crate::core::input::Input;
use crate::house::{Genesis, GenesisError, House, HouseError, HouseKeys, Limits, Settings};
use crate::log::CheckpointKey;
use crate::service::{Clock, Manager, Parts, SentStore};
use crate::store::{Location, Store};
use crate::vault::{VaultError, VaultThread};
use crate::writer::{Options, Writer};
use keylink::Digest;
use keylink::succession::CentreKey;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

// For people's programs. A handshake takes milliseconds; whoever is in one has to be displaced by hundreds meanwhile
// to be kept out.
fn people(limits: &Limits) -> Room {
    Room {
        greeting: Share { total: 1024, each: 512 },
        strangers: Share { total: 256, each: limits.strangers_per_address },
        known: Share { total: 1024, each: limits.connections_per_person },
        head: Duration::from_secs(15),
    }
}

// For nodes, whose beats are half a minute apart. Thousands may come at once from one address, so handshakes are not
// counted by it.
fn nodes(limits: &Limits) -> Room {
    Room {
        greeting: Share { total: 8192, each: 8192 },
        strangers: Share { total: 2048, each: limits.strangers_per_address },
        known: Share { total: 20_000, each: limits.connections_per_node },
        head: Duration::from_secs(75),
    }
}

/// Why a manager does not run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Its folder.
    #[error(transparent)]
    House(#[from] HouseError),
    /// Its beginning.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// Its store.
    #[error("store: {0}")]
    Store(#[from] crate::store::Error),
    /// A setting that means nothing.
    #[error("settings: {0}")]
    Setting(String),
    /// A port cannot be taken.
    #[error("{0}: {1}")]
    Listen(String, std::io::Error),
    /// The listeners cannot be certified.
    #[error(transparent)]
    Transport(#[from] crate::service::TransportProblem),
    /// The store is of another centre than the folder.
    #[error("the store belongs to another centre than this folder")]
    OtherCentre,
    /// No stored key opens under the master key.
    #[error("the store's keys are under another master key than the backend's")]
    OtherMaster,
    /// The key that signs is not in the folder: it was changed by a manager that runs from another one.
    #[error(
        "the {0} key that signs is not in this folder: bring the files {0}-*.pem of the folder in which it was made"
    )]
    KeyElsewhere(CentreKey),
    /// The backend went away meanwhile.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The beginning was not committed.
    #[error("the centre could not be founded: {0}")]
    NotFounded(String),
}

/// Where a store is, a path seen from the manager's folder.
pub fn location(house: &House, settings: &Settings) -> Result<Location, ServerError> {
    let location: Location = settings.store.parse().map_err(ServerError::Setting)?;
    Ok(match location {
        Location::Sqlite(path) if path.is_relative() => Location::Sqlite(house.path(&path.to_string_lossy())),
        other => other,
    })
}

/// A manager whose ports are taken.
pub struct Server {
    manager: Manager,
    api: TcpListener,
    link: TcpListener,
    key: Digest,
    limits: Limits,
}

impl core::fmt::Debug for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// Opens store and listeners; founds the centre when it is new and every officer has signed.
    pub async fn start(
        house: &House,
        settings: &Settings,
        keys: HouseKeys,
        vault: VaultThread,
    ) -> Result<Self, ServerError> {
        Self::start_by(Clock::start(), house, settings, keys, vault).await
    }

    /// The same by another clock than that of the system.
    pub async fn start_by(
        clock: Clock,
        house: &House,
        settings: &Settings,
        keys: HouseKeys,
        vault: VaultThread,
    ) -> Result<Self, ServerError> {
        let genesis = Genesis::read(&house.read(GENESIS)?)?;
        let founding = genesis.founding()?;
        keys.ring.belongs_to(genesis.kmc())?;
        if !settings.limits.hold() {
            return Err(ServerError::Setting("limits: a limit of nothing lets nobody in".to_owned()));
        }
        let (api, link) = (listen(&settings.listen).await?, listen(&settings.link).await?);
        let link_url = url(settings, &link)?;
        let location = location(house, settings)?;
        let options =
            writer_options(location.clone(), &keys, &genesis, settings.name.clone(), clock.clone())?;
        // Stores are plain blocking code, and one that is behind a connection waits for it within a runtime of its own.
        let open = move || Ok((Writer::start(options)?, SentStore::open(location)?));
        let opened: Result<_, crate::store::Error> =
            tokio::task::spawn_blocking(open).await.map_err(|e| std::io::Error::other(e).into()).flatten();
        let (writer, sent) = opened?;
        let key = digest(&keys.channel)?;
        let manager = Manager::new(Parts {
            writer,
            sent,
            vault,
            ring: keys.ring,
            channel: keys.channel,
            names: settings.names.clone(),
            link_url,
            clock,
        });
        match manager.view(Core::kmc) {
            None => {
                let founded = manager.submit(None, Input::Found(founding)).await;
                founded.map_err(|error| ServerError::NotFounded(error.to_string()))?;
            }
            Some(kmc) if kmc != genesis.kmc() => return Err(ServerError::OtherCentre),
            Some(_) => {}
        }
        if let Some(key) = manager.missing_key() {
            return Err(ServerError::KeyElsewhere(key));
        }
        if !manager.master_opens_the_store().await? {
            return Err(ServerError::OtherMaster);
        }
        manager.keep_epoch().await;
        manager.keep_transport().await?;
        Ok(Self { manager, api, link, key, limits: settings.limits })
    }

    /// The manager, to look at.
    pub const fn manager(&self) -> &Manager {
        &self.manager
    }

    /// Address for people's programs.
    pub fn api(&self) -> Option<SocketAddr> {
        self.api.local_addr().ok()
    }

    /// Address for nodes.
    pub fn link(&self) -> Option<SocketAddr> {
        self.link.local_addr().ok()
    }

    /// SHA-256 of the SubjectPublicKeyInfo by which people's programs know it.
    pub const fn key(&self) -> Digest {
        self.key
    }

    /// Serves until `stop` is ready; then what is open may end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { manager, api, link, limits, .. } = self;
        let (ending, _) = watch::channel(false);
        let ended = || {
            let mut ended = ending.subscribe();
            async move {
                let _ = ended.wait_for(|ended| *ended).await;
            }
        };
        let (persons, units) = (api::known_person(manager.clone()), api::known_node(manager.clone()));
        let people = serve(
            api,
            tls(&manager, Manager::people_tls),
            api::router(manager.clone()),
            (people(&limits), persons),
            ended(),
        );
        let router = api::link_router(manager.clone());
        let nodes = serve(link, tls(&manager, Manager::link_tls), router, (nodes(&limits), units), ended());
        let (people, nodes) = (tokio::spawn(people), tokio::spawn(nodes));
        let (pusher, stopped) = (manager.clone(), ended());
        let pushes = tokio::spawn(async move { pusher.push(stopped).await });
        let worker = manager.clone();
        let work = tokio::spawn(async move { worker.work().await });
        stop.await;
        let _ = ending.send(true);
        // A connection that does not end has had its time within `serve`.
        let _ = tokio::join!(people, nodes, pushes);
        work.abort();
        let _ = work.await;
        // The last handle waits for the writer's thread.
        let _ = tokio::task::spawn_blocking(move || drop(manager)).await;
    }
}

fn writer_options(
    location: Location,
    keys: &HouseKeys,
    genesis: &Genesis,
    holder: String,
    clock: Clock,
) -> Result<Options, ServerError> {
    if let Location::Sqlite(path) = &location
        && let Some(folder) = path.parent().filter(|folder| *folder != Path::new(""))
    {
        std::fs::create_dir_all(folder).map_err(|e| ServerError::Listen(folder.display().to_string(), e))?;
    }
    let origin = crate::service::origin(genesis.kmc());
    let keys = Arc::clone(&keys.ring);
    let of = move || {
        let signers = keys.signers(CentreKey::Checkpoint).into_iter();
        signers.map(|signer| CheckpointKey::by(&origin, Arc::new(signer))).collect::<Result<Vec<_>, _>>()
    };
    of().map_err(|e| ServerError::Setting(e.to_string()))?;
    let key = move || of().unwrap_or_default();
    let before = clock.clone();
    let options = Options::with_keys(move || Store::lead(&location), key, move || clock.now(), &holder);
    Ok(Options { was: Box::new(move |utc_ms| before.was(utc_ms)), ..options })
}

async fn listen(address: &str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|error| ServerError::Listen(address.to_owned(), error))
}

fn url(settings: &Settings, link: &TcpListener) -> Result<String, ServerError> {
    let port = link.local_addr().map_err(|e| ServerError::Listen(settings.link.clone(), e))?.port();
    let name =
        settings.names.first().ok_or_else(|| ServerError::Setting("no name to be reached by".into()))?;
    let name = if name.contains(':') { format!("[{name}]") } else { name.clone() };
    Ok(format!("https://{name}:{port}"))
}

// As the manager has it at the moment; a manager that runs has some.
fn tls(manager: &Manager, of: impl Fn(&Manager) -> Option<Arc<ServerConfig>> + Send + Sync + 'static) -> Tls {
    let manager = manager.clone();
    Arc::new(move || of(&manager).unwrap_or_else(|| unreachable!("made at the start")))
}

fn digest(key: &ListenerKey) -> Result<Digest, ServerError> {
    key.digest().ok_or_else(|| ServerError::Setting("the key of the listeners cannot be read".to_owned()))
}
