//! The own side of a person: a home folder with the keys that only this person has. The approval key signs
//! decisions and certifies channel keys; a channel key opens connections and decides nothing.
//!
//! Both lie in encrypted PKCS#8 files that `openssl pkey` reads as well. This module refuses to know what a
//! person may do.

mod channel_certificate;
mod home;
mod key_file;
mod request;

pub use channel_certificate::{channel_issuer, named_node, spki_digest};
pub use home::{Approval, Home, HomeError, Identity};
pub use key_file::{KeyFileError, PASSPHRASE_MIN, open_key, seal_key};
pub use request::{PersonRequest, RequestError};
