//! The audit log: what was done, by whom, with which approvals, and what every row of state became by it.
//!
//! Entries are lines of text; each names the hash of the one before it, and all of them are leaves of an
//! RFC 6962 tree whose head is signed in the C2SP checkpoint form. It refuses to know what an action means.

mod checkpoint;
mod fold;
mod ledger;
mod note;
mod opening;
mod proof;
mod reading;
mod state;
mod tree;

pub use keymgr_core::log::{Entry, LineError, Parts, Record, RowKey, hash_of, leaf_hash, line};

pub use checkpoint::{Checkpoint, CheckpointKey};
pub(crate) use fold::Fold;
pub(crate) use ledger::key_chain;
pub use ledger::{Decisions, Ledger};
pub(crate) use note::unverified as unverified_note;
pub use note::{NoteError, VerifierKey};
pub use opening::{Opening, Proven};
pub use proof::{Tiles, consistency, inclusion, root_at};
pub use reading::Each;
pub use tree::{Frontier, Tree, node_hash};
