//! Which algorithms and modes of use go with a key usage: one row per code of X9.143:2021 table 2 and ISO
//! 20038, with the algorithms (table 3) and modes (table 4) that make sense for it.
//!
//! Mode N says "no restriction beyond the usage" and goes with every usage. Single DES (`D`) goes where TDES
//! goes; whether single DES is wanted at all is another question of the policy.

use crate::error::{ErrorKind, KeyBlockError, field};
use crate::header::Attributes;
use paytypes::{Algorithm, KeyUsage, ModeOfUse};

pub(crate) struct Row {
    code: [u8; 2],
    pub name: &'static str,
    algorithms: Letters,
    modes: Letters,
}

// A set of capital letters: bit 0 is A.
#[derive(Clone, Copy)]
struct Letters(u32);

impl Letters {
    const fn of(letters: &[u8]) -> Self {
        let mut bits = 0;
        let mut rest = letters;
        while let [first, tail @ ..] = rest {
            bits |= Self::bit(*first);
            rest = tail;
        }
        Self(bits)
    }

    // No bit for a character that is no capital letter.
    const fn bit(letter: u8) -> u32 {
        if letter.is_ascii_uppercase() { 1 << (letter & 0x1F).saturating_sub(1) } else { 0 }
    }

    const fn has(self, letter: u8) -> bool {
        self.0 & Self::bit(letter) != 0
    }
}

const fn row(code: &[u8; 2], name: &'static str, algorithms: &[u8], modes: &[u8]) -> Row {
    Row { code: *code, name, algorithms: Letters::of(algorithms), modes: Letters::of(modes) }
}

const CIPHER: &[u8] = b"BDE";
const CHECK: &[u8] = b"CGV";

const ROWS: &[Row] = &[
    row(b"B0", "base derivation key", b"AT", b"X"),
    row(b"B1", "initial DUKPT key", b"AT", b"X"),
    row(b"B2", "base key variant key", b"AT", b"XY"),
    row(b"B3", "key derivation key", b"AHT", b"X"),
    row(b"C0", "card verification key", b"AT", CHECK),
    row(b"D0", "data encryption key", b"AT", CIPHER),
    row(b"D1", "asymmetric data encryption key", b"ER", CIPHER),
    row(b"D2", "decimalisation table encryption key", b"AT", CIPHER),
    row(b"D3", "sensitive data encryption key", b"AT", CIPHER),
    row(b"E0", "EMV issuer master key: application cryptograms", b"AT", b"X"),
    row(b"E1", "EMV issuer master key: secure messaging confidentiality", b"AT", b"X"),
    row(b"E2", "EMV issuer master key: secure messaging integrity", b"AT", b"X"),
    row(b"E3", "EMV issuer master key: data authentication code", b"AT", b"X"),
    row(b"E4", "EMV issuer master key: dynamic numbers", b"AT", b"X"),
    row(b"E5", "EMV issuer master key: card personalisation", b"AT", b"X"),
    row(b"E6", "EMV issuer master key: other", b"AT", b"X"),
    row(b"E7", "EMV asymmetric key pair: PIN encryption", b"ER", CIPHER),
    row(b"I0", "initialisation vector", b"AT", b""),
    row(b"K0", "key encryption key", b"AT", CIPHER),
    row(b"K1", "key block protection key", b"AT", CIPHER),
    row(b"K2", "TR-34 asymmetric key pair of a receiving device", b"ER", CIPHER),
    row(b"K3", "asymmetric key pair: key wrapping or agreement", b"ER", b"BDEX"),
    row(b"K4", "ISO 20038 key block protection key", b"AT", CIPHER),
    row(b"M0", "ISO 16609 MAC algorithm 1 key", b"T", CHECK),
    row(b"M1", "ISO 9797-1 MAC algorithm 1 key", b"AT", CHECK),
    row(b"M2", "ISO 9797-1 MAC algorithm 2 key", b"AT", CHECK),
    row(b"M3", "ISO 9797-1 MAC algorithm 3 key", b"T", CHECK),
    row(b"M4", "ISO 9797-1 MAC algorithm 4 key", b"AT", CHECK),
    row(b"M5", "ISO 9797-1:1999 MAC algorithm 5 key", b"AT", CHECK),
    row(b"M6", "ISO 9797-1:2011 MAC algorithm 5 (CMAC) key", b"AT", CHECK),
    row(b"M7", "HMAC key", b"HIJ", CHECK),
    row(b"M8", "ISO 9797-1:2011 MAC algorithm 6 key", b"AT", CHECK),
    row(b"P0", "PIN encryption key", b"AT", CIPHER),
    row(b"P1", "PIN generation key", b"AT", b"G"),
    row(b"S0", "asymmetric key pair: digital signature", b"ERS", b"STV"),
    row(b"S1", "asymmetric key pair: certification authority", b"ERS", b"STV"),
    row(b"S2", "asymmetric key pair: other use", b"ERS", b"BCDEGSTVX"),
    row(b"V0", "PIN verification key: other", b"AT", CHECK),
    row(b"V1", "PIN verification key: IBM 3624", b"AT", CHECK),
    row(b"V2", "PIN verification key: Visa PVV", b"AT", CHECK),
    row(b"V3", "PIN verification key: X9.132 algorithm 1", b"AT", CHECK),
    row(b"V4", "PIN verification key: X9.132 algorithm 2", b"AT", CHECK),
    row(b"V5", "PIN verification key: X9.132 algorithm 3", b"AT", CHECK),
];

/// The row of a usage.
pub(crate) fn find(usage: KeyUsage) -> Option<&'static Row> {
    let [letter, digit] = usage.0;
    let place =
        INDEX.get(usize::from(letter.wrapping_sub(b'A')))?.get(usize::from(digit.wrapping_sub(b'0')))?;
    ROWS.get(usize::from(*place))
}

