//! The listening end: connections with the key that the other end proved, handed to a router.

use super::pinned::AnyKey;
use super::places::{Place, Places, Share, WhenFull, network};
use super::provider;
use super::shown::{Shown, of_authorities};
use super::stall::Stalling;
use crate::house::{certificate_end, certificate_issuer};
use crate::person::{channel_issuer, named_node, spki_digest};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use keylink::endpoint::EXPORTER;
use keylink::ids::{Digest, NodeId, PublicKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, version::TLS13};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

/// Longest handshake; whoever is slower is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What one listener has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Connections in their handshake, and of one address.
    pub greeting: Share,
    /// Connections whose other end is not known, and of one address.
    pub strangers: Share,
    /// Connections whose other end is known, and of one credential.
    pub known: Share,
    /// Longest time without a whole head of a request: between two requests, or within one.
    pub head: Duration,
}

/// Tells whether the other end counts as known, and as whom.
pub type Known = Arc<dyn Fn(&Peer) -> Option<[u8; 32]> + Send + Sync>;

/// Gives the settings by which the next connection is taken.
pub type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Longest time in which the other end takes nothing of what waits for it.
const STALL: Duration = Duration::from_secs(5);

/// Time that open requests have to end.
const GRACE: Duration = Duration::from_secs(3);

/// Whose key the other end proved. In the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// SHA-256 of the SubjectPublicKeyInfo of the channel key.
    pub channel: Digest,
    /// The approval key that certified the channel key, if one did.
    pub person: Option<PublicKey>,
    /// The node that the certificate names. Proved only where certificates are those of the transport authority.
    pub node: Option<NodeId>,
    /// The transport authority that the certificate names as its issuer. Proved where `node` is.
    pub authority: Option<PublicKey>,
    /// When the certificate ends, UTC milliseconds.
    pub until_utc_ms: u64,
    /// Exporter value of the connection, to which a hello is bound.
    pub exporter: [u8; 32],
}

/// Key and certificate of a listener.
pub struct ServerKey {
    /// Certificate, DER.
    pub certificate: Vec<u8>,
    /// Private key, PKCS#8 in DER.
    pub key: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ServerKey")
    }
}

impl ServerKey {
    /// A new P-256 key with a certificate that names `name`.
    pub fn generate(name: &str) -> Result<Self, rcgen::Error> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])?.self_signed(&pair)?;
        Ok(Self { certificate: certificate.der().to_vec(), key: Zeroizing::new(pair.serialize_der()) })
    }

    /// What clients know the listener by.
    pub fn digest(&self) -> Option<Digest> {
        spki_digest(&self.certificate)
    }
}

/// The key of listeners whose certificates come and go: P-256.
pub struct ListenerKey(Zeroizing<Vec<u8>>);

impl core::fmt::Debug for ListenerKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ListenerKey")
    }
}

impl ListenerKey {
    /// A new one.
    pub fn generate() -> Result<Self, rcgen::Error> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(Self(Zeroizing::new(pair.serialize_der())))
    }

    /// From PKCS#8 in DER.
    pub const fn from_der(der: Zeroizing<Vec<u8>>) -> Self {
        Self(der)
    }

    /// PKCS#8 in DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// What clients know the listener by, whatever its certificate is: SHA-256 of the SubjectPublicKeyInfo.
    pub fn digest(&self) -> Option<Digest> {
        let pair = rcgen::KeyPair::try_from(self.der()).ok()?;
        Some(Digest::of(&rcgen::PublicKeyData::subject_public_key_info(&pair)))
    }
}

