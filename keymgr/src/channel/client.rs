//! The calling end: an HTTPS client that takes the one server key it was told, and shows its own certificate.

use super::pinned::{OneKey, OneNode};
use super::{ServerKey, provider};
use crate::person::named_node;
use keylink::ids::{Digest, NodeId};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, version::TLS13};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Why a client could not be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Key or certificate does not work with TLS.
    #[error("the channel key cannot be used: {0}")]
    Key(#[from] rustls::Error),
    /// The HTTP client could not be made.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
}

/// TLS settings of a client with a certificate (DER) and its key (PKCS#8 in DER), for a server with `server`
/// as its key.
pub fn client_tls(certificate: &[u8], key: &[u8], server: Digest) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
    ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OneKey { provider, key: server }))
        .with_client_auth_cert(vec![CertificateDer::from(certificate.to_vec())], private)
}

/// An HTTPS client towards one node's own listener: it shows `key` and its certificate, and takes only a certificate of
/// `authority` (DER) that names this node.
pub fn node_client(key: &ServerKey, authority: &[u8], node: NodeId) -> Result<reqwest::Client, ClientError> {
    let of_authority = of_authority(authority)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.key.to_vec()));
    let tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OneNode { of_authority, node }))
        .with_client_auth_cert(vec![CertificateDer::from(key.certificate.clone())], private)?;
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .https_only(true)
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(45))
        .build()?)
}

fn of_authority(authority: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec()))?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// True when `authority` (DER) has issued the certificate for this node, and it is valid now: what a connection would
/// have to show.
pub fn is_of_node(authority: &[u8], certificate: &[u8], node: NodeId, utc_ms: u64) -> bool {
    let now = UnixTime::since_unix_epoch(Duration::from_millis(utc_ms));
    let certificate = CertificateDer::from(certificate);
    let valid = of_authority(authority).and_then(|own| own.verify_client_cert(&certificate, &[], now));
    valid.is_ok() && named_node(&certificate) == Some(node)
}

/// An HTTPS client over [`client_tls`]. It follows no redirect and uses no proxy: it speaks to one server.
pub fn client(certificate: &[u8], key: &[u8], server: Digest) -> Result<reqwest::Client, ClientError> {
    let tls = client_tls(certificate, key, server)?;
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .https_only(true)
        .pool_idle_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(5))
        // On silence, not on the whole: an export of years takes its time.
        .read_timeout(Duration::from_secs(60))
        .build()?)
}
