//! The way to the shared store over a network: TLS as the address asks for it, in the words that libpq uses.
//!
//! | `sslmode` | the connection is encrypted | the certificate is of `sslrootcert` | and names the host |
//! |---|---|---|---|
//! | `disable` | no | | |
//! | `require` | yes | if a root is given | no |
//! | `verify-ca` | yes | yes | no |
//! | `verify-full` | yes | yes | yes |
//!
//! Without the word: none over a socket file or loopback; to any other host it is refused, since silence would mean
//! a password in the clear or a server that nobody has checked.

use super::error::Error;
use super::location::without_password;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// The words of an address that are about TLS; the driver itself knows less of them.
const WORDS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// Where to connect, and how.
pub(super) struct Way {
    pub config: Config,
    pub tls: Option<Connector>,
    /// The word that is in force.
    pub mode: &'static str,
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::Location(what.to_string())
}

impl Way {
    /// Reads an address.
    pub fn of(url: &str) -> Result<Self, Error> {
        let (bare, words) = split(url)?;
        let mut config: Config =
            bare.parse().map_err(|_| wrong(format!("{} is not understood", without_password(url))))?;
        let word = |name: &str| words.iter().find(|(word, _)| *word == name).map(|(_, value)| value.as_str());
        let certificates = word("sslrootcert").map(roots).transpose()?;
        let judge = |named| -> Result<Judge, Error> {
            let missing =
                || wrong("sslmode=verify-… needs sslrootcert=FILE, the certificate that the server's is of");
            Judge::new(Some(certificates.clone().ok_or_else(missing)?), named)
        };
        let (mode, judge) = match word("sslmode") {
            Some("disable") => ("disable", None),
            None if is_near(&config) => ("disable", None),
            None => {
                return Err(wrong(
                    "a database on another host: say sslmode=verify-full&sslrootcert=FILE, or sslmode=disable",
                ));
            }
            Some("require") => ("require", Some(Judge::new(certificates.clone(), false)?)),
            Some("verify-ca") => ("verify-ca", Some(judge(false)?)),
            Some("verify-full") => ("verify-full", Some(judge(true)?)),
            Some(_) => return Err(wrong("sslmode is disable, require, verify-ca or verify-full")),
        };
        config.ssl_mode(if judge.is_some() { SslMode::Require } else { SslMode::Disable });
        let own = word("sslcert").zip(word("sslkey"));
        let tls = judge.map(|judge| Connector::new(judge, own)).transpose()?;
        Ok(Self { config, tls, mode })
    }
}

// A word of ours and what it says.
type Said = (&'static str, String);

// The address without the words, and the words.
fn split(url: &str) -> Result<(String, Vec<Said>), Error> {
    let Some((place, parameters)) = url.split_once('?') else { return Ok((url.to_owned(), Vec::new())) };
    let (mut kept, mut words) = (Vec::new(), Vec::new());
    for parameter in parameters.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match WORDS.iter().find(|word| **word == name) {
            Some(word) => words.push((*word, unescape(value)?)),
            None => kept.push(parameter),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{place}{mark}{}", kept.join("&")), words))
}

fn unescape(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                *hex::decode(digits)
                    .ok()
                    .as_deref()
                    .and_then(<[u8]>::first)
                    .ok_or_else(|| wrong("not an address"))?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong("not an address"))
}

// A socket file, or this machine.
fn is_near(config: &Config) -> bool {
    let near = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    };
    let hosts = config.get_hosts();
    hosts.iter().all(near) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn roots(path: &str) -> Result<Arc<RootCertStore>, Error> {
    let unusable = |error: &dyn std::fmt::Display| wrong(format!("sslrootcert {path}: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() { Err(unusable(&"no certificate in it")) } else { Ok(Arc::new(roots)) }
}

/// Judges the server's certificate as far as the address asks for it.
#[derive(Debug)]
struct Judge {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    named: bool,
}

impl Judge {
    fn new(roots: Option<Arc<RootCertStore>>, named: bool) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier =
            |roots| WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let chain = roots.map(verifier).transpose().map_err(wrong)?;
        Ok(Self { provider, chain, named })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is looked at when the chain holds.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.named => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl Connector {
    fn new(judge: Judge, own: Option<(&str, &str)>) -> Result<Self, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&judge.provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(judge));
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_file_iter(certificate)
                    .and_then(Iterator::collect)
                    .map_err(|error| wrong(format!("sslcert {certificate}: {error}")))?;
                let private = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| wrong(format!("sslkey {key}: {error}")))?;
                builder.with_client_auth_cert(chain, private).map_err(wrong)?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

/// One connection in the making.
pub(super) struct Named(TlsConnector, ServerName<'static>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Stream<S>;
    type TlsConnect = Named;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Named> {
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        Ok(Named(self.0.clone(), name))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Named {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.0.connect(self.1, stream).await.map(Stream) })
    }
}

/// An encrypted connection.
pub(super) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    // The certificate is judged here; binding the password to it would add a second judgement of the same.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Way::of(url).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn another_host_needs_a_word_and_a_verification_needs_a_root() {
        for near in
            ["postgres://kmc@%2Frun%2Fpg/kmc", "postgres://kmc@127.0.0.1/kmc", "postgres://kmc@localhost/kmc"]
        {
            assert!(Way::of(near).unwrap().tls.is_none(), "{near}");
        }
        assert!(refused("postgres://kmc@db.example/kmc").contains("sslmode=verify-full"));
        assert!(Way::of("postgres://kmc@db.example/kmc?sslmode=disable").unwrap().tls.is_none());
        assert!(
            Way::of("postgres://kmc@db.example/kmc?sslmode=require&connect_timeout=3").unwrap().tls.is_some()
        );
        assert!(refused("postgres://kmc@db.example/kmc?sslmode=verify-full").contains("sslrootcert"));
        assert!(refused("postgres://kmc@db.example/kmc?sslmode=prefer").contains("sslmode is"));
        assert!(
            refused("postgres://kmc@h/kmc?sslmode=verify-ca&sslrootcert=/no/such%20file")
                .contains("such file")
        );
    }

    #[test]
    fn a_password_is_in_no_complaint() {
        assert!(!refused("postgres://kmc:secret@db.example/kmc?nonsense=1").contains("secret"));
        assert!(!refused("postgres://kmc:secret@db.example/kmc").contains("secret"));
    }
}
