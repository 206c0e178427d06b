//! The manager's own folder: its signature keys, that of its authority for transport certificates among them, and its
//! settings. The keys lie encrypted under the manager's passphrase, those that sign in the token with the master key if
//! there is one; the master key is the backend's.
//!
//! Manifests, checkpoints and certificates have keys of their own, so that each can be changed alone.

mod asked_key;
mod authority;
mod custody;
mod folder;
mod genesis;
mod hand;
mod key_files;
mod master;
mod ring;
mod settings;

pub use authority::{Authority, AuthorityError, certificate_end, certificate_issuer};
pub use custody::{Custody, CustodyError, KeyToken, KeyTokenError};
pub use folder::{CHANNEL_DAYS, GENESIS, House, HouseError, HouseKeys};
pub use genesis::{Beginning, Founder, Genesis, GenesisError};
pub use hand::RingSigner;
pub use master::Master;
pub use ring::KeyRing;
pub use settings::{Limits, Settings};
