//! The core of the key management centre: what keys, zones, nodes, people, approvals and campaigns are, and what
//! may happen to them. Told something at a time, it answers with the records to write; the same things told in
//! the same order give the same records.
//!
//! It refuses to know sockets, clocks, databases, randomness and clear keys. Its shell reads clocks, draws
//! randomness, asks the backend for keys and blocks, signs, sends, and tells the core what came of it.

pub mod action;
mod acts;
pub mod alarm;
pub mod approval;
pub mod campaign;
pub mod centre;
pub mod ceremony;
pub mod certificate;
pub mod drive;
pub mod due;
pub mod enrolment;
mod evidence;
mod grants;
pub mod held;
pub mod ids;
pub mod input;
pub mod key;
pub mod kind;
pub mod lifecycle;
pub mod log;
pub mod machine;
pub mod names;
pub mod node;
pub mod people;
mod planted;
pub mod policy;
pub mod preview;
mod reading;
mod receipts;
pub mod refusal;
#[cfg(test)]
mod refusals;
mod root;
pub mod root_kek;
pub mod rows;
pub mod signing;
#[cfg(test)]
mod simulation;
mod steps;
pub mod store;
mod stored;
pub mod table;
pub mod target;
mod tick;
mod traffic;
pub mod verdict;
pub mod verified;
mod wipe;

pub use machine::{Core, Effects, Note};
pub use refusal::Refusal;
pub use stored::{named, row_key};
