//! The home folder of a person: keys encrypted, for nobody else to read.

use super::channel_certificate::{certify, channel_issuer};
use super::key_file::KeyFileError;
use super::request::{PersonRequest, RequestError, check_name};
use crate::key_folder::{FolderError, KeyFolder};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signer, SigningKey};
use keylink::envelope::Sign;
use keylink::ids::PublicKey;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

const APPROVAL: &str = "approval.pem";
const CHANNEL: &str = "channel.pem";
const CERTIFICATE: &str = "channel.der";
const NAME: &str = "name";
const TOKEN: &str = "approval.token";

/// Why a home folder cannot be used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// Somebody lives here already.
    #[error("{0} holds an identity already; a person has one home")]
    Taken(PathBuf),
    /// Nobody lives here.
    #[error("{0} holds no identity; make one with `payhsm person new NAME`")]
    Empty(PathBuf),
    /// A file of it cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The name cannot be taken.
    #[error(transparent)]
    Name(#[from] RequestError),
    /// The key in the token is not the one that this home was made with.
    #[error("the key in the token is not this person's")]
    OtherKey,
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
    /// The approval key is in a token.
    pub in_token: bool,
    approval: Approval,
    channel: Zeroizing<Vec<u8>>,
}

/// An approval key, wherever it is kept.
pub type Approval = Box<dyn Sign + Send + Sync>;

struct FileKey(SigningKey);

impl Sign for FileKey {
    fn key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Identity({})", self.name)
    }
}

impl Identity {
    /// Verifying key of approvals.
    pub fn public_key(&self) -> PublicKey {
        self.approval.key()
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
        self.approval.sign(message)
    }
}

/// A home folder.
#[derive(Clone, Debug)]
pub struct Home(KeyFolder);

impl Home {
    /// At a path, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(KeyFolder::at(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes keys for a person and keeps them encrypted. Refuses a folder in which somebody lives.
    pub fn create(&self, name: &str, passphrase: &[u8]) -> Result<Identity, HomeError> {
        check_name(name)?;
        self.is_free()?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| HomeError::Made)?;
        let approval = SigningKey::from_bytes(&seed);
        let der = approval.to_pkcs8_der().map_err(|_| HomeError::Made)?;
        let sealed = self.0.seal(APPROVAL, der.as_bytes(), passphrase)?;
        self.settle(name, passphrase, Box::new(FileKey(approval)), (APPROVAL, sealed.as_bytes()))
    }

    /// The same for a person whose approval key is in a token; `place` says where, for whoever opens it.
    pub fn create_with(
        &self,
        name: &str,
        passphrase: &[u8],
        approval: Approval,
        place: &str,
    ) -> Result<Identity, HomeError> {
        check_name(name)?;
        self.is_free()?;
        self.settle(name, passphrase, approval, (TOKEN, place.as_bytes()))
    }

    /// Refuses a folder in which somebody lives, or that others may enter.
    pub fn is_free(&self) -> Result<(), HomeError> {
        let taken = self.0.holds(APPROVAL) || self.0.holds(TOKEN);
        if taken {
            return Err(HomeError::Taken(self.path().to_owned()));
        }
        // A folder that others may enter would be refused by everything that comes after.
        if self.path().exists() { Ok(self.0.guard()?) } else { Ok(()) }
    }

    // What says where the approval key is comes last: then somebody lives here.
    fn settle(
        &self,
        name: &str,
        passphrase: &[u8],
        approval: Approval,
        (file, content): (&str, &[u8]),
    ) -> Result<Identity, HomeError> {
        let (certificate, key) = certify(name, approval.as_ref()).ok_or(HomeError::Made)?;
        let channel = self.0.seal(CHANNEL, &key, passphrase)?;
        self.0.make()?;
        self.0.write(NAME, name.as_bytes())?;
        self.0.write(CERTIFICATE, &certificate)?;
        self.0.write(CHANNEL, channel.as_bytes())?;
        self.0.write(file, content)?;
        let (name, in_token) = (name.to_owned(), file == TOKEN);
        Ok(Identity { name, channel_certificate: certificate, in_token, approval, channel: key })
    }

    /// Where the approval key is, if it is in a token.
    pub fn token(&self) -> Result<Option<String>, HomeError> {
        Ok(self.0.find(TOKEN)?.and_then(|place| String::from_utf8(place).ok()))
    }

    /// Opens the keys. Refuses a folder that others can read.
    pub fn open(&self, passphrase: &[u8]) -> Result<Identity, HomeError> {
        if !self.0.holds(APPROVAL) {
            return Err(HomeError::Empty(self.path().to_owned()));
        }
        self.0.guard()?;
        let approval = self.0.unseal(APPROVAL, passphrase)?;
        let approval = SigningKey::from_pkcs8_der(&approval)
            .map_err(|_| self.0.key_failed(APPROVAL, KeyFileError::Format))?;
        self.opened(passphrase, Box::new(FileKey(approval)))
    }

    /// Opens a home whose approval key is in a token, with that key.
    pub fn open_with(&self, passphrase: &[u8], approval: Approval) -> Result<Identity, HomeError> {
        if !self.0.holds(TOKEN) {
            return Err(HomeError::Empty(self.path().to_owned()));
        }
        self.0.guard()?;
        let identity = self.opened(passphrase, approval)?;
        // The certificate of the channel is by this key, or the token holds another one.
        match channel_issuer(&identity.channel_certificate) == Some(identity.public_key()) {
            true => Ok(identity),
            false => Err(HomeError::OtherKey),
        }
    }

    fn opened(&self, passphrase: &[u8], approval: Approval) -> Result<Identity, HomeError> {
        let name = String::from_utf8(self.0.read(NAME)?).map_err(|_| RequestError::Name)?;
        Ok(Identity {
            name,
            channel_certificate: self.0.read(CERTIFICATE)?,
            in_token: self.0.holds(TOKEN),
            approval,
            channel: self.0.unseal(CHANNEL, passphrase)?,
        })
    }

    /// Writes the public request of an identity into a file of any place.
    pub fn write_request(identity: &Identity, to: &Path) -> Result<(), HomeError> {
        fs::write(to, PersonRequest::of(identity).to_bytes())
            .map_err(|source| FolderError::File { path: to.to_owned(), source }.into())
    }

    /// Keeps a note beside the keys, such as which manager this person works with.
    pub fn keep(&self, file: &str, content: &[u8]) -> Result<(), HomeError> {
        Ok(self.0.write(file, content)?)
    }

    /// Reads a note; `None` when there is none.
    pub fn note(&self, file: &str) -> Result<Option<Vec<u8>>, HomeError> {
        Ok(self.0.find(file)?)
    }
}
