//! The manager's own folder: its signature keys, its authority for nodes' transport certificates, and its
//! settings. The keys lie encrypted under the manager's passphrase; the master key is the backend's.
//!
//! Manifests, checkpoints and certificates have keys of their own, so that each can be changed alone.

mod authority;
mod folder;
mod genesis;
mod settings;

pub use authority::{Authority, AuthorityError};
pub use folder::{House, HouseError, HouseKeys};
pub use genesis::{Beginning, Founder, Genesis, GenesisError};
pub use settings::{Limits, Settings};
