//! Key blocks: TR-31 / X9.143 / ISO 20038 versions A to E ([`KeyBlock`], [`wrap`](fn@wrap)), the payment-HSM `S`
//! blocks 0 and 1 ([`sblock`]), key check values ([`kcv`](mod@kcv)), and what a key's attributes mean and allow
//! ([`attributes`], [`Policy`]).
//!
//! Reading a block takes three steps that cannot be confused: parse (no key, no secret), open (proves the
//! block), judge (an explicit [`Policy`]). Every formula runs over [`paytypes::Cipher`], so the keys may
//! live in a token; this crate refuses to know where they come from, what a host command is, and who may do
//! what.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod attributes;
mod binding;
mod block;
mod block_id;
mod blocks;
mod content;
mod error;
mod front;
mod header;
mod kbpk;
pub mod kcv;
mod matrix;
mod policy;
pub mod sblock;
mod scheme;
mod strength;
mod text;
mod version;
mod work;
mod wrap;

pub use block::{Key, KeyBlock, declared_length};
pub use block_id::BlockId;
pub use blocks::{OptionalBlock, OptionalBlocks};
pub use content::{
    BaseKeyId, CertificateFormat, Certificates, CheckValue, Content, Derivation, Derivations, Hash,
    InitialKsn, KeyLife, Pedigree,
};
pub use error::{ErrorKind, KeyBlockError, field};
pub use header::{Attributes, Header};
pub use kbpk::Kbpk;
pub use kcv::{Kcv, KcvMethod, kcv, kcv_cmac, kcv_legacy};
pub use policy::Policy;
pub use strength::{strength_bits, strength_of};
pub use version::{Version, Versions};
pub use wrap::{Masking, wrap, wrapped_length};
