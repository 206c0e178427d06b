//! The one trait behind which both databases stand, and the little SQL they share.
//!
//! Statements are written once, with `?1` for parameters; they use no feature whose result could differ
//! between the two: integers, text compared byte by byte and bytes only, no serial numbers, no clock of the
//! database, no JSON.

use super::error::Error;
use super::{Kind, Value, ValueRef};
use std::borrow::Cow;

/// One statement with its parameters.
#[derive(Clone, Debug)]
pub struct Statement {
    /// SQL with `?1`, `?2`, ….
    pub sql: Cow<'static, str>,
    /// Values in that order.
    pub values: Vec<Value>,
    /// Does the same with the same values where the row is there and nothing indexed in it changes; elsewhere it does
    /// nothing. For an engine that would write every index anew.
    pub lighter: Option<&'static str>,
}

impl Statement {
    /// A statement.
    pub fn new(sql: impl Into<Cow<'static, str>>, values: Vec<Value>) -> Self {
        Self { sql: sql.into(), values, lighter: None }
    }
}

/// What a write transaction must find: the epoch of this manager, or a store without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The store is empty: this transaction makes it.
    Empty,
    /// The leader row holds this epoch.
    Epoch(i64),
}

/// A row of a result is refused by name where it is read, so a reader gets what the column held.
pub type Each<'a> = &'a mut dyn FnMut(Vec<Value>) -> Result<(), Error>;

/// The same, where the values are.
pub type EachInPlace<'a> = &'a mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), Error>;

/// What a transaction does, each statement as it becomes known. An error in its place: nothing is done.
pub type Statements<'a> = &'a mut dyn Iterator<Item = Result<Statement, Error>>;

/// One connection to a database.
pub trait Engine: Send {
    /// How it names things.
    fn dialect(&self) -> Dialect;

    /// Runs a query and gives every row of the result. A value that is of none of the known kinds is given
    /// as null, and the reader of the row refuses it.
    fn query(&mut self, statement: &Statement, each: Each<'_>) -> Result<(), Error>;

    /// The same for a whole table that is read once, however much that is.
    fn scan(&mut self, statement: &Statement, each: EachInPlace<'_>) -> Result<(), Error> {
        self.query(statement, &mut |values| each(&values.iter().map(Value::by_ref).collect::<Vec<_>>()))
    }

    /// One write transaction: the fence holds, then every statement, then the commit. `Ok` means durable.
    fn write(&mut self, fence: Fence, statements: Statements<'_>) -> Result<(), Error>;

    /// Begins to read one state of the store, whatever is written meanwhile.
    fn begin_snapshot(&mut self) -> Result<(), Error>;

    /// Ends it.
    fn end_snapshot(&mut self) -> Result<(), Error>;

    /// Whether there is a table of this name.
    fn has_table(&mut self, name: &str) -> Result<bool, Error>;

    /// The database's own check of its files, where it has one: complaints, none if all is well.
    fn self_check(&mut self) -> Result<Vec<String>, Error>;

    /// What durability rests on, for status and reports: name and value.
    fn settings(&mut self) -> Result<Vec<(String, String)>, Error>;
}

/// Where the two databases differ in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// The type of a column.
    pub fn column_type(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Sqlite, Kind::Int) => "INTEGER",
            (Self::Sqlite, Kind::Text) => "TEXT",
            (Self::Sqlite, Kind::Bytes) => "BLOB",
            (Self::Postgres, Kind::Int) => "BIGINT",
            (Self::Postgres, Kind::Text) => "TEXT COLLATE \"C\"",
            (Self::Postgres, Kind::Bytes) => "BYTEA",
        }
    }

    /// What follows the columns of a table. SQLite keeps a row of more than a quarter of a page that is found by its key
    /// alone in two places, of which one is a page of its own; a wide row lies in one place, and is found by an index.
    pub fn table_options(self, wide: bool) -> &'static str {
        match self {
            Self::Sqlite if wide => " STRICT",
            Self::Sqlite => " STRICT, WITHOUT ROWID",
            Self::Postgres => "",
        }
    }

    /// The query of the fence. The lock of the shared store keeps a takeover from passing this transaction.
    pub fn fence(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT epoch FROM leader",
            Self::Postgres => "SELECT epoch FROM leader FOR SHARE",
        }
    }
}

/// Judges the epochs that the fence's query found.
pub(crate) fn judge(fence: Fence, found: &[i64]) -> Result<(), Error> {
    match (fence, found) {
        (Fence::Epoch(ours), [epoch]) if ours == *epoch => Ok(()),
        (Fence::Epoch(ours), _) => Err(Error::Fenced { ours, found: found.first().copied().unwrap_or(0) }),
        (Fence::Empty, []) => Ok(()),
        (Fence::Empty, _) => Err(Error::Absent("there is a store already")),
    }
}
