//! The listener of a node that is pushed to: mutual TLS 1.3, one path, the same messages as by pull.

use super::https::TlsIdentity;
use super::places::{Place, Places};
use super::run::SideHandle;
use super::transport::TransportError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use keylink::NodeId;
use keylink::endpoint::PUSH_PATH;
use keylink::envelope::{bytes_of, strict};
use keylink::wire::MESSAGE_MAX;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// A handshake must be over by then.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Longest time without a whole head of a request: between two of them, or within one. A manager that has nothing to say
/// asks every 30 s.
const HEAD: Duration = Duration::from_secs(75);

/// Time that open requests have to end.
const GRACE: Duration = Duration::from_secs(3);

/// Connections in their handshake, and of one address. Whoever was let in counts no more.
const GREETED: (usize, usize) = (32, 8);

/// Connections of the manager. It needs one.
const SERVED: (usize, usize) = (16, 16);

/// The listener, taken and not served yet.
#[derive(Debug)]
pub struct PushListener {
    address: SocketAddr,
    listener: TcpListener,
    tls: PushTls,
    head: Duration,
}

/// What a push listener shows and believes; clones share it.
#[derive(Clone)]
pub struct PushTls(Arc<Mutex<Shown>>);

struct Shown {
    acceptor: TlsAcceptor,
    // Connections of this acceptor: when this goes, they answer what they have begun, and end.
    open: GracefulShutdown,
    // The same for whoever takes its time.
    until: watch::Sender<()>,
}

impl Shown {
    fn new(identity: &TlsIdentity) -> Result<Self, TransportError> {
        let acceptor = TlsAcceptor::from(Arc::new(identity.server()?));
        Ok(Self { acceptor, open: GracefulShutdown::new(), until: watch::Sender::new(()) })
    }
}

impl std::fmt::Debug for PushTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PushTls")
    }
}

impl PushTls {
    fn new(identity: &TlsIdentity) -> Result<Self, TransportError> {
        Ok(Self(Arc::new(Mutex::new(Shown::new(identity)?))))
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections taken from now on are shown another certificate, and judged by these authorities. Those that are
    /// open were judged by others: they end, with the answer to what they have asked.
    pub fn identify(&self, identity: &TlsIdentity) -> Result<(), TransportError> {
        let fresh = Shown::new(identity)?;
        *self.shown() = fresh;
        Ok(())
    }

    // What is shown now, and what tells when it is no more.
    fn acceptor(&self) -> (TlsAcceptor, Watcher, watch::Receiver<()>) {
        let shown = self.shown();
        (shown.acceptor.clone(), shown.open.watcher(), shown.until.subscribe())
    }

    // Ends all connections once what they have asked is answered.
    async fn end(&self) {
        let open = std::mem::take(&mut self.shown().open);
        open.shutdown().await;
    }
}

impl PushListener {
    /// Takes the address; only the manager's authorities issue certificates that are let in.
    pub async fn bind(address: SocketAddr, identity: &TlsIdentity) -> Result<Self, TransportError> {
        let failed = |error: std::io::Error| TransportError::Unreachable(format!("{address}: {error}"));
        let tls = PushTls::new(identity)?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { address, listener, tls, head: HEAD })
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
        let app = Router::new()
            .route(PUSH_PATH, post(take))
            .layer(DefaultBodyLimit::max(MESSAGE_MAX))
            .with_state(side);
        let served = Places::new(SERVED.0, SERVED.1);
        let doors = Arc::new(Doors { tls: self.tls.clone(), app, served, head: self.head });
        let greeted = Places::new(GREETED.0, GREETED.1);
        let mut open = JoinSet::new();
        let mut stop = core::pin::pin!(stop);
        loop {
            while open.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            open.spawn(Arc::clone(&doors).admit(stream, peer, greeted.take(peer.ip())));
            // Whoever had to make room closes first.
            tokio::task::yield_now().await;
        }
        let _ = tokio::time::timeout(GRACE, self.tls.end()).await;
        open.shutdown().await;
    }
}

struct Doors {
    tls: PushTls,
    app: Router,
    served: Arc<Places>,
    head: Duration,
}

impl Doors {
    // A slow handshake holds up nobody else.
    async fn admit(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, mut greeted: Place) {
        let (acceptor, watch, shown) = self.tls.acceptor();
        let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
        let stream = tokio::select! {
            done = handshake => done,
            () = greeted.displaced() => return tracing::debug!(%peer, "push listener: made room for another"),
        };
        drop(greeted);
        let Ok(Ok(stream)) = stream else {
            return tracing::debug!(%peer, "push listener: handshake failed");
        };
        if is_node(&stream) {
            return tracing::warn!(%peer, "push listener: a node is no manager");
        }
        let mut place = self.served.take(peer.ip());
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.head);
        let app = TowerToHyperService::new(self.app.clone());
        tokio::select! {
            ended = watch.watch(http.serve_connection(TokioIo::new(stream), app)) => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "push listener: connection ended");
                }
            }
            () = place.displaced() => tracing::debug!(%peer, "push listener: made room for another"),
            () = outlived(shown) => tracing::debug!(%peer, "push listener: authorities have changed"),
        }
    }
}

