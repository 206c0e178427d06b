//! The manager that is killed: a process of this test program, with keys that need no passphrase, so that a start
//! costs little.

use ed25519_dalek::SigningKey;
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use keymgr::channel::ListenerKey;
use keymgr::house::{House, HouseKeys, KeyRing};
use keymgr::server::Server;
use keymgr::vault::{Vault, VaultThread};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use zeroize::Zeroizing;

/// Of folders with sealed keys.
pub const PASSPHRASE: &[u8] = b"a centre that is killed";

const FOLDER: &str = "PAYHSM_TEST_KILL_FOLDER";

/// The keys of a house, plain.
#[derive(Serialize, Deserialize)]
pub struct Plain {
    /// Of manifests, checkpoints and the transport authority.
    pub signing: [[u8; 32]; 3],
    pub channel: Vec<u8>,
}

impl Plain {
    pub fn keys(&self, house: &House) -> HouseKeys {
        let signing = self.signing.each_ref().map(SigningKey::from_bytes);
        HouseKeys {
            ring: KeyRing::opened(house, signing.each_ref()).into(),
            channel: ListenerKey::from_der(Zeroizing::new(self.channel.clone())),
        }
    }

    fn read(folder: &Path) -> Self {
        serde_json::from_slice(&std::fs::read(folder.join("plain")).unwrap()).unwrap()
    }

    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("plain"), serde_json::to_vec(self).unwrap()).unwrap();
    }
}

#[test]
#[ignore = "the process that is killed; started by the tests of this program"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    // It ends when the process that started it has.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(9);
    });
    let house = House::at(folder.join("kmc"));
    let vault = VaultThread::start(|| {
        let simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        Vault::new(Box::new(simulator), LmkId(2))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = house.settings().unwrap();
        let plain = folder.join("plain").exists();
        let keys = if plain { Plain::read(folder).keys(&house) } else { house.open(PASSPHRASE).unwrap() };
        let server = Server::start(&house, &settings, keys, vault.unwrap()).await;
        let server = server.unwrap();
        println!("\nready");
        server.run(std::future::pending()).await;
    });
}

/// Starts it, to die at a place; returns when it is ready or dead.
pub async fn start(folder: &Path, failpoint: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child::child", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env("PAYHSM_FAILPOINT", failpoint)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let ready = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(out).lines();
        lines.any(|line| line.is_ok_and(|line| line == "ready"))
    });
    ready.await.unwrap();
    child
}
