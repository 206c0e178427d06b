//! What several commands do alike: opening keys with the right use, PIN blocks, PINs under the LMK, and the
//! layouts and rules of commands that differ in one key only.

pub mod clear_pin;
pub mod comparison;
pub mod dectab;
pub mod dukpt;
pub mod excluded;
pub mod ibm;
pub mod keys;
pub mod pin_keys;
pub mod pins;
pub mod stored_pin;
pub mod storing;
pub mod visa;
