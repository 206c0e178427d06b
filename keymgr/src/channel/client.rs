//! The calling end: an HTTPS client that takes the one server key it was told, and shows its own certificate.

use super::pinned::{OneKey, OneNode};
use super::provider;
use super::shown::{Shown, of_authorities};
use crate::person::named_node;
use keylink::ids::{Digest, NodeId, PublicKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::{ClientConfig, version::TLS13};
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

/// An HTTPS client towards one node's own listener: it shows the certificate that the node knows the issuer of, and takes
/// only a certificate of one of the authorities that names this node.
pub fn node_client(
    shown: &Arc<Shown>,
    authorities: &[PublicKey],
    node: NodeId,
) -> Result<reqwest::Client, ClientError> {
    let of_authority = of_authorities(authorities, false)?;
    let tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OneNode { of_authority, node }))
        .with_client_cert_resolver(Arc::<Shown>::clone(shown));
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .https_only(true)
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(45))
        .build()?)
}

/// True when one of the authorities has issued the certificate for this node, and it is valid now: what a connection would
/// have to show.
pub fn is_of_node(authorities: &[PublicKey], certificate: &[u8], node: NodeId, utc_ms: u64) -> bool {
    let now = UnixTime::since_unix_epoch(Duration::from_millis(utc_ms));
    let certificate = CertificateDer::from(certificate);
    let valid =
        of_authorities(authorities, false).and_then(|own| own.verify_client_cert(&certificate, &[], now));
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
