//! Key distribution end to end: the node side that `serve` uses, a real backend, a manager in memory or behind HTTPS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod carried;
#[path = "../../../keylink/tests/common/mod.rs"]
mod common;
mod declined;
mod killed;
mod manager;
mod network;
mod node;
mod panics;
mod sealed;
mod store_fails;
mod traffic;
mod unheard;
