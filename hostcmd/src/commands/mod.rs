//! One file per command, named after its request code, so that the folder reads like the manual.

pub mod b2_echo;
pub mod cc_pin_zpk_to_zpk;
