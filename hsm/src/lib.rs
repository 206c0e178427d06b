//! The seam between host commands and a backend: what a key token, an opened key and an LMK are, which
//! dozen operations a backend offers, and the queue in which the operations of many commands in flight are
//! gathered so that the backend does them together.
//!
//! This crate refuses to know host commands, sockets and any particular backend.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod batch;
mod block_op;
mod cache;
mod doorkeeper;
mod error;
mod join;
mod key;
mod key_type;
mod lmk;
mod lmk_key;
mod open_op;
mod queue;
mod token;

pub use batch::{Op, OpBatch, OpView, Outcome, SealAs};
pub use block_op::BlockOp;
pub use error::{BlockFault, HsmError};
pub use join::join;
pub use key::{Binding, BlockAttributes, Hygiene, Key, KeyAttributes};
pub use key_type::{KeyType, LmkPair};
pub use lmk::{LmkId, LmkInfo, LmkPurpose, LmkScheme};
pub use lmk_key::lmk_working_key;
pub use open_op::ToOpen;
pub use queue::{Asked, AskedKey, Call, Change, Found, Hsm, Opening};
pub use token::{KeyToken, Scheme};

/// What a backend is, for status replies and reports; see docs/security.md for the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendClass {
    /// Keys never leave the secure boundary of a payment HSM.
    A,
    /// The LMK stays in a generic token; working keys pass through the worker's memory.
    B,
    /// Everything is in this process: development and load test.
    C,
}

/// The whole of what a backend offers.
///
/// `run` is synchronous and answers every operation of the batch: an operation that it cannot do gets an
/// error, never nothing. Operations of one batch are independent of each other and may run in any order.
pub trait Backend {
    /// Does all operations of the batch.
    fn run(&mut self, ops: &mut OpBatch);

    /// True for a backend that answers [`OpBatch::blocks`] and [`OpBatch::token`] apart; any other finds them among
    /// the operations.
    fn takes_apart(&self) -> bool {
        false
    }

    /// The LMKs that are loaded, in ascending order of their identifiers.
    fn lmks(&self) -> &[LmkInfo];

    /// What this backend may claim.
    fn class(&self) -> BackendClass;

    /// False when it has failed for good: token gone, session or login lost, a known answer wrong. Asked only
    /// after an operation failed and once in a while, so it may take rounds to the token; after each of them `answered` is
    /// called, since a token that is slow is not one that hangs.
    fn alive(&mut self, answered: &mut dyn FnMut()) -> bool {
        answered();
        true
    }
}
