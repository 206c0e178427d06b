//! The transport certificate of a node is made anew before it ends, and when the pinned root document names another
//! authority than the one that issued it, for the same key. The one in use stays in its file until the new one is judged
//! and stored in its place, and goes on whatever happens in between.
//!
//! A node that asks its manager does it over a connection of its own. One that is pushed to or carried to asks in its
//! parcel, and finds the answer in later mail; what it has asked is kept in a file, since whoever carries may be on the
//! way for days.

use super::enrol::{pem, request_of};
use super::https::TlsIdentity;
use super::identity::Identity;
use super::transport::TransportError;
use keylink::message::{Audience, CERTIFICATE_RENEW_MS, Head, PROTOCOL, Renew, Renewed};
use keylink::root::RootDocument;
use keylink::wire::{Blob, U64};
use keylink::{Digest, NodeId, NotSigned, PublicKey, Signed, authority};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode, Encode};

/// Between two tries, milliseconds.
const AGAIN_MS: u64 = 3_600_000;
/// Between two tries when another authority is to issue, milliseconds: at first, and at last. It does not issue before
/// the nodes that are waited for know it.
const FOLLOW_MS: (u64, u64) = (1_000, 300_000);
/// Life of a request that is answered at once, milliseconds.
const REQUEST_MS: u64 = 120_000;
/// Life of a request in a parcel that somebody carries, milliseconds: as of everything that a node writes into a file.
const CARRIED_MS: u64 = 90 * 24 * 3_600_000;
/// Requests that may still be answered.
const ASKED_MAX: usize = 4;

/// Why a certificate is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The answer is not from the pinned manager, or answers something else.
    #[error("the answer is not the manager's to this request: {0}")]
    Stranger(&'static str),
    /// It is not this node's, ends no later than the one in use, or was issued by an authority that does not count or that
    /// another has followed.
    #[error("not a certificate for this node: {0}")]
    Certificate(&'static str),
    /// It is not valid before a time that this node's clock has not reached.
    #[error("the certificate is valid from {from} on, and the clock of this node says {now}: set it")]
    Early {
        /// RFC 3339.
        from: String,
        /// RFC 3339.
        now: String,
    },
    /// The transport key or certificate cannot be used.
    #[error("keys: {0}")]
    Keys(String),
    /// It is not stored; the one in use stays.
    #[error("{path}: {source}", path = path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What holds the signature key does not answer.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// It is stored, and connections do not show it before the next start.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

type Use = dyn Fn(&TlsIdentity) -> Result<(), TransportError> + Send + Sync;

/// A node's certificate, and what is done when there is another.
pub struct Renewal {
    identity: Identity,
    path: PathBuf,
    until_ms: u64,
    issuer: Option<PublicKey>,
    asked: Asked,
    // Asked in vain for a certificate of another authority.
    tries: u32,
    // The one in use has come by mail, and was not shown since.
    shows: bool,
    used: Box<Use>,
}

/// What the manager was asked and may still answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    not_before_ms: U64,
    requests: Vec<Digest>,
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("until_ms", &self.until_ms).finish_non_exhaustive()
    }
}

impl Renewal {
    /// Of the identity in a file. `used` is told of a certificate that was stored there.
    pub fn new(
        identity: Identity,
        path: &Path,
        used: impl Fn(&TlsIdentity) -> Result<(), TransportError> + Send + Sync + 'static,
    ) -> Result<Self, RenewError> {
        let (_, in_use) = first(&identity.certificate)?;
        let (until_ms, issuer) = (end_of(&in_use), issuer_of(&in_use));
        let used = Box::new(used);
        // Without it the manager is asked again.
        let asked = std::fs::read(asked_file(path)).ok().and_then(|text| keylink::wire::read(&text).ok());
        let asked = asked.unwrap_or_default();
        Ok(Self { identity, path: path.to_owned(), until_ms, issuer, asked, tries: 0, shows: false, used })
    }

    /// When the certificate in use ends, UTC milliseconds.
    pub const fn until_ms(&self) -> u64 {
        self.until_ms
    }

    /// Goes by the authorities of the pinned root document from now on: by no others are connections made and taken, and
    /// the last of them is to have issued the certificate in use.
    pub fn follow(&mut self, document: &RootDocument) -> Result<(), RenewError> {
        if self.identity.authorities == document.transport_keys {
            return Ok(());
        }
        self.identity.authorities.clone_from(&document.transport_keys);
        (self.asked.not_before_ms, self.tries) = (U64(0), 0);
        (self.used)(&self.identity.tls())?;
        // The document says it again at the next start.
        self.identity.save(&self.path).map_err(|source| RenewError::Kept { path: self.path.clone(), source })
    }

