//! PIN blocks and PIN verification: ISO 9564-1 formats 0 to 4 and the older ones hosts still send, the
//! translation rules as one table, Visa PVV and IBM 3624. Every formula is written once over
//! [`paytypes::Cipher`], without allocation.
//!
//! This crate refuses to know where keys come from and what travels on a wire.
//!
//! ```
//! use paytypes::{Pan, Pin};
//! use pinblock::rules::{Refusal, Setting, translation};
//! use pinblock::{Account, AccountRelation, Format, PinBlockError, decode, encode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let account = Account::from_pan(Pan::new(b"4000001234562")?);
//! let mut random = |out: &mut [u8]| out.fill(0xA5); // production: the system's or the token's source
//! let block = encode(Format::Iso0, &Pin::from_ascii(b"92389")?, &account, &mut random)?;
//! assert_eq!(block.expose(), [0x05, 0x92, 0x78, 0x9F, 0xFF, 0xED, 0xCB, 0xA9]);
//! assert_eq!(decode(Format::Iso0, &block, &account)?.len(), 5);
//!
//! // Under another account the filler is not that of the format.
//! let other = Account::from_pan(Pan::new(b"4999999999999")?);
//! assert_eq!(decode(Format::Iso0, &block, &other).err(), Some(PinBlockError::Filler));
//!
//! // A block that is bound to an account stays bound.
//! let refused = translation(Format::Iso0, Format::Iso1, AccountRelation::Same, Setting::default());
//! assert_eq!(refused, Err(Refusal::AccountDropped));
//! # Ok(())
//! # }
//! ```
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

// Fails to compile when the type has one of the traits: the call is ambiguous then.
#[cfg(test)]
macro_rules! assert_lacks {
    ($type:ty: $($trait:path),+) => {
        $(const _: fn() = || {
            trait Lacks<Marker> {
                fn check() {}
            }
            struct Has;
            impl<T: ?Sized> Lacks<()> for T {}
            impl<T: ?Sized + $trait> Lacks<Has> for T {}
            let _ = <$type as Lacks<_>>::check;
        };)+
    };
}

mod account;
mod block;
pub mod codec;
pub mod encipher;
mod error;
mod excluded;
mod field;
mod fill;
mod format;
pub mod ibm3624;
mod layout;
pub mod pvv;
pub mod rules;
mod visa_change;

pub use account::{Account, AccountRelation};
pub use block::ClearBlock;
pub use codec::{Reformatted, decode, decode_to_verify, encode, reformat, reformat_into};
pub use encipher::{EncryptedBlock, decipher, encipher};
pub use error::PinBlockError;
pub use excluded::is_excluded;
pub use fill::RANDOM_LENGTH;
pub use format::Format;
pub use visa_change::visa_change;
