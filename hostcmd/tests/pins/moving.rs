//! Whatever account a translation names: a PIN block never becomes one of another account than it was made for.

use super::{OWNER, account_field, field};
use crate::pin_bench::{Bench, block, encrypted, format, pin_if_any};
use hostcmd::{Role, Settings};
use paytypes::{CipherKind, Pan};
use pinblock::Account;

const PIN: &str = "1278";

// Another account in each form, whose digits over the PIN are those of the owner.
fn other_field(from: &str, to: &str) -> (&'static str, Account) {
    if [from, to].iter().any(|code| ["04", "35"].contains(code)) {
        let digits = "401098765432109876";
        (digits, Account::from_token(digits.as_bytes()).unwrap())
    } else if [from, to].contains(&"48") {
        ("4098765432101;", Account::from_pan(Pan::new(b"4098765432101").unwrap()))
    } else {
        ("409876543210", field("409876543210"))
    }
}

#[test]
fn no_pair_of_formats_moves_a_pin() {
    for settings in [Settings::STRICT, Settings::LEGACY] {
        let mut bench = Bench::new(2, Role::Issuer, settings);
        let zones = [bench.zpk(), bench.aes(b"72")];
        let terminals = [bench.tpk(), bench.aes(b"71")];
        for from in ["01", "47", "48", "04", "35"] {
            for to in ["01", "47", "48", "04", "35", "34", "05", "03"] {
                let (victim, other) = (account_field(from, to).1, other_field(from, to));
                let target = &zones[usize::from(to == "48")];
                for (command, sources) in [("CC", &zones), ("CA", &terminals)] {
                    let source = &sources[usize::from(from == "48")];
                    let came = block(source, from, PIN, &victim);
                    let (key, into) = (&source.token, &target.token);
                    let (code, body) =
                        bench.ask(&format!("{command}{key}{into}12{came}{from}{to}{}", other.0));
                    if code == "00" {
                        let made = &body[2..2 + 2 * format(to).block_length()];
                        let pin = pin_if_any(target, to, made, &other.1);
                        assert_eq!(pin, None, "{command} {from} to {to}, {settings:?}");
                    }
                }
            }
        }
    }
}

// In the strict profile the block goes on unchanged or not at all, and what it was not before is refused by the
// verifier afterwards.
#[test]
fn a_block_under_another_account_is_the_block_that_it_was() {
    let other = "409876543210";
    for lmk in 0..3 {
        let mut bench = Bench::new(lmk, Role::Any, Settings::STRICT);
        let (zpk, pvk) = (bench.zpk(), bench.pvk(b"V2"));
        let key = &zpk.token;
        let came = block(&zpk, "01", PIN, &field(OWNER));
        assert_eq!(bench.good(&format!("CC{key}{key}12{came}0101{other}")), format!("04{came}01"));
        assert_eq!(bench.code(&format!("CC{key}{key}12{came}0147{other}")), "20");
        assert_eq!(bench.code(&format!("EC{key}{}{came}01{other}10000", pvk.token)), "20");
        assert_eq!(bench.good(&format!("CC{key}{key}12{came}0101{OWNER}")), format!("04{came}01"));
        assert_eq!(bench.code(&format!("CC{key}{key}12{came}0147{OWNER}")), "00");
        // A pad that belongs to no account travels too.
        let bad = encrypted(&zpk, [0x04, 0x12, 0x38, 0xED, 0xCB, 0xA9, 0x87, 0x60]);
        assert_eq!(bench.good(&format!("CC{key}{key}12{bad}0101{OWNER}")), format!("04{bad}01"));
    }
}

// The same through DUKPT: the sample of ANSI X9.24-1, PIN 1234 and the account of OWNER.
#[test]
fn dukpt_moves_no_pin() {
    let other = "409876543210";
    for lmk in 0..3 {
        let mut bench = Bench::new(lmk, Role::Any, Settings::STRICT);
        let zpk = bench.zpk();
        let bdk = bench.key(CipherKind::Tdes, "0123456789ABCDEFFEDCBA9876543210", b"009", b"B0");
        for (command, format) in [("CI", ""), ("G0", "01")] {
            let request = format!("{command}{}{}A05FFFF9876543210E00001", bdk.token, zpk.token);
            let request = |to, account| format!("{request}1B9C1845EB993A7A{format}{to}{account}");
            let made = bench.good(&request("01", other));
            assert_eq!(pin_if_any(&zpk, "01", &made[2..18], &field(other)), None);
            assert_eq!(pin_if_any(&zpk, "01", &made[2..18], &field(OWNER)).as_deref(), Some("1234"));
            assert_eq!(bench.code(&request("47", other)), "20");
            assert_eq!(bench.code(&request("47", OWNER)), "00");
        }
    }
}
