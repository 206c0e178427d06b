//! The key management centre: owns the keys of many gateways and proves what became of them.

pub mod log;
pub mod store;
pub mod writer;
