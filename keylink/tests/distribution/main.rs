//! Rotation between a link and a node, what nodes take as evidence and keep as proof, and every refusal by either. One
//! program: each would be built of the whole crate again.

mod approvals;
mod approved;
mod clock;
#[path = "../common/mod.rs"]
mod common;
mod evidence;
mod floors;
mod killed;
mod receipts;
mod refused;
mod steps;
mod unsigned;
