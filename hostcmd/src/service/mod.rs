//! What several commands do alike: opening keys with the right use, keys under other keys, PIN blocks, PINs
//! under the LMK, card values, MACs and data, the figures of status replies.

pub mod attributes;
pub mod card_data;
pub mod cfb;
pub mod cipher_data;
pub mod clear_pin;
pub mod comparison;
pub mod components;
pub mod data_keys;
pub mod dectab;
pub mod dukpt;
pub mod exchange;
pub mod excluded;
pub mod figures;
pub mod from_dukpt;
pub mod ibm;
pub mod initial_key;
pub mod key_types;
pub mod keys;
pub mod legacy;
pub mod mac_message;
pub mod new_key;
pub mod pin_keys;
pub mod pins;
pub mod seal;
pub mod stored_pin;
pub mod storing;
pub mod translation;
pub mod validity;
pub mod visa;
