//! The one writer: validates in memory, commits states and log of many requests in one transaction, and
//! answers only after the commit.
//!
//! It refuses to know what is decided: that is a [`Machine`].

mod machine;

pub use machine::{Decided, Machine, Now};
