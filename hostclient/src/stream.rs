//! A connection to a unit: TCP or TLS.

use crate::{Error, Options};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Certificates of a TLS connection. A server is verified always: there is no way to switch that off.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({:?})", self.server_name)
    }
}

impl Tls {
    /// Trusts the certificates of a PEM file; `identity` is the client's own certificate chain and private
    /// key, for units that ask for one.
    pub fn new(server_name: &str, ca: &Path, identity: Option<(&Path, &Path)>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).map_err(Error::tls)? {
            roots.add(certificate.map_err(Error::tls)?).map_err(Error::tls)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::tls)?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_file_iter(chain).map_err(Error::tls)?;
                let chain = chain.collect::<Result<Vec<_>, _>>().map_err(Error::tls)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(Error::tls)?;
                builder.with_client_auth_cert(chain, key).map_err(Error::tls)?
            }
        };
        let server_name = ServerName::try_from(server_name.to_owned()).map_err(Error::tls)?;
        Ok(Self { config: Arc::new(config), server_name })
    }
}

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, whichever kind it is.
pub(crate) type Stream = Box<dyn Duplex>;

pub(crate) async fn connect(address: &str, options: &Options) -> Result<Stream, Error> {
    let attempt = tokio::time::timeout(options.connect_timeout, open(address, options.tls.as_ref())).await;
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    attempt
        .unwrap_or_else(|_| Err(late()))
        .map_err(|source| Error::Connect { address: address.to_owned(), source: Arc::new(source) })
}

async fn open(address: &str, tls: Option<&Tls>) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(&tls.config));
            Ok(Box::new(connector.connect(tls.server_name.clone(), stream).await?))
        }
    }
}
