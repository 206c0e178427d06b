//! What several commands do alike: opening keys with the right use, PIN blocks, PINs under the LMK.

pub mod keys;
pub mod pins;
pub mod stored_pin;
