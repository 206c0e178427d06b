//! The client against the real server, plain and over TLS.

use hostclient::load::Work;
use hostclient::{Client, Error, Load, Options, Tls};
use hostcmd::Code;
use hostcmd::commands::b2_echo::{Echo, Request};
use hostcmd::wire::Number;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tests::server::{Server, program};

fn ping() -> Request {
    Request { length: Number(4), data: b"ping".to_vec() }
}

#[tokio::test]
async fn typed_calls_pipelined() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.address(0).to_string(), Options::default()).await.unwrap();
    let calls: Vec<_> = (0..200)
        .map(|n: u32| {
            let client = client.clone();
            tokio::spawn(async move {
                let data = n.to_be_bytes().to_vec();
                let request = Request { length: Number(4), data: data.clone() };
                let (code, reply) = client.call::<Echo>(request).await.unwrap();
                assert_eq!((code, reply.unwrap().data), (Code::OK, data));
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(client.exchange(*b"B20001").await.unwrap(), b"B380");
}

struct Echoes;

impl Work for Echoes {
    fn request(&self, sequence: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("B20010{sequence:016X}").as_bytes());
    }
    fn verify(&self, sequence: u64, reply: &[u8]) -> bool {
        reply == format!("B300{sequence:016X}").as_bytes()
    }
}

#[tokio::test]
async fn load_is_verified_reply_by_reply() {
    let server = Server::start(&[]);
    let load = Load {
        connections: 4,
        depth: 32,
        requests_max: 20_000,
        duration: Duration::from_secs(60),
        verify_every: 1,
    };
    let address = server.address(0).to_string();
    let report = load.run(&address, &Options::default(), Arc::new(Echoes)).await.unwrap();
    assert_eq!((report.sent, report.verified, report.wrong, report.lost), (20_000, 20_000, 0, 0));
    assert_eq!(report.codes.get(b"00"), Some(&20_000));
}

struct Certificates {
    folder: tempfile::TempDir,
    ca: PathBuf,
    chain: PathBuf,
    key: PathBuf,
}

fn certificates() -> Certificates {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (ca, chain) = (write("ca.pem", made.cert.pem()), write("chain.pem", made.cert.pem()));
    let key = write("key.pem", made.signing_key.serialize_pem());
    Certificates { folder, ca, chain, key }
}

// `key = "value"` lines with paths in them.
fn configured(folder: &Path, text: &str) -> Server {
    let file = folder.join("payhsm.toml");
    std::fs::write(&file, text).unwrap();
    Server::configured(&file, &[0])
}

#[tokio::test]
async fn tls_is_verified_and_works() {
    let own = certificates();
    let text = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\n[[listener]]\nlisten = \"tls:127.0.0.1:0/00\"\n",
        own.chain, own.key
    );
    let server = configured(own.folder.path(), &text);
    let address = server.address(0).to_string();

    let tls = Tls::new("localhost", &own.ca, None).unwrap();
    let client = Client::connect(&address, Options { tls: Some(tls), ..Options::default() }).await.unwrap();
    let (code, reply) = client.call::<Echo>(ping()).await.unwrap();
    assert_eq!((code, reply.unwrap().data.as_slice()), (Code::OK, b"ping".as_slice()));

    let strangers = certificates();
    let refused = [
        Tls::new("localhost", &strangers.ca, None).unwrap(),
        Tls::new("another.example", &own.ca, None).unwrap(),
    ];
    for tls in refused {
        let connected = Client::connect(&address, Options { tls: Some(tls), ..Options::default() }).await;
        assert!(matches!(connected, Err(Error::Connect { .. })), "an unverified server is refused");
    }

    let send = |words: &[&str]| {
        let fixed = ["send", "--target", &address, "--tls", "--ca", own.ca.to_str().unwrap()];
        let output = std::process::Command::new(program()).args(fixed).args(words).output().unwrap();
        output.status.code()
    };
    assert_eq!(send(&["--server-name", "localhost", "B20004ping"]), Some(0));
    assert_eq!(send(&["B20004ping"]), Some(3), "the certificate names localhost and not the address");
}

#[tokio::test]
async fn an_ebcdic_listener_is_spoken_to_in_ebcdic() {
    let folder = tempfile::tempdir().unwrap();
    let server = configured(folder.path(), "[[listener]]\nlisten = \"127.0.0.1:0/00\"\nebcdic = true\n");
    let address = server.address(0).to_string();
    let options = Options { ebcdic: true, ..Options::default() };
    let client = Client::connect(&address, options).await.unwrap();
    let (code, reply) = client.call::<Echo>(ping()).await.unwrap();
    // Binary data is not converted: it comes back as it was sent.
    assert_eq!((code, reply.unwrap().data.as_slice()), (Code::OK, b"ping".as_slice()));
    let words = ["send", "--target", &address, "--ebcdic", "--json", "NC"];
    let output = std::process::Command::new(program()).args(words).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["decoded"]["command"], &document["decoded"]["code"]), (&"NC".into(), &"00".into()));
    assert_eq!(document["decoded"]["whole"], true);
}
