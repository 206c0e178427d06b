//! Client of the host command language over TCP and TLS: many requests in flight on one socket, replies
//! matched by their message header, one write per batch, and reconnection with back-off. A load generator
//! that verifies replies stands on the same framing, and plots of what it found.
//!
//! This crate refuses to know any server: it works against a gateway and against a physical unit alike.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod client;
mod connection;
mod correlation;
mod error;
pub mod frame;
pub mod load;
mod message;
mod options;
pub mod plot;
mod pump;
mod stream;

pub use client::{Client, once};
pub use error::Error;
pub use load::{Load, Report, Schedule};
pub use options::{Backoff, Options};
pub use stream::Tls;

#[cfg(test)]
mod toy;
