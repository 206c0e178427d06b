//! The home folder of a person: keys encrypted, for nobody else to read.

use super::channel_certificate::certify;
use super::key_file::{KeyFileError, open_key, seal_key};
use super::request::{PersonRequest, RequestError, check_name};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signer, SigningKey};
use keylink::envelope::Sign;
use keylink::ids::PublicKey;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

const APPROVAL: &str = "approval.pem";
const CHANNEL: &str = "channel.pem";
const CERTIFICATE: &str = "channel.der";
const NAME: &str = "name";

/// Why a home folder cannot be used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// Somebody lives here already.
    #[error("{0} holds an identity already; a person has one home")]
    Taken(PathBuf),
    /// Nobody lives here.
    #[error("{0} holds no identity; make one with `payhsm person new NAME`")]
    Empty(PathBuf),
    /// Others can read it.
    #[error("{0} can be read by others; expected mode 0700 for the folder and 0600 for its files")]
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
    /// The name cannot be taken.
    #[error(transparent)]
    Name(#[from] RequestError),
    /// No randomness, or a certificate that could not be made.
    #[error("keys could not be made")]
    Made,
}

/// The keys of a person, opened. Wiped on drop.
pub struct Identity {
    /// Name of the person.
    pub name: String,
    /// Certificate of the channel, DER.
    pub channel_certificate: Vec<u8>,
    approval: SigningKey,
    channel: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Identity({})", self.name)
    }
}

impl Identity {
    /// Verifying key of approvals.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.approval.verifying_key().to_bytes())
    }

    /// Private key of the channel, PKCS#8 in DER.
    pub fn channel_key(&self) -> &[u8] {
        &self.channel
    }
}

impl Sign for Identity {
    fn key(&self) -> PublicKey {
        self.public_key()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.approval.sign(message).to_bytes()
    }
}

/// A home folder.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// At a path, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes keys for a person and keeps them encrypted. Refuses a folder in which somebody lives.
    pub fn create(&self, name: &str, passphrase: &[u8]) -> Result<Identity, HomeError> {
        check_name(name)?;
        if self.0.join(APPROVAL).exists() {
            return Err(HomeError::Taken(self.0.clone()));
        }
        let identity = make(name)?;
        let der = identity.approval.to_pkcs8_der().map_err(|_| HomeError::Made)?;
        let approval = self.seal(APPROVAL, der.as_bytes(), passphrase)?;
        let channel = self.seal(CHANNEL, &identity.channel, passphrase)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(|e| self.failed("", e))?;
        self.write(NAME, name.as_bytes())?;
        self.write(CERTIFICATE, &identity.channel_certificate)?;
        self.write(CHANNEL, channel.as_bytes())?;
        self.write(APPROVAL, approval.as_bytes())?;
        Ok(identity)
    }

    /// Opens the keys. Refuses a folder that others can read.
    pub fn open(&self, passphrase: &[u8]) -> Result<Identity, HomeError> {
        if !self.0.join(APPROVAL).exists() {
            return Err(HomeError::Empty(self.0.clone()));
        }
        self.guard("", 0o077)?;
        let approval = self.unseal(APPROVAL, passphrase)?;
        let approval = SigningKey::from_pkcs8_der(&approval)
            .map_err(|_| self.key_failed(APPROVAL, KeyFileError::Format))?;
        let name = String::from_utf8(self.read(NAME)?).map_err(|_| RequestError::Name)?;
        Ok(Identity {
            name,
            channel_certificate: self.read(CERTIFICATE)?,
            approval,
            channel: self.unseal(CHANNEL, passphrase)?,
        })
    }

    /// Writes the public request of an identity into a file of any place.
    pub fn write_request(identity: &Identity, to: &Path) -> Result<(), HomeError> {
        fs::write(to, PersonRequest::of(identity).to_bytes())
            .map_err(|source| HomeError::File { path: to.to_owned(), source })
    }

    /// Keeps a note beside the keys, such as which manager this person works with.
    pub fn keep(&self, file: &str, content: &[u8]) -> Result<(), HomeError> {
        self.write(file, content)
    }

    /// Reads a note; `None` when there is none.
    pub fn note(&self, file: &str) -> Result<Option<Vec<u8>>, HomeError> {
        match fs::read(self.0.join(file)) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.failed(file, e)),
        }
    }

    fn seal(&self, file: &str, der: &[u8], passphrase: &[u8]) -> Result<String, HomeError> {
        seal_key(der, passphrase).map_err(|e| self.key_failed(file, e))
    }

    fn unseal(&self, file: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, HomeError> {
        self.guard(file, 0o077)?;
        let pem =
            String::from_utf8(self.read(file)?).map_err(|_| self.key_failed(file, KeyFileError::Format))?;
        open_key(&pem, passphrase).map_err(|e| self.key_failed(file, e))
    }

    fn guard(&self, file: &str, forbidden: u32) -> Result<(), HomeError> {
        let path = self.0.join(file);
        let mode = fs::metadata(&path).map_err(|e| self.failed(file, e))?.mode();
        if mode & forbidden == 0 { Ok(()) } else { Err(HomeError::Open(path)) }
    }

    // A new file beside the old one and a rename: a note is there whole or not at all.
    fn write(&self, file: &str, content: &[u8]) -> Result<(), HomeError> {
        let (path, new) = (self.0.join(file), self.0.join(format!("{file}.new")));
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
        written
            .and_then(|mut f| f.write_all(content).and_then(|()| f.sync_all()))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|e| self.failed(file, e))
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, HomeError> {
        fs::read(self.0.join(file)).map_err(|e| self.failed(file, e))
    }

    fn failed(&self, file: &str, source: std::io::Error) -> HomeError {
        HomeError::File { path: self.0.join(file), source }
    }

    fn key_failed(&self, file: &str, source: KeyFileError) -> HomeError {
        HomeError::Key { path: self.0.join(file), source }
    }
}

fn make(name: &str) -> Result<Identity, HomeError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|_| HomeError::Made)?;
    let approval = SigningKey::from_bytes(&seed);
    let (channel_certificate, channel) = certify(name, &approval).ok_or(HomeError::Made)?;
    Ok(Identity { name: name.to_owned(), channel_certificate, approval, channel })
}
