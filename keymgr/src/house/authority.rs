//! The authority that certifies transport keys: those of nodes, and the manager's own towards nodes. Its word
//! opens connections; what a node may have is decided by signatures.

use crate::channel::ServerKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

/// Why nothing was certified.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// The request cannot be read, or does not prove its key.
    #[error("not a certificate request, or its signature does not hold")]
    Request,
    /// The authority's own key or certificate cannot be used.
    #[error("the authority's key cannot be used")]
    Key,
    /// A time that a certificate cannot state.
    #[error("not a time that a certificate can state")]
    Time,
}

/// The authority, opened.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
}

impl core::fmt::Debug for Authority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new authority: its certificate in DER, and its private key as PKCS#8 in DER. Valid ten years from
    /// `utc_ms`; a centre that is older makes a new one beside it.
    pub fn generate(name: &str, utc_ms: u64) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), AuthorityError> {
        let pair = pair()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{name} transport authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = span(utc_ms, 3650)?;
        let certificate = params.self_signed(&pair).map_err(|_| AuthorityError::Key)?;
        Ok((certificate.der().to_vec(), Zeroizing::new(pair.serialize_der())))
    }

    /// From certificate and key.
    pub fn new(certificate: Vec<u8>, key: &[u8]) -> Result<Self, AuthorityError> {
        let pair = KeyPair::try_from(key).map_err(|_| AuthorityError::Key)?;
        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(certificate.as_slice()), pair)
            .map_err(|_| AuthorityError::Key)?;
        Ok(Self { issuer, certificate })
    }

    /// Its certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Certifies a node's transport key for `days` from `utc_ms`. Only the key of the request is taken over:
    /// the name is `node`, whatever the request says.
    pub fn certify(
        &self,
        request: &[u8],
        node: &str,
        utc_ms: u64,
        days: u32,
    ) -> Result<Vec<u8>, AuthorityError> {
        let request = CertificateSigningRequestDer::from(request);
        let asked =
            CertificateSigningRequestParams::from_der(&request).map_err(|_| AuthorityError::Request)?;
        let mut params =
            CertificateParams::new(vec![node.to_owned()]).map_err(|_| AuthorityError::Request)?;
        params.distinguished_name.push(DnType::CommonName, node);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.serial_number = Some(serial()?);
        (params.not_before, params.not_after) = span(utc_ms, days)?;
        let signed = CertificateSigningRequestParams { params, public_key: asked.public_key };
        let certificate = signed.signed_by(&self.issuer).map_err(|_| AuthorityError::Key)?;
        Ok(certificate.der().to_vec())
    }

    /// A listener's key with a certificate for `names` (host names and addresses).
    pub fn listener(&self, names: &[String], utc_ms: u64, days: u32) -> Result<ServerKey, AuthorityError> {
        self.for_listener(&pair()?, names, utc_ms, days)
    }

    /// Another certificate for a listener's key: nodes and people's programs go on knowing the key.
    pub fn listener_again(
        &self,
        own: &ServerKey,
        names: &[String],
        utc_ms: u64,
        days: u32,
    ) -> Result<ServerKey, AuthorityError> {
        let pair = KeyPair::try_from(own.key.as_slice()).map_err(|_| AuthorityError::Key)?;
        self.for_listener(&pair, names, utc_ms, days)
    }

    fn for_listener(
        &self,
        pair: &KeyPair,
        names: &[String],
        utc_ms: u64,
        days: u32,
    ) -> Result<ServerKey, AuthorityError> {
        let mut params = CertificateParams::new(names.to_vec()).map_err(|_| AuthorityError::Request)?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(serial()?);
        (params.not_before, params.not_after) = span(utc_ms, days)?;
        let certificate = params.signed_by(pair, &self.issuer).map_err(|_| AuthorityError::Key)?;
        Ok(ServerKey { certificate: certificate.der().to_vec(), key: Zeroizing::new(pair.serialize_der()) })
    }
}

/// When a certificate ends, UTC milliseconds; none if it cannot be read.
pub fn certificate_end(der: &[u8]) -> Option<u64> {
    let read = Certificate::from_der(der).ok()?;
    u64::try_from(read.tbs_certificate().validity().not_after.to_unix_duration().as_millis()).ok()
}

fn pair() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| AuthorityError::Key)
}

fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| AuthorityError::Key)?;
    // Positive and of constant length (RFC 5280 section 4.1.2.2).
    bytes[0] = bytes[0] & 0x7F | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

// A minute back, for clocks that are not quite together.
fn span(utc_ms: u64, days: u32) -> Result<(OffsetDateTime, OffsetDateTime), AuthorityError> {
    let seconds = i64::try_from(utc_ms / 1000).map_err(|_| AuthorityError::Time)?;
    let from = OffsetDateTime::from_unix_timestamp(seconds - 60).map_err(|_| AuthorityError::Time)?;
    let until = from.checked_add(Duration::days(i64::from(days))).ok_or(AuthorityError::Time)?;
    Ok((from, until))
}
