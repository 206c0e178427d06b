//! A node becomes known: it makes its keys, asks with a one-time token, waits for the officers, proves the manager's
//! answer by the token, and pins the root document.

use super::identity::{Identity, IdentityError, Lies, Secrets};
use super::keeper::{Keeper, drawn, transport_key};
use super::renew::RenewError;
use super::store::{Store, StoreError};
use super::transport::{Answer, Transport, TransportError};
use keylink::action::{EvidenceError, Grant};
use keylink::endpoint::Endpoint;
use keylink::message::{Audience, Enrol, Enrolled, EnrolmentToken, Head, PROTOCOL, enrol_proof};
use keylink::node::NodeState;
use keylink::root::{RootDocument, RootError, SignedRoot};
use keylink::wire::{Blob, Hex, U64};
use keylink::{Digest, NodeId, NotSigned, Signed};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};

/// Why a node is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The manager was not reached, or does not want it.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Officers have not decided: ask again with the same keys.
    #[error("waiting for the officers' approval")]
    Waiting,
    /// The answer is not from the manager of the token: wrong root document, signature or content.
    #[error("the answer is not from the manager of this token: {0}")]
    Stranger(&'static str),
    /// The transport certificate does not fit, or not yet.
    #[error(transparent)]
    Certificate(#[from] RenewError),
    /// Officers have not approved these keys.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The root documents do not follow each other.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The state is not stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file in which keys are kept until officers have decided.
    #[error("{path}: {source}", path = path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IdentityError,
    },
    /// What holds the signature key does not answer: ask again with the same keys.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// Keys cannot be made.
    #[error("keys: {0}")]
    Keys(String),
}

/// A request on its way: keys and request must stay the same until officers have compared their fingerprints, through
/// every restart, since a token that comes with others is void.
#[derive(Debug)]
pub struct Enrolment {
    identity: Identity,
    token: EnrolmentToken,
    csr: Vec<u8>,
}

fn keys(error: impl std::fmt::Display) -> EnrolError {
    EnrolError::Keys(error.to_string())
}

impl Enrolment {
    /// Makes keys for a token. They are clear where they are saved.
    pub fn new(token: EnrolmentToken) -> Result<Self, EnrolError> {
        let (seed, signer) = drawn().map_err(keys)?;
        let transport_key = transport_key().map_err(keys)?;
        let secrets = Secrets { seed: Some(seed), transport_key: transport_key.clone() };
        // What is the token's own follows it.
        Self::again(Identity::fresh(token.kmc, signer, transport_key, Lies::Clear(secrets)), token)
    }

    /// With the keys and the request that the file keeps. Where there is no file they are made, and it is written
    /// before anybody is asked.
    pub fn kept(path: &Path, token: EnrolmentToken) -> Result<Self, EnrolError> {
        let failed = |source| EnrolError::Kept { path: path.to_owned(), source };
        let (enrolment, fresh) = match Identity::load(path) {
            Ok(identity) => {
                let fresh = identity.request.is_none();
                (Self::again(identity, token)?, fresh)
            }
            Err(IdentityError::Missing) => (Self::new(token)?, true),
            Err(error) => return Err(failed(error)),
        };
        if fresh {
            enrolment.identity.save(path).map_err(|error| failed(error.into()))?;
        }
        Ok(enrolment)
    }

    /// The same with a node's backend at hand: the keys are sealed under its LMK from the beginning, and the signature key
    /// is made in its token, where there is one.
    pub fn kept_by(keeper: &Keeper, path: &Path, token: EnrolmentToken) -> Result<Self, EnrolError> {
        let failed = |source| EnrolError::Kept { path: path.to_owned(), source };
        let identity = match keeper.pending(path).map_err(failed)? {
            Some(identity) => identity,
            None => keeper.make(token.kmc, path).map_err(failed)?,
        };
        let fresh = identity.request.is_none();
        let enrolment = Self::again(identity, token)?;
        if fresh {
            enrolment.identity.save(path).map_err(|error| failed(error.into()))?;
        }
        Ok(enrolment)
    }

    // Goes on with keys that were made before. A token made since may say that the manager is elsewhere.
    fn again(mut identity: Identity, token: EnrolmentToken) -> Result<Self, EnrolError> {
        let csr = match identity.request.take() {
            Some(request) => request.0,
            None => request_of(&identity)?,
        };
        let identity = Identity {
            kmc: token.kmc,
            url: token.url.clone(),
            authorities: token.authorities.clone(),
            request: Some(Blob(csr.clone())),
            ..identity
        };
        Ok(Self { identity, token, csr })
    }

    /// The keys.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the officers compare: the node's id and the hash of its certificate request.
    pub fn fingerprints(&self) -> (NodeId, Digest) {
        (self.identity.node(), Digest::of(&self.csr))
    }

