//! Status and dates in the header of an `S` block, at every use of its key.

use super::{OWNER, field};
use crate::pin_bench::{Bench, block, in_block};
use paytypes::CipherKind;
use paytypes::soft::SoftKey;
use tr31::sblock::LmkId;

// The public test LMKs.
const LMKS: [(u8, CipherKind, &[u8]); 2] = [
    (1, CipherKind::Tdes, b"0123456789ABCDEF8080808080808080FEDCBA9876543210"),
    (2, CipherKind::Aes, b"9B71333A13F9FAE72F9D0E2DAB4AD6784718012F9244033F3F26A2DE0C8AA11A"),
];

fn lmks() -> impl Iterator<Item = (u8, SoftKey)> {
    let key = |kind, clear| SoftKey::new(kind, &paytypes::hex::decode_vec(clear).unwrap()).unwrap();
    LMKS.into_iter().map(move |(lmk, kind, clear)| (lmk, key(kind, clear)))
}

// A unit on the last day of January, 12:59:59.
fn unit(lmk: u8) -> Bench {
    let mut bench = Bench::strict(lmk);
    bench.set_time(b"260131", b"125959");
    bench
}

fn translate(bench: &mut Bench, source: &str, destination: &str) -> String {
    let came = block(&bench.zpk(), "01", "1278", &field(OWNER));
    bench.code(&format!("CC{source}{destination}12{came}0101{OWNER}"))
}

#[test]
fn what_a_block_says_of_its_key_counts_at_every_use() {
    let cases = [
        ("", "00"),
        ("0005L", "00"),
        ("0005T", "00"),
        ("0005E", "AD"),
        ("0005P", "AD"),
        ("0005R", "AD"),
        ("0005Z", "AD"),
        ("0004", "AD"),
        ("03112026:01:31:12", "00"),
        ("03112026:01:31:13", "AE"),
        ("03112026-01-31-12", "AE"),
        ("03112026:13:31:12", "AE"),
        ("04112026:01:31:12", "00"),
        ("04112026:01:31:11", "AF"),
        ("04111999:12:31:23", "AF"),
        ("04112026:02:31:24", "AF"),
        ("050Asome t", "00"),
    ];
    for (lmk, under) in lmks() {
        let mut bench = unit(lmk);
        let good = bench.zpk().token;
        for (optional, wanted) in cases {
            let token = in_block(&under, LmkId::new(lmk).unwrap(), b"72", optional);
            // The second time it was opened before.
            for _ in 0..2 {
                assert_eq!(translate(&mut bench, &token, &good), wanted, "{optional} {lmk}");
                assert_eq!(translate(&mut bench, &good, &token), wanted, "{optional} {lmk}");
            }
            // Only an authentic block, for what it is for, answers for what it says.
            let last = if token.ends_with('0') { '1' } else { '0' };
            let altered = format!("{}{last}", &token[..token.len() - 1]);
            assert_eq!(translate(&mut bench, &altered, &good), "A4", "{optional}");
            let stranger = in_block(&under, LmkId::new(lmk).unwrap(), b"M3", optional);
            let code = translate(&mut bench, &stranger, &good);
            assert!(code == "A6" || code == wanted, "{optional} {code}");
        }
    }
}

#[test]
fn a_key_that_was_opened_ends_with_its_hour() {
    for (lmk, under) in lmks() {
        let mut bench = unit(lmk);
        let id = LmkId::new(lmk).unwrap();
        let ends = in_block(&under, id, b"72", "04112026:01:31:12");
        let begins = in_block(&under, id, b"72", "03112026:01:31:13");
        for _ in 0..3 {
            assert_eq!(translate(&mut bench, &ends, &ends), "00");
            assert_eq!(translate(&mut bench, &begins, &begins), "AE");
        }
        bench.set_time(b"260131", b"130000");
        assert_eq!(translate(&mut bench, &ends, &ends), "AF");
        assert_eq!(translate(&mut bench, &begins, &begins), "00");
        bench.set_time(b"260131", b"125959");
        assert_eq!(translate(&mut bench, &ends, &ends), "00");
    }
}

// The check value tells an officer which key it is; leaving the unit is a use.
#[test]
fn a_key_that_is_not_for_use_shows_its_check_value_and_does_not_leave() {
    for (lmk, under) in lmks() {
        let mut bench = unit(lmk);
        let id = LmkId::new(lmk).unwrap();
        let zmk = in_block(&under, id, b"52", "");
        for (optional, bu, export) in [
            ("0005L", "00", "00"),
            ("0005R", "00", "AD"),
            ("04112025:01:31:12", "00", "AF"),
            ("0005Z", "AD", "AD"),
        ] {
            let key = in_block(&under, id, b"72", optional);
            assert_eq!(bench.code(&format!("BUFFF{key};FFF;001")), bu, "BU {optional}");
            assert_eq!(bench.code(&format!("A8FFF{zmk}{key}S")), export, "A8 {optional}");
        }
    }
}

// A partner's block is judged by the same form, when it is proved.
#[test]
fn a_malformed_status_does_not_come_in() {
    let zmk = SoftKey::new(
        CipherKind::Tdes,
        &paytypes::hex::decode_vec(b"9823A4D0E55B76C1ABF2400D6E3BCD19").unwrap(),
    );
    let zmk = zmk.unwrap();
    for (lmk, under) in lmks() {
        let mut bench = unit(lmk);
        let token = in_block(&under, LmkId::new(lmk).unwrap(), b"52", "");
        for (optional, wanted) in [("", "00"), ("0005L", "00"), ("0005Z", "AD"), ("0405x", "AF")] {
            let came = in_block(&zmk, LmkId::EXCHANGE, b"72", optional);
            assert_eq!(bench.code(&format!("A6FFF{token}{came}S")), wanted, "{optional} {lmk}");
        }
    }
}
