//! Card values, DUKPT, EMV and message authentication: every formula once over [`paytypes::Cipher`].
//!
//! This crate refuses to know where keys come from and what travels on a wire.
//!
//! ```
//! use cardcrypto::cvv::cvv;
//! use paytypes::soft::{Soft, SoftKey};
//! use paytypes::{CipherKind, Expiry, Pan, ServiceCode, now};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The public example of the CVV.
//! let cvk = paytypes::hex::decode::<16>(b"0123456789ABCDEFFEDCBA9876543210")?;
//! let cvk = SoftKey::new(CipherKind::Tdes, &cvk)?;
//! let (pan, expiry) = (Pan::new(b"4123456789012345")?, Expiry::new(b"8701")?);
//! let value = now(cvv(&Soft, &cvk, &pan, expiry, ServiceCode::new(b"101")?));
//! assert_eq!(value.ok_or("software is ready at once")??, *b"561");
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

pub mod authentication;
pub mod csc;
pub mod cvv;
pub mod dukpt;
pub mod emv;
mod error;
pub mod mac;

pub use error::CardError;
