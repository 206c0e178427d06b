//! Officers, custodians and operators at their own consoles: the program, a home folder each, a manager as a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod campaigns;
mod ceremony;
mod nodes;
mod packages;
mod root_keks;
mod roots;
mod signing_keys;
mod token;
mod verbs;
