//! What several commands do alike: opening keys with the right use, PIN blocks, PINs under the LMK.

pub mod attributes;
pub mod components;
pub mod exchange;
pub mod initial_key;
pub mod key_types;
pub mod keys;
pub mod legacy;
pub mod new_key;
pub mod pins;
pub mod seal;
pub mod stored_pin;
