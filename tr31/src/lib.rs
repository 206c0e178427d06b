//! Key blocks: TR-31 / X9.143 / ISO 20038 versions A to E ([`KeyBlock`], [`wrap`](fn@wrap)), the payment-HSM `S`
//! blocks 0 and 1 ([`sblock`]), key check values ([`kcv`](mod@kcv)), and what a key's attributes mean and allow
//! ([`attributes`], [`Policy`]).
//!
//! Reading a block takes three steps that cannot be confused: parse (no key, no secret), open (proves the
//! block), judge (an explicit [`Policy`]). Every formula runs over [`paytypes::Cipher`], so the keys may
//! live in a token; this crate refuses to know where they come from, what a host command is, and who may do
//! what.
//!
//! ```
//! use paytypes::soft::{Soft, SoftKey};
//! use paytypes::{CipherKind, now};
//! use tr31::{Kbpk, KeyBlock, Policy, attributes};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // TR-31:2018 A.7.2.2, printed with its protection key.
//! let text = b"B0080P0TE00E000094B420079CC80BA3461F86FE26EFC4A3B8E4FA4C5F5341176EED7B727B8A248E";
//! let block = KeyBlock::parse(text)?;
//! assert_eq!(attributes::usage_name(block.header().attributes.usage), Some("PIN encryption key"));
//!
//! let key = paytypes::hex::decode::<16>(b"DD7515F2BFC17F85CE48F3CA25CB21F6")?;
//! let key = now(async {
//!     let key = SoftKey::new(CipherKind::Tdes, &key)?;
//!     let kbpk = Kbpk::new(&Soft, &key, block.header().version).await?;
//!     block.unwrap(&Soft, &kbpk, &Policy::TR31_2018).await
//! });
//! assert_eq!(key.ok_or("software is ready at once")??.bits, 128);
//!
//! let error = KeyBlock::parse(&text[..79]).unwrap_err();
//! assert_eq!(error.to_string(), "E_TR31_LENGTH_FIELD at byte 1 (length): \
//!     must be the decimal length of the whole block, at most 9999");
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `ecdh`, `agreement` derives a protection key from a secret that two parties agreed on
//! (X9.63, SP 800-56A and 56C one-step). Left out: TR-34 (X9.139, formats B8 and B9), which needs signed and
//! enveloped CMS: of this generation of crypto crates there are release candidates only (`cms`, `rsa`).
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

#[cfg(feature = "ecdh")]
pub mod agreement;
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
mod rewrap;
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
pub use rewrap::rewrap;
pub use strength::{strength_bits, strength_of};
pub use version::{Version, Versions};
pub use wrap::{Masking, wrap, wrapped_length};