    // Another authority than the one that issued it is to issue it.
    fn follows(&self) -> bool {
        self.identity.authorities.last().is_some_and(|newest| self.issuer != Some(*newest))
    }

    /// Whether the manager is to be asked now.
    pub fn is_due(&self, utc_ms: u64) -> bool {
        let due = self.follows() || self.until_ms.saturating_sub(utc_ms) <= CERTIFICATE_RENEW_MS;
        due && utc_ms >= self.asked.not_before_ms.0
    }

    fn pause(&mut self, utc_ms: u64) {
        let (first, last) = FOLLOW_MS;
        let wait = match self.follows() {
            true => first.saturating_mul(1 << self.tries.min(16)).min(last),
            false => AGAIN_MS,
        };
        self.tries = self.tries.saturating_add(1);
        self.asked.not_before_ms = U64(utc_ms.saturating_add(wait));
    }

    /// What the manager is asked. It is not due again before an hour has passed, or less where another authority issues.
    pub fn request(&mut self, utc_ms: u64) -> Result<Signed, RenewError> {
        self.pause(utc_ms);
        let signed = self.ask(None, utc_ms.saturating_add(REQUEST_MS))?;
        self.note(&signed);
        Ok(signed)
    }

    /// What goes into a parcel, if anything: the request when one is due, or the certificate that was taken from mail.
    pub fn in_parcel(&mut self, utc_ms: u64, carried: bool) -> Result<Option<Signed>, RenewError> {
        let due = self.is_due(utc_ms);
        // While authorities change, the manager waits to see one of the newest. Whoever shows another asks for one.
        let follows = self.follows();
        let shows = std::mem::take(&mut self.shows) || (self.identity.authorities.len() > 1 && !follows);
        if !due && !shows {
            return Ok(None);
        }
        let (in_use, _) = first(&self.identity.certificate)?;
        let life_ms = if carried { CARRIED_MS } else { REQUEST_MS };
        let signed = self.ask(Some(Blob(in_use.to_vec())), utc_ms.saturating_add(life_ms))?;
        if due {
            self.pause(utc_ms);
        }
        if due || follows {
            self.note(&signed);
            let text = serde_json::to_vec(&self.asked).map_err(unusable)?;
            let path = asked_file(&self.path);
            std::fs::write(&path, text).map_err(|source| RenewError::Kept { path, source })?;
        }
        Ok(Some(signed))
    }

    fn note(&mut self, signed: &Signed) {
        let surplus = self.asked.requests.len().saturating_sub(ASKED_MAX.saturating_sub(1));
        self.asked.requests.drain(..surplus);
        self.asked.requests.push(signed.hash());
    }

    fn ask(&self, certificate: Option<Blob>, not_after_ms: u64) -> Result<Signed, RenewError> {
        let csr = request_of(&self.identity).map_err(|error| RenewError::Keys(error.to_string()))?;
        let head = Head {
            version: PROTOCOL,
            kmc: self.identity.kmc,
            audience: Audience::Kmc,
            epoch: U64(0),
            seq: U64(1),
            not_after: U64(not_after_ms),
        };
        let body = Renew { head, node: self.identity.node(), csr: Blob(csr), certificate };
        Ok(Signed::try_seal(&body, self.identity.signer().as_ref())?)
    }

    /// The answer in mail; it is shown with the next parcel that it was taken. Mail may bring it again.
    pub fn accept_from_mail(
        &mut self,
        document: &RootDocument,
        signed: &Signed,
        utc_ms: u64,
    ) -> Result<u64, RenewError> {
        let (in_use, _) = first(&self.identity.certificate)?;
        let again =
            |renewed: &Renewed| renewed.certificates.first().is_some_and(|der| der.0 == in_use.as_ref());
        let key = document.manifest_key(&signed.key_id).ok_or(RenewError::Stranger("signer"))?;
        let renewed: Renewed = signed.open(key).map_err(|_| RenewError::Stranger("signature"))?;
        if !again(&renewed) {
            self.accept(document, &signed.to_bytes(), utc_ms)?;
        }
        self.shows = true;
        Ok(self.until_ms)
    }

