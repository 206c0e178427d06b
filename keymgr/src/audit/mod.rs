//! Offline verification of the log and of the state it explains, with public keys only: from an export, or
//! from a store. It shares with the manager the form of lines, rows and checkpoints, and nothing of what they
//! mean.

mod approved;
mod centre;
mod custody;
mod echoes;
mod entries;
mod export;
mod finding;
mod head;
mod register;
mod rows;
mod signatures;
mod sources;
mod verify;

pub use export::{export, export_covered};
pub use finding::{Finding, Report, SignatureCounts};
pub use head::{Head, HeadError};
pub use sources::{READ_AT_ONCE, verify_export, verify_store, verify_store_in_use};
pub use verify::{Options, Verifier};