/// Settings of a listener: TLS 1.3 only, a client certificate needed.
pub fn server_tls(key: &ServerKey) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = provider();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.key.to_vec()));
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey(provider)))
        .with_single_cert(vec![CertificateDer::from(key.certificate.clone())], private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Settings of a listener for nodes: TLS 1.3 only. Certificates are those of the authorities; a node that asks to be known
/// has none yet.
pub fn node_tls(shown: &Arc<Shown>, authorities: &[PublicKey]) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(of_authorities(authorities, true)?)
        .with_cert_resolver(Arc::<Shown>::clone(shown));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves `app` until `stop` is ready; then open requests may end. `tls` is asked at every connection; those that are open
/// stay as they are. Connections are counted in three shares, so that
/// whoever is known finds a place however many come who are not.
pub async fn serve(
    listener: TcpListener,
    tls: Tls,
    app: Router,
    (limits, known): (Room, Known),
    stop: impl Future<Output = ()>,
) {
    let greeting = Places::new(limits.greeting, WhenFull::OldestGoes);
    let doors = Arc::new(Doors {
        tls,
        app,
        head: limits.head,
        strangers: Places::new(limits.strangers, WhenFull::OldestGoes),
        guests: Places::new(limits.known, WhenFull::NewestGoes),
        known,
    });
    let ending = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let (socket, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) => (socket, network(address.ip())),
                // Out of descriptors, or the other end was gone: a pause, then the next.
                Err(_) => { tokio::time::sleep(Duration::from_millis(20)).await; continue }
            },
            () = &mut stop => break,
        };
        let Some(place) = greeting.take(address) else { continue };
        open.spawn(Arc::clone(&doors).admit(socket, address, place, ending.watcher()));
    }
    let _ = tokio::time::timeout(GRACE, ending.shutdown()).await;
    // Whoever waits for mail asks again elsewhere or later.
    open.shutdown().await;
}

type Stream = TlsStream<Stalling<TcpStream>>;

struct Doors {
    tls: Tls,
    app: Router,
    head: Duration,
    strangers: Arc<Places<IpAddr>>,
    guests: Arc<Places<[u8; 32]>>,
    known: Known,
}

impl Doors {
    async fn admit(
        self: Arc<Self>,
        socket: TcpStream,
        address: IpAddr,
        mut greeting: Place<IpAddr>,
        watcher: Watcher,
    ) {
        let _ = socket.set_nodelay(true);
        let socket = Stalling::new(socket, STALL);
        let (stream, peer) = tokio::select! {
            done = handshake((self.tls)().into(), socket) => match done { Some(done) => done, None => return },
            () = greeting.displaced() => return,
        };
        drop(greeting);
        match peer.as_ref().and_then(|peer| (self.known)(peer)) {
            Some(owner) => {
                let Some(mut place) = self.guests.take(owner) else { return };
                let connection = watcher.watch(self.connection(stream, peer, true));
                until(connection, place.displaced()).await;
            }
            None => {
                let Some(mut place) = self.strangers.take(address) else { return };
                let connection = watcher.watch(self.connection(stream, peer, false));
                until(connection, place.displaced()).await;
            }
        }
    }

    // A stranger has one answer; whoever is known may go on.
    fn connection(&self, stream: Stream, peer: Option<Peer>, goes_on: bool) -> Connection {
        let app = match peer {
            Some(peer) => self.app.clone().layer(axum::Extension(peer)),
            None => self.app.clone(),
        };
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.head).keep_alive(goes_on);
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
    }
}

type Connection = http1::Connection<TokioIo<Stream>, TowerToHyperService<Router>>;

async fn until(connection: impl Future<Output = hyper::Result<()>>, displaced: impl Future<Output = ()>) {
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        }
        () = displaced => tracing::debug!("a connection made room for another"),
    }
}

async fn handshake(acceptor: TlsAcceptor, socket: Stalling<TcpStream>) -> Option<(Stream, Option<Peer>)> {
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await.ok()?.ok()?;
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let exporter = session.export_keying_material([0; 32], EXPORTER, None).ok()?;
    let peer = |certificate: &CertificateDer<'_>| {
        let (person, node) = (channel_issuer(certificate), named_node(certificate));
        let until_utc_ms = certificate_end(certificate)?;
        let authority = certificate_issuer(certificate);
        Some(Peer { channel: spki_digest(certificate)?, person, node, authority, until_utc_ms, exporter })
    };
    let peer = certificate.and_then(peer);
    Some((stream, peer))
}
