//! The bundled software HSM: LMK sets, opened keys, randomness. A backend of class C: all
//! keys are in the memory of this process, so it serves development and load tests.
//!
//! This crate refuses to know host commands and the gateway.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod block;
mod chain;
mod dukpt;
pub mod forming;
mod gather;
mod halves;
mod jobs;
pub mod key_file;
mod lmk;
mod lmk_check;
mod made;
mod material;
mod random;
mod sealed;
mod simulator;
mod together;
mod variant;

pub use lmk::{LmkKind, LmkSecret, LmkSet};
pub use random::RandomSource;
pub use simulator::{Options, Simulator};
