//! Constant-time bit-sliced triple DES, a different key in every lane.
//!
//! A pass works on 256 or 512 blocks at once: each bit of the blocks and of their keys is a row across all
//! lanes, the substitution boxes are circuits of logic instructions, permutations and key schedule are only
//! the choice of rows. A pass takes the same time whatever blocks and keys it carries and however many of
//! its lanes are filled: time depends on how many jobs there are, on their directions and key lengths, and
//! on nothing else.
//!
//! ```
//! use tdes_lanes::{Direction, Job, Lanes};
//!
//! let mut lanes = Lanes::new();
//! let mut jobs = [
//!     Job::double([0x0123456789ABCDEF, 0xFEDCBA9876543210], 0x4E6F772069732074, Direction::Encrypt),
//!     Job::single(0x133457799BBCDFF1, 0x85E813540F0AB405, Direction::Decrypt),
//! ];
//! lanes.run(&mut jobs);
//! assert_eq!(jobs[1].block(), 0x0123456789ABCDEF);
//! ```
//!
//! This crate refuses to know modes, padding, key blocks and where keys come from. A chain such as CBC-MAC
//! is one run for each of its blocks, shared by all chains in flight.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod engine;
mod job;
mod kernel;
mod lanes;
mod queue;
mod sboxes;
mod scratch;
mod transpose;
mod wiring;

pub use engine::Engine;
pub use job::{Direction, Job};
pub use lanes::Lanes;
