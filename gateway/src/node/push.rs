//! The listener of a node that is pushed to: mutual TLS 1.3, one path, the same messages as by pull.

use super::https::TlsIdentity;
use super::run::SideHandle;
use super::transport::TransportError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use keylink::NodeId;
use keylink::endpoint::PUSH_PATH;
use keylink::envelope::{bytes_of, strict};
use keylink::wire::MESSAGE_MAX;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A handshake must be over by then.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The listener, taken and not served yet.
#[derive(Debug)]
pub struct PushListener {
    address: SocketAddr,
    streams: Streams,
    tls: PushTls,
    accepting: tokio::task::JoinHandle<()>,
}

/// What a push listener shows and believes; clones share it.
#[derive(Clone)]
pub struct PushTls(Arc<Mutex<TlsAcceptor>>);

impl std::fmt::Debug for PushTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PushTls")
    }
}

impl PushTls {
    fn new(identity: &TlsIdentity) -> Result<Self, TransportError> {
        Ok(Self(Arc::new(Mutex::new(TlsAcceptor::from(Arc::new(identity.server()?))))))
    }

    /// Connections taken from now on are shown another certificate.
    pub fn identify(&self, identity: &TlsIdentity) -> Result<(), TransportError> {
        let fresh = TlsAcceptor::from(Arc::new(identity.server()?));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
struct Streams {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl PushListener {
    /// Takes the address; only the manager's authorities issue certificates that are let in.
    pub async fn bind(address: SocketAddr, identity: &TlsIdentity) -> Result<Self, TransportError> {
        let failed = |error: std::io::Error| TransportError::Unreachable(format!("{address}: {error}"));
        let tls = PushTls::new(identity)?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (sender, ready) = mpsc::channel(16);
        let accepting = tokio::spawn(accept_for_ever(listener, tls.clone(), sender));
        Ok(Self { address, streams: Streams { ready, address }, tls, accepting })
    }

    /// The address that was taken.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shows.
    pub fn tls(&self) -> PushTls {
        self.tls.clone()
    }

    /// Serves pushes to a node side until `stop` is ready.
    pub async fn serve(self, side: SideHandle, stop: impl Future<Output = ()> + Send + 'static) {
        let router = Router::new()
            .route(PUSH_PATH, post(take))
            .layer(DefaultBodyLimit::max(MESSAGE_MAX))
            .with_state(side);
        let served = axum::serve(self.streams, router).with_graceful_shutdown(stop).await;
        self.accepting.abort();
        if let Err(error) = served {
            tracing::error!(%error, "push listener");
        }
    }
}

async fn take(State(side): State<SideHandle>, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    let mail = strict(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let parcel = side.push(mail).await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(bytes_of(&parcel))
}

// A slow handshake holds up nobody else.
async fn accept_for_ever(
    listener: TcpListener,
    tls: PushTls,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, ready) = (tls.acceptor(), ready.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) if is_node(&stream) => {
                    tracing::warn!(%peer, "push listener: a node is no manager")
                }
                Ok(Ok(stream)) => drop(ready.send((stream, peer)).await),
                _ => tracing::debug!(%peer, "push listener: handshake failed"),
            }
        });
    }
}

// The authority certifies nodes too, by names that are their ids. They have no business here.
fn is_node(stream: &TlsStream<TcpStream>) -> bool {
    let (_, session) = stream.get_ref();
    session.peer_certificates().and_then(<[_]>::first).is_some_and(|certificate| names_node(certificate))
}

/// Common name (RFC 5280 appendix A.1), before the tag of its text.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

// Whether a common name of a certificate (DER) is a node's id.
fn names_node(certificate: &[u8]) -> bool {
    let is_id = |text: &[u8]| core::str::from_utf8(text).is_ok_and(|text| text.parse::<NodeId>().is_ok());
    let mut rest = certificate;
    while let Some((_, next)) = rest.split_first() {
        // Any kind of text, 64 characters of it.
        if let Some([_, 64, text @ ..]) = rest.strip_prefix(COMMON_NAME)
            && text.get(..64).is_some_and(is_id)
        {
            return true;
        }
        rest = next;
    }
    false
}

impl axum::serve::Listener for Streams {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(stream) => stream,
            None => core::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn named(name: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(&KeyPair::generate().expect("key")).expect("signed").der().to_vec()
    }

    #[test]
    fn a_node_is_told_from_its_manager() {
        assert!(names_node(&named(&NodeId([0xA5; 32]).to_string())));
        for name in ["manager", &"z".repeat(64), &"a".repeat(63), &"a".repeat(65)] {
            assert!(!names_node(&named(name)), "{name}");
        }
        assert!(
            !names_node(&[]) && !names_node(COMMON_NAME) && !names_node(&[COMMON_NAME, &[12, 64]].concat())
        );
    }
}
