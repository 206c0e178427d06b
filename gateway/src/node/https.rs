//! HTTPS to the manager: TLS 1.3 only, both sides with certificates. The connections are our own and not a client
//! library's, because a hello carries the exporter value of the very connection it goes over.

use super::transport::{Answer, Opening, Sending, Transport, TransportError};
use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use axum::http::{HeaderValue, Request, Uri};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use keylink::endpoint::{EXPORTER, Endpoint, MEDIA_TYPE, PULL_WAIT_S};
use keylink::wire::MESSAGE_MAX;
use keylink::{PublicKey, authority};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// Certificates and key of one side, PEM, and whom it believes.
#[derive(Clone)]
pub struct TlsIdentity {
    /// Own certificate and its issuers; empty for a client without one.
    pub certificate: String,
    /// Its key.
    pub key: Zeroizing<String>,
    /// Keys of the transport authorities that count.
    pub authorities: Vec<PublicKey>,
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsIdentity")
    }
}

fn unusable(why: impl std::fmt::Display) -> TransportError {
    TransportError::Unreachable(format!("TLS: {why}"))
}

impl TlsIdentity {
    // Made of nothing but the keys.
    fn roots(&self) -> Arc<RootCertStore> {
        let anchor = |key: &PublicKey| TrustAnchor {
            subject: authority::subject(key).into(),
            subject_public_key_info: authority::key_info(key).into(),
            name_constraints: None,
        };
        Arc::new(RootCertStore { roots: self.authorities.iter().map(anchor).collect() })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TransportError> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(unusable)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TransportError> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(unusable)
    }

    /// As a client: shows its certificate when it has one, and says which authorities it knows.
    pub fn client(&self) -> Result<ClientConfig, TransportError> {
        let provider = Arc::new(default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(self.roots(), Arc::clone(&provider))
            .build()
            .map_err(unusable)?;
        let known = self.authorities.iter().map(|key| authority::name(key).into()).collect();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Knows { inner, known }));
        if self.certificate.is_empty() {
            return Ok(builder.with_no_client_auth());
        }
        builder.with_client_auth_cert(self.chain()?, self.private_key()?).map_err(unusable)
    }

    /// Judges certificates that the authorities have issued for clients.
    pub(super) fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TransportError> {
        let provider = Arc::new(default_provider());
        WebPkiClientVerifier::builder_with_provider(self.roots(), provider).build().map_err(unusable)
    }

    /// As a server: asks for the other side's certificate.
    pub fn server(&self) -> Result<ServerConfig, TransportError> {
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(self.verifier()?)
            .with_single_cert(self.chain()?, self.private_key()?)
            .map_err(unusable)
    }
}

// Judges as usual, and says in the hello which authorities count (RFC 8446 section 4.2.4): the other end may have
// certificates of several.
#[derive(Debug)]
struct Knows {
    inner: Arc<WebPkiServerVerifier>,
    known: Vec<DistinguishedName>,
}

impl ServerCertVerifier for Knows {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.known)
    }
}

// Idle connections that are kept: one waits for mail, one reports.
const IDLE_MAX: usize = 2;
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(PULL_WAIT_S.saturating_add(20));

/// A connection, and the value that binds a hello to it.
struct Session {
    http: SendRequest<Body>,
    exporter: Option<[u8; 32]>,
    identity: u64,
}

#[derive(Default)]
struct Pool {
    // Newest last.
    idle: Vec<Session>,
    // Waits for its hello.
    greeting: Option<Session>,
    // Counts the certificates that were shown.
    identity: u64,
}

struct Inner {
    tls: Mutex<TlsConnector>,
    name: ServerName<'static>,
    host: HeaderValue,
    address: (String, u16),
    pool: Mutex<Pool>,
}

/// HTTPS with one node's certificate. Connections are kept and used again; clones share them.
#[derive(Clone)]
pub struct HttpsTransport(Arc<Inner>);

impl std::fmt::Debug for HttpsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HttpsTransport").field(&self.0.address).finish()
    }
}

