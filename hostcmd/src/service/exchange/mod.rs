//! Keys that cross the border of the unit, wrapped under a ZMK or TMK.
//!
//! Forms: `U` and `T` (variant of the exchange key for each part), `X` and `Y` (ANSI X9.17: each part alone,
//! nothing binds them together), `Z` (single length), `S` (the unit's own block with LMK id `FF`), `R` (TR-31
//! / X9.143). What is weaker than a key block needs the authorised state on the way out; `X` and `Y` leave
//! in the legacy profile only (29 otherwise: ARCHITECTURE.md, roles and states). On the way in all of them are
//! taken, since partners decide how they send.

mod blocks;
mod code;
mod export;
mod import;
mod master;
mod parts;

pub use blocks::parse as parse_optional;
pub use code::block_code;
pub use export::{Form, header_of_new, header_of_token, header_of_variant, wrap};
pub use import::{Imported, unwrap};
pub use master::{Master, open_master};
