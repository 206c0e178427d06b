//! Bodies of the fuzz targets: a function of bytes each, that panics when a promise is broken. libFuzzer
//! drives them, and so do the tests of this crate on a stable compiler, from the same seeds.

mod blocks;
mod files;
mod frames;
pub mod seeds;

pub use blocks::{keyblock, pinblock};
pub use files::config;
pub use frames::{decode, engine};

/// The targets by name.
pub const TARGETS: [(&str, fn(&[u8])); 5] = [
    ("engine", engine),
    ("decode", decode),
    ("keyblock", keyblock),
    ("pinblock", pinblock),
    ("config", config),
];
