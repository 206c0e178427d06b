//! One file per command, named after its request code, so that the folder reads like the manual.

pub mod a0_generate;
pub mod a4_form_from_components;
pub mod a6_import;
pub mod a8_export;
pub mod ae_tmk_to_tmk;
pub mod b0_change_scheme;
pub mod b2_echo;
pub mod bu_check_value;
pub mod cc_pin_zpk_to_zpk;
pub mod fa_import_zpk;
pub mod fc_import_tmk;
pub mod fe_export_tmk;
pub mod fk_import_zek_zak;
pub mod fm_export_zek_zak;
pub mod gc_export_zpk;
pub mod hc_generate_tmk;
pub mod ia_generate_zpk;
pub mod mg_export_tak;
pub mod mi_import_tak;
