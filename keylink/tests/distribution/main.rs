//! Rotation between a link and a node, and every refusal of a message by either.

mod approved;
mod clock;
#[path = "../common/mod.rs"]
mod common;
mod killed;
mod receipts;
mod refused;
mod steps;
