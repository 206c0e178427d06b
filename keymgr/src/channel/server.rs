//! The listening end: connections with the key that the other end proved, handed to a router.

use super::pinned::AnyKey;
use super::provider;
use crate::house::certificate_end;
use crate::person::{channel_issuer, named_node, spki_digest};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use keylink::endpoint::EXPORTER;
use keylink::ids::{Digest, NodeId, PublicKey};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, version::TLS13};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// Longest handshake; whoever is slower is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What one listener has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Connections at once.
    pub connections: usize,
    /// Longest time without a whole head of a request: between two requests, or within one.
    pub head: Duration,
}

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

/// Settings of a listener for nodes: TLS 1.3 only. Certificates are those of `authority` (DER); a node that asks
/// to be known has none yet.
pub fn node_tls(key: &ServerKey, authority: &[u8]) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec()))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.key.to_vec()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![CertificateDer::from(key.certificate.clone())], private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves `app` until `stop` is ready; then open requests may end. At most so many connections as there is room for.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    app: Router,
    limits: Room,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let acceptor = TlsAcceptor::from(tls);
    let ending = hyper_util::server::graceful::GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                // Out of descriptors, or the other end was gone: a pause, then the next.
                Err(_) => { tokio::time::sleep(Duration::from_millis(20)).await; continue }
            },
            () = &mut stop => break,
        };
        let Ok(place) = room.clone().try_acquire_owned() else { continue };
        let (acceptor, app, watcher) = (acceptor.clone(), app.clone(), ending.watcher());
        open.spawn(async move {
            let _place = place;
            let _ = socket.set_nodelay(true);
            if let Some((stream, peer)) = handshake(&acceptor, socket).await {
                let app = match peer {
                    Some(peer) => app.layer(axum::Extension(peer)),
                    None => app,
                };
                let service = TowerToHyperService::new(app);
                let mut builder = Builder::new(TokioExecutor::new());
                builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head);
                let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
                if let Err(error) = watcher.watch(connection).await {
                    tracing::debug!(%error, "connection ended");
                }
            }
        });
    }
    let _ = tokio::time::timeout(GRACE, ending.shutdown()).await;
    // Whoever waits for mail asks again elsewhere or later.
    open.shutdown().await;
}

async fn handshake(
    acceptor: &TlsAcceptor,
    socket: TcpStream,
) -> Option<(tokio_rustls::server::TlsStream<TcpStream>, Option<Peer>)> {
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await.ok()?.ok()?;
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let exporter = session.export_keying_material([0; 32], EXPORTER, None).ok()?;
    let peer = |certificate: &CertificateDer<'_>| {
        let (person, node) = (channel_issuer(certificate), named_node(certificate));
        let until_utc_ms = certificate_end(certificate)?;
        Some(Peer { channel: spki_digest(certificate)?, person, node, until_utc_ms, exporter })
    };
    let peer = certificate.and_then(peer);
    Some((stream, peer))
}
