//! HTTPS to the manager: TLS 1.3 only, both sides with certificates.

use super::transport::{Answer, Sending, Transport, TransportError};
use keylink::endpoint::{Endpoint, MEDIA_TYPE, PULL_WAIT_S};
use keylink::wire::MESSAGE_MAX;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Certificates and key of one side, PEM.
#[derive(Clone)]
pub struct TlsIdentity {
    /// Own certificate and its issuers; empty for a client without one.
    pub certificate: String,
    /// Its key.
    pub key: Zeroizing<String>,
    /// Authorities of the other side.
    pub authorities: String,
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
    fn roots(&self) -> Result<RootCertStore, TransportError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.authorities.as_bytes()) {
            roots.add(certificate.map_err(unusable)?).map_err(unusable)?;
        }
        Ok(roots)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TransportError> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(unusable)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TransportError> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(unusable)
    }

    /// As a client: shows its certificate when it has one.
    pub fn client(&self) -> Result<ClientConfig, TransportError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_root_certificates(self.roots()?);
        if self.certificate.is_empty() {
            return Ok(builder.with_no_client_auth());
        }
        builder.with_client_auth_cert(self.chain()?, self.private_key()?).map_err(unusable)
    }

    /// As a server: asks for the other side's certificate.
    pub fn server(&self) -> Result<ServerConfig, TransportError> {
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider))
                .build()
                .map_err(unusable)?;
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain()?, self.private_key()?)
            .map_err(unusable)
    }
}

/// HTTPS with one node's certificate. Connections are kept and used again.
#[derive(Clone, Debug)]
pub struct HttpsTransport {
    client: reqwest::Client,
    base: String,
}

impl HttpsTransport {
    /// To the manager at `url` (scheme, host, port).
    pub fn new(url: &str, identity: &TlsIdentity) -> Result<Self, TransportError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(identity.client()?)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(2)
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(PULL_WAIT_S.saturating_add(20)))
            .build()
            .map_err(unusable)?;
        Ok(Self { client, base: url.trim_end_matches('/').to_owned() })
    }

    async fn send(&self, endpoint: Endpoint, body: Vec<u8>) -> Result<Answer, TransportError> {
        let url = format!("{}{}", self.base, endpoint.path());
        let request = self.client.post(url).header("content-type", MEDIA_TYPE).body(body);
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len().saturating_add(chunk.len()) > MESSAGE_MAX {
                return Err(TransportError::Refused(status, "answer too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            200 | 204 => Ok(Answer::Taken(body)),
            202 => Ok(Answer::Waiting),
            _ => {
                let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
                Err(TransportError::Refused(status, text))
            }
        }
    }
}

// With its causes, which say what was wrong, and without the address.
fn unreachable(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    TransportError::Unreachable(text)
}

impl Transport for HttpsTransport {
    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        Box::pin(self.send(endpoint, body))
    }
}
