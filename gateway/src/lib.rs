//! The gateway: listeners, TLS, allow-lists, limits, a loop per core that gathers the frames of all ready
//! connections for the engine, metrics, drain and the configuration file.
//!
//! This crate refuses to know any single command, and holds no key and no PIN of its own: frames pass
//! through buffers that are wiped, replies come back from the engine.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod accept;
mod admin;
mod admission;
mod background;
mod clock;
mod core;
mod error;
pub mod frame;
mod gateway;
mod metrics;
pub mod node;
mod stats;
mod tls;
pub mod worker;

pub use crate::core::BackendFactory;
pub use background::stand_back;
pub use error::StartError;
pub use gateway::{Gateway, Health, Running, Switches};
pub use gateway_config::{
    self as config, Config, Limits, ListenSpec, Listener, ListenerConfig, PortMap, SpecError, TlsFiles,
    check_listeners,
};
pub use worker::Workers;
