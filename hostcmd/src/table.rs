//! The command table. A row is a module and a type; everything else is in the command's file.

use crate::command::{About, Command, Example};
use crate::engine::Runner;
use crate::wire::{Message, Reader, Step};
use std::sync::LazyLock;

/// A row of the table, as those see it who do not run commands: documentation, decoder, client, fuzzers.
pub struct Row {
    /// What the command is.
    pub about: &'static About,
    /// Its vectors.
    pub examples: &'static [Example],
    /// It reports what changes by the frame, see [`Command::READS_COUNTS`].
    pub reads_counts: bool,
    pub(crate) walk_request: fn(&mut Reader<'_>) -> Step,
    pub(crate) walk_reply: fn(&mut Reader<'_>) -> Step,
    pub(crate) runner: fn() -> Box<dyn Runner>,
}

impl core::fmt::Debug for Row {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.about.code_text())
    }
}

fn walk<M: Message>(reader: &mut Reader<'_>) -> Step {
    M::default().walk(reader)
}

const fn row<C: Command>() -> Row {
    Row {
        about: &C::ABOUT,
        examples: C::EXAMPLES,
        reads_counts: C::READS_COUNTS,
        walk_request: walk::<C::Request>,
        walk_reply: walk::<C::Reply>,
        runner: C::runner,
    }
}

macro_rules! commands {
    ($($module:ident :: $command:ident),* $(,)?) => {
        /// All rows, in the order of their codes.
        pub static TABLE: &[Row] = &[$(row::<crate::commands::$module::$command>()),*];
    };
}

commands! {
    a0_generate::GenerateKey,
    a4_form_from_components::FormKey,
    a6_import::ImportKey,
    a8_export::ExportKey,
    ae_tmk_to_tmk::ExportUnderTmk,
    b0_change_scheme::ChangeScheme,
    b2_echo::Echo,
    ba_clear_pin_to_lmk::ClearPinToLmk,
    bc_verify_pin_tpk_comparison::VerifyPinTpkComparison,
    be_verify_pin_zpk_comparison::VerifyPinZpkComparison,
    bk_offset_ibm_of_pin_block::OffsetIbmOfPinBlock,
    bu_check_value::KeyCheckValue,
    ca_pin_tpk_to_zpk::PinTpkToZpk,
    cc_pin_zpk_to_zpk::PinZpkToZpk,
    ci_pin_dukpt_to_zpk::PinDukptToZpk,
    cw_card_value::CardValue,
    cy_verify_card_value::VerifyCardValue,
    da_verify_pin_tpk_ibm::VerifyPinTpkIbm,
    dc_verify_pin_tpk_pvv::VerifyPinTpkPvv,
    de_offset_ibm_of_lmk_pin::OffsetIbmOfLmkPin,
    dg_pvv_of_lmk_pin::PvvOfLmkPin,
    ea_verify_pin_zpk_ibm::VerifyPinZpkIbm,
    ec_verify_pin_zpk_pvv::VerifyPinZpkPvv,
    ee_derive_pin_ibm::DerivePinIbm,
    fa_import_zpk::ImportZpk,
    fc_import_tmk::ImportTmk,
    fe_export_tmk::ExportTmk,
    fk_import_zek_zak::ImportZekZak,
    fm_export_zek_zak::ExportZekZak,
    fw_pvv_of_pin_block::PvvOfPinBlock,
    g0_pin_dukpt_to_zpk_or_dukpt::PinDukptToAny,
    gc_export_zpk::ExportZpk,
    hc_generate_tmk::GenerateTmk,
    ia_generate_zpk::GenerateZpk,
    j2_load::Load,
    j4_volumes::Volumes,
    j8_health_counts::HealthCounts,
    ja_random_pin::RandomPin,
    jc_pin_tpk_to_lmk::PinTpkToLmk,
    je_pin_zpk_to_lmk::PinZpkToLmk,
    jg_pin_lmk_to_zpk::PinLmkToZpk,
    jk_health::Health,
    m0_encrypt_data::EncryptData,
    m2_decrypt_data::DecryptData,
    m6_make_mac::MakeMac,
    m8_verify_mac::VerifyMac,
    mg_export_tak::ExportTak,
    mi_import_tak::ImportTak,
    n0_random::Random,
    nc_diagnostics::Diagnostics,
    ng_clear_pin_from_lmk::ClearPinFromLmk,
    no_status::Status,
}

/// Row by command code, one byte for each pair of ASCII characters: a search would touch several rows of the
/// table for every frame.
static PLACES: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut places = vec![NO_ROW; 1 << 14].into_boxed_slice();
    for (row, number) in TABLE.iter().zip(0..NO_ROW) {
        if let Some(place) = place_of(row.about.code).and_then(|at| places.get_mut(at)) {
            *place = number;
        }
    }
    places
});
const NO_ROW: u8 = u8::MAX;

fn place_of([a, b]: [u8; 2]) -> Option<usize> {
    (a.is_ascii() && b.is_ascii()).then(|| usize::from(a) << 7 | usize::from(b))
}

/// Index of the row of a command code.
pub fn find(code: [u8; 2]) -> Option<usize> {
    let number = *PLACES.get(place_of(code)?)?;
    (number != NO_ROW).then_some(usize::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_have_vectors_of_both_kinds() {
        assert!(TABLE.is_sorted_by(|a, b| a.about.code < b.about.code), "table order");
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(find(row.about.code), Some(index));
            assert!(index < usize::from(NO_ROW), "the index of a row is one byte");
            assert!(row.examples.iter().all(|e| e.request.starts_with(&row.about.code)), "{row:?}");
        }
    }
}
