//! Forming keys from components.

use crate::harness::*;
use hostcmd::Settings;
use paytypes::{CipherKind, hex};

#[test]
fn components_that_do_not_share_a_secret_are_refused() {
    let mut unit = unit(Settings::STRICT);
    let xor = |a: &str, b: &str| {
        let mut sum = hex::decode_vec(a.as_bytes()).unwrap();
        paytypes::bytes::xor_into(&mut sum, &hex::decode_vec(b.as_bytes()).unwrap());
        paytypes::parity::make_odd(&mut sum);
        hex::encode(&sum)
    };
    let third = "E5BAA71934F78CD3C4C1B9C2BFAB0458";
    let formed = xor(KEY, ZMK);
    let v = |clear: &str| variant(b"001", clear);
    let (a, b) = (v(KEY), v(ZMK));
    let body = unit.ok(0, &format!("A42001U{a}{b}"));
    assert_eq!(body, format!("{}{}", v(&formed), check_value(CipherKind::Tdes, &formed)));
    assert_eq!(unit.code(0, &format!("A42001U{a}{a}")), "B5");
    assert_eq!(unit.code(0, &format!("A43001U{a}{b}{a}")), "B5");
    // The third cancels the two others: a zero key; of four, three that cancel leave the fourth.
    assert_eq!(unit.code(0, &format!("A43001U{a}{b}{}", v(&formed))), "11");
    assert_eq!(unit.code(0, &format!("A44001U{}{a}{b}{}", v(third), v(&formed))), "B5");
    assert_eq!(unit.code(0, &format!("A42001U{a}{}", variant(b"001", KEY3))), "B5");
    assert_eq!(unit.code(0, &format!("A41001U{a}")), "03");
    assert_eq!(unit.code(0, "A40001U"), "03");
    assert_eq!(unit.code(0, &format!("A43001U{a}{b}")), "15");

    let c = |header: &[u8; 6], clear| block(1, CipherKind::Tdes, header, clear);
    let (first, second) = (c(b"52Bc1E", KEY), c(b"52Bc2E", ZMK));
    for (other, group, code) in [
        (second.clone(), "#0100", "00"),
        (second.clone(), "#c100", "A9"),
        (second, "", "15"),
        (c(b"52Bc1E", ZMK), "#0000", "B5"),
        (c(b"72Bc2E", ZMK), "#0000", "B5"),
        (c(b"52Nc2E", ZMK), "#0000", "B5"),
        (c(b"52Bc2S", ZMK), "#0000", "B5"),
        (c(b"52B00E", ZMK), "#0000", "A9"),
    ] {
        assert_eq!(unit.code(1, &format!("A42FFFS{first}{other}{group}")), code, "{group} {other}");
    }
    // A component has a check value and no other use.
    assert_eq!(unit.code(1, &format!("BUFFF{first};FFF;001")), "00");
    assert_eq!(unit.code(1, &format!("A8FFF{}{first}S", c(b"52B00E", ZMK))), "A9");
}
