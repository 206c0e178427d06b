//! The key management centre: owns the keys of many gateways and proves what became of them.

pub mod audit;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
pub mod core;
pub mod log;
pub mod store;
pub mod writer;
