//! Which PIN block format may be translated into which: PCI PIN 3-3 as data. A refusal is host code 23.

use crate::{AccountRelation, Format};
use core::fmt;

/// What a listener allows beyond the strict table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Non-ISO formats to any other, ISO 1 to itself, as old units do.
    pub legacy: bool,
    /// ISO 1 to ISO 1. The requirement contradicts itself here, so it is a choice.
    pub iso1_to_iso1: bool,
    /// The issuer role: only an issuer sends a block to an IC card (format 34).
    pub issuer: bool,
    /// Another account in the new block: only in the sensitive state of an issuance.
    pub account_change: bool,
}

/// Why a translation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The new block would no longer be bound to the account.
    AccountDropped,
    /// The new block would be bound to another account.
    AccountChange,
    /// ISO 1 to ISO 1 is not switched on.
    Iso1ToIso1,
    /// Blocks for an IC card are made in the issuer role.
    IssuerOnly,
    /// A block for an IC card goes nowhere else.
    CardBlock,
    /// An ISO block does not become a non-ISO one.
    LeavesIso,
    /// A non-ISO block keeps its format.
    NonIso,
    /// The length of such a block is found by looking at its digits.
    LengthFromDigits,
    /// The Visa PIN change blocks are made by script commands, under the card's key.
    ScriptOnly,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccountDropped => "a block bound to an account must stay bound",
            Self::AccountChange => "the account must not change",
            Self::Iso1ToIso1 => "ISO 1 to ISO 1 is not switched on",
            Self::IssuerOnly => "a block for an IC card needs the issuer role",
            Self::CardBlock => "a block for an IC card is not translated into another format",
            Self::LeavesIso => "an ISO block is not translated into a non-ISO format",
            Self::NonIso => "a non-ISO block keeps its format",
            Self::LengthFromDigits => "the PIN length of this format depends on its digits",
            Self::ScriptOnly => "a PIN change block belongs to script commands",
        })
    }
}

impl core::error::Error for Refusal {}

#[derive(Clone, Copy)]
enum Class {
    /// ISO 0, 3, 4.
    Bound,
    Iso1,
    Iso2,
    NonIso,
    Script,
}

#[derive(Clone, Copy)]
enum Verdict {
    Yes,
    Issuer,
    Iso1,
    SameFormat,
    Never(Refusal),
}

/// A cell of the table: strict, and what legacy makes of it.
struct Cell(Verdict, Verdict);

const fn class(format: Format) -> Class {
    match format {
        Format::Iso0 | Format::Iso3 | Format::Iso4 => Class::Bound,
        Format::Iso1 => Class::Iso1,
        Format::Iso2 => Class::Iso2,
        Format::VisaNew | Format::VisaNewOld => Class::Script,
        Format::Docutel
        | Format::Diebold
        | Format::Plus
        | Format::Mastercard
        | Format::As2805
        | Format::Visa2
        | Format::Visa3
        | Format::Eci2
        | Format::Eci3 => Class::NonIso,
    }
}

// PCI PIN Security Requirements v3.1, 3-3, with the decisions of the project's security design, 1.1. Legacy
// loosens the rows of ISO 1 and non-ISO sources only: a block bound to an account by an ISO format never
// loses that bond.
const fn cell(from: Class, to: Class) -> Cell {
    use Class::{Bound, Iso1, Iso2, NonIso, Script};
    use Verdict::{Issuer, Never, SameFormat, Yes};
    const fn both(verdict: Verdict) -> Cell {
        Cell(verdict, verdict)
    }
    match (from, to) {
        (Bound, Bound) => both(Yes),
        (Bound, Iso1) => both(Never(Refusal::AccountDropped)),
        (Bound, Iso2) => both(Issuer),
        (Bound, NonIso) => both(Never(Refusal::LeavesIso)),

        (Iso1, Bound) => both(Yes),
        (Iso1, Iso1) => Cell(Verdict::Iso1, Yes),
        (Iso1, Iso2) => both(Issuer),
        (Iso1, NonIso) => both(Never(Refusal::LeavesIso)),

        (Iso2, Iso2) => both(Issuer),
        (Iso2, Bound | Iso1 | NonIso) => both(Never(Refusal::CardBlock)),

        (NonIso, Bound | Iso1) => Cell(Never(Refusal::NonIso), Yes),
        (NonIso, Iso2) => Cell(Never(Refusal::NonIso), Issuer),
        (NonIso, NonIso) => Cell(SameFormat, Yes),

        (Script, _) | (_, Script) => both(Never(Refusal::ScriptOnly)),
    }
}

