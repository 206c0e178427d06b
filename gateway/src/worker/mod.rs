//! Crypto workers: the engine and its backend in processes of their own, frames in and frames out.
//!
//! The gateway process frames, limits, judges roles and counts; a worker opens the LMKs or the token, and is
//! the only one that ever holds a clear key. Between them is a Unix socket that the worker gets as its standard
//! input: nobody else can connect to it, and it ends with either side. A worker that crashes, hangs or loses its
//! token costs the commands in flight an error code; the supervisor starts another one.
//!
//! This module refuses to know how a worker is started and which backend it opens: the program brings both.

mod login;
mod serve;
mod supervise;
mod unit;
pub mod wire;

pub use serve::{Ended, report_failure, serve};
pub use wire::Refusal;

pub(crate) use supervise::{Event, Events, Starting, Supervisor, start};
pub(crate) use unit::write_unit;

use std::fmt;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

/// Starts the process of a worker, whose standard input is to be the socket.
pub type Spawn = dyn Fn(OwnedFd) -> std::io::Result<Child> + Send + Sync;

/// The workers of a gateway.
#[derive(Clone)]
pub struct Workers {
    /// How many.
    pub count: usize,
    /// A worker with work that answers nothing for so long is hung, and ended.
    pub deadline: Duration,
    /// How one is started.
    pub spawn: Arc<Spawn>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workers({}, {:?})", self.count, self.deadline)
    }
}

/// Why a worker did not come up.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The process could not be started.
    #[error("the worker process cannot be started")]
    Spawn(#[source] std::io::Error),
    /// It ended, or its socket failed, before it said anything.
    #[error("the worker ended before it was ready")]
    Ended(#[source] std::io::Error),
    /// It said something that no worker of this version says.
    #[error("the worker speaks another version")]
    Version,
    /// It said why it cannot serve.
    #[error("{1}")]
    Refused(Refusal, String),
}

/// Asks a worker of its own for the cryptogram of a decimalisation table; the text tells people why not.
pub fn encrypt_table(spawn: &Spawn, lmk: hsm::LmkId, table: &[u8; 16]) -> Result<Vec<u8>, String> {
    supervise::encrypt_table(spawn, lmk, table)
}
