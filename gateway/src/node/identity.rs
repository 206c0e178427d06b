//! Who a node is: its signature key, and the key and certificate of its transport. On class C they lie in a file that
//! only the service can read; the signature key signs receipts, the transport key nothing but handshakes.

use keylink::wire::{Blob, Hex};
use keylink::{KmcId, NodeId, PublicKey, Sign, SoftSigner};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// Keys and certificates of a node.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The manager.
    pub kmc: KmcId,
    /// Where it is.
    pub url: String,
    /// Seed of the signature key.
    pub(super) seed: Zeroizing<Hex<32>>,
    /// Transport key, PKCS #8 in PEM.
    pub(super) transport_key: Zeroizing<String>,
    /// Its certificate and issuers, PEM; empty before enrolment.
    pub(super) certificate: String,
    /// Transport authorities: of the token, then those of the pinned root document when this was written.
    pub(super) authorities: Vec<PublicKey>,
    /// The certificate request that this node asks with, PKCS #10 in DER; none once it is enrolled. It is kept as it
    /// is, since its signature would be another each time, and officers approve it by its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Blob>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.node())
    }
}

impl Identity {
    /// Its id.
    pub fn node(&self) -> NodeId {
        NodeId::of(&self.signer().key())
    }

    /// Its signature key.
    pub fn signer(&self) -> SoftSigner {
        SoftSigner::new(&self.seed.0)
    }

    /// What a transport needs.
    pub fn tls(&self) -> super::TlsIdentity {
        super::TlsIdentity {
            certificate: self.certificate.clone(),
            key: self.transport_key.clone(),
            authorities: self.authorities.clone(),
        }
    }

    /// Reads the file.
    pub fn load(path: &Path) -> io::Result<Self> {
        let text = Zeroizing::new(std::fs::read(path)?);
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// Writes the file anew: whole or not at all, and for its owner only.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_vec(self)?);
        let fresh = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}
