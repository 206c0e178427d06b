//! HTTPS: pull and push with certificates of both sides, and who is not let in.

use crate::manager::{Certify, Manager, named, utc_ms};
use crate::node::{PACE, nowhere, parts, store, zpk};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use gateway::node::{
    EnrolError, Enrolment, HttpsTransport, Identity, NodeSide, PushListener, RenewError, SideHandle,
    TlsIdentity, join, run,
};
use keylink::endpoint::Endpoint;
use keylink::envelope::{bytes_of, strict};
use keylink::message::{Parcel, ReceiptKind, Step};
use keylink::node::Rules;
use keylink::{SoftSigner, TrySign};
use keymgr::house::RingSigner;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_cert::der::Decode;
use x509_cert::request::CertReq;

type Issuer = CertifiedIssuer<'static, RingSigner>;

// The root document of these tests names the one of seed 102.
const NAMED: u8 = 102;

fn authority(seed: u8) -> Issuer {
    let signer = RingSigner::here(SoftSigner::new(&[seed; 32]));
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, keylink::authority::ORGANIZATION);
    params.distinguished_name.push(rcgen::DnType::CommonName, signer.public().to_string());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, signer).unwrap()
}

fn of_manager(ca: &Issuer) -> TlsIdentity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, ca).unwrap();
    let authorities = vec![ca.key().public()];
    TlsIdentity { certificate: certificate.pem(), key: key.serialize_pem().into(), authorities }
}

struct Tls(TcpListener, TlsAcceptor);

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

async fn answer(State(manager): State<Manager>, uri: Uri, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    let endpoint = Endpoint::ALL.into_iter().find(|e| e.path() == uri.path()).ok_or(StatusCode::NOT_FOUND)?;
    if endpoint == Endpoint::Pull {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    manager.with(|state| state.serve(endpoint, &body)).ok_or(StatusCode::ACCEPTED)
}

// Enrolment comes without a certificate; all the rest is refused by the manager's API then, which is not this test's.
async fn serve(manager: Manager, identity: &TlsIdentity, ca: &Issuer) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .unwrap();
    use rustls::pki_types::pem::PemObject;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let router = Router::new().fallback(answer).with_state(manager);
    tokio::spawn(async move {
        axum::serve(Tls(listener, TlsAcceptor::from(Arc::new(config))), router).await.unwrap();
    });
    url
}

// The key that a node asks a certificate for.
struct Asked(Vec<u8>);

impl rcgen::PublicKeyData for Asked {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

fn certified(request: &[u8], issuer: &Issuer) -> Vec<u8> {
    let asked = CertReq::from_der(request).unwrap().info;
    let name = asked.subject.to_string();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name.strip_prefix("CN=").unwrap());
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = Asked(asked.public_key.subject_public_key.raw_bytes().to_vec());
    params.signed_by(&key, issuer).unwrap().der().to_vec()
}

pub struct Net {
    pub manager: Manager,
    tls: TlsIdentity,
    url: String,
    pub folder: tempfile::TempDir,
}

pub async fn net() -> Net {
    let manager = Manager::new();
    let ca = Arc::new(authority(NAMED));
    let issuer = Arc::clone(&ca);
    manager.with(|state| {
        state.authorities = vec![ca.key().public()];
        state.certify = Some(Box::new(move |request| Some(certified(request, &issuer))));
    });
    let tls = of_manager(&ca);
    let url = serve(manager.clone(), &tls, &ca).await;
    Net { manager, tls, url, folder: tempfile::tempdir().unwrap() }
}

pub async fn enrol(net: &Net, store: &gateway::node::Store) -> Identity {
    let enrolment = Enrolment::new(net.manager.token(&net.url)).unwrap();
    let transport = HttpsTransport::new(&net.url, &enrolment.identity().tls()).unwrap();
    net.manager.with(|state| state.approve_enrolment = false);
    let waiting = join(&enrolment, "n", "C", &transport, store, utc_ms()).await;
    assert!(matches!(waiting, Err(EnrolError::Waiting)));
    net.manager.with(|state| state.approve_enrolment = true);
    join(&enrolment, "n", "C", &transport, store, utc_ms()).await.unwrap()
}

