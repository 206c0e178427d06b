//! A node's secrets at rest: sealed by AES-256-GCM under a key that is drawn for them and lies beside them in an `S`
//! block under the node's own LMK. Whoever has the file and not the LMK has nothing; which backend holds the LMK is
//! unknown here.

use super::identity::Secrets;
use crate::BackendFactory;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hostcmd::managed::run_alone;
use hsm::{BlockAttributes, Hsm, HsmError, KeyToken, KeyType, LmkId, SealAs};
use keylink::PublicKey;
use keylink::wire::{Blob, Hex};
use paytypes::{Cipher, CipherKind, ClearKey, Exportability, KeyUsage, KeyVersion, ModeOfUse};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// Said of what is sealed, with the public key whose identity it is.
const PURPOSE: &[u8] = b"payhsm/node-identity/1";

/// Why secrets are not sealed or opened. Nothing is changed by either.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The backend has no such LMK.
    #[error("LMK {0} is not loaded")]
    NoLmk(LmkId),
    /// Another LMK, or the file was altered: the two cannot be told apart.
    #[error(
        "it does not open: it was sealed under LMK {sealed} with check value {check}, which is {found} here, or the file was \
         altered"
    )]
    Closed {
        /// Identifier of the LMK that it was sealed under.
        sealed: LmkId,
        /// Its check value.
        check: String,
        /// That of the LMK with this identifier here.
        found: String,
    },
    /// The backend failed.
    #[error("the backend: {0}")]
    Backend(HsmError),
    /// No randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// Sealed secrets, as they stand in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    // Which LMK it was; the check value is for people.
    lmk: u8,
    check: String,
    // The key, an `S` block with its tag.
    key: String,
    nonce: Hex<12>,
    text: Blob,
}

/// Seals under an LMK of a backend.
#[derive(Clone)]
pub struct Sealer {
    backend: Arc<BackendFactory>,
    lmk: LmkId,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer(LMK {})", self.lmk)
    }
}

impl Sealer {
    /// By an AES key-block LMK.
    pub fn new(backend: Arc<BackendFactory>, lmk: LmkId) -> Self {
        Self { backend, lmk }
    }

    /// The backend.
    pub(super) fn backend(&self) -> Arc<BackendFactory> {
        Arc::clone(&self.backend)
    }

    /// Seals the secrets of the identity with this public key.
    pub(super) fn seal(&self, public: &PublicKey, secrets: &Secrets) -> Result<Sealed, SealError> {
        let mut backend = (self.backend)();
        let check = check_of(backend.as_ref(), self.lmk)?;
        let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; 12]);
        getrandom::fill(key.as_mut()).map_err(|_| SealError::Random)?;
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let clear = Zeroizing::new(serde_json::to_vec(secrets).map_err(|_| SealError::Random)?);
        let mut text = Vec::with_capacity(clear.len().saturating_add(16));
        text.extend_from_slice(&clear);
        let sealed = cipher(&key).encrypt_in_place(&Nonce::from(nonce), &about(public), &mut text);
        if sealed.is_err() {
            text.zeroize();
            return Err(SealError::Backend(HsmError::Backend));
        }
        let hsm = Hsm::new();
        let work = async {
            let key = hsm.load(CipherKind::Aes, key.as_ref()).await.map_err(HsmError::from)?;
            hsm.seal(self.lmk, &key, data_key()).await
        };
        let token = run_alone(&hsm, backend.as_mut(), work).unwrap_or(Err(HsmError::Backend));
        let mut block = Vec::new();
        token.map_err(SealError::Backend)?.write(&mut block);
        let key = String::from_utf8(block).map_err(|_| SealError::Backend(HsmError::Backend))?;
        Ok(Sealed { lmk: self.lmk.0, check, key, nonce: Hex(nonce), text: Blob(text) })
    }

    /// Opens them again, by the LMK that they were sealed under.
    pub(super) fn open(&self, public: &PublicKey, sealed: &Sealed) -> Result<Secrets, SealError> {
        let mut backend = (self.backend)();
        let lmk = LmkId(sealed.lmk);
        let found = check_of(backend.as_ref(), lmk)?;
        let closed = || {
            let (check, found) = (sealed.check.clone(), found.clone());
            SealError::Closed { sealed: lmk, check, found }
        };
        let Some(token) = KeyToken::read(sealed.key.as_bytes()) else { return Err(closed()) };
        let hsm = Hsm::with_cache(0);
        let work = async {
            let key = hsm.open(lmk, KeyType::FROM_BLOCK, &token).await?;
            hsm.reveal(&key).await
        };
        let key: Box<ClearKey> = match run_alone(&hsm, backend.as_mut(), work) {
            Some(Ok(key)) => key,
            Some(Err(HsmError::Backend)) | None => return Err(SealError::Backend(HsmError::Backend)),
            Some(Err(_)) => return Err(closed()),
        };
        let Ok(key) = <&[u8; 32]>::try_from(key.expose()) else { return Err(closed()) };
        let mut text = Zeroizing::new(sealed.text.0.clone());
        let opened = cipher(key).decrypt_in_place(&Nonce::from(sealed.nonce.0), &about(public), &mut *text);
        if opened.is_err() {
            return Err(closed());
        }
        keylink::wire::read(&text).map_err(|_| closed())
    }
}

fn check_of(backend: &dyn hsm::Backend, id: LmkId) -> Result<String, SealError> {
    let lmk = backend.lmks().iter().find(|lmk| lmk.id == id).ok_or(SealError::NoLmk(id))?;
    Ok(String::from_utf8_lossy(&lmk.check).into_owned())
}

fn about(public: &PublicKey) -> Vec<u8> {
    [PURPOSE, &public.0].concat()
}

// A key that enciphers data and is not exported (ANSI X9.143 usage D0).
const fn data_key() -> SealAs {
    let attributes = BlockAttributes {
        usage: KeyUsage(*b"D0"),
        mode: ModeOfUse::BOTH,
        version: KeyVersion::UNUSED,
        exportability: Exportability::NONE,
    };
    SealAs::Block { attributes, optional_count: 0, optional: Vec::new() }
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    let mut copy = Key::<Aes256Gcm>::from(*key);
    let cipher = Aes256Gcm::new(&copy);
    copy.zeroize();
    cipher
}