    /// The request.
    pub fn request(&self, name: &str, backend_class: &str, utc_ms: u64) -> Result<Signed, NotSigned> {
        let signer = self.identity.signer();
        let key = signer.public();
        let proof = enrol_proof(&self.token.secret.0, self.token.token, &key, &self.csr);
        let enrol = Enrol {
            head: Head {
                version: PROTOCOL,
                kmc: self.token.kmc,
                audience: Audience::Kmc,
                epoch: U64(0),
                seq: U64(1),
                not_after: U64(utc_ms.saturating_add(120_000).min(self.token.not_after.0)),
            },
            name: name.to_owned(),
            key,
            csr: Blob(self.csr.clone()),
            token: self.token.token,
            proof: Hex(*proof),
            backend_class: backend_class.to_owned(),
            attestation: format!("payhsm {}", env!("CARGO_PKG_VERSION")),
        };
        Signed::try_seal(&enrol, signer.as_ref())
    }

    /// Judges the manager's answer; gives the complete identity and the first state.
    pub fn accept(&self, answer: &[u8], utc_ms: u64) -> Result<(Identity, NodeState), EnrolError> {
        let signed = Signed::parse(answer).map_err(|_| EnrolError::Stranger("malformed"))?;
        let unproved: Enrolled = signed.peek().map_err(|_| EnrolError::Stranger("malformed"))?;
        let (root, document) = self.follow(&unproved.roots)?;
        let key = document.manifest_key(&signed.key_id).ok_or(EnrolError::Stranger("signer"))?;
        let enrolled: Enrolled = signed.open(key).map_err(|_| EnrolError::Stranger("signature"))?;
        let (node, csr) = self.fingerprints();
        let head = enrolled.head.judge(self.token.kmc, Audience::Node(node), 1, utc_ms);
        head.map_err(|_| EnrolError::Stranger("for another node, or expired"))?;
        let allowed = enrolled.evidence.judge(self.token.kmc, &document, utc_ms)?;
        if !allowed.grants.contains(&Grant::EnrolNode { node, csr }) {
            return Err(EvidenceError::Grant.into());
        }
        let mut state = NodeState::new(self.token.kmc, node, root.clone());
        for grant in allowed.grants {
            if let Grant::JoinZone { zone, node: member } = grant
                && member == node
            {
                state.zones.insert(zone);
            }
        }
        let all = |list: &[Blob]| list.iter().map(|der| pem(&der.0)).collect::<String>();
        let identity = Identity {
            certificate: all(&enrolled.certificates),
            authorities: document.transport_keys.clone(),
            request: None,
            ..self.identity.clone()
        };
        if identity.certificate.is_empty() {
            return Err(EnrolError::Stranger("no transport certificate"));
        }
        super::renew::judge(&identity, utc_ms)?;
        Ok((identity, state))
    }

    // The first document is the token's; each of the others follows the one before.
    fn follow<'a>(&self, roots: &'a [SignedRoot]) -> Result<(&'a SignedRoot, RootDocument), EnrolError> {
        let (first, rest) = roots.split_first().ok_or(EnrolError::Stranger("no root document"))?;
        if first.hash() != self.token.root || first.kmc()? != self.token.kmc {
            return Err(EnrolError::Stranger("root document"));
        }
        let (mut last, mut document) = (first, first.document()?);
        for next in rest {
            (document, _) = next.open_next(self.token.kmc, &document, last.hash())?;
            last = next;
        }
        Ok((last, document))
    }
}

// A request to certify the transport key under the node's id.
pub(super) fn request_of(identity: &Identity) -> Result<Vec<u8>, EnrolError> {
    let pair = KeyPair::from_pem(&identity.transport_key).map_err(keys)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(keys)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, identity.node().to_string());
    Ok(params.serialize_request(&pair).map_err(keys)?.der().to_vec())
}

/// Asks once; on success the first state is stored, and the identity is to be saved by the caller.
pub async fn join(
    enrolment: &Enrolment,
    name: &str,
    backend_class: &str,
    transport: &dyn Transport,
    store: &Store,
    utc_ms: u64,
) -> Result<Identity, EnrolError> {
    let request = enrolment.request(name, backend_class, utc_ms)?;
    match transport.post(Endpoint::Enrol, request.to_bytes()).await? {
        Answer::Waiting => Err(EnrolError::Waiting),
        Answer::Taken(answer) => {
            let (identity, state) = enrolment.accept(&answer, utc_ms)?;
            let body = serde_json::to_vec(&state).map_err(keys)?;
            store.put(state.node, body).await?;
            Ok(identity)
        }
    }
}

pub(super) fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let certificate = CertificateDer::from(der);
    let text = base64::engine::general_purpose::STANDARD.encode(&certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|l| core::str::from_utf8(l).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
