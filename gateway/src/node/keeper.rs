//! Where a node's secrets are kept once its backend is there: sealed under its LMK, and the signature key in its token,
//! where it has one and the key was made there. A file of an earlier version, or of a `join` without a backend, is
//! sealed when it is first met. At every moment the file holds one identity that opens.

use super::identity::{Identity, IdentityError, InToken, Lies, Secrets, Text, sync_folder};
use super::sealing::Sealer;
use super::token::Custody;
use crate::BackendFactory;
use hsm::LmkId;
use keylink::wire::Hex;
use keylink::{KmcId, NodeId, PublicKey, SoftSigner, TrySign};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Seals and opens identities.
#[derive(Clone, Debug)]
pub struct Keeper {
    sealer: Sealer,
    token: Option<Custody>,
}

impl Keeper {
    /// By an AES key-block LMK of the backend, and the token that makes signature keys, if there is one.
    pub fn new(backend: Arc<BackendFactory>, lmk: LmkId, token: Option<Custody>) -> Self {
        Self { sealer: Sealer::new(backend, lmk), token }
    }

    /// The backend.
    pub(super) fn backend(&self) -> Arc<BackendFactory> {
        self.sealer.backend()
    }

    /// Opens the identity of an enrolled node. A clear one is sealed in its place; what may be left of clear ones beside
    /// it is erased.
    pub fn open(&self, path: &Path) -> Result<Identity, IdentityError> {
        let identity = self.load(path)?;
        erase(&path.with_extension("new"))?;
        if self.token.is_some() && !identity.is_in_token() {
            tracing::warn!(
                node = %identity.node(),
                "this node's signature key lies in a sealed file, not in the token: it was made before the token was \
                 there, and a node that shall have it in the token is enrolled anew"
            );
        }
        Ok(identity)
    }

    fn load(&self, path: &Path) -> Result<Identity, IdentityError> {
        let text = Text::read(path)?;
        let (public, lies) = text.lies()?;
        let (sealed, way) = match lies {
            Lies::Clear(_) => return self.seal_in_place(path),
            Lies::Sealed(sealed, way) => (sealed, way),
        };
        let secrets = self.sealer.open(&public, &sealed)?;
        let signer = match (secrets.seed, way) {
            (Some(seed), None) => soft(&seed, &public)?,
            (None, Some(_)) => self.in_token(public)?,
            _ => return Err(IdentityError::Format("a key is in the file or in a token".to_owned())),
        };
        Ok(text.with(signer, secrets.transport_key, Lies::Sealed(sealed, way)))
    }

    // What holds the key may be away just now: it is asked when it is to sign.
    fn in_token(&self, public: PublicKey) -> Result<Arc<dyn TrySign>, IdentityError> {
        let token = self.token.as_ref().ok_or_else(|| IdentityError::NoToken(NodeId::of(&public)))?;
        match token.holds(public) {
            Ok(false) => Err(IdentityError::NoToken(NodeId::of(&public))),
            Ok(true) => Ok(token.signer(public)),
            Err(fault) => {
                tracing::warn!(%fault, "the token does not say whether it holds this node's signature key");
                Ok(token.signer(public))
            }
        }
    }

    fn seal_in_place(&self, path: &Path) -> Result<Identity, IdentityError> {
        let mut identity = Identity::load(path)?;
        let Lies::Clear(secrets) = &identity.lies else { return Err(IdentityError::IsSealed) };
        let sealed = self.sealer.seal(&identity.signer.public(), secrets)?;
        // Nothing takes the place of the clear file that does not open.
        self.sealer.open(&identity.signer.public(), &sealed)?;
        identity.lies = Lies::Sealed(Box::new(sealed), None);
        let old = OpenOptions::new().write(true).open(path);
        identity.save(path)?;
        // The old file has no name any more: whatever happens from here on, the sealed one is found.
        if let Ok(old) = old {
            let _ = overwrite(old);
        }
        tracing::info!(node = %identity.node(), "the node's keys are sealed under its LMK now");
        Ok(identity)
    }

    /// The keys that a node asks with, as far as a file keeps them. One on its way into the token that did not arrive is
    /// none: nobody was told of it.
    pub(super) fn pending(&self, path: &Path) -> Result<Option<Identity>, IdentityError> {
        let text = match Text::read(path) {
            Err(IdentityError::Missing) => return Ok(None),
            text => text?,
        };
        let (public, lies) = text.lies()?;
        let coming = matches!(lies, Lies::Sealed(_, Some(InToken::Coming)));
        if coming
            && let Some(token) = &self.token
            && !token.holds(public)?
        {
            token.destroy(public)?;
            return Ok(None);
        }
        let mut identity = self.load(path)?;
        if coming && let Lies::Sealed(_, way) = &mut identity.lies {
            *way = Some(InToken::Kept);
            identity.save(path)?;
        }
        Ok(Some(identity))
    }

    /// Makes keys to ask with, in the token where there is one. They are in the file when this returns.
    pub(super) fn make(&self, kmc: KmcId, path: &Path) -> Result<Identity, IdentityError> {
        let transport_key = transport_key()?;
        let (seed, signer) = match &self.token {
            Some(token) => (None, token.signer(token.make()?)),
            None => {
                let (seed, signer) = drawn()?;
                (Some(seed), signer)
            }
        };
        let secrets = Secrets { seed, transport_key: transport_key.clone() };
        let public = signer.public();
        let sealed = Box::new(self.sealer.seal(&public, &secrets)?);
        let way = self.token.is_some().then_some(InToken::Coming);
        let mut identity = Identity::fresh(kmc, signer, transport_key, Lies::Sealed(sealed, way));
        // The file knows of a key before the token keeps it: what does not arrive is found, and destroyed.
        identity.save(path)?;
        if let Some(token) = &self.token {
            token.keep(public)?;
            if let Lies::Sealed(_, way) = &mut identity.lies {
                *way = Some(InToken::Kept);
            }
            identity.save(path)?;
        }
        Ok(identity)
    }
}

fn soft(seed: &Hex<32>, public: &PublicKey) -> Result<Arc<dyn TrySign>, IdentityError> {
    let signer = SoftSigner::new(&seed.0);
    if signer.public() == *public {
        Ok(Arc::new(signer))
    } else {
        Err(IdentityError::Format("another key than it says".to_owned()))
    }
}

fn unusable(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Keys(error.to_string())
}

pub(super) fn transport_key() -> Result<Zeroizing<String>, IdentityError> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unusable)?;
    Ok(Zeroizing::new(pair.serialize_pem()))
}

/// A signature key in memory.
pub(super) fn drawn() -> Result<(Zeroizing<Hex<32>>, Arc<dyn TrySign>), IdentityError> {
    let mut seed = Zeroizing::new(Hex([0; 32]));
    getrandom::fill(&mut seed.0).map_err(unusable)?;
    let signer = Arc::new(SoftSigner::new(&seed.0));
    Ok((seed, signer))
}

/// Takes a file away that may hold clear keys, if it is there. Its content is overwritten first, which a file system or
/// a disk may do elsewhere than where it lay.
pub(super) fn erase(path: &Path) -> Result<(), IdentityError> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(file) => overwrite(file)?,
    }
    std::fs::remove_file(path)?;
    Ok(sync_folder(path)?)
}

fn overwrite(mut file: File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    file.write_all(&vec![0; length])?;
    file.sync_all()
}
