//! What the tests of the store share: places for stores, SQL beside them, a small machine.
#![allow(dead_code)] // every test binary uses its own part

pub mod postgres;
pub mod root;
pub mod tail;
pub mod toy;

use ed25519_dalek::SigningKey;
use keymgr::audit::{Options, Report, verify_store};
use keymgr::log::{CheckpointKey, Ledger};
use keymgr::store::{Error, Location, Store};
use postgres::Cluster;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// The name of the log in tests.
pub const ORIGIN: &str = "kmc.test/log";
/// The moment at which tests begin, UTC milliseconds.
pub const BEGIN_MS: u64 = 1_800_000_000_000;

/// The checkpoint key of tests.
pub fn key() -> CheckpointKey {
    CheckpointKey::new(ORIGIN, SigningKey::from_bytes(&[42; 32])).unwrap()
}

/// A place for a store, gone with the test.
pub enum Place {
    Sqlite(TempDir),
    Postgres(Arc<Cluster>, String),
}

impl Place {
    /// One place of each kind there is here.
    pub fn all() -> Vec<Self> {
        let mut places = vec![Self::sqlite()];
        places.extend(Self::postgres());
        places
    }

    pub fn sqlite() -> Self {
        Self::Sqlite(TempDir::new().unwrap())
    }

    pub fn postgres() -> Option<Self> {
        let cluster = postgres::cluster()?;
        let database = cluster.database();
        Some(Self::Postgres(cluster, database))
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(..) => "postgresql",
        }
    }

    /// The file of an embedded store.
    pub fn file(&self) -> PathBuf {
        match self {
            Self::Sqlite(folder) => folder.path().join("kmc.db"),
            Self::Postgres(..) => panic!("a database has no file"),
        }
    }

    pub fn location(&self) -> Location {
        match self {
            Self::Sqlite(_) => Location::Sqlite(self.file()),
            Self::Postgres(cluster, database) => Location::Postgres(cluster.url(database)),
        }
    }

    pub fn lead(&self) -> Result<Ledger, Error> {
        Ledger::lead(Store::lead(&self.location())?, key(), "manager one", BEGIN_MS)
    }

    pub fn read(&self) -> Store {
        Store::read(&self.location()).unwrap()
    }

    pub fn verify(&self) -> Report {
        verify_store(&mut self.read(), Options::default()).unwrap()
    }

    /// Runs SQL beside the store.
    pub fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => rusqlite::Connection::open(self.file()).unwrap().execute_batch(sql).unwrap(),
            Self::Postgres(cluster, database) => {
                cluster.try_run(database, sql).unwrap();
            }
        }
    }

    /// Bytes as this database writes them in SQL.
    pub fn bytes(&self, bytes: &[u8]) -> String {
        match self {
            Self::Sqlite(_) => format!("x'{}'", hex::encode(bytes)),
            Self::Postgres(..) => format!("'\\x{}'::bytea", hex::encode(bytes)),
        }
    }
}