    /// Judges the manager's answer by the pinned root document, and stores the certificate; gives its end, UTC
    /// milliseconds.
    pub fn accept(&mut self, document: &RootDocument, answer: &[u8], utc_ms: u64) -> Result<u64, RenewError> {
        let signed = Signed::parse(answer).map_err(|_| RenewError::Stranger("malformed"))?;
        let key = document.manifest_key(&signed.key_id).ok_or(RenewError::Stranger("signer"))?;
        let renewed: Renewed = signed.open(key).map_err(|_| RenewError::Stranger("signature"))?;
        let own = Audience::Node(self.identity.node());
        let head = renewed.head.judge(self.identity.kmc, own, 1, utc_ms);
        head.map_err(|_| RenewError::Stranger("for another node, or expired"))?;
        if !self.asked.requests.contains(&renewed.request) {
            return Err(RenewError::Stranger("answers another request"));
        }
        let certificate = renewed.certificates.iter().map(|der| pem(&der.0)).collect();
        let authorities = document.transport_keys.clone();
        let identity = Identity { certificate, authorities, ..self.identity.clone() };
        let (until_ms, issuer) = judge(&identity, utc_ms)?;
        // The newest comes last; one that is not named comes before all.
        let place = |by: Option<PublicKey>| identity.authorities.iter().position(|key| Some(*key) == by);
        match place(issuer).cmp(&place(self.issuer)) {
            Ordering::Less => {
                return Err(RenewError::Certificate("another authority has followed its issuer"));
            }
            Ordering::Equal if until_ms <= self.until_ms => {
                return Err(RenewError::Certificate("ends no later than the one in use"));
            }
            _ => {}
        }
        let failed = |source| RenewError::Kept { path: self.path.clone(), source };
        identity.save(&self.path).map_err(failed)?;
        (self.identity, self.until_ms, self.issuer) = (identity, until_ms, issuer);
        (self.asked, self.tries) = (Asked::default(), 0);
        // What is left there would be asked again at worst.
        let _ = std::fs::remove_file(asked_file(&self.path));
        (self.used)(&self.identity.tls())?;
        Ok(until_ms)
    }
}

/// Whether the certificate of an identity is that node's, for its key, by one of the authorities; gives its end, UTC
/// milliseconds, and its issuer.
pub(super) fn judge(identity: &Identity, utc_ms: u64) -> Result<(u64, Option<PublicKey>), RenewError> {
    let (der, certificate) = first(&identity.certificate)?;
    let about = certificate.tbs_certificate();
    let key = about.subject_public_key_info().to_der().map_err(unusable)?;
    let pair = KeyPair::from_pem(&identity.transport_key).map_err(unusable)?;
    if key != rcgen::PublicKeyData::subject_public_key_info(&pair) {
        return Err(RenewError::Certificate("another key"));
    }
    let named = about.subject().to_string();
    let named = named.strip_prefix("CN=").and_then(|id| id.parse::<NodeId>().ok());
    if named != Some(identity.node()) {
        return Err(RenewError::Certificate("another name"));
    }
    let (own, from) = (Duration::from_millis(utc_ms), about.validity().not_before.to_unix_duration());
    if own < from {
        return Err(RenewError::Early { from: said(from), now: said(own) });
    }
    let now = UnixTime::since_unix_epoch(own);
    let verifier = identity.tls().verifier().map_err(unusable)?;
    let issued = verifier.verify_client_cert(&der, &[], now);
    issued
        .map_err(|_| RenewError::Certificate("not issued by a transport authority that counts, or over"))?;
    // What does not open a connection does not take the place of what does.
    identity.tls().client().and_then(|_| identity.tls().server()).map_err(unusable)?;
    Ok((end_of(&certificate), issuer_of(&certificate)))
}

fn said(since_epoch: Duration) -> String {
    let seconds = Duration::from_secs(since_epoch.as_secs());
    DateTime::from_unix_duration(seconds).map_or_else(|_| seconds.as_secs().to_string(), |at| at.to_string())
}

// Beside the identity.
fn asked_file(path: &Path) -> PathBuf {
    path.with_extension("renewal")
}

fn unusable(error: impl std::fmt::Display) -> RenewError {
    RenewError::Keys(error.to_string())
}

fn first(certificates: &str) -> Result<(CertificateDer<'static>, Certificate), RenewError> {
    let der = CertificateDer::from_pem_slice(certificates.as_bytes()).map_err(unusable)?;
    let certificate = Certificate::from_der(&der).map_err(unusable)?;
    Ok((der, certificate))
}

fn issuer_of(certificate: &Certificate) -> Option<PublicKey> {
    authority::named(&certificate.tbs_certificate().issuer().to_der().ok()?)
}