fn connector(identity: &TlsIdentity) -> Result<TlsConnector, TransportError> {
    let mut config = identity.client()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl HttpsTransport {
    /// To the manager at `url`: `https://HOST:PORT`.
    pub fn new(url: &str, identity: &TlsIdentity) -> Result<Self, TransportError> {
        let uri: Uri = url.trim_end_matches('/').parse().map_err(unusable)?;
        let no = || unusable("the manager is https://HOST:PORT");
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(no)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self(Arc::new(Inner {
            tls: Mutex::new(connector(identity)?),
            name: ServerName::try_from(host.clone()).map_err(unusable)?,
            host: HeaderValue::from_str(authority.as_str()).map_err(unusable)?,
            address: (host, authority.port_u16().unwrap_or(443)),
            pool: Mutex::default(),
        })))
    }

    /// Connections made from now on show another certificate, or another side's authorities count.
    pub fn identify(&self, identity: &TlsIdentity) -> Result<(), TransportError> {
        let fresh = connector(identity)?;
        *self.0.tls.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        // Connections under way end with their requests.
        self.pool(|pool| {
            pool.idle.clear();
            pool.identity = pool.identity.wrapping_add(1);
        });
        Ok(())
    }

    fn pool<T>(&self, work: impl FnOnce(&mut Pool) -> T) -> T {
        work(&mut self.0.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn connect(&self) -> Result<Session, TransportError> {
        let reach = async {
            let (host, port) = &self.0.address;
            let socket = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
            let _ = socket.set_nodelay(true);
            let tls = self.0.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tls.connect(self.0.name.clone(), socket).await.map_err(unreachable)
        };
        let identity = self.pool(|pool| pool.identity);
        let stream = timeout(CONNECT, reach).await.map_err(|_| unreachable("no connection in time"))??;
        let exporter = stream.get_ref().1.export_keying_material([0; 32], EXPORTER, None).ok();
        let (http, connection) = handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the manager ended");
            }
        });
        Ok(Session { http, exporter, identity })
    }

    // One that is kept and still open, or a new one.
    async fn take(&self, endpoint: Endpoint) -> Result<Session, TransportError> {
        loop {
            let kept = self.pool(|pool| match endpoint {
                Endpoint::Hello => pool.greeting.take(),
                _ => pool.idle.pop(),
            });
            match kept {
                Some(mut session) => {
                    if session.http.ready().await.is_ok() {
                        return Ok(session);
                    }
                }
                None => return self.connect().await,
            }
        }
    }

    fn keep(&self, session: Session) {
        self.pool(|pool| {
            let current = session.identity == pool.identity;
            if current && pool.idle.len() < IDLE_MAX && !session.http.is_closed() {
                pool.idle.push(session);
            }
        });
    }

    async fn begin(&self) -> Option<[u8; 32]> {
        let session = self.connect().await.ok()?;
        let exporter = session.exporter;
        self.pool(|pool| pool.greeting = Some(session));
        exporter
    }

    async fn send(&self, endpoint: Endpoint, body: Vec<u8>) -> Result<Answer, TransportError> {
        let request = Request::post(endpoint.path())
            .header(HOST, self.0.host.clone())
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .body(Body::from(body))
            .map_err(unusable)?;
        // All of it: a kept connection that never becomes ready would end everything that this node asks.
        let asked = async {
            let mut session = self.take(endpoint).await?;
            let answer = session.http.send_request(request).await.map_err(unreachable)?;
            let status = answer.status().as_u16();
            let later = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = to_bytes(Body::new(answer.into_body()), MESSAGE_MAX).await;
            let body =
                body.map_err(|_| TransportError::Refused(status, "answer too long or cut".to_owned()))?;
            Ok::<_, TransportError>((session, status, later, body))
        };
        let (session, status, later, body) =
            timeout(ANSWER, asked).await.map_err(|_| unreachable("no answer in time"))??;
        self.keep(session);
        match status {
            200 | 204 => Ok(Answer::Taken(body.to_vec())),
            202 => Ok(Answer::Waiting),
            429 => Err(TransportError::Busy(later.unwrap_or(1))),
            _ => {
                let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
                Err(TransportError::Refused(status, text))
            }
        }
    }
}

// With its causes, which say what was wrong.
fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TransportError {
    let error = error.into();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    TransportError::Unreachable(text)
}

impl Transport for HttpsTransport {
    fn session(&self) -> Opening<'_> {
        Box::pin(self.begin())
    }

    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        Box::pin(self.send(endpoint, body))
    }
}
