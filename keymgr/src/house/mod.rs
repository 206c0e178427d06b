//! The manager's own folder: its signature keys, that of its authority for transport certificates among them, and its
//! settings. The keys lie encrypted under the manager's passphrase; the master key is the backend's.
//!
//! Manifests, checkpoints and certificates have keys of their own, so that each can be changed alone.

mod authority;
mod folder;
mod genesis;
mod hand;
mod master;
mod ring;
mod settings;

pub use authority::{Authority, AuthorityError, certificate_end, certificate_issuer};
pub use folder::{CHANNEL_DAYS, House, HouseError, HouseKeys};
pub use genesis::{Beginning, Founder, Genesis, GenesisError};
pub use hand::RingSigner;
pub use master::Master;
pub use ring::KeyRing;
pub use settings::{Limits, Settings};

/// Where the keys are that sign manifests, checkpoints and certificates, whatever the backend is.
pub const KEYS_PLACE: &str = "sealed file";
