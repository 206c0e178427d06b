//! What the writer drives.

use crate::log::Entry;
use crate::store::{Change, Row, Table};
use keylink::Instant3;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// What a machine decided: the rows it changes, what the log says, and the answer.
#[derive(Clone, Debug)]
pub struct Decided<Outcome> {
    /// Rows, in the order to write them; at most one change a row.
    pub changes: Vec<Change>,
    /// The log entry.
    pub entry: Entry,
    /// What is answered after the commit.
    pub outcome: Outcome,
}

/// A state machine whose rows and log the writer keeps. It holds its state in memory, reads no clock and
/// draws no randomness. After a refusal its state is as before.
pub trait Machine: Sized + Send + Sync + 'static {
    /// A request. Its JSON tells whether two requests under one Idempotency-Key are the same.
    type Input: Serialize + Send + 'static;
    /// The answer. It is kept with the Idempotency-Key, so it holds nothing secret.
    type Outcome: Serialize + DeserializeOwned + Clone + Send + 'static;
    /// Why not.
    type Refusal: fmt::Debug + Send + 'static;

    /// The tables whose rows make its state. What only is kept (evidence, answers) is not read at a start.
    const TABLES: &'static [Table] = Table::ALL;

    /// The state from all rows of its tables, table by table, without the columns that repeat for searches what the
    /// body says. An error names the row.
    fn load(rows: &mut dyn Iterator<Item = Row>) -> Result<Self, String>;

    /// One request. An accepted one has changed the state in memory; the writer makes it durable or throws
    /// this machine away.
    fn handle(&mut self, now: Instant3, input: Self::Input) -> Result<Decided<Self::Outcome>, Self::Refusal>;
}
