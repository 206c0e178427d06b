//! Key distribution between the manager and its nodes: ids, signed messages, approvals, and the state machines
//! of both ends. Bytes in, decisions and bytes out.
//!
//! This crate refuses to know sockets, clocks, random sources, files and officers' names: time and randomness
//! are arguments, what must be stored or sent is returned. Keys travel through it wrapped; the one clear value
//! that passes is a root KEK at the moment of its agreement ([`root_kek`]), in a quiet type.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod action;
pub mod authority;
pub mod endpoint;
pub mod envelope;
pub mod ids;
pub mod label;
pub mod manager;
#[cfg(feature = "memo")]
mod memo;
pub mod merkle;
pub mod message;
pub mod node;
mod note;
pub mod receipt_file;
pub mod root;
pub mod root_kek;
#[cfg(feature = "schema")]
mod schema;
pub mod succession;
mod time;
pub mod verifying;
pub mod wire;

pub use envelope::{Body, NotSigned, Sign, Signed, SoftSigner, TrySign};
pub use ids::{
    ActionId, CampaignId, CeremonyId, CommandId, CredentialId, Digest, Generation, KeyId, KeySetId, KmcId,
    NodeId, PersonId, PolicyId, PublicKey, TokenId, ZoneId,
};
pub use time::Instant3;
