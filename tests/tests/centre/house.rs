//! A centre with three officers, an operator and an auditor, served in this process.

use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use keylink::root::Recovery;
use keylink::succession::CentreKey;
use keylink::{Sign, SoftSigner};
use keymgr::api::ActionView;
use keymgr::client::{Client, ManagerAddress};
use keymgr::core::action::Act;
use keymgr::core::input::Outcome;
use keymgr::core::people::Role;
use keymgr::house::{Beginning, Genesis, House, Limits, Settings};
use keymgr::person::{Home, PersonRequest};
use keymgr::server::{GENESIS, Server};
use keymgr::service::Clock;
use keymgr::vault::{Vault, VaultThread};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const PASSPHRASE: &[u8] = b"twelve or more";

pub struct Centre {
    pub folder: tempfile::TempDir,
    pub address: ManagerAddress,
    /// Where nodes speak.
    pub link: String,
    pub officers: Vec<Client>,
    pub operator: Client,
    pub auditor: Client,
    pub custodians: Vec<Client>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

pub fn vault() -> VaultThread {
    VaultThread::start(|| {
        let simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        Vault::new(Box::new(simulator), LmkId(2))
    })
    .unwrap()
}

// A port that stays the same through restarts: outside of the range from which the system gives ports to whoever asks
// for any, so that no connection of another test takes it while the centre is down.
fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 20_000 + std::process::id() % 100 * 100;
    std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed) % 100)
        .map(|port| format!("127.0.0.1:{port}"))
        .find(|address| std::net::TcpListener::bind(address).is_ok())
        .unwrap()
}

/// Keys that may replace officers.
pub fn recovery_keys() -> [SoftSigner; 2] {
    [0xF1, 0xF2].map(|seed| SoftSigner::new(&[seed; 32]))
}

pub async fn serve(folder: &Path) -> (ManagerAddress, oneshot::Sender<()>, JoinHandle<()>) {
    serve_by(Clock::start(), folder).await
}

pub async fn serve_by(clock: Clock, folder: &Path) -> (ManagerAddress, oneshot::Sender<()>, JoinHandle<()>) {
    let house = House::at(folder.join("kmc"));
    let keys = house.open(PASSPHRASE).unwrap();
    let settings = house.settings().unwrap();
    let server = Server::start_by(clock, &house, &settings, keys, vault()).await.unwrap();
    let url = format!("https://{}", server.api().unwrap());
    let address = ManagerAddress { url, key: server.key() };
    let (stop, stopped) = oneshot::channel();
    let run = server.run(async {
        let _ = stopped.await;
    });
    (address, stop, tokio::spawn(run))
}

impl Centre {
    pub async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["Ada", "Ben", "Cleo", "Otto", "Ida", "Cora", "Carl"];
        let homes: Vec<Home> = names.iter().map(|name| Home::at(folder.path().join(name))).collect();
        let identities: Vec<_> =
            homes.iter().zip(names).map(|(home, name)| home.create(name, PASSPHRASE).unwrap()).collect();
        let role = |at| match at {
            0..=2 => Role::SecurityOfficer,
            3 => Role::Operator,
            4 => Role::Auditor,
            _ => Role::Custodian,
        };
        let persons: Vec<_> = identities
            .iter()
            .enumerate()
            .map(|(at, identity)| (PersonRequest::of(identity), [role(at)].into()))
            .collect();
        let house = House::at(folder.path().join("kmc"));
        let settings = Settings {
            name: "test centre".to_owned(),
            store: "store.db".to_owned(),
            listen: free_address(),
            link: free_address(),
            names: vec!["127.0.0.1".to_owned()],
            live: false,
            limits: Limits::default(),
        };
        let utc_ms = keymgr::client::utc_ms();
        let keys = house.create(&settings, PASSPHRASE).unwrap();
        let mut genesis = Genesis::draft(&Beginning {
            name: &settings.name,
            manifest: keys.ring.first(CentreKey::Manifest),
            checkpoint: keys.ring.first(CentreKey::Checkpoint),
            transport: keys.ring.first(CentreKey::Transport),
            persons: &persons,
            recovery: Recovery { keys: recovery_keys().map(|key| key.key()).to_vec(), needed: 2 },
            utc_ms,
        })
        .unwrap();
        assert!(genesis.founding().is_err(), "no signature yet");
        identities.iter().take(3).for_each(|officer| genesis.sign(officer).unwrap());
        assert!(genesis.sign(&identities[3]).is_err(), "an operator signs no root document");
        house.write(GENESIS, &genesis.to_bytes()).unwrap();
        let (address, stop, serving) = serve(folder.path()).await;
        let mut clients: Vec<Client> =
            identities.into_iter().map(|identity| Client::new(&address, identity).unwrap()).collect();
        let custodians = clients.split_off(5);
        let auditor = clients.pop().unwrap();
        let operator = clients.pop().unwrap();
        Self {
            folder,
            address,
            link: format!("https://{}", settings.link),
            officers: clients,
            operator,
            auditor,
            custodians,
            stop: Some(stop),
            serving: Some(serving),
        }
    }

    pub async fn again(&mut self) {
        self.again_by(Clock::start()).await;
    }

    pub async fn again_by(&mut self, clock: Clock) {
        let (address, stop, serving) = serve_by(clock, self.folder.path()).await;
        assert_eq!(address, self.address);
        (self.stop, self.serving) = (Some(stop), Some(serving));
    }

    pub async fn end(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.serving.take().unwrap().await.unwrap();
    }

    /// The operator asks; two officers approve everything that waits.
    pub async fn ask(&self, acts: &[Act]) {
        for act in acts {
            self.operator.propose(act).await.unwrap();
        }
        self.approve_all().await;
    }

    pub async fn approve_all(&self) {
        for officer in &self.officers[..2] {
            for view in officer.pending().await.unwrap() {
                let outcome = officer.approve(&view).await.unwrap();
                assert!(matches!(outcome, Outcome::Approved { .. }));
            }
        }
        let left: Vec<ActionView> = self.operator.pending().await.unwrap();
        assert!(left.is_empty());
        let all: Vec<ActionView> = self.operator.all("/actions").await.unwrap();
        let failed =
            all.iter().find(|v| matches!(v.action.state, keymgr::core::approval::ActionState::Failed(_)));
        assert!(failed.is_none(), "{:?}", failed.map(|v| (&v.word, &v.action.state)));
    }
}
