//! What can go wrong between the manager and its repository.

use super::Table;
use std::fmt;

/// Errors of the store. None names a value of a row.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place of the store is not understood.
    #[error("{0}")]
    Location(String),
    /// Another manager leads on this store.
    #[error("another manager holds the store {0}")]
    Held(String),
    /// Another manager took over: this one's epoch is past.
    #[error("another manager took over: the store is at epoch {found}, this manager at {ours}")]
    Fenced {
        /// The epoch of this manager.
        ours: i64,
        /// The epoch in the store.
        found: i64,
    },
    /// No room: nothing of the transaction is kept.
    #[error("no room in the store")]
    Full,
    /// The transaction may or may not be kept.
    #[error("the outcome of the commit is unknown")]
    OutcomeUnknown(#[source] Box<Error>),
    /// The store was made by a later program.
    #[error("the store has schema {found}, this program knows up to {known}")]
    Newer {
        /// The schema of the store.
        found: u64,
        /// The newest known.
        known: u64,
    },
    /// There is a store where none should be, or none where one should be.
    #[error("{0}")]
    Absent(&'static str),
    /// A row holds what this program never wrote.
    #[error("{}: {what}", Place(table, key))]
    Unreadable {
        /// Where.
        table: &'static str,
        /// Which row.
        key: Vec<u8>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A row is not what the log says: somebody else wrote it, or took it away.
    #[error("the store was changed beside the manager: {}: {what}", Place(table, key))]
    Edited {
        /// Where.
        table: &'static str,
        /// Which row.
        key: Vec<u8>,
        /// What is wrong with it.
        what: String,
    },
    /// The log is not what its last checkpoint signed.
    #[error("the log does not hold: {0}")]
    Log(String),
    /// The embedded store.
    #[error("sqlite")]
    Sqlite(#[from] rusqlite::Error),
    /// The shared store.
    #[error("postgresql")]
    Postgres(#[from] tokio_postgres::Error),
    /// A file beside the store.
    #[error("file of the store")]
    Io(#[from] std::io::Error),
}

/// A row's place for people: table and key, text where the key is text, else hex.
pub(crate) struct Place<'a>(pub &'a str, pub &'a [u8]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, key_text(self.1))
    }
}

/// A key for people: as text if it is printable, else as hex.
pub fn key_text(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => text.to_owned(),
        _ => hex::encode(key),
    }
}

impl Error {
    pub(crate) fn unreadable(table: Table, key: &[u8], what: &'static str) -> Self {
        Self::Unreadable { table: table.name(), key: key.to_vec(), what }
    }
}
