//! The field's words, and nothing else: what a PAN, a PIN, a KSN, a check value, a key usage and a clear
//! key are, how odd parity and weak keys are recognised, and the one small [`Cipher`] trait over which
//! every formula of the other crates is written once.
//!
//! This crate refuses to know where keys come from, what a key block looks like and what travels on a wire.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod attributes;
pub mod bytes;
pub mod cipher;
mod des_key;
mod formula_errors;
pub mod hex;
pub mod ksn;
pub mod pan;
pub mod parity;
pub mod pin;
pub mod random;
pub mod secret;
pub mod soft;

pub use attributes::{Algorithm, Exportability, KeyUsage, KeyVersion, ModeOfUse};
pub use cipher::{
    Cipher, CipherError, CipherKind, Direction, DukptKey, KeyShape, MacAlgorithm, MacValue, now,
};
pub use des_key::DesKey;
pub use ksn::Ksn;
pub use pan::{Expiry, Pan, ServiceCode};
pub use pin::Pin;
pub use random::{Drawn, Random};
pub use secret::{ClearBytes, ClearKey};

/// Why a value of this crate could not be made. Holds no digit of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// The value has a length that its type does not allow.
    Length,
    /// A character or digit is outside the alphabet of the type.
    Digit,
}

impl core::fmt::Display for ValueError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Length => "length not allowed",
            Self::Digit => "character not allowed",
        })
    }
}

impl core::error::Error for ValueError {}
