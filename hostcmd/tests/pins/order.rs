//! What is wrong with a key is answered before what is wrong with the data (host-commands.md 7): A4, then A6, then 22
//! to 25, whether the key was opened before or not.

use super::{OWNER, field};
use crate::pin_bench::{Bench, block};
use paytypes::CipherKind;

const TERMS: &str = "0123456789012345123456N789AB";

// The last digit of the MAC changed.
fn tampered(token: &str) -> String {
    let last = if token.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &token[..token.len() - 1])
}

#[test]
fn keys_are_judged_before_formats_accounts_and_lengths() {
    for lmk in [1, 2] {
        let mut bench = Bench::strict(lmk);
        let zpk = bench.zpk();
        let came = block(&zpk, "01", "1278", &field(OWNER));
        let stored = bench.good(&format!("BA1278F{OWNER}"));
        let bdk = bench.key(CipherKind::Tdes, "0123456789ABCDEFFEDCBA9876543210", b"009", b"B0");
        let keys = [
            ("{z}", zpk.token),
            ("{t}", bench.tpk().token),
            ("{v}", bench.pvk(b"V2").token),
            ("{i}", bench.pvk(b"V1").token),
            ("{b}", bdk.token),
        ];
        // Good for a MAC, and for nothing here.
        let stranger = bench.key(CipherKind::Tdes, "5EA7193BC85DF20101EC7FAB3480D6CE", b"003", b"M3").token;
        let ksn = "A05FFFF9876543210E00001";
        let ibm = format!("04{OWNER}{TERMS}0000FFFFFFFF");
        let requests = [
            (format!("CC{{z}}{{z}}12{came}9901{OWNER}"), "23"),
            (format!("CC{{z}}{{z}}12{came}0199{OWNER}"), "23"),
            (format!("CC{{z}}{{z}}12{came}0105{OWNER}"), "23"),
            (format!("CC{{z}}{{z}}13{came}0101{OWNER}"), "24"),
            (format!("CC{{z}}{{z}}12{came}0101999999990000"), "22"),
            (format!("CA{{t}}{{z}}12{came}9901{OWNER}"), "23"),
            (format!("CA{{t}}{{z}}12{came}0105{OWNER}"), "23"),
            (format!("CA{{t}}{{z}}13{came}0101{OWNER}"), "24"),
            (format!("CA{{t}}{{z}}12{came}0101999999990000"), "22"),
            (format!("CI{{b}}{{z}}{ksn}{came}99{OWNER}"), "23"),
            (format!("G0{{b}}{{z}}{ksn}{came}9901{OWNER}"), "23"),
            (format!("G0{{b}}{{z}}{ksn}{came}0199{OWNER}"), "23"),
            (format!("EA{{z}}{{i}}12{came}99{ibm}"), "23"),
            (format!("EA{{z}}{{i}}13{came}01{ibm}"), "24"),
            (format!("DA{{t}}{{i}}12{came}99{ibm}"), "23"),
            (format!("DA{{t}}{{i}}13{came}01{ibm}"), "24"),
            (format!("EC{{z}}{{v}}{came}99{OWNER}10000"), "23"),
            (format!("DC{{t}}{{v}}{came}99{OWNER}10000"), "23"),
            (format!("BE{{z}}{came}99{OWNER}{stored}"), "23"),
            (format!("BC{{t}}{came}99{OWNER}{stored}"), "23"),
            (format!("JE{{z}}{came}99{OWNER}"), "23"),
            (format!("JE{{z}}{came}03{OWNER}"), "23"),
            (format!("JC{{t}}{came}99{OWNER}"), "23"),
            (format!("JG{{z}}99{OWNER}{stored}"), "23"),
            (format!("JG{{z}}05{OWNER}{stored}"), "23"),
            (format!("BKFFF{{z}}{{i}}{came}9904{OWNER}{TERMS}"), "23"),
            (format!("FWFFF{{z}}{{v}}{came}99{OWNER}1"), "23"),
        ];
        // In the second round every key was opened before.
        for _ in 0..2 {
            for (request, data_code) in &requests {
                let filled = |field: &str, nth: usize, token: &str| {
                    let mut text = request.clone();
                    let at = text.match_indices(field).nth(nth).map(|(at, _)| at);
                    if let Some(at) = at {
                        text.replace_range(at..at + 3, token);
                    }
                    for (field, token) in &keys {
                        text = text.replace(field, token);
                    }
                    at.map(|_| text)
                };
                for (field, token) in &keys {
                    for nth in 0..2 {
                        let Some(wrong) = filled(field, nth, &tampered(token)) else { continue };
                        assert_eq!(bench.code(&wrong), "A4", "{request} {field}");
                        let wrong = filled(field, nth, &stranger).unwrap();
                        assert_eq!(bench.code(&wrong), "A6", "{request} {field}");
                        let right = filled(field, nth, token).unwrap();
                        assert_eq!(bench.code(&right), *data_code, "{request}");
                    }
                }
            }
        }
    }
}