// Ready when what a connection was judged by counts no more, and the time to answer is over.
async fn outlived(mut shown: watch::Receiver<()>) {
    while shown.changed().await.is_ok() {}
    tokio::time::sleep(GRACE).await;
}

async fn take(State(side): State<SideHandle>, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    let mail = strict(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let parcel = side.push(mail).await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(bytes_of(&parcel))
}

// The authority certifies nodes too, by names that are their ids. They have no business here.
fn is_node(stream: &TlsStream<TcpStream>) -> bool {
    let (_, session) = stream.get_ref();
    session.peer_certificates().and_then(<[_]>::first).is_some_and(|certificate| names_node(certificate))
}

/// Common name (RFC 5280 appendix A.1), before the tag of its text.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

// Whether a common name of the subject of a certificate (DER) is a node's id; the issuer's is its key, which reads the
// same. Whoever shows what is no certificate is no manager either.
fn names_node(certificate: &[u8]) -> bool {
    let read = Certificate::from_der(certificate).and_then(|read| read.tbs_certificate().subject().to_der());
    read.map_or(true, |subject| has_id(&subject))
}

fn has_id(name: &[u8]) -> bool {
    let is_id = |text: &[u8]| core::str::from_utf8(text).is_ok_and(|text| text.parse::<NodeId>().is_ok());
    let mut rest = name;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::run::Request;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    fn named(name: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(&KeyPair::generate().expect("key")).expect("signed").der().to_vec()
    }

    #[test]
    fn a_node_is_told_from_its_manager() {
        assert!(names_node(&[]), "no certificate");
        assert!(names_node(&named(&NodeId([0xA5; 32]).to_string())));
        for name in ["manager", &"z".repeat(64), &"a".repeat(63), &"a".repeat(65)] {
            assert!(!names_node(&named(name)), "{name}");
        }
        assert!(!has_id(&[]) && !has_id(COMMON_NAME) && !has_id(&[COMMON_NAME, &[12, 64]].concat()));
    }

    fn identity() -> TlsIdentity {
        let own = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("key");
        let authority = keylink::PublicKey(own.public_key_raw().try_into().expect("32 bytes"));
        let mut params = CertificateParams::new(vec![]).expect("params");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, keylink::authority::ORGANIZATION);
        params.distinguished_name.push(DnType::CommonName, authority.to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, own).expect("CA");
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &ca).expect("signed").pem();
        TlsIdentity { certificate, key: key.serialize_pem().into(), authorities: vec![authority] }
    }

    type Client = tokio_rustls::client::TlsStream<TcpStream>;

    async fn connected(address: SocketAddr, identity: &TlsIdentity) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        let client = TlsConnector::from(Arc::new(identity.client().expect("client")));
        client.connect(ServerName::try_from("localhost").expect("name"), stream).await
    }

    // What comes until the listener closes.
    async fn rest_of(stream: &mut Client) -> String {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "closed by the listener");
        String::from_utf8_lossy(&rest).into_owned()
    }

    // A document that names other authorities comes by push itself: its answer still goes out.
    #[tokio::test]
    async fn with_other_authorities_open_connections_end_once_they_have_answered() {
        let (before, after) = (identity(), identity());
        let listener = PushListener::bind(([127, 0, 0, 1], 0).into(), &before).await.expect("bound");
        let (address, tls) = (listener.address(), listener.tls());
        let (handle, mut requests) = SideHandle::new();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(listener.serve(handle, async { drop(stopped.await) }));
        let [mut idle, mut asking, mut slow] = [
            connected(address, &before).await.expect("let in"),
            connected(address, &before).await.expect("let in"),
            connected(address, &before).await.expect("let in"),
        ];
        let mail = bytes_of(&keylink::message::Mail::default());
        let head = format!("POST {PUSH_PATH} HTTP/1.1\r\nhost: n\r\ncontent-length: {}\r\n\r\n", mail.len());
        asking.write_all(&[head.as_bytes(), &mail].concat()).await.expect("asked");
        slow.write_all(head.as_bytes()).await.expect("begun");
        let Some(Request::Push(_, done)) = requests.0.recv().await else { panic!("no push") };
        tls.identify(&after).expect("other authorities");
        assert_eq!(rest_of(&mut idle).await, "");
        done.send(keylink::message::Parcel { messages: Vec::new() }).expect("answered");
        assert!(rest_of(&mut asking).await.starts_with("HTTP/1.1 200"));
        // Whoever says no more than half of a request does not keep what he had.
        rest_of(&mut slow).await;
        assert!(connected(address, &before).await.is_err());
        let mut fresh = connected(address, &after).await.expect("let in");
        drop(stop);
        rest_of(&mut fresh).await;
        serving.await.expect("ended");
    }

    // Whoever is let in and asks nothing is not kept either.
    #[tokio::test]
    async fn a_connection_without_a_request_ends() {
        let identity = identity();
        let listener = PushListener::bind(([127, 0, 0, 1], 0).into(), &identity).await.expect("bound");
        let address = listener.address();
        let listener = PushListener { head: Duration::from_millis(100), ..listener };
        let (handle, _requests) = SideHandle::new();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(listener.serve(handle, async { drop(stopped.await) }));
        let mut stream = connected(address, &identity).await.expect("let in");
        rest_of(&mut stream).await;
        drop(stop);
        serving.await.expect("ended");
    }
}