#[tokio::test]
async fn enrolled_and_pulled_over_https() {
    let net = net().await;
    let store = store(net.folder.path());
    let identity = enrol(&net, &store).await;
    let path = net.folder.path().join("node.json");
    identity.save(&path).unwrap();
    let identity = Identity::load(&path).unwrap();
    let side = NodeSide::start(&identity, parts(&store, nowhere()), Rules::default()).await.unwrap();
    let transport = Arc::new(HttpsTransport::new(&net.url, &identity.tls()).unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let (_handle, requests) = SideHandle::new();
    let running = tokio::spawn(run(side, Some(transport), requests, PACE, async { drop(stopped.await) }));
    let (node, keys) = (identity.node(), zpk());
    net.manager.with(|state| state.offer_kek(node));
    net.manager.wait(node, ReceiptKind::KekInstalled, 1).await;
    net.manager.with(|state| {
        let target = state.target(node, &keys, 1, Step::Protect);
        state.post(node, &keys, vec![target]);
    });
    net.manager.wait(node, ReceiptKind::Activated, 1).await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

async fn push(net: &Net, address: SocketAddr, identity: &TlsIdentity, mail: &[u8]) -> Option<Vec<u8>> {
    let connector = TlsConnector::from(Arc::new(identity.client().ok()?));
    let stream = TcpStream::connect(address).await.ok()?;
    let mut stream = connector.connect(ServerName::try_from("localhost").ok()?, stream).await.ok()?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        keylink::endpoint::PUSH_PATH,
        mail.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(mail).await.ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let _ = net;
    Some(answer[at + 4..].to_vec())
}

// A node that asks nobody and is pushed to at this address.
async fn pushed_to(net: &Net) -> (Identity, SocketAddr) {
    let store = store(net.folder.path());
    let identity = enrol(net, &store).await;
    let side = NodeSide::start(&identity, parts(&store, nowhere()), Rules::default()).await.unwrap();
    let listener = PushListener::bind("127.0.0.1:0".parse().unwrap(), &identity.tls()).await.unwrap();
    let address = listener.address();
    let (handle, requests) = SideHandle::new();
    tokio::spawn(listener.serve(handle, core::future::pending()));
    tokio::spawn(run(side, None, requests, PACE, core::future::pending()));
    (identity, address)
}

#[tokio::test]
async fn pushed_over_its_own_listener() {
    let net = net().await;
    let (identity, address) = pushed_to(&net).await;
    let node = identity.node();
    net.manager.with(|state| state.offer_kek(node));
    for _ in 0..2 {
        let taken = if net.manager.with(|state| state.peers[&node].kek.is_none()) { 0 } else { 1 };
        let mail = bytes_of(&net.manager.with(|state| state.mail(node, taken)));
        let answer = push(&net, address, &net.tls, &mail).await.expect("let in");
        let parcel: Parcel = strict(&answer).unwrap();
        net.manager.with(|state| parcel.messages.iter().for_each(|signed| state.receive(node, signed)));
    }
    net.manager.wait(node, ReceiptKind::KekInstalled, 1).await;
    // Without a certificate, and with one of another authority.
    let bare = TlsIdentity { certificate: String::new(), ..net.tls.clone() };
    assert_eq!(push(&net, address, &bare, b"{}").await, None);
    let stranger = of_manager(&authority(7));
    let stranger = TlsIdentity { authorities: net.tls.authorities.clone(), ..stranger };
    assert_eq!(push(&net, address, &stranger, b"{}").await, None);
    // Another node's is of the right authority, and no manager's.
    assert_eq!(push(&net, address, &identity.tls(), b"{}").await, None);
}

// Connections to a port of 127.0.0.1 that the kernel holds for a process of ours, closed by the other end or not. A
// stranger at another address may have drawn the same number for its own end.
fn held(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of_port = |line: &&str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns[1] == format!("0100007F:{port:04X}") && ["01", "08"].contains(&columns[3])
    };
    table.lines().skip(1).filter(of_port).count()
}

// Whoever opens connections and says nothing takes neither descriptors nor the manager's place.
#[tokio::test]
async fn strangers_who_say_nothing_keep_nobody_out() {
    let net = net().await;
    let (identity, address) = pushed_to(&net).await;
    let mut idle = Vec::new();
    for n in 0..300usize {
        // From the manager's address, and from others.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, (n % 20 + 1) as u8], 0))).unwrap();
        idle.push(socket.connect(address).await.unwrap());
    }
    for _ in 0..500 {
        if held(address.port()) <= 32 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(held(address.port()) <= 32, "{}", held(address.port()));
    let mail = bytes_of(&net.manager.with(|state| state.mail(identity.node(), 0)));
    push(&net, address, &net.tls, &mail).await.expect("the manager is let in");
    drop(idle);
}

// Clocks are seldom right before a node is; by an hour it may be behind.
#[tokio::test]
async fn nobody_is_enrolled_without_a_certificate_that_is_valid_now() {
    let net = net().await;
    let store = store(net.folder.path());
    let enrolment = Enrolment::new(net.manager.token(&net.url)).unwrap();
    let transport = HttpsTransport::new(&net.url, &enrolment.identity().tls()).unwrap();
    let node = enrolment.identity().node();
    let once = async |certify: Certify| {
        net.manager.with(|state| state.certify = Some(certify));
        join(&enrolment, "n", "C", &transport, &store, utc_ms()).await
    };
    let ended = once(Box::new(|_| None)).await;
    assert!(matches!(ended, Err(EnrolError::Stranger(_))), "{ended:?}");
    const MINUTE: u64 = 60_000;
    let behind =
        |minutes: u64| -> Certify { Box::new(move |csr| named(csr, node, utc_ms() + minutes * MINUTE)) };
    match once(behind(70)).await {
        Err(error @ EnrolError::Certificate(RenewError::Early { .. })) => {
            let text = error.to_string();
            assert_eq!(text.matches("Z").count(), 2, "both times: {text}");
        }
        other => panic!("{other:?}"),
    }
    let foreign: Certify = Box::new(move |csr| {
        let signer = RingSigner::here(SoftSigner::new(&[7; 32]));
        let other = keymgr::house::Authority::new(signer, utc_ms()).unwrap();
        other.certify(csr, &node.to_string(), utc_ms(), 397).ok()
    });
    let ended = once(foreign).await;
    assert!(matches!(ended, Err(EnrolError::Certificate(RenewError::Certificate(_)))), "{ended:?}");
    assert_eq!(store.load(node).unwrap(), None, "nothing is stored of any");
    assert_eq!(once(behind(50)).await.unwrap().node(), node);
}

#[tokio::test]
async fn a_manager_that_is_not_the_tokens() {
    let net = net().await;
    let store = store(net.folder.path());
    // Another authority: the handshake ends it.
    let mut token = net.manager.token(&net.url);
    token.authorities = vec![authority(7).key().public()];
    let enrolment = Enrolment::new(token).unwrap();
    let transport = HttpsTransport::new(&net.url, &enrolment.identity().tls()).unwrap();
    let ended = join(&enrolment, "n", "C", &transport, &store, utc_ms()).await;
    assert!(matches!(ended, Err(EnrolError::Transport(_))), "{ended:?}");
    // Another root document than the token names.
    let mut token = net.manager.token(&net.url);
    token.root = keylink::Digest([1; 32]);
    let enrolment = Enrolment::new(token).unwrap();
    let transport = HttpsTransport::new(&net.url, &enrolment.identity().tls()).unwrap();
    let ended = join(&enrolment, "n", "C", &transport, &store, utc_ms()).await;
    assert!(matches!(ended, Err(EnrolError::Stranger(_))), "{ended:?}");
    assert_eq!(store.load(enrolment.identity().node()).unwrap(), None);
}
