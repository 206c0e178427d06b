//! New keys and initial keys of DUKPT.

use crate::harness::*;
use hostcmd::{Authorised, Settings};
use hsm::LmkId;
use hsm_sim::{LmkKind, LmkSecret, LmkSet};
use paytypes::{CipherKind, ClearBytes};

// Request and replies of a physical unit (s-blocks.json aes-A0-00): its AES LMK was number 01. The reply holds
// random padding, so keys are compared.
#[test]
fn a_published_derivation_of_an_initial_key() {
    let public = LmkSet::public_test();
    let aes = public.iter().find(|lmk| lmk.kind == LmkKind::AesBlock).unwrap();
    let mut set = LmkSet::default();
    let clear = ClearBytes::new(aes.clear.expose().to_vec());
    set.add(LmkSecret::new(LmkId(1), LmkKind::AesBlock, "", clear).unwrap()).unwrap();
    let file = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/s-blocks.json"));
    let cases: serde_json::Value = serde_json::from_str(file).unwrap();
    let case = |id: &str| {
        let found = cases["cases"].as_array().unwrap().iter().find(|case| case["id"] == id).unwrap();
        ["request_text", "response_text"].map(|name| found[name].as_str().unwrap()[4..].to_owned())
    };
    let mut unit = unit_of(&set, Settings::STRICT, Authorised::NONE);
    let [request, published] = case("aes-A0-00");
    let body = unit.ok(1, &request);
    assert_eq!(split(&body).1, "DD3ABE");
    assert_eq!(&body[..17], &published[4..21]);
    let own = &body[..97];
    assert_eq!(unit.ok(1, &format!("BUFFF{own};FFF;001")), "DD3ABE");
    let exported = split(&body[97..]).0;
    assert!(exported.starts_with("RD") && exported[6..].starts_with("B1AN00S0000"));
    // What left is what stayed, and what the physical unit sent is the same key.
    let kek = &request[request.find("S10128").unwrap()..][..129];
    let theirs = split(&published[4 + 97..]).0;
    for sent in [exported, theirs] {
        let back = unit.ok(1, &format!("A6FFF{kek}{sent}S"));
        assert_eq!(split(&back).1, "DD3ABE");
    }
    let [request, published] = case("aes-A0-03");
    assert_eq!(unit.code(1, &request), published[2..]);
}

// ANSI X9.24-1 annex A: base key, KSN and initial key of the worked example. The initial key has no parity,
// and every command that carries it must leave it as it is.
#[test]
fn initial_keys_keep_every_bit() {
    let mut unit = unit(Settings::STRICT);
    let base = "0123456789ABCDEFFEDCBA9876543210";
    let initial = "6AC292FAA1315B4D858AB3A3D7D5933A";
    let zmk = variant(b"000", ZMK);
    let body = unit.ok(0, &format!("A0A302U01{}FFFF9876543210E", variant(b"009", base)));
    assert_eq!(body, format!("{}{}", variant(b"302", initial), check_value(CipherKind::Tdes, initial)));
    let token = split(&body).0;
    assert_eq!(unit.code(0, &format!("BUFF1{token};302;001")), "00");
    for (form, group) in [("U", ""), ("R", "&B1X00E00")] {
        let sent = unit.ok(0, &format!("A8302{zmk}{token}{form}{group}"));
        assert_eq!(unit.ok(0, &format!("A6302{zmk}{}U", split(&sent).0)), body);
    }
    // Other types and usages are not derived, and each type of base key is its own.
    let derive = |rest: &str| format!("A0A{rest}FFFF9876543210E");
    assert_eq!(unit.code(0, &derive(&format!("001U01{}", variant(b"009", base)))), "28");
    assert_eq!(unit.code(0, &derive(&format!("302T01{}", variant(b"009", base)))), "27");
    assert_eq!(unit.code(0, &derive(&format!("302U05{}", variant(b"009", base)))), "04");
    assert_eq!(unit.code(0, &derive(&format!("302U11{}", variant(b"009", base)))), "15");
    let block_base = block(1, CipherKind::Tdes, b"42X00N", base);
    for (number, usage, code) in [(2, "B1", "00"), (1, "B1", "A6"), (2, "P0", "A6")] {
        let mode = if usage == "B1" { "X" } else { "B" };
        let request = format!("FFFS0{number}{block_base}");
        let request = format!("{}%01#{usage}T2{mode}00E00", derive(&request));
        assert_eq!(unit.code(1, &request), code, "{number} {usage}");
    }
}

#[test]
fn attributes_of_new_keys() {
    let mut unit = unit(Settings::STRICT);
    for (lmk, group, code) in [
        (2, "#72A3B00E00", "00"),
        (2, "#52A3B00S00", "00"),
        (2, "#M6A1C00N00", "00"),
        (2, "#13T2C00E00", "00"),
        (2, "#B0T2X07S01KS1800604B120F9292800000", "00"),
        (1, "#P0A1B00E00", "A7"),
        (2, "#M3A1C00E00", "A7"),
        (2, "#P0D1B00E00", "A7"),
        (2, "#P0T1B00E00", "A7"),
        (2, "#P0R2B00E00", "A7"),
        (2, "#63A1C00E00", "A7"),
        (2, "#99T2B00E00", "A6"),
        (2, "#02T2N00E00", "A6"),
        (2, "#P0T2C00E00", "A8"),
        (2, "#72T2X00E00", "A8"),
        (2, "#P0T2BxzE00", "00"),
        (2, "#P0T2Bc1E00", "A9"),
        (2, "#P0T2B*0E00", "A9"),
        (2, "#P0T2B00X00", "AA"),
        (2, "#P0T2B00E01KS0", "15"),
        (2, "#P0T2B00E01KS02", "AC"),
        (2, "#P0T2B00E02LB06ab LB06ab", "15"),
        (2, "#P0T2B00E02LB06abLB06ab", "BC"),
        (2, "#P0T2B00E0100051", "AD"),
        (2, "#P0T2B00E0103112026:13:01:00", "AE"),
        (2, "#P0T2B00E0104112026-01-01-00", "AF"),
        (2, "#P0T2B00E0100051", "AD"),
        (2, "", "15"),
    ] {
        assert_eq!(unit.code(lmk, &format!("A00FFFS{group}")), code, "{group}");
    }
    assert_eq!(unit.code(0, "A00001U#P0T2B00E00"), "15");
    assert_eq!(unit.code(0, "A00001S"), "26");
    assert_eq!(unit.code(0, "A00FFFU"), "28");
    assert_eq!(unit.code(1, "A00001S#P0T2B00E00"), "28");
    assert_eq!(unit.code(0, "A02001U"), "15");
    assert_eq!(unit.code(0, "A0000CU"), "28");
    assert_eq!(unit.code(0, "A00001U&P0B00E00"), "15");
}
