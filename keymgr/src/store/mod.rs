//! The repository of the key management centre: rows of state and the log, in SQLite by default or in
//! PostgreSQL as the shared repository, behind one trait with one behaviour.
//!
//! It refuses to know what a row means: the core's objects become rows through [`Stored`]. Everything here is
//! blocking code: call it from a thread of its own or from a blocking task.

mod backfill;
mod engine;
mod error;
#[cfg(test)]
pub(crate) mod faulty;
mod lines;
mod location;
mod migrate;
mod postgres;
mod postgres_tls;
mod queries;
mod sqlite;

pub use keymgr_core::store::{Change, Definition, Hash, Kind, Packed, Row, Stored, Table, Value, ValueRef};

pub use engine::{Dialect, Fence};
pub use error::{Error, key_text};
pub use lines::{Entries, Logged, Tile, Write};
pub use location::Location;
pub use queries::{Cursor, cursor};

use engine::Engine;

/// One connection to the repository.
pub struct Store {
    engine: Box<dyn Engine>,
}

impl Store {
    /// Opens the store to lead on it; refused while another manager does. An embedded store is made if there
    /// is none.
    pub fn lead(location: &Location) -> Result<Self, Error> {
        let engine: Box<dyn Engine> = match location {
            Location::Sqlite(path) => Box::new(sqlite::Sqlite::lead(path)?),
            Location::Postgres(url) => Box::new(postgres::Postgres::lead(url)?),
        };
        Ok(Self { engine })
    }

    /// Opens the store to read it, also while a manager leads.
    pub fn read(location: &Location) -> Result<Self, Error> {
        let engine: Box<dyn Engine> = match location {
            Location::Sqlite(path) => Box::new(sqlite::Sqlite::read(path)?),
            Location::Postgres(url) => Box::new(postgres::Postgres::read(url)?),
        };
        Ok(Self { engine })
    }

    /// Reads one state of the store, whatever is written meanwhile.
    pub fn snapshot<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.engine.begin_snapshot()?;
        let done = read(self);
        self.engine.end_snapshot()?;
        done
    }

    /// The database's own check of its files: complaints, none if all is well.
    pub fn self_check(&mut self) -> Result<Vec<String>, Error> {
        self.engine.self_check()
    }

    /// What durability rests on: engine, settings, file system; name and value.
    pub fn settings(&mut self) -> Result<Vec<(String, String)>, Error> {
        self.engine.settings()
    }

    /// The version of the schema; 0 if the store is empty.
    pub fn version(&mut self) -> Result<u64, Error> {
        if !self.engine.has_table(Table::Meta.name())? {
            return Ok(0);
        }
        let row = self.get(Table::Meta, SCHEMA_KEY)?;
        let version = row.as_ref().and_then(|row| std::str::from_utf8(&row.body).ok()?.parse().ok());
        version.ok_or(Error::unreadable(Table::Meta, SCHEMA_KEY, "there is no version of the schema"))
    }
}

/// The row that holds the version of the schema.
pub const SCHEMA_KEY: &[u8] = b"schema";
/// The newest version of the schema.
pub const SCHEMA_NEWEST: u64 = migrate::NEWEST;
