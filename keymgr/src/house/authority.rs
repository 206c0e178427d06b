//! The authority that certifies transport keys: those of nodes, and the manager's own towards nodes. Its word opens
//! connections; what a node may have is decided by signatures. Its key is one of the centre's own (Ed25519), and may be
//! out of this process: it is asked for signatures.

use super::asked_key::AskedKey;
use super::hand::RingSigner;
use super::ring::KeyRing;
use crate::channel::{ListenerKey, ServerKey};
use crate::core::certificate::AUTHORITY_DAYS;
use keylink::succession::CentreKey;
use keylink::{PublicKey, TrySign, authority};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use zeroize::Zeroizing;

/// Why nothing was certified.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// The request cannot be read, or does not prove its key.
    #[error("not a certificate request, or its signature does not hold")]
    Request,
    /// The authority's own key cannot be used, or has not signed.
    #[error("the authority's key has not signed")]
    Key,
    /// A time that a certificate cannot state.
    #[error("not a time that a certificate can state")]
    Time,
}

/// An authority. Its name is made of its key, and its certificate of the key and the time since when it issues, so that
/// it is the same whenever it is made.
pub struct Authority {
    issuer: Issuer<'static, RingSigner>,
    certificate: Vec<u8>,
    ends: OffsetDateTime,
}

impl core::fmt::Debug for Authority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Authority({})", self.key())
    }
}

impl Authority {
    /// By a key that is asked for signatures, and issues since `since_ms`, UTC milliseconds. Its certificate is valid for
    /// ten years; nodes judge by the key, which root documents name.
    pub fn new(signer: RingSigner, since_ms: u64) -> Result<Self, AuthorityError> {
        let key = signer.public();
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, authority::ORGANIZATION);
        name.push(DnType::CommonName, key.to_string());
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let mut number = key.id().0;
        number[0] = number[0] & 0x7F | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&number[..16]));
        (params.not_before, params.not_after) = span(since_ms, AUTHORITY_DAYS)?;
        let ends = params.not_after;
        let certificate = params.self_signed(&signer).map_err(|_| AuthorityError::Key)?.der().to_vec();
        Ok(Self { issuer: Issuer::new(params, signer), certificate, ends })
    }

    /// By a key of the ring; none if it is not there.
    pub fn of(ring: &KeyRing, key: &PublicKey, since_ms: u64) -> Result<Self, AuthorityError> {
        let signer = ring.signer(CentreKey::Transport, key).ok_or(AuthorityError::Key)?;
        Self::new(signer, since_ms)
    }

    /// Whether a signature is waited for: it is asked for where nobody else has to wait then.
    pub fn waits(&self) -> bool {
        self.issuer.key().waits()
    }

    /// Its key.
    pub fn key(&self) -> PublicKey {
        self.issuer.key().public()
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
        let asked = AskedKey::of(request).ok_or(AuthorityError::Request)?;
        let mut params =
            CertificateParams::new(vec![node.to_owned()]).map_err(|_| AuthorityError::Request)?;
        params.distinguished_name.push(DnType::CommonName, node);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.serial_number = Some(serial()?);
        (params.not_before, params.not_after) = self.span(utc_ms, days)?;
        let certificate = params.signed_by(&asked, &self.issuer).map_err(|_| AuthorityError::Key)?;
        Ok(certificate.der().to_vec())
    }

    /// A certificate for a listener's key and `names` (host names and addresses).
    pub fn listener(
        &self,
        own: &ListenerKey,
        names: &[String],
        utc_ms: u64,
        days: u32,
    ) -> Result<ServerKey, AuthorityError> {
        let pair = KeyPair::try_from(own.der()).map_err(|_| AuthorityError::Key)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(|_| AuthorityError::Request)?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(serial()?);
        (params.not_before, params.not_after) = self.span(utc_ms, days)?;
        let certificate = params.signed_by(&pair, &self.issuer).map_err(|_| AuthorityError::Key)?;
        Ok(ServerKey { certificate: certificate.der().to_vec(), key: Zeroizing::new(own.der().to_vec()) })
    }

    // No certificate outlives that of its issuer.
    fn span(&self, utc_ms: u64, days: u32) -> Result<(OffsetDateTime, OffsetDateTime), AuthorityError> {
        let (from, until) = span(utc_ms, days)?;
        Ok((from, until.min(self.ends)))
    }
}

/// The authority that a certificate (DER) names as its issuer. Whether it has signed it is judged elsewhere.
pub fn certificate_issuer(der: &[u8]) -> Option<PublicKey> {
    let read = Certificate::from_der(der).ok()?;
    authority::named(&read.tbs_certificate().issuer().to_der().ok()?)
}

/// When a certificate ends, UTC milliseconds; none if it cannot be read.
pub fn certificate_end(der: &[u8]) -> Option<u64> {
    let read = Certificate::from_der(der).ok()?;
    u64::try_from(read.tbs_certificate().validity().not_after.to_unix_duration().as_millis()).ok()
}

fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| AuthorityError::Key)?;
    // Positive and of constant length (RFC 5280 section 4.1.2.2).
    bytes[0] = bytes[0] & 0x7F | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// How far back a certificate begins, seconds: a node whose clock is behind is enrolled all the same.
const BACK_S: i64 = 3_600;

fn span(utc_ms: u64, days: u32) -> Result<(OffsetDateTime, OffsetDateTime), AuthorityError> {
    let seconds = i64::try_from(utc_ms / 1000).map_err(|_| AuthorityError::Time)?;
    let from = OffsetDateTime::from_unix_timestamp(seconds - BACK_S).map_err(|_| AuthorityError::Time)?;
    let until = from.checked_add(Duration::days(i64::from(days))).ok_or(AuthorityError::Time)?;
    Ok((from, until))
}
