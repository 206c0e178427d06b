//! The key management centre: owns the keys of many gateways and proves what became of them.

pub mod api;
pub mod audit;
mod causes;
pub mod ceremony;
pub mod channel;
pub mod client;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
pub mod house;
mod key_folder;
pub mod log;
pub mod person;
pub mod report;
pub mod server;
pub mod service;
pub mod store;
pub mod vault;
pub mod writer;

pub use keymgr_core as core;

pub use causes::with_causes;
pub use key_folder::FolderError;

#[cfg(test)]
extern crate self as keymgr; // the small machine of the tests is shared with the tests outside
