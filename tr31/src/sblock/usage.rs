//! Key usages of `S` blocks: the numeric ones that only these blocks know, and how a usage leaves in a block
//! of X9.143.

use crate::matrix;
use paytypes::KeyUsage;

struct Row {
    code: [u8; 2],
    name: &'static str,
    export: Option<[u8; 2]>,
}

const fn stays(code: &[u8; 2], name: &'static str) -> Row {
    Row { code: *code, name, export: None }
}

const fn leaves(code: &[u8; 2], name: &'static str, as_usage: &[u8; 2]) -> Row {
    Row { code: *code, name, export: Some(*as_usage) }
}

// Host-command catalogue, section 5: the usage table and the export map below it.
const ROWS: &[Row] = &[
    stays(b"01", "WWK"),
    stays(b"02", "RSA or ECC public key"),
    stays(b"03", "RSA or ECC private key"),
    stays(b"04", "RSA private key for ICC"),
    stays(b"05", "RSA private key for PIN translation"),
    stays(b"06", "RSA private key for TLS"),
    leaves(b"11", "CVK for card security codes (CSC)", b"C0"),
    leaves(b"12", "CVK for card verification codes (CVC)", b"C0"),
    leaves(b"13", "CVK for card verification values (CVV)", b"C0"),
    leaves(b"21", "DEK", b"D0"),
    leaves(b"22", "ZEK", b"D0"),
    leaves(b"23", "TEK", b"D0"),
    stays(b"24", "transport key"),
    leaves(b"25", "CTR data encryption key", b"D0"),
    leaves(b"32", "MK-CVC3", b"E6"),
    leaves(b"36", "retail MAC key", b"M3"),
    stays(b"37", "EMV card key: application cryptograms"),
    stays(b"38", "EMV card key: secure messaging integrity"),
    stays(b"39", "EMV card key: secure messaging confidentiality"),
    leaves(b"41", "BDK-2", b"B0"),
    leaves(b"42", "BDK-3", b"B0"),
    leaves(b"43", "BDK-4", b"B0"),
    leaves(b"44", "BDK-5", b"B0"),
    stays(b"47", "EMV session key: application cryptograms"),
    stays(b"48", "EMV session key: secure messaging integrity"),
    stays(b"49", "EMV session key: secure messaging confidentiality"),
    leaves(b"51", "TMK", b"K0"),
    leaves(b"52", "ZMK", b"K0"),
    stays(b"53", "ZKA master key"),
    stays(b"54", "KEK"),
    stays(b"55", "CTR transport key"),
    stays(b"61", "HMAC key: SHA-1"),
    stays(b"62", "HMAC key: SHA-224"),
    stays(b"63", "HMAC key: SHA-256"),
    stays(b"64", "HMAC key: SHA-384"),
    stays(b"65", "HMAC key: SHA-512"),
    leaves(b"71", "TPK", b"P0"),
    leaves(b"72", "ZPK", b"P0"),
    leaves(b"73", "TKR", b"P0"),
];

fn find(usage: KeyUsage) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.code == usage.0)
}

/// Name of a usage in an `S` block: the field's own abbreviation for the numeric ones, else the name of
/// X9.143. `B0` is the BDK-1 of the numeric series, so 41 to 44 are BDK-2 to BDK-5.
pub fn usage_name(usage: KeyUsage) -> Option<&'static str> {
    find(usage).map(|row| row.name).or_else(|| matrix::find(usage).map(|row| row.name))
}

/// All usages that an `S` block knows.
pub fn usages() -> impl Iterator<Item = KeyUsage> {
    ROWS.iter().map(|row| KeyUsage(row.code)).chain(matrix::usages())
}

/// The usage with which a key leaves in a block of X9.143. Codes of X9.143 stay as they are; `None`: a key
/// with this usage cannot leave in such a block.
pub fn x9143_usage(usage: KeyUsage) -> Option<KeyUsage> {
    match find(usage) {
        Some(row) => row.export.map(KeyUsage),
        None => matrix::find(usage).map(|_| usage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_map() {
        let to = |code: &[u8; 2]| x9143_usage(KeyUsage(*code)).map(|u| u.0);
        for (codes, target) in [
            (&["41", "42", "43", "44", "B0"][..], "B0"),
            (&["11", "12", "13", "C0"], "C0"),
            (&["21", "22", "23", "25"], "D0"),
            (&["32"], "E6"),
            (&["51", "52", "K0"], "K0"),
            (&["71", "72", "73", "P0"], "P0"),
            (&["36"], "M3"),
            (&["K1"], "K1"),
        ] {
            for code in codes {
                assert_eq!(
                    to(code.as_bytes().try_into().unwrap()),
                    Some(target.as_bytes().try_into().unwrap())
                );
            }
        }
        for stays in [b"01", b"02", b"24", b"37", b"53", b"54", b"55", b"61", b"99"] {
            assert_eq!(to(stays), None);
        }
    }

    #[test]
    fn codes_are_in_order_and_named() {
        assert!(ROWS.windows(2).all(|w| w[0].code < w[1].code));
        assert_eq!(usage_name(KeyUsage(*b"72")), Some("ZPK"));
        assert_eq!(usage_name(KeyUsage(*b"41")), Some("BDK-2"));
        assert_eq!(usage_name(KeyUsage(*b"44")), Some("BDK-5"));
        assert_eq!(usage_name(KeyUsage(*b"P0")), Some("PIN encryption key"));
        assert_eq!(usage_name(KeyUsage(*b"00")), None);
        assert!(usages().all(|u| usage_name(u).is_some()));
        assert!(ROWS.iter().filter_map(|r| r.export).all(|u| matrix::find(KeyUsage(u)).is_some()));
    }
}
