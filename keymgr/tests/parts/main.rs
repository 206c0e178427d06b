//! What the rooms of the centre promise to whoever uses them. One program: each would be built of the whole crate again.
#![allow(clippy::print_stdout, clippy::print_stderr)] // figures and skips are for people

mod approvals;
mod channel;
#[path = "../common/mod.rs"]
mod common;
mod house;
mod laundering;
mod person;
mod postgres_tls;
mod store;
