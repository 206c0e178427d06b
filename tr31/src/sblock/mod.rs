//! The payment-HSM `S` key block: a key under an LMK (version 0: 3DES, 1: AES), or under a ZMK for exchange
//! with LMK id `FF`. All text here is without the leading tag `S`.
//!
//! Layout and cryptography follow the host-command catalogue of this project, section 5, which was checked
//! against blocks of physical units. Both versions authenticate the cipher text, so a changed block is
//! refused before anything is decrypted.

mod header;
mod open;
mod seal;
mod usage;

pub use header::{Cut, LmkId, SBlock, SHeader, SVersion, declared_length};
pub use open::{SKeys, key_inside, open, open_long};
pub use seal::{seal, sealed_length};
pub use usage::{usage_name, usages, x9143_usage};
