//! Work on managed keys that no host asks for: taking a key that the key management centre delivers, and proving that
//! it is held. Straight-line code over the seam, like commands.
//!
//! On a backend whose keys are in this process's memory (classes B and C) the clear key passes through here, in a
//! quiet type, between unwrapping under the root KEK and wrapping under the LMK.

mod alone;
mod delivery;
pub mod possession;

pub use alone::run_alone;
pub use delivery::{Delivered, Delivery, DeliveryFault, ManagedKind, install, seal_kek, wrap_throw_away};
