//! One file per command, named after its request code, so that the folder reads like the manual.

pub mod b2_echo;
pub mod cc_pin_zpk_to_zpk;
pub mod cw_card_value;
pub mod cy_verify_card_value;
pub mod j2_load;
pub mod j4_volumes;
pub mod j8_health_counts;
pub mod jk_health;
pub mod m0_encrypt_data;
pub mod m2_decrypt_data;
pub mod m6_make_mac;
pub mod m8_verify_mac;
pub mod n0_random;
pub mod nc_diagnostics;
pub mod no_status;
