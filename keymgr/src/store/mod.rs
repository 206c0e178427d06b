//! The repository of the key management centre: rows of state and the log, in SQLite by default or in
//! PostgreSQL as the shared repository, behind one trait with one behaviour.
//!
//! It refuses to know what a row means: the core's objects become rows through [`Stored`].

mod row;
mod schema;
mod value;

pub use row::{Change, Hash, Row, Stored};
pub use schema::{Definition, Table};
pub use value::{Kind, Value};
