//! A centre with three officers and an operator, served in this process over its real listeners.

use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use keylink::KmcId;
use keylink::root::Recovery;
use keylink::succession::CentreKey;
use keymgr::api::ActionView;
use keymgr::client::{Client, ManagerAddress};
use keymgr::core::action::Act;
use keymgr::core::approval::ActionState;
use keymgr::core::people::Role;
use keymgr::house::{Beginning, Genesis, House, Limits, Settings};
use keymgr::log::{CheckpointKey, Ledger};
use keymgr::person::{Home, PersonRequest};
use keymgr::server::{GENESIS, Server};
use keymgr::service::Manager;
use keymgr::store::{Location, Store};
use keymgr::vault::{Vault, VaultError, VaultThread};
use std::path::Path;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PASSPHRASE: &[u8] = b"for one measurement";
const NAMES: [(&str, Role); 4] = [
    ("Ada", Role::SecurityOfficer),
    ("Ben", Role::SecurityOfficer),
    ("Cleo", Role::SecurityOfficer),
    ("Otto", Role::Operator),
];

/// A centre in its folder, founded or not.
pub struct Founded {
    house: House,
    settings: Settings,
    /// The centre.
    pub kmc: KmcId,
    origin: String,
    officers: Vec<Client>,
    operator: Client,
}

/// The centre, served.
pub struct Centre {
    officers: Vec<Client>,
    /// Asks.
    pub operator: Client,
    manager: Manager,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

// A port that stays the same through restarts.
fn free_address() -> Result<String, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
    Ok(listener.local_addr().map_err(text)?.to_string())
}

// An address in words that settings take; a database's password is in it.
fn words(location: &Location) -> String {
    match location {
        Location::Sqlite(path) => {
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
        }
        Location::Postgres(url) => url.clone(),
    }
}

/// A backend with the centre's master key.
pub fn vault() -> Result<Vault, VaultError> {
    let simulator = Simulator::new(&LmkSet::public_test(), Options::default());
    Vault::new(Box::new(simulator.map_err(|_| VaultError::Backend)?), LmkId(2))
}

impl Founded {
    /// Makes the folder, the persons and the signed beginning.
    pub fn new(folder: &Path, store: &Location) -> Result<Self, String> {
        let make = |(name, _): &(&str, Role)| Home::at(folder.join(name)).create(name, PASSPHRASE);
        let identities: Vec<_> = NAMES.iter().map(make).collect::<Result<_, _>>().map_err(text)?;
        let requests = identities.iter().zip(NAMES);
        let persons: Vec<_> =
            requests.map(|(identity, (_, role))| (PersonRequest::of(identity), [role].into())).collect();
        let house = House::at(folder.join("kmc"));
        let settings = Settings {
            name: "benchmark".to_owned(),
            store: words(store),
            listen: free_address()?,
            link: free_address()?,
            names: vec!["127.0.0.1".to_owned()],
            live: false,
            // The whole fleet asks from one address.
            limits: Limits { strangers_per_address: 1024, ..Limits::default() },
        };
        let utc_ms = keymgr::client::utc_ms();
        let keys = house.create(&settings, PASSPHRASE).map_err(text)?;
        let mut genesis = Genesis::draft(&Beginning {
            name: &settings.name,
            manifest: keys.ring.first(CentreKey::Manifest),
            checkpoint: keys.ring.first(CentreKey::Checkpoint),
            transport: keys.ring.first(CentreKey::Transport),
            persons: &persons,
            recovery: Recovery::default(),
            utc_ms,
        })
        .map_err(text)?;
        for officer in identities.iter().take(3) {
            genesis.sign(officer).map_err(text)?;
        }
        house.write(GENESIS, &genesis.to_bytes()).map_err(text)?;
        let key = keys.channel.digest().ok_or("no channel key")?;
        let address = ManagerAddress { url: format!("https://{}", settings.listen), key };
        let clients = identities.into_iter().map(|identity| Client::new(&address, identity));
        let mut officers: Vec<Client> = clients.collect::<Result<_, _>>().map_err(text)?;
        let operator = officers.pop().ok_or("no operator")?;
        let kmc = genesis.kmc();
        let origin = format!("payhsm.kmc/{kmc}");
        Ok(Self { house, settings, kmc, origin, officers, operator })
    }

    /// Starts the manager, as `kmc serve` does: keys opened, store led, listeners taken.
    pub async fn serve(&self) -> Result<Centre, String> {
        let keys = self.house.open(PASSPHRASE).map_err(text)?;
        let vault = VaultThread::start(vault).map_err(text)?;
        let server = Server::start(&self.house, &self.settings, keys, vault);
        let server = server.await.map_err(text)?;
        let manager = server.manager().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let (officers, operator) = (self.officers.clone(), self.operator.clone());
        Ok(Centre { officers, operator, manager, stop, serving })
    }

    /// The store, to be filled while no manager runs.
    pub fn lead(&self, store: &Location) -> Result<Ledger, String> {
        let keys = self.house.open(PASSPHRASE).map_err(text)?;
        let first = keys.ring.signers(CentreKey::Checkpoint).into_iter().next().ok_or("no checkpoint key")?;
        let key = CheckpointKey::by(&self.origin, std::sync::Arc::new(first)).map_err(text)?;
        let store = Store::lead(store).map_err(text)?;
        Ledger::lead(store, key, "benchmark", keymgr::client::utc_ms()).map_err(text)
    }
}

impl Centre {
    /// The operator asks; two officers approve.
    pub async fn ask(&self, acts: &[Act]) -> Result<(), String> {
        let mut asked = Vec::new();
        for act in acts {
            asked.push(self.operator.propose(act).await.map_err(text)?.action);
        }
        for officer in self.officers.iter().take(2) {
            for view in officer.pending().await.map_err(text)? {
                officer.approve(&view).await.map_err(text)?;
            }
        }
        for action in asked {
            let view: ActionView = self.operator.get(&format!("/actions/{action}")).await.map_err(text)?;
            if view.action.state != ActionState::Done {
                return Err(format!("{:?} is not done: {:?}", view.word, view.action.state));
            }
        }
        Ok(())
    }

    /// The service itself.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// Committed entries of the log.
    pub fn log_size(&self) -> u64 {
        self.manager.writer().standing().log_size
    }

    /// Commits since the start.
    pub fn commits(&self) -> u64 {
        self.manager.writer().standing().commits
    }

    /// The manager ends.
    pub async fn end(self) {
        drop(self.manager);
        let _ = self.stop.send(());
        let _ = self.serving.await;
    }
}
