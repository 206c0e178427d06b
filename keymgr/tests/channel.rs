//! Connections prove both keys: a client with another server key in mind, and a client without a certificate,
//! get nowhere.

use axum::routing::get;
use axum::{Extension, Router};
use keylink::ids::Digest;
use keymgr::channel::{Peer, Room, ServerKey, client, serve, server_tls};
use keymgr::person::spki_digest;

async fn start() -> (String, Digest, tokio::sync::oneshot::Sender<()>) {
    listen(ServerKey::generate("localhost").unwrap()).await
}

async fn listen(key: ServerKey) -> (String, Digest, tokio::sync::oneshot::Sender<()>) {
    let tls = server_tls(&key).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let app = Router::new().route(
        "/",
        get(|Extension(peer): Extension<Peer>| async move { format!("{} {:?}", peer.channel, peer.person) }),
    );
    tokio::spawn(serve(
        listener,
        tls,
        app,
        Room { connections: 16, head: std::time::Duration::from_secs(5) },
        async {
            let _ = stopped.await;
        },
    ));
    (url, key.digest().unwrap(), stop)
}

#[tokio::test]
async fn both_ends_prove_their_keys() {
    let (url, server, _stop) = start().await;
    let own = ServerKey::generate("client").unwrap();
    let http = client(&own.certificate, &own.key, server).unwrap();
    let seen = http.get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(seen, format!("{} None", spki_digest(&own.certificate).unwrap()));
    let other = client(&own.certificate, &own.key, Digest([1; 32])).unwrap();
    assert!(other.get(&url).send().await.is_err());
}

#[tokio::test]
async fn a_certificate_is_needed_and_so_is_its_key() {
    let key = ServerKey::generate("localhost").unwrap();
    let known = without_certificate(&key);
    let (url, server, _stop) = listen(key).await;
    let (one, two) = (ServerKey::generate("a").unwrap(), ServerKey::generate("b").unwrap());
    let address = url.trim_start_matches("https://").trim_end_matches('/');
    assert!(!reaches(address, known).await);
    let stolen = client(&one.certificate, &two.key, server);
    match stolen {
        Err(_) => {}
        Ok(http) => assert!(http.get(&url).send().await.is_err()),
    }
}

// A client that would take the server, if the server were known to it by name, and shows no certificate.
fn without_certificate(any: &ServerKey) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(any.certificate.clone().into()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn reaches(address: &str, tls: rustls::ClientConfig) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let Ok(mut stream) = connector.connect("localhost".try_into().unwrap(), socket).await else {
        return false;
    };
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.is_ok_and(|_| answer.starts_with(b"HTTP/1.1 200"))
}
