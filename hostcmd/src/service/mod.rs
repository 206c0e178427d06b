//! What several commands do alike: opening keys with the right use, PIN blocks, PINs under the LMK, card
//! values, MACs and data, the figures of status replies.

pub mod attributes;
pub mod card_data;
pub mod cfb;
pub mod cipher_data;
pub mod components;
pub mod data_keys;
pub mod exchange;
pub mod figures;
pub mod initial_key;
pub mod key_types;
pub mod keys;
pub mod legacy;
pub mod mac_message;
pub mod new_key;
pub mod pins;
pub mod seal;
pub mod stored_pin;