/// Judges one translation. `relation` compares the account of the old block with that of the new one; it
/// counts when both formats bind an account.
#[inline(always)]
pub fn translation(
    from: Format,
    to: Format,
    relation: AccountRelation,
    setting: Setting,
) -> Result<(), Refusal> {
    let (old, new) = (class(from), class(to));
    // Between formats that bind the account, which is what switches do all day, nothing more is to be looked up.
    let Cell(strict, legacy) = match (old, new) {
        (Class::Bound, Class::Bound) => Cell(Verdict::Yes, Verdict::Yes),
        _ => cell(old, new),
    };
    match if setting.legacy { legacy } else { strict } {
        Verdict::Never(refusal) => return Err(refusal),
        Verdict::Issuer if !setting.issuer => return Err(Refusal::IssuerOnly),
        Verdict::Iso1 if !setting.iso1_to_iso1 => return Err(Refusal::Iso1ToIso1),
        Verdict::SameFormat if from != to => return Err(Refusal::NonIso),
        // A block of another format, sent as Diebold, would answer with a length that tells whether digits
        // of it are F: an oracle for PIN XOR account, one digit at a time. PCI PIN 3-3 would allow it.
        Verdict::SameFormat if from == Format::Diebold => return Err(Refusal::LengthFromDigits),
        Verdict::Yes | Verdict::Issuer | Verdict::Iso1 | Verdict::SameFormat => {}
    }
    let bound = from.binds_account() && to.binds_account();
    if bound && relation == AccountRelation::Changed && !setting.account_change {
        return Err(Refusal::AccountChange);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use AccountRelation::{Changed, Same};

    const STRICT: Setting =
        Setting { legacy: false, iso1_to_iso1: false, issuer: false, account_change: false };
    const LEGACY: Setting = Setting { legacy: true, ..STRICT };
    const CODES: [&[u8; 2]; 12] =
        [b"01", b"47", b"48", b"05", b"34", b"02", b"03", b"04", b"35", b"46", b"41", b"42"];

    fn row(from: &[u8; 2], setting: Setting) -> String {
        let from = Format::from_code(*from).unwrap();
        let judge = |to: &&[u8; 2]| match translation(from, Format::from_code(**to).unwrap(), Same, setting) {
            Ok(()) => 'y',
            Err(Refusal::AccountDropped) => 'd',
            Err(Refusal::AccountChange) => 'a',
            Err(Refusal::Iso1ToIso1) => '1',
            Err(Refusal::IssuerOnly) => 'i',
            Err(Refusal::CardBlock) => 'c',
            Err(Refusal::LeavesIso) => 'l',
            Err(Refusal::NonIso | Refusal::LengthFromDigits) => 'n',
            Err(Refusal::ScriptOnly) => 's',
        };
        CODES.iter().map(judge).collect()
    }

    // Columns and rows in the order of CODES, written out by hand from security design 1.1.
    const TABLE: [(&str, &str); 12] = [
        ("yyydilllllss", "yyydilllllss"), // 01
        ("yyydilllllss", "yyydilllllss"), // 47
        ("yyydilllllss", "yyydilllllss"), // 48
        ("yyy1illlllss", "yyyyilllllss"), // 05
        ("ccccicccccss", "ccccicccccss"), // 34
        ("nnnnnynnnnss", "yyyyiyyyyyss"), // 02
        ("nnnnnnnnnnss", "yyyyiyyyyyss"), // 03, see LengthFromDigits
        ("nnnnnnnynnss", "yyyyiyyyyyss"), // 04
        ("nnnnnnnnynss", "yyyyiyyyyyss"), // 35
        ("nnnnnnnnnyss", "yyyyiyyyyyss"), // 46
        ("ssssssssssss", "ssssssssssss"), // 41
        ("ssssssssssss", "ssssssssssss"), // 42
    ];

    #[test]
    fn all_pairs_strict_and_legacy() {
        for (code, (strict, legacy)) in CODES.iter().zip(TABLE) {
            assert_eq!(row(code, STRICT), strict, "{code:?}");
            assert_eq!(row(code, LEGACY), legacy, "{code:?} legacy");
        }
    }

    #[test]
    fn each_setting_opens_its_cells_only() {
        let issuer = Setting { issuer: true, ..STRICT };
        let iso1 = Setting { iso1_to_iso1: true, ..STRICT };
        for (code, (strict, _)) in CODES.iter().zip(TABLE) {
            assert_eq!(row(code, issuer), strict.replace('i', "y"));
            assert_eq!(row(code, iso1), strict.replace('1', "y"));
        }
    }

    #[test]
    fn account_changes_only_when_set_and_only_counts_between_bound_formats() {
        let changing = Setting { account_change: true, ..LEGACY };
        for from in Format::ALL {
            for to in Format::ALL {
                let same = translation(*from, *to, Same, LEGACY);
                let changed = translation(*from, *to, Changed, LEGACY);
                if same.is_ok() && from.binds_account() && to.binds_account() {
                    assert_eq!(changed, Err(Refusal::AccountChange), "{from} {to}");
                    assert_eq!(translation(*from, *to, Changed, changing), Ok(()));
                } else {
                    assert_eq!(changed, same, "{from} {to}");
                }
            }
        }
    }

    #[test]
    fn an_account_bound_iso_block_never_becomes_iso_1() {
        let all = Setting { legacy: true, iso1_to_iso1: true, issuer: true, account_change: true };
        for from in [Format::Iso0, Format::Iso3, Format::Iso4] {
            assert_eq!(translation(from, Format::Iso1, Same, all), Err(Refusal::AccountDropped));
        }
    }
}
