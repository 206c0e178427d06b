//! What the manager shows of itself, and whom it believes, while one transport authority takes the place of another: a
//! certificate by each, of which every other end is shown the newest that it says it knows.

use super::provider;
use super::server::ServerKey;
use keylink::{PublicKey, authority};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, TrustAnchor};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Certificates of one key by several authorities, the one to prefer first.
pub struct Shown(Vec<(Vec<u8>, Arc<CertifiedKey>)>);

impl core::fmt::Debug for Shown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shown").field("certificates", &self.0.len()).finish()
    }
}

impl Shown {
    /// Of certificates and their issuers.
    pub fn new<'a>(all: impl IntoIterator<Item = (PublicKey, &'a ServerKey)>) -> Result<Self, Error> {
        let one = |(issuer, own): (PublicKey, &ServerKey)| {
            let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.key.to_vec()));
            let chain = vec![CertificateDer::from(own.certificate.clone())];
            Ok((authority::name(&issuer), Arc::new(CertifiedKey::from_der(chain, private, &provider())?)))
        };
        Ok(Self(all.into_iter().map(one).collect::<Result<_, Error>>()?))
    }

    // The first for whoever does not say which authorities it knows; to one that knows none of them, nothing is shown.
    fn to<T: AsRef<[u8]>>(&self, known: Option<&[T]>) -> Option<Arc<CertifiedKey>> {
        let is_known = |name: &[u8]| known.is_none_or(|known| known.iter().any(|own| own.as_ref() == name));
        self.0.iter().find(|(name, _)| is_known(name)).map(|(_, own)| Arc::clone(own))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.to::<DistinguishedName>(hello.certificate_authorities())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, known: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.to((!known.is_empty()).then_some(known))
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Trust anchors of authorities, made of nothing but their keys.
pub(super) fn anchors(authorities: &[PublicKey]) -> RootCertStore {
    let anchor = |key: &PublicKey| TrustAnchor {
        subject: authority::subject(key).into(),
        subject_public_key_info: authority::key_info(key).into(),
        name_constraints: None,
    };
    RootCertStore { roots: authorities.iter().map(anchor).collect() }
}

/// Judges certificates of nodes; `optional` lets in who has none.
pub(super) fn of_authorities(
    authorities: &[PublicKey],
    optional: bool,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors(authorities)), provider());
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| Error::General(error.to_string()))
}