// Place of a usage's row by letter and digit; beyond the table where there is none.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // the compiler runs it: what fails does not build
const INDEX: [[u8; 10]; 26] = {
    let mut index = [[u8::MAX; 10]; 26];
    let mut at = 0;
    while at < ROWS.len() {
        let [letter, digit] = ROWS[at].code;
        index[(letter - b'A') as usize][(digit - b'0') as usize] = at as u8;
        at += 1;
    }
    index
};

/// All usages of the table.
pub(crate) fn usages() -> impl Iterator<Item = KeyUsage> {
    ROWS.iter().map(|row| KeyUsage(row.code))
}

/// Judges usage, algorithm and mode together, and exportability. A usage or algorithm that begins with a
/// digit is proprietary: `proprietary` says whether it passes unjudged.
pub(crate) fn judge(attributes: &Attributes, proprietary: bool) -> Result<(), KeyBlockError> {
    let Attributes { usage, algorithm, mode, exportability, .. } = *attributes;
    let refuse = |name, at, reason| Err(KeyBlockError::new(ErrorKind::Policy, name, at).because(reason));
    if !exportability.is_known() {
        return refuse(field::EXPORTABILITY, 11, "exportability is E, N or S");
    }
    let own = [usage.0.first().copied().unwrap_or_default(), algorithm.0, mode.0];
    if own.iter().any(u8::is_ascii_digit) {
        if proprietary {
            return Ok(());
        }
        return refuse(field::USAGE, 5, "proprietary codes are refused by the profile in use");
    }
    let Some(row) = find(usage) else {
        return refuse(field::USAGE, 5, "usage is not one of X9.143 or ISO 20038");
    };
    let judged = if algorithm == Algorithm::DES { Algorithm::TDES } else { algorithm };
    if !row.algorithms.has(judged.0) {
        return refuse(field::ALGORITHM, 7, "algorithm does not go with the usage");
    }
    if mode != ModeOfUse::ANY && !row.modes.has(mode.0) {
        return refuse(field::MODE, 8, "mode of use does not go with the usage");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::{Exportability, KeyVersion};

    fn attributes(text: &[u8; 5]) -> Attributes {
        Attributes {
            usage: KeyUsage([text[0], text[1]]),
            algorithm: Algorithm(text[2]),
            mode: ModeOfUse(text[3]),
            key_version: KeyVersion::UNUSED,
            exportability: Exportability(text[4]),
        }
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(ROWS.windows(2).all(|w| w[0].code < w[1].code));
        assert!(ROWS.iter().all(|row| find(KeyUsage(row.code)).is_some_and(|found| found.code == row.code)));
        for letter in b'A'..=b'Z' {
            let known = Algorithm(letter).is_known() || matches!(letter, b'I' | b'J');
            assert!(known || ROWS.iter().all(|r| !r.algorithms.has(letter)));
            assert!(ModeOfUse(letter).is_known() || ROWS.iter().all(|r| !r.modes.has(letter)));
        }
    }

    #[test]
    fn only_the_codes_of_the_table_are_found() {
        let found =
            (0..=u16::MAX).filter_map(|code| find(KeyUsage(code.to_be_bytes())).map(|row| (code, row)));
        let found: Vec<_> = found.map(|(code, row)| (code.to_be_bytes(), row.code)).collect();
        assert!(found.len() == ROWS.len() && found.iter().all(|(asked, got)| asked == got));
        let letters = Letters::of(b"AZ");
        assert!((0..=255).filter(|c| letters.has(*c)).eq([b'A', b'Z']));
    }

    #[test]
    fn each_dimension_is_judged() {
        let field_of = |text| judge(&attributes(text), false).err().map(|e| (e.kind, e.field));
        for good in [b"P0TBE", b"P0ANE", b"B0TXS", b"M7HCN", b"S0RSN", b"K1ADE", b"P0DEE", b"I0TNN"] {
            assert_eq!(field_of(good), None);
        }
        assert_eq!(field_of(b"Z0TBE"), Some((ErrorKind::Policy, field::USAGE)));
        assert_eq!(field_of(b"P0RBE"), Some((ErrorKind::Policy, field::ALGORITHM)));
        assert_eq!(field_of(b"M3ACE"), Some((ErrorKind::Policy, field::ALGORITHM)));
        assert_eq!(field_of(b"P0TCE"), Some((ErrorKind::Policy, field::MODE)));
        assert_eq!(field_of(b"B0TBE"), Some((ErrorKind::Policy, field::MODE)));
        assert_eq!(field_of(b"P0TBQ"), Some((ErrorKind::Policy, field::EXPORTABILITY)));
        assert_eq!(field_of(b"10TBE"), Some((ErrorKind::Policy, field::USAGE)));
        assert!(judge(&attributes(b"10TBE"), true).is_ok());
    }

    // The whole space: every usage, algorithm and mode is accepted exactly when its row names it.
    #[test]
    fn the_whole_matrix() {
        let mut accepted = 0;
        for row in ROWS {
            for algorithm in b"ADEHIJRST" {
                for mode in b"BCDEGNSTVXY" {
                    let text = [row.code[0], row.code[1], *algorithm, *mode, b'E'];
                    let wanted = row.algorithms.has(if *algorithm == b'D' { b'T' } else { *algorithm })
                        && (*mode == b'N' || row.modes.has(*mode));
                    assert_eq!(judge(&attributes(&text), false).is_ok(), wanted);
                    accepted += usize::from(wanted);
                }
            }
        }
        assert!(accepted > 300);
    }
}
