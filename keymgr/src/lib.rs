//! The key management centre: owns the keys of many gateways and proves what became of them.

pub mod audit;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
pub mod log;
pub mod store;
pub mod writer;

#[cfg(test)]
extern crate self as keymgr; // the small machine of the tests is shared with the tests outside
