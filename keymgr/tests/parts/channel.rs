//! Connections prove both keys: a client with another server key in mind, and a client without a certificate,
//! get nowhere.

use axum::routing::get;
use axum::{Extension, Router};
use keylink::ids::Digest;
use keymgr::channel::{Known, Peer, Room, ServerKey, Share, client, client_tls, serve, server_tls};
use keymgr::person::spki_digest;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

async fn start() -> (String, Digest, tokio::sync::oneshot::Sender<()>) {
    listen(ServerKey::generate("localhost").unwrap()).await
}

async fn listen(key: ServerKey) -> (String, Digest, tokio::sync::oneshot::Sender<()>) {
    let share = Share { total: 16, each: 16 };
    let room = Room { greeting: share, strangers: share, known: share, head: Duration::from_secs(5) };
    listen_in(key, (room, Arc::new(|_| None))).await
}

async fn listen_in(
    key: ServerKey,
    room: (Room, Known),
) -> (String, Digest, tokio::sync::oneshot::Sender<()>) {
    let tls = server_tls(&key).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let app = Router::new().route(
        "/",
        get(|Extension(peer): Extension<Peer>| async move { format!("{} {:?}", peer.channel, peer.person) }),
    );
    let app = app.route("/long", get(async || vec![b'x'; 32 << 20]));
    tokio::spawn(serve(listener, Arc::new(move || Arc::clone(&tls)), app, room, async {
        let _ = stopped.await;
    }));
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
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn reaches(address: &str, tls: rustls::ClientConfig) -> bool {
    let socket = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let Ok(mut stream) = connector.connect("localhost".try_into().unwrap(), socket).await else {
        return false;
    };
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.is_ok_and(|_| answer.starts_with(b"HTTP/1.1 200"))
}

async fn open(url: &str, own: &ServerKey, server: Digest) -> std::io::Result<TlsStream<TcpStream>> {
    let address = url.trim_start_matches("https://").trim_end_matches('/');
    let tls = client_tls(&own.certificate, &own.key, server).unwrap();
    let socket = TcpStream::connect(address).await?;
    tokio_rustls::TlsConnector::from(Arc::new(tls)).connect("localhost".try_into().unwrap(), socket).await
}

// Asks for a path; what came of the answer, and whether the connection is still there then.
async fn ask(stream: &mut TlsStream<TcpStream>) -> Option<(String, bool)> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.ok()?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.ok().filter(|length| *length > 0)?;
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    let more = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut answer)).await;
    Some((text, more.is_err()))
}

// Five places for strangers, two of one address; two for whoever is known, three in all. One key is known.
async fn small(known: &ServerKey) -> (String, Digest, tokio::sync::oneshot::Sender<()>) {
    let known_digest = known.digest().unwrap();
    let room = Room {
        greeting: Share { total: 8, each: 8 },
        strangers: Share { total: 5, each: 2 },
        known: Share { total: 3, each: 2 },
        head: Duration::from_secs(60),
    };
    let judge: Known = Arc::new(move |peer| (peer.channel == known_digest).then_some(peer.channel.0));
    listen_in(ServerKey::generate("localhost").unwrap(), (room, judge)).await
}

#[tokio::test]
async fn strangers_have_one_answer_and_few_places() {
    let known = ServerKey::generate("known").unwrap();
    let (url, server, _stop) = small(&known).await;
    let stranger = ServerKey::generate("stranger").unwrap();
    let mut kept = open(&url, &known, server).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(open(&url, &stranger, server).await.unwrap());
    }
    // The newest two are left, and each is answered once.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut answers = Vec::new();
    for stream in &mut held {
        answers.push(ask(stream).await);
    }
    assert!(answers[..18].iter().all(Option::is_none), "{answers:?}");
    for answer in &answers[18..] {
        let (text, goes_on) = answer.as_ref().unwrap();
        assert!(text.contains("connection: close") && !goes_on, "{text}");
    }
    // None of it is at the cost of who is known.
    for _ in 0..3 {
        let (text, goes_on) = ask(&mut kept).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && goes_on, "{text}");
    }
}

#[tokio::test]
async fn handshakes_that_nobody_ends_keep_nobody_out() {
    let known = ServerKey::generate("known").unwrap();
    let (url, server, _stop) = small(&known).await;
    let address = url.trim_start_matches("https://").trim_end_matches('/');
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut stream = open(&url, &known, server).await.unwrap();
    assert!(ask(&mut stream).await.is_some());
    // The oldest have made room.
    let ended = tokio::time::timeout(Duration::from_secs(2), silent[0].read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
}

#[tokio::test]
async fn whoever_is_known_has_a_bounded_share_and_keeps_the_newest() {
    let known = ServerKey::generate("known").unwrap();
    let (url, server, _stop) = small(&known).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let mut stream = open(&url, &known, server).await.unwrap();
        assert!(ask(&mut stream).await.is_some());
        all.push(stream);
    }
    assert!(ask(&mut all[0]).await.is_none(), "displaced");
    assert!(ask(&mut all[1]).await.is_some() && ask(&mut all[2]).await.is_some());
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_left() {
    let known = ServerKey::generate("known").unwrap();
    let (url, server, _stop) = small(&known).await;
    let mut stream = open(&url, &known, server).await.unwrap();
    stream.write_all(b"GET /long HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got).await;
    assert!(began.elapsed() < Duration::from_secs(12), "not kept");
    assert!(got.len() < 32 << 20, "cut short: {}", got.len());
}
