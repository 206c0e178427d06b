//! Exit codes: 0 ok, 1 the thing checked does not hold, 2 usage, 3 environment.

use core::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard output took less than it was given.
static CUT: AtomicBool = AtomicBool::new(false);

/// Takes note of what a line for standard output gave. Who closes it has read enough, which is no failure; a full
/// disk is one.
pub fn note(written: io::Result<()>) {
    if written.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        CUT.store(true, Ordering::Relaxed);
    }
}

/// What a verb gave, unless standard output lost a part of it.
pub fn whole(exit: Exit) -> Exit {
    match exit {
        Ok(()) if CUT.load(Ordering::Relaxed) => {
            Err(Failure::environment("standard output cannot be written"))
        }
        other => other,
    }
}

/// Why a verb ends with another code than 0.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// One line for people.
    pub message: String,
}

/// What a verb gives.
pub type Exit = Result<(), Failure>;

impl Failure {
    /// The thing checked does not hold: 1.
    pub fn check(message: impl fmt::Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    /// Wrong usage: 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// Something of the environment is missing: 3.
    pub fn environment(message: impl fmt::Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }
}
