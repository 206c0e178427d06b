//! The MAC and data commands under every kind of LMK: messages in parts, round trips, and the refusal of
//! keys that have another use.

mod ciphers;
mod harness;
mod macs;
mod unit;
mod uses;
