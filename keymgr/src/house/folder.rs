//! Making and opening the folder.

use super::authority::{Authority, AuthorityError};
use super::settings::Settings;
use crate::channel::ServerKey;
use crate::person::{KeyFileError, open_key, seal_key};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

const SETTINGS: &str = "kmc.toml";
const MANIFEST: &str = "manifest.pem";
const CHECKPOINT: &str = "checkpoint.pem";
const AUTHORITY: &str = "authority.pem";
const AUTHORITY_CERTIFICATE: &str = "authority.der";
const CHANNEL: &str = "channel.pem";
const CHANNEL_CERTIFICATE: &str = "channel.der";

/// Days that the manager's own certificate towards nodes and people is valid.
const CHANNEL_DAYS: u32 = 825;

/// Why the folder cannot be used.
#[derive(Debug, Error)]
pub enum HouseError {
    /// A manager lives there already.
    #[error("{0} holds a manager already")]
    Taken(PathBuf),
    /// None lives there.
    #[error("{0} holds no manager; make one with `payhsm kmc init`")]
    Empty(PathBuf),
    /// Others can read a key.
    #[error("{0} can be read by others; expected mode 0600")]
    Open(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key file cannot be made or opened.
    #[error("{path}: {source}")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KeyFileError,
    },
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
    /// No randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// The manager's keys, opened; wiped on drop.
pub struct HouseKeys {
    /// Signs manifests.
    pub manifest: SigningKey,
    /// Signs checkpoints of the log.
    pub checkpoint: SigningKey,
    /// Certifies transport keys.
    pub authority: Authority,
    /// Key of both listeners.
    pub channel: ServerKey,
}

impl core::fmt::Debug for HouseKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HouseKeys")
    }
}

/// The folder of a manager.
#[derive(Clone, Debug)]
pub struct House(PathBuf);

impl House {
    /// At a path, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A path in the folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Makes folder and keys. Refuses a folder in which a manager lives.
    pub fn create(
        &self,
        settings: &Settings,
        passphrase: &[u8],
        utc_ms: u64,
    ) -> Result<HouseKeys, HouseError> {
        if self.path(SETTINGS).exists() {
            return Err(HouseError::Taken(self.0.clone()));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(|e| failed(&self.0, e))?;
        let (manifest, checkpoint) = (signing_key()?, signing_key()?);
        let (certificate, key) = Authority::generate(&settings.name, utc_ms)?;
        let authority = Authority::new(certificate, &key)?;
        let channel = authority.listener(&settings.names, utc_ms, CHANNEL_DAYS)?;
        for (file, key) in [(MANIFEST, &manifest), (CHECKPOINT, &checkpoint)] {
            let der = key.to_pkcs8_der().map_err(|_| HouseError::Random)?;
            self.seal(file, der.as_bytes(), passphrase)?;
        }
        self.seal(AUTHORITY, &key, passphrase)?;
        self.seal(CHANNEL, &channel.key, passphrase)?;
        self.write(AUTHORITY_CERTIFICATE, authority.certificate())?;
        self.write(CHANNEL_CERTIFICATE, &channel.certificate)?;
        let text = toml::to_string_pretty(settings).map_err(|e| self.unreadable(e.to_string()))?;
        // Last: a folder with settings is whole.
        self.write(SETTINGS, text.as_bytes())?;
        Ok(HouseKeys { manifest, checkpoint, authority, channel })
    }

    /// Reads the settings.
    pub fn settings(&self) -> Result<Settings, HouseError> {
        let path = self.path(SETTINGS);
        if !path.exists() {
            return Err(HouseError::Empty(self.0.clone()));
        }
        let text = fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
        toml::from_str(&text).map_err(|e| self.unreadable(e.to_string()))
    }

    /// Opens the keys.
    pub fn open(&self, passphrase: &[u8]) -> Result<HouseKeys, HouseError> {
        // A passphrase is made costly to try; the files are tried side by side.
        let [manifest, checkpoint, authority, channel] = std::thread::scope(|scope| {
            [MANIFEST, CHECKPOINT, AUTHORITY, CHANNEL]
                .map(|file| scope.spawn(move || self.unseal(file, passphrase)))
                .map(|opening| opening.join().unwrap_or(Err(HouseError::Random)))
        });
        let signing = |file, der: Zeroizing<Vec<u8>>| {
            SigningKey::from_pkcs8_der(&der).map_err(|_| self.key_failed(file, KeyFileError::Format))
        };
        Ok(HouseKeys {
            manifest: signing(MANIFEST, manifest?)?,
            checkpoint: signing(CHECKPOINT, checkpoint?)?,
            authority: Authority::new(self.read(AUTHORITY_CERTIFICATE)?, &authority?)?,
            channel: ServerKey { certificate: self.read(CHANNEL_CERTIFICATE)?, key: channel? },
        })
    }

    /// Writes a file that only the manager's user reads: a new one beside it, then a rename.
    pub fn write(&self, file: &str, content: &[u8]) -> Result<(), HouseError> {
        let (path, new) = (self.path(file), self.path(&format!("{file}.new")));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut f| f.write_all(content).and_then(|()| f.sync_all()))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|e| failed(&path, e))
    }

    /// Reads a file of the folder.
    pub fn read(&self, file: &str) -> Result<Vec<u8>, HouseError> {
        let path = self.path(file);
        fs::read(&path).map_err(|e| failed(&path, e))
    }

    fn seal(&self, file: &str, der: &[u8], passphrase: &[u8]) -> Result<(), HouseError> {
        let text = seal_key(der, passphrase).map_err(|e| self.key_failed(file, e))?;
        self.write(file, text.as_bytes())
    }

    fn unseal(&self, file: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, HouseError> {
        let path = self.path(file);
        let mode = fs::metadata(&path).map_err(|e| failed(&path, e))?.mode();
        if mode & 0o077 != 0 {
            return Err(HouseError::Open(path));
        }
        let text = String::from_utf8(self.read(file)?).unwrap_or_default();
        open_key(&text, passphrase).map_err(|e| self.key_failed(file, e))
    }

    fn key_failed(&self, file: &str, source: KeyFileError) -> HouseError {
        HouseError::Key { path: self.path(file), source }
    }

    fn unreadable(&self, reason: String) -> HouseError {
        HouseError::Settings { path: self.path(SETTINGS), reason }
    }
}

fn signing_key() -> Result<SigningKey, HouseError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|_| HouseError::Random)?;
    Ok(SigningKey::from_bytes(&seed))
}

fn failed(path: &Path, source: std::io::Error) -> HouseError {
    HouseError::File { path: path.to_owned(), source }
}
