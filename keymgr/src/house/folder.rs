//! Making and opening the folder.

use super::authority::{Authority, AuthorityError};
use super::custody::{Custody, CustodyError};
use super::genesis::Genesis;
use super::master::MASTER;
use super::ring::KeyRing;
use super::settings::Settings;
use crate::channel::ListenerKey;
use crate::key_folder::{FolderError, KeyFolder};
use ed25519_dalek::SigningKey;
use keylink::succession::CentreKey;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use zeroize::Zeroizing;

const SETTINGS: &str = "kmc.toml";
const CHANNEL: &str = "channel.pem";

/// The draft of the centre in its folder.
pub const GENESIS: &str = "genesis.json";

/// Days that the manager's own certificate towards nodes and people is valid.
pub const CHANNEL_DAYS: u32 = 825;

/// Why the folder cannot be used.
#[derive(Debug, Error)]
pub enum HouseError {
    /// A manager lives there already.
    #[error("{0} holds a manager already")]
    Taken(PathBuf),
    /// None lives there.
    #[error("{0} holds no manager; make one with `payhsm kmc init`")]
    Empty(PathBuf),
    /// A file of it cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The settings cannot be read.
    #[error("{path}: {reason}")]
    Settings {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The authority cannot be made or used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The key lies in a token, and the folder was opened without it.
    #[error(
        "the {key} key {public} of this centre is in a token: serve it with `--backend pkcs11 --token URI`"
    )]
    InToken {
        /// Which.
        key: CentreKey,
        /// Beginning of its public half.
        public: String,
    },
    /// The key lies in a sealed file, and the folder was opened with a token.
    #[error(
        "the {key} key of this centre is in {path}: its keys were made without a token, and are used without one"
    )]
    InFile {
        /// Which.
        key: CentreKey,
        /// The file.
        path: PathBuf,
    },
    /// The token does not hold the key.
    #[error("the token does not hold the {key} key {public} of this centre, or does not sign with it")]
    NotInToken {
        /// Which.
        key: CentreKey,
        /// Beginning of its public half.
        public: String,
    },
    /// An attempt to make a manager here did not end, and its keys are in another place than is asked for now.
    #[error(
        "an earlier `kmc init` did not end and may have left its {key} key in a token: run it again with that token, \
         which destroys it; or remove {path}, and it is left there"
    )]
    Unfinished {
        /// Which.
        key: CentreKey,
        /// The file that names it.
        path: PathBuf,
    },
    /// The token did not do what it was asked.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// It is not known yet whose keys these are.
    #[error("the centre of these keys has not begun")]
    Nobody,
    /// No randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// The manager's keys, opened; wiped on drop.
pub struct HouseKeys {
    /// Sign manifests, checkpoints of the log, and transport certificates.
    pub ring: Arc<KeyRing>,
    /// Key of both listeners.
    pub channel: ListenerKey,
}

impl HouseKeys {
    /// The transport authority of the beginning, which issues since then, UTC milliseconds.
    pub fn first_authority(&self, utc_ms: u64) -> Result<Authority, AuthorityError> {
        Authority::of(&self.ring, &self.ring.first(CentreKey::Transport), utc_ms)
    }
}

impl core::fmt::Debug for HouseKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HouseKeys")
    }
}

/// The folder of a manager.
#[derive(Clone, Debug)]
pub struct House(KeyFolder);

impl House {
    /// At a path, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(KeyFolder::at(path))
    }

    pub(super) const fn folder(&self) -> &KeyFolder {
        &self.0
    }

    /// A path in the folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Makes folder and keys. Refuses a folder in which a manager lives.
    pub fn create(&self, settings: &Settings, passphrase: &[u8]) -> Result<HouseKeys, HouseError> {
        let keys = self.begin(passphrase, None)?;
        self.complete(settings)?;
        Ok(keys)
    }

    /// Makes folder and keys, the signature keys in a token where there is one. They are kept there once the ring knows
    /// whose they are. No manager lives here until that and everything else is done, and [`House::complete`] says so;
    /// what an attempt before has left is taken away.
    pub fn begin(&self, passphrase: &[u8], custody: Option<Custody>) -> Result<HouseKeys, HouseError> {
        if self.0.holds(SETTINGS) || self.is_signed()? {
            return Err(HouseError::Taken(self.0.path().to_owned()));
        }
        self.0.make()?;
        self.0.erase(GENESIS)?;
        let ring = KeyRing::create(&self.0, passphrase, custody)?;
        self.0.erase(MASTER)?;
        let channel = ListenerKey::generate().map_err(|_| HouseError::Random)?;
        self.seal(CHANNEL, channel.der(), passphrase)?;
        Ok(HouseKeys { ring: Arc::new(ring), channel })
    }

    /// Writes the settings, last: a folder with settings is whole.
    pub fn complete(&self, settings: &Settings) -> Result<(), HouseError> {
        let text = toml::to_string_pretty(settings).map_err(|e| self.unreadable(SETTINGS, e.to_string()))?;
        self.write(SETTINGS, text.as_bytes())
    }

    // A centre that an officer has signed, or something else that one does not write over, is no attempt.
    fn is_signed(&self) -> Result<bool, HouseError> {
        let draft = self.find(GENESIS)?;
        Ok(draft
            .is_some_and(|text| Genesis::read(&text).map_or(true, |draft| !draft.root.signatures.is_empty())))
    }

    /// Reads the settings.
    pub fn settings(&self) -> Result<Settings, HouseError> {
        if !self.0.holds(SETTINGS) {
            return Err(HouseError::Empty(self.0.path().to_owned()));
        }
        let text = self.read(SETTINGS)?;
        toml::from_slice(&text).map_err(|e| self.unreadable(SETTINGS, e.to_string()))
    }

    /// Opens the keys.
    pub fn open(&self, passphrase: &[u8]) -> Result<HouseKeys, HouseError> {
        self.open_with(passphrase, None)
    }

    /// The same with the token in which its signature keys are.
    pub fn open_with(&self, passphrase: &[u8], custody: Option<Custody>) -> Result<HouseKeys, HouseError> {
        // A passphrase is made costly to try; the files are tried side by side.
        let (ring, channel) = std::thread::scope(|scope| {
            let ring = scope.spawn(|| KeyRing::open(&self.0, passphrase, custody));
            let channel = self.0.unseal(CHANNEL, passphrase);
            (ring.join().map_err(|_| HouseError::Random).flatten(), channel)
        });
        Ok(HouseKeys { ring: Arc::new(ring?), channel: ListenerKey::from_der(channel?) })
    }

    /// Writes a file that only the manager's user reads, whole or not at all.
    pub fn write(&self, file: &str, content: &[u8]) -> Result<(), HouseError> {
        Ok(self.0.write(file, content)?)
    }

    /// Reads a file of the folder.
    pub fn read(&self, file: &str) -> Result<Vec<u8>, HouseError> {
        Ok(self.0.read(file)?)
    }

    fn seal(&self, file: &str, der: &[u8], passphrase: &[u8]) -> Result<(), HouseError> {
        let text = self.0.seal(file, der, passphrase)?;
        self.write(file, text.as_bytes())
    }

    // A file that may be missing.
    pub(super) fn find(&self, file: &str) -> Result<Option<Vec<u8>>, HouseError> {
        Ok(self.0.find(file)?)
    }

    pub(super) fn unreadable(&self, file: &str, reason: String) -> HouseError {
        HouseError::Settings { path: self.path(file), reason }
    }
}

pub(super) fn signing_key() -> Result<SigningKey, HouseError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|_| HouseError::Random)?;
    Ok(SigningKey::from_bytes(&seed))
}
