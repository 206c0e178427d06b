//! The shared store over a network: the connection is encrypted and the server known as far as the address says so,
//! against a real server with certificates of an own authority.

use crate::common::postgres::{Cluster, listening, other_user};
use keymgr::log::{CheckpointKey, Ledger};
use keymgr::store::{Error, Location, Store};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    if let Some((uid, gid)) = other_user() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

// Certificate and key of this name in this folder.
fn certified(folder: &Path, authority: &Authority, name: &str, file: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.signed_by(&key, authority).unwrap();
    private(&folder.join(format!("{file}.crt")), &certificate.pem());
    private(&folder.join(format!("{file}.key")), &key.serialize_pem());
}

struct Server {
    cluster: Cluster,
    port: u16,
    ours: tempfile::TempDir,
}

impl Server {
    // Every session over TCP is encrypted or refused; the user `carded` shows a certificate besides.
    fn start(authority: &Authority) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = listening(port)?;
        let data = cluster.folder().join("data");
        certified(&data, authority, "127.0.0.1", "server");
        private(&data.join("root.crt"), &authority.pem());
        let rules =
            "local all all trust\nhostssl all carded 127.0.0.1/32 cert\nhostssl all kmc 127.0.0.1/32 trust\n";
        private(&data.join("pg_hba.conf"), rules);
        for sql in [
            "CREATE ROLE carded LOGIN SUPERUSER",
            "ALTER SYSTEM SET ssl_ca_file = 'root.crt'",
            "ALTER SYSTEM SET ssl_cert_file = 'server.crt'",
            "ALTER SYSTEM SET ssl_key_file = 'server.key'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            cluster.try_run("postgres", sql).unwrap();
        }
        let server = Self { cluster, port, ours: tempfile::tempdir().unwrap() };
        // The server reads its files when it gets to it.
        for _ in 0..100 {
            if server.lead("kmc", "127.0.0.1", "?sslmode=require").is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Some(server)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.ours.path().join(file)
    }

    fn lead(&self, user: &str, host: &str, words: &str) -> Result<Store, Error> {
        let url = format!("postgres://{user}@{host}:{}/postgres{words}", self.port);
        Store::lead(&Location::Postgres(url))
    }

    fn encrypted(&self) -> bool {
        let sql = "SELECT bool_and(s.ssl)::text FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                   WHERE a.application_name = 'payhsm kmc'";
        self.cluster.try_run("postgres", sql).unwrap()[0][0].as_deref() == Some("true")
    }
}

fn why(refused: Result<Store, Error>) -> String {
    keymgr::with_causes(&refused.err().expect("refused"))
}

#[test]
fn a_session_is_encrypted_and_its_server_known() {
    let (own, other) = (authority(), authority());
    let Some(server) = Server::start(&own) else {
        eprintln!("SKIP the package `postgresql` is missing: the shared store is not tested");
        return;
    };
    let (root, foreign) = (server.path("root.pem"), server.path("foreign.pem"));
    fs::write(&root, own.pem()).unwrap();
    fs::write(&foreign, other.pem()).unwrap();
    let with = |mode: &str, root: &Path| format!("?sslmode={mode}&sslrootcert={}", root.display());

    // The whole way of a manager over it.
    let mut store = server.lead("kmc", "127.0.0.1", &with("verify-full", &root)).unwrap();
    assert!(server.encrypted());
    assert!(store.settings().unwrap().contains(&("tls".to_owned(), "verify-full".to_owned())));
    let key = CheckpointKey::new("kmc.test/tls", ed25519_dalek::SigningKey::from_bytes(&[4; 32])).unwrap();
    drop(Ledger::lead(store, key, "manager", 1_800_000_000_000).unwrap());

    // A server of another authority, and one of another name.
    for mode in ["verify-full", "verify-ca", "require"] {
        let found = why(server.lead("kmc", "127.0.0.1", &with(mode, &foreign)));
        assert!(found.contains("UnknownIssuer") || found.contains("BadSignature"), "{mode}: {found}");
    }
    assert!(why(server.lead("kmc", "localhost", &with("verify-full", &root))).contains("name"));
    drop(server.lead("kmc", "localhost", &with("verify-ca", &root)).unwrap());
    assert!(server.lead("kmc", "127.0.0.1", "?sslmode=require").is_ok());

    // The server takes no session in the clear.
    assert!(why(server.lead("kmc", "127.0.0.1", "?sslmode=disable")).contains("pg_hba"));

    // A database that wants to see a certificate gets one.
    assert!(why(server.lead("carded", "127.0.0.1", &with("verify-full", &root))).contains("certificate"));
    certified(server.ours.path(), &own, "carded", "carded");
    let words = format!(
        "{}&sslcert={}&sslkey={}",
        with("verify-full", &root),
        server.path("carded.crt").display(),
        server.path("carded.key").display()
    );
    drop(server.lead("carded", "127.0.0.1", &words).unwrap());
}
