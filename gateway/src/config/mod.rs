//! `payhsm.toml`: what may stand in it, what the environment and the command line change, and diagnostics
//! that point at the place.

mod diagnostic;
mod environment;
mod file;
mod resolve;
mod size;

pub use diagnostic::Problem;
pub use file::{
    File, LimitsTable, ListenerTable, LogFormat, PinLengthText, Profile, SettingsTable, TlsTable,
    WorkersTable,
};
pub use resolve::{Resolved, TokenSource, test_lmks};
