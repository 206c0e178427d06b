//! What several commands do alike: opening keys with the right use, PIN blocks, PINs under the LMK, card
//! values, MACs and data, the figures of status replies.

pub mod card_data;
pub mod cfb;
pub mod cipher_data;
pub mod data_keys;
pub mod figures;
pub mod keys;
pub mod mac_message;
pub mod pins;
pub mod stored_pin;
