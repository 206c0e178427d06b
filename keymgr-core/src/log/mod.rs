//! What the log says of a decision: one line of text, whose hash is a leaf of the tree.
//!
//! It refuses to know where lines are kept and what they prove together.

mod entry;
mod line;

pub use entry::Entry;
pub use line::{LineError, Parts, Record, RowKey, hash_of, leaf_hash, line, line_with, number};
