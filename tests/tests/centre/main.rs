//! A whole key management centre over real TLS: officers through the interface, nodes with the node side that
//! `serve` uses, one zone, one rotation, and the log verified at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authorities;
mod campaigns;
mod ceremony;
mod certificates;
mod channel;
mod clock;
mod document;
mod house;
mod http;
mod messages;
mod nodes;
mod packages;
mod proofs;
mod pushes;
mod raw;
mod recovery;
mod refusals;
mod reports;
mod revoked;
mod root_keks;
mod rotation;
#[path = "../../../keymgr/tests/common/shown.rs"]
mod shown;
mod swapped;
mod tampered;
mod terminals;
mod tokens;
mod traffic;
