//! A folder of private keys at rest, of a person or of a manager: encrypted, for nobody else to read, and each
//! file there whole or not at all. It refuses to know whose keys they are.

use crate::person::{KeyFileError, open_key, seal_key};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a file of the folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Others can read it.
    #[error("{0} can be read by others; expected mode 0700 for the folder and 0600 for its files")]
    Open(PathBuf),
    /// It cannot be read or written.
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
}

/// The folder, which need not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct KeyFolder(PathBuf);

impl KeyFolder {
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn holds(&self, file: &str) -> bool {
        self.0.join(file).exists()
    }

    /// Makes the folder, for its owner only.
    pub(crate) fn make(&self) -> Result<(), FolderError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(|e| self.failed("", e))
    }

    /// Refuses a folder that others may enter.
    pub(crate) fn guard(&self) -> Result<(), FolderError> {
        self.closed("")
    }

    pub(crate) fn read(&self, file: &str) -> Result<Vec<u8>, FolderError> {
        fs::read(self.0.join(file)).map_err(|e| self.failed(file, e))
    }

    /// A file that may be missing.
    pub(crate) fn find(&self, file: &str) -> Result<Option<Vec<u8>>, FolderError> {
        match self.read(file) {
            Err(FolderError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// Writes a new file beside the old one, then renames; both are on disk when it returns.
    pub(crate) fn write(&self, file: &str, content: &[u8]) -> Result<(), FolderError> {
        let (path, new) = (self.0.join(file), self.0.join(format!("{file}.new")));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut f| f.write_all(content).and_then(|()| f.sync_all()))
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| File::open(&self.0)?.sync_all())
            .map_err(|e| self.failed(file, e))
    }

    /// Names of its files.
    pub(crate) fn files(&self) -> Result<Vec<String>, FolderError> {
        let entries = fs::read_dir(&self.0).map_err(|e| self.failed("", e))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names.collect::<Result<_, _>>().map_err(|e| self.failed("", e))
    }

    /// Gives a file another name, over a file that had it; on disk when this returns.
    pub(crate) fn rename(&self, file: &str, to: &str) -> Result<(), FolderError> {
        fs::rename(self.0.join(file), self.0.join(to))
            .and_then(|()| File::open(&self.0)?.sync_all())
            .map_err(|e| self.failed(file, e))
    }

    /// Takes a file away, if it is there; it is gone from disk when this returns.
    pub(crate) fn erase(&self, file: &str) -> Result<(), FolderError> {
        match fs::remove_file(self.0.join(file)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(self.failed(file, e)),
            _ => File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(|e| self.failed("", e)),
        }
    }

    /// Encrypts a PKCS#8 key (DER) under a passphrase.
    pub(crate) fn seal(&self, file: &str, der: &[u8], passphrase: &[u8]) -> Result<String, FolderError> {
        seal_key(der, passphrase).map_err(|e| self.key_failed(file, e))
    }

    /// Opens a key that only its owner can read; PKCS#8 in DER, wiped on drop.
    pub(crate) fn unseal(&self, file: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, FolderError> {
        self.closed(file)?;
        let pem =
            String::from_utf8(self.read(file)?).map_err(|_| self.key_failed(file, KeyFileError::Format))?;
        open_key(&pem, passphrase).map_err(|e| self.key_failed(file, e))
    }

    pub(crate) fn key_failed(&self, file: &str, source: KeyFileError) -> FolderError {
        FolderError::Key { path: self.0.join(file), source }
    }

    fn closed(&self, file: &str) -> Result<(), FolderError> {
        let mode = fs::metadata(self.0.join(file)).map_err(|e| self.failed(file, e))?.mode();
        if mode & 0o077 == 0 { Ok(()) } else { Err(FolderError::Open(self.0.join(file))) }
    }

    fn failed(&self, file: &str, source: std::io::Error) -> FolderError {
        FolderError::File { path: self.0.join(file), source }
    }
}
