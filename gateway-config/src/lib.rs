//! `payhsm.toml`: what may stand in it, what the environment and the command line change, and diagnostics
//! that point at the place; and what a gateway makes of it before it opens a socket: its listeners and limits.
//!
//! This crate refuses to know sockets, TLS and threads, so that a fuzzer can drive it.

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod diagnostic;
mod environment;
mod file;
mod limits;
mod listen;
mod node;
mod plan;
mod resolve;
mod size;
mod told;

pub use diagnostic::Problem;
pub use file::{
    File, LimitsTable, ListenerTable, LogFormat, PinLengthText, Profile, SettingsTable, TlsTable,
    WorkersTable,
};
pub use limits::{FRAME_LONGEST, Limits};
pub use listen::{ListenSpec, SpecError};
pub use node::NodeTable;
pub use plan::{Listener, PlanError, check as check_listeners};
pub use resolve::{Resolved, TokenSource, test_lmks};
pub use told::{Config, ListenerConfig, PortMap, TlsFiles};
