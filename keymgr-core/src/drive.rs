//! What the writer drives.

use crate::log::Entry;
use crate::store::{Change, Packed};
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
    /// Nothing was done and nobody needs to be told of it: nothing is written. Only without changes.
    pub silent: bool,
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

    /// The state from all rows of [`crate::store::Table::AT_HAND`], in no order; those of others than its own tables
    /// are passed over. An error names the row.
    fn load(rows: &mut dyn Iterator<Item = Packed>) -> Result<Self, String>;

    /// One request. An accepted one has changed the state in memory; the writer makes it durable or throws
    /// this machine away.
    fn handle(&mut self, now: Instant3, input: Self::Input) -> Result<Decided<Self::Outcome>, Self::Refusal>;
}
