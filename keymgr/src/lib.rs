//! The key management centre: owns the keys of many gateways and proves what became of them.
pub mod channel;
pub mod person;
pub mod vault;
