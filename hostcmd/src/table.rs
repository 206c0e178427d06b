//! The command table. A row is a module and a type; everything else is in the command's file.

use crate::command::{About, Command, Example};
use crate::engine::Runner;
use crate::wire::{Message, Reader, Step};

/// A row of the table, as those see it who do not run commands: documentation, decoder, client, fuzzers.
pub struct Row {
    /// What the command is.
    pub about: &'static About,
    /// Its vectors.
    pub examples: &'static [Example],
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
        walk_request: walk::<C::Request>,
        walk_reply: walk::<C::Reply>,
        runner: crate::engine::runner::<C>,
    }
}

macro_rules! commands {
    ($($module:ident :: $command:ident),* $(,)?) => {
        /// All rows, in the order of their codes.
        pub static TABLE: &[Row] = &[$(row::<crate::commands::$module::$command>()),*];
    };
}

commands! {
    b2_echo::Echo,
    cc_pin_zpk_to_zpk::PinZpkToZpk,
    cw_card_value::CardValue,
    cy_verify_card_value::VerifyCardValue,
    j2_load::Load,
    j4_volumes::Volumes,
    j8_health_counts::HealthCounts,
    jk_health::Health,
    m0_encrypt_data::EncryptData,
    m2_decrypt_data::DecryptData,
    m6_make_mac::MakeMac,
    m8_verify_mac::VerifyMac,
    n0_random::Random,
    nc_diagnostics::Diagnostics,
    no_status::Status,
}

/// Index of the row of a command code.
pub fn find(code: [u8; 2]) -> Option<usize> {
    TABLE.binary_search_by(|row| row.about.code.cmp(&code)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_have_vectors_of_both_kinds() {
        assert!(TABLE.is_sorted_by(|a, b| a.about.code < b.about.code), "table order");
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(find(row.about.code), Some(index));
            assert!(row.examples.iter().all(|e| e.request.starts_with(&row.about.code)), "{row:?}");
        }
    }
}
