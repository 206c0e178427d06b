//! The host command language: frame rules, fields with their parsers and writers, the command table (one
//! file per command), response codes and the engine: frames in, frames out.
//!
//! This crate refuses to know sockets, clocks, configuration files and any particular backend.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod code;
pub mod command;
pub mod commands;
mod context;
pub mod decode;
pub mod docs;
mod engine;
pub mod key_table;
pub mod managed;
pub mod service;
mod settings;
pub mod table;
pub mod wire;

pub use code::Code;
pub use command::{Activity, Authorised, Role};
pub use context::{Cx, Moment, PinLimits, Port, Unit};
pub use engine::{Engine, Finished, Judged, Ticket, judge};
pub use key_table::KeyTable;
pub use settings::{PinLength, Settings};
