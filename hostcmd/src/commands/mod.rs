//! One file per command, named after its request code, so that the folder reads like the manual.

pub mod b2_echo;
pub mod ba_clear_pin_to_lmk;
pub mod bc_verify_pin_tpk_comparison;
pub mod be_verify_pin_zpk_comparison;
pub mod bk_offset_ibm_of_pin_block;
pub mod ca_pin_tpk_to_zpk;
pub mod cc_pin_zpk_to_zpk;
pub mod ci_pin_dukpt_to_zpk;
pub mod da_verify_pin_tpk_ibm;
pub mod dc_verify_pin_tpk_pvv;
pub mod de_offset_ibm_of_lmk_pin;
pub mod dg_pvv_of_lmk_pin;
pub mod ea_verify_pin_zpk_ibm;
pub mod ec_verify_pin_zpk_pvv;
pub mod ee_derive_pin_ibm;
pub mod fw_pvv_of_pin_block;
pub mod g0_pin_dukpt_to_zpk_or_dukpt;
pub mod ja_random_pin;
pub mod jc_pin_tpk_to_lmk;
pub mod je_pin_zpk_to_lmk;
pub mod jg_pin_lmk_to_zpk;
pub mod ng_clear_pin_from_lmk;
