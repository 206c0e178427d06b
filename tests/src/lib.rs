//! The outside: a client, a model and a file of expectations that share nothing with the server but the
//! documents. Integration tests in `tests/` start the real program and hold it against them.
#![forbid(unsafe_code)]
#![allow(
    clippy::missing_panics_doc, // a failed expectation of a test is a panic
    clippy::must_use_candidate
)]

pub mod canary;
pub mod expect;
pub mod hex;
pub mod house;
pub mod load;
pub mod model;
pub mod mutate;
pub mod pattern;
pub mod processes;
pub mod server;
pub mod softhsm;
pub mod wire;
