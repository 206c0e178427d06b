//! The PKCS#11 backend: operations of the seam, run on a token. A backend of class B: the LMK stays in the
//! token as objects that cannot be extracted; working keys and PIN blocks pass through this process's memory,
//! because a generic token has neither a PIN translation nor an unwrapping of `S` blocks.
//!
//! [`Token::open`] loads the module, finds the token by URI and logs in; [`Token::backend`] gives a backend
//! with a session of its own, as often as one is needed; [`ceremony`] makes LMKs; [`objects`] shows what is
//! on the token and whether any object has attributes that must not meet.
//!
//! This crate refuses to know host commands and the gateway. Peculiarities of modules live in [`Capability`]
//! and nowhere else.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod backend;
mod block;
mod cache;
mod capability;
pub mod ceremony;
mod error;
mod fault;
mod group;
pub mod initialise;
mod ledger;
mod link;
mod lmk;
mod login;
mod mac;
mod material;
mod module;
pub mod objects;
mod pin;
mod resident;
mod selftest;
mod signer;
mod signing_keys;
mod template;
mod token;
mod uri;

pub use backend::TokenBackend;
pub use capability::{Capability, Hidden, Need};
pub use error::TokenError;
pub use pin::Pin;
pub use signer::TokenSigner;
pub use signing_keys::SigningKeys;
pub use token::{Options, Resident, Token};
pub use uri::{TokenUri, UriError, known_module};