fn end_of(certificate: &Certificate) -> u64 {
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    u64::try_from(end.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::identity::{Lies, Secrets};
    use super::*;
    use keylink::envelope::Sign;
    use keylink::root::{Recovery, RootDocument};
    use keylink::wire::Hex;
    use keylink::{KmcId, NodeId, SoftSigner};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa};
    use std::sync::Arc;
    use zeroize::Zeroizing;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    const NOW: u64 = 1_900_000_000_000;

    fn authority() -> (PublicKey, Authority) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("key");
        let public = PublicKey(key.public_key_raw().try_into().expect("32 bytes"));
        let mut params = CertificateParams::new(vec![]).expect("params");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, authority::ORGANIZATION);
        params.distinguished_name.push(DnType::CommonName, public.to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (public, CertifiedIssuer::self_signed(params, key).expect("CA"))
    }

    fn certificate(by: &Authority, node: NodeId, key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::new(vec![node.to_string()]).expect("params");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, node.to_string());
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth, rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        params.signed_by(key, by).expect("signed").der().to_vec()
    }

    // A manager answers what it is asked, and pushes the answer: a node that asks with each parcel, and takes no answer
    // but to what it has noted, would keep both at it.
    #[test]
    fn whoever_is_pushed_to_asks_another_authority_once_in_a_pause_and_takes_the_answer() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("node.json");
        let ((old, one), (new, other)) = (authority(), authority());
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("key");
        let manager = SoftSigner::new(&[1; 32]);
        let transport_key = Zeroizing::new(key.serialize_pem());
        let secrets =
            Secrets { seed: Some(Zeroizing::new(Hex([2; 32]))), transport_key: transport_key.clone() };
        let mut identity = Identity {
            kmc: KmcId([9; 32]),
            url: String::new(),
            signer: Arc::new(SoftSigner::new(&[2; 32])),
            transport_key,
            certificate: String::new(),
            authorities: vec![old],
            request: None,
            lies: Lies::Clear(secrets),
        };
        let node = identity.node();
        identity.certificate = pem(&certificate(&one, node, &key));
        let document = RootDocument {
            number: 2,
            kmc: Some(identity.kmc),
            previous: None,
            created_ms: U64(1),
            name: "test".into(),
            manifest_keys: vec![manager.key()],
            checkpoint_keys: Vec::new(),
            transport_keys: vec![old, new],
            officers: Vec::new(),
            quorums: Vec::new(),
            recovery: Recovery { keys: Vec::new(), needed: 0 },
        };
        let mut renewal = Renewal::new(identity.clone(), &path, |_| Ok(())).expect("renewal");
        assert!(renewal.in_parcel(NOW, false).expect("nothing").is_none());
        renewal.follow(&document).expect("followed");
        // A second and a half of pushes, as fast as they go.
        let parcels = (0..1_500).filter_map(|ms| renewal.in_parcel(NOW + ms, false).expect("asked"));
        let asked: Vec<Signed> = parcels.collect();
        assert_eq!(asked.len(), 2);
        let answer = |request: &Signed| {
            let asked: Renew = request.peek().expect("a request");
            let head = Head { audience: Audience::Node(node), not_after: U64(NOW + 60_000), ..asked.head };
            let certificates = vec![Blob(certificate(&other, node, &key))];
            Signed::seal(&Renewed { head, request: request.hash(), certificates }, &manager)
        };
        // Of each of them, also by a process that has only the files.
        for request in &asked {
            let mut later = Renewal::new(identity.clone(), &path, |_| Ok(())).expect("renewal");
            later.follow(&document).expect("followed");
            later.accept_from_mail(&document, &answer(request), NOW).expect("taken");
            identity.save(&path).expect("as before");
            std::fs::write(asked_file(&path), serde_json::to_vec(&renewal.asked).expect("text"))
                .expect("kept");
        }
        renewal.accept_from_mail(&document, &answer(&asked[0]), NOW).expect("taken");
        // It is shown with each parcel until the authority that goes is named no more, and asks for nothing.
        for ms in 0..3 {
            let shown: Renew =
                renewal.in_parcel(NOW + ms, false).expect("shown").expect("one").peek().expect("it");
            assert_eq!(
                shown.certificate.map(|der| der.0),
                Some(first(&renewal.identity.certificate).expect("it").0.to_vec())
            );
        }
        assert!(renewal.asked.requests.is_empty() && !renewal.is_due(NOW));
    }
}
