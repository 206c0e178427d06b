//! Who a node is: its signature key, and the key and certificate of its transport. The signature key signs receipts, the
//! transport key nothing but handshakes. What is secret of it lies in the file sealed under the node's LMK, or in the
//! token of which the file keeps the public half; clear only before a node's LMK has been there for the first time.

use super::sealing::{SealError, Sealed};
use super::token::TokenFault;
use keylink::wire::{Blob, Hex};
use keylink::{KmcId, NodeId, PublicKey, Sign, SoftSigner, TrySign};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Why an identity is not read or kept. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It is not there.
    #[error("no such file: enrol this node with `payhsm node join`")]
    Missing,
    /// It cannot be read or written.
    #[error(transparent)]
    File(io::Error),
    /// It is no identity.
    #[error("not a node's identity: {0}")]
    Format(String),
    /// It is sealed, and no LMK was named.
    #[error("sealed: name the LMK of this node")]
    IsSealed,
    /// It is not sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its signature key is in a token, and this node has none.
    #[error("the signature key {0} is in a token that is not this one")]
    NoToken(NodeId),
    /// The token fails.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// A key cannot be made.
    #[error("keys: {0}")]
    Keys(String),
}

impl From<io::Error> for IdentityError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Missing } else { Self::File(error) }
    }
}

/// What is secret of an identity. Without a seed where the signature key is in a token.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secrets {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<Zeroizing<Hex<32>>>,
    /// PKCS #8 in PEM.
    pub(super) transport_key: Zeroizing<String>,
}

/// How far a key is on its way into a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InToken {
    /// Made, and nobody was told of it: it may not be there.
    Coming,
    /// There.
    Kept,
}

/// How the secrets lie in the file.
#[derive(Clone)]
pub(super) enum Lies {
    Clear(Secrets),
    Sealed(Box<Sealed>, Option<InToken>),
}

/// The file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) kmc: KmcId,
    pub(super) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<Zeroizing<Hex<32>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transport_key: Option<Zeroizing<String>>,
    certificate: String,
    authorities: Vec<PublicKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Blob>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PublicKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Box<Sealed>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_token: Option<InToken>,
}

impl Text {
    pub(super) fn read(path: &Path) -> Result<Self, IdentityError> {
        let text = Zeroizing::new(std::fs::read(path)?);
        keylink::wire::read(&text).map_err(|error| IdentityError::Format(error.to_string()))
    }

    pub(super) fn lies(&self) -> Result<(PublicKey, Lies), IdentityError> {
        match (&self.seed, &self.transport_key, self.key, &self.sealed) {
            (Some(seed), Some(transport_key), None, None) => {
                let secrets = Secrets { seed: Some(seed.clone()), transport_key: transport_key.clone() };
                Ok((SoftSigner::new(&seed.0).key(), Lies::Clear(secrets)))
            }
            (None, None, Some(key), Some(sealed)) => Ok((key, Lies::Sealed(sealed.clone(), self.in_token))),
            _ => Err(IdentityError::Format("neither clear nor sealed".to_owned())),
        }
    }

    pub(super) fn with(
        self,
        signer: Arc<dyn TrySign>,
        transport_key: Zeroizing<String>,
        lies: Lies,
    ) -> Identity {
        let Self { kmc, url, certificate, authorities, request, .. } = self;
        Identity { kmc, url, signer, transport_key, certificate, authorities, request, lies }
    }
}

/// What anybody may know of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The manager.
    pub kmc: KmcId,
    /// Where it is.
    pub url: String,
    /// The key that signs receipts.
    pub key: PublicKey,
}

impl Who {
    /// Its id.
    pub fn node(&self) -> NodeId {
        NodeId::of(&self.key)
    }

    /// Of a file, whether it is sealed or not.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let text = Text::read(path)?;
        let (key, _) = text.lies()?;
        Ok(Self { kmc: text.kmc, url: text.url, key })
    }
}

/// Keys and certificates of a node. Written as its file has it; read, only where that is clear.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct Identity {
    /// The manager.
    pub kmc: KmcId,
    /// Where it is.
    pub url: String,
    pub(super) signer: Arc<dyn TrySign>,
    /// Transport key, PKCS #8 in PEM.
    pub(super) transport_key: Zeroizing<String>,
    /// Its certificate and issuers, PEM; empty before enrolment.
    pub(super) certificate: String,
    /// Transport authorities: of the token, then those of the pinned root document when this was written.
    pub(super) authorities: Vec<PublicKey>,
    /// The certificate request that this node asks with, PKCS #10 in DER; none once it is enrolled. It is kept as it
    /// is, since its signature would be another each time, and officers approve it by its hash.
    pub(super) request: Option<Blob>,
    pub(super) lies: Lies,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.node())
    }
}

impl Identity {
    /// Before it is enrolled.
    pub(super) fn fresh(
        kmc: KmcId,
        signer: Arc<dyn TrySign>,
        transport_key: Zeroizing<String>,
        lies: Lies,
    ) -> Self {
        let (url, certificate, authorities) = (String::new(), String::new(), Vec::new());
        Self { kmc, url, signer, transport_key, certificate, authorities, request: None, lies }
    }

    /// Its id.
    pub fn node(&self) -> NodeId {
        NodeId::of(&self.signer.public())
    }

    /// What anybody may know of it.
    pub fn who(&self) -> Who {
        Who { kmc: self.kmc, url: self.url.clone(), key: self.signer.public() }
    }

    /// What signs with its signature key.
    pub fn signer(&self) -> Arc<dyn TrySign> {
        Arc::clone(&self.signer)
    }

    /// True when the signature key is in a token.
    pub const fn is_in_token(&self) -> bool {
        matches!(self.lies, Lies::Sealed(_, Some(_)))
    }

    /// What a transport needs.
    pub fn tls(&self) -> super::TlsIdentity {
        super::TlsIdentity {
            certificate: self.certificate.clone(),
            key: self.transport_key.clone(),
            authorities: self.authorities.clone(),
        }
    }

    /// Reads a file that is clear.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        Text::read(path)?.try_into()
    }

    /// Writes the file anew: whole or not at all, and for its owner only. What was sealed stays sealed.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let text = Text::from(self.clone());
        write(path, &Zeroizing::new(serde_json::to_vec(&text)?))
    }
}

impl TryFrom<Text> for Identity {
    type Error = IdentityError;

    fn try_from(text: Text) -> Result<Self, IdentityError> {
        let (_, lies) = text.lies()?;
        let Lies::Clear(secrets) = &lies else { return Err(IdentityError::IsSealed) };
        let seed = secrets.seed.as_ref().ok_or(IdentityError::IsSealed)?;
        let signer = Arc::new(SoftSigner::new(&seed.0));
        let transport_key = secrets.transport_key.clone();
        Ok(text.with(signer, transport_key, lies))
    }
}

impl From<Identity> for Text {
    fn from(identity: Identity) -> Self {
        let public = identity.signer.public();
        let Identity { kmc, url, certificate, authorities, request, lies, .. } = identity;
        let none = Self {
            kmc,
            url,
            seed: None,
            transport_key: None,
            certificate,
            authorities,
            request,
            key: None,
            sealed: None,
            in_token: None,
        };
        match lies {
            Lies::Clear(clear) => Self { seed: clear.seed, transport_key: Some(clear.transport_key), ..none },
            Lies::Sealed(sealed, in_token) => {
                Self { key: Some(public), sealed: Some(sealed), in_token, ..none }
            }
        }
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    sync_folder(path)
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
