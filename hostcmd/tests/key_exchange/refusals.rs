//! What is refused: use, strength, weak keys, old forms, the missing authorised state.

use crate::harness::*;
use hostcmd::command::Activity;
use hostcmd::{Authorised, Settings};
use hsm_sim::LmkSet;
use paytypes::CipherKind;
use tr31::Version;

#[test]
fn the_authorised_state_is_asked_for_what_is_weaker_and_for_nothing_else() {
    let without = |activity| {
        Activity::ALL.into_iter().filter(|a| *a != activity).fold(Authorised::NONE, Authorised::with)
    };
    let zmk = variant(b"000", ZMK);
    let key = variant(b"001", KEY);
    let tmk = variant(b"002", KEY);
    let weak = Activity::WeakExport;
    let long = Activity::LongCheckValue;
    let cases = [
        (format!("A8001{zmk}{key}U"), Some(weak)),
        (format!("A8001{zmk}{key}R%00&P0B00E00"), None),
        (format!("A8001{zmk}{key}S%00&P0B00E00"), None),
        (format!("A01001U;0{zmk}U"), Some(weak)),
        (format!("A01001U{zmk}R%00&P0B00E00"), None),
        (format!("A6001{zmk}{}U", x9_17(KEY)), None),
        (format!("GC{zmk}{key};U01"), Some(weak)),
        (format!("IA{zmk};UU1"), Some(weak)),
        (format!("HC{tmk};UU1"), Some(weak)),
        (format!("AE{tmk}{tmk}"), Some(weak)),
        (format!("FA{zmk}{};0U1", x9_17(KEY)), None),
        (format!("FA{zmk}{};0U0", x9_17(KEY)), Some(long)),
        (format!("FA{zmk}{}", x9_17(KEY)), Some(long)),
        (format!("GC{zmk}{key};U00"), Some(long)),
        (format!("BU011{key}"), Some(long)),
        (format!("BU011{key};000"), Some(long)),
        (format!("BU011{key};001"), None),
        (format!("A42001U{key}{}", variant(b"001", ZMK)), Some(Activity::Components)),
    ];
    for (request, activity) in cases {
        assert_eq!(unit(Settings::STRICT).code(0, &request), "00", "{request}");
        let state = activity.map_or(Authorised::NONE, without);
        let mut plain = unit_of(&LmkSet::public_test(), Settings::STRICT, state);
        assert_eq!(plain.code(0, &request), if activity.is_some() { "17" } else { "00" }, "{request}");
    }
}

#[test]
fn an_exchange_key_is_as_strong_as_what_it_carries() {
    let mut unit = unit(Settings::LEGACY);
    let (double, triple) = (variant(b"000", ZMK), variant(b"000", ZMK3));
    let key = variant(b"001", KEY3);
    assert_eq!(unit.code(0, &format!("A8001{double}{key}T")), "BB");
    assert_eq!(unit.code(0, &format!("A8001{double}{key}R&P0B00E00")), "BB");
    assert_eq!(unit.code(0, &format!("GC{double}{key};T01")), "BB");
    let sent = unit.ok(0, &format!("A8001{triple}{key}T"));
    assert_eq!(unit.code(0, &format!("A6001{double}{}T", split(&sent).0)), "BB");
    let tdes = block(2, CipherKind::Tdes, b"K0B00N", ZMK3);
    let aes_key = block(2, CipherKind::Aes, b"P0B00S", &ZMK_AES[..32]);
    for form in ["R", "S"] {
        assert_eq!(unit.code(2, &format!("A8FFF{tdes}{aes_key}{form}")), "BB");
        assert_eq!(unit.code(2, &format!("A01FFFS{tdes}{form}#P0A1B00E00")), "BB");
    }
    // An AES key has no form without a block, and no place under a weaker LMK.
    let aes_zmk = block(2, CipherKind::Aes, b"K0B00N", ZMK_AES);
    let tdes_key = block(2, CipherKind::Tdes, b"P0B00S", KEY);
    assert_eq!(unit.code(2, &format!("A8FFF{aes_zmk}{tdes_key}U")), "BB");
}

#[test]
fn a_key_keeps_its_use_on_import() {
    let mut unit = unit(Settings::LEGACY);
    let zmk = variant(b"000", ZMK);
    let zmk1 = block(1, CipherKind::Tdes, b"K0B00N", ZMK);
    let zpk = tr31_block(Version::B, b"P0B00E", KEY);
    for (key_type, code) in [
        ("001", "00"),
        ("002", "00"),
        ("70D", "00"),
        ("000", "A6"),
        ("009", "A6"),
        ("00B", "A6"),
        ("402", "A6"),
    ] {
        assert_eq!(unit.code(0, &format!("A6{key_type}{zmk}{zpk}U")), code, "{key_type}");
    }
    for (group, code) in [
        ("", "00"),
        ("#72D05N00", "00"),
        ("&7200", "00"),
        ("&7200#72B00E00", "00"),
        ("&7300#72B00E00", "A6"),
        ("#D0B00E00", "A6"),
        ("&2100", "A6"),
        ("#72C00E00", "A8"),
        ("#72B00S00", "AA"),
        ("#72Bc1E00", "A9"),
        ("#72B00E01", "15"),
    ] {
        assert_eq!(unit.code(1, &format!("A6FFF{zmk1}{zpk}S%01{group}")), code, "{group}");
    }
    // Nothing tells the use of an X9.17 form but the group.
    assert_eq!(unit.code(1, &format!("A6FFF{zmk1}{}S", x9_17(KEY))), "15");
    assert_eq!(unit.code(1, &format!("A6FFF{zmk1}{}S#P0B00E00", x9_17(KEY))), "00");
    // A component stays a component.
    let component = tr31_block(Version::B, b"P0Bc1E", KEY);
    assert_eq!(unit.code(1, &format!("A6FFF{zmk1}{component}S#72B00E00")), "A9");
    assert_eq!(unit.code(1, &format!("A6FFF{zmk1}{component}S")), "A9");
    // Types and schemes of the other kind of LMK.
    assert_eq!(unit.code(0, &format!("A6FFF{zmk}{zpk}U")), "28");
    assert_eq!(unit.code(1, &format!("A6001{zmk1}{zpk}S")), "28");
    assert_eq!(unit.code(1, &format!("A6FFF{zmk1}{zpk}U")), "26");
    assert_eq!(unit.code(0, &format!("A6001{zmk}{zpk}S")), "26");
    assert_eq!(unit.code(0, &format!("A6001{zmk}{zpk}T")), "26");
    // A block of this unit is not a block for exchange, and a changed block is none at all.
    let own = block(1, CipherKind::Tdes, b"P0B00E", KEY);
    assert_eq!(unit.code(1, &format!("A6FFF{zmk1}{own}S")), "A3");
    let changed = zpk.replacen("P0TB", "D0TB", 1);
    assert_eq!(unit.code(0, &format!("A600B{zmk}{changed}U")), "A4");
}

#[test]
fn no_host_chooses_an_encrypted_decimalisation_table() {
    let mut unit = unit(Settings::LEGACY);
    let zmk = variant(b"000", ZMK);
    let table = "01234567890123450123456789012354";
    assert_eq!(unit.code(0, &format!("A6104{zmk}{}X", x9_17(table))), "28");
    assert_eq!(unit.code(0, "A00104X"), "28");
}

#[test]
fn old_exchange_forms_belong_to_the_legacy_profile() {
    let zmk = variant(b"000", ZMK);
    let key = variant(b"001", KEY);
    let single = variant(b"001", KEY).replacen('U', "", 1)[..16].to_owned();
    for (settings, out, old, short) in
        [(Settings::STRICT, "29", "29", "27"), (Settings::LEGACY, "00", "00", "00")]
    {
        let mut unit = unit(settings);
        assert_eq!(unit.code(0, &format!("A8001{zmk}{key}X")), out);
        assert_eq!(unit.code(0, &format!("GC{zmk}{key};X01")), out);
        assert_eq!(unit.code(0, &format!("IA{zmk};XU1")), out);
        for version in [Version::A, Version::C] {
            let sent = tr31_block(version, b"P0B00E", KEY);
            assert_eq!(unit.code(0, &format!("A6001{zmk}{sent}U")), old, "{version:?}");
        }
        assert_eq!(unit.code(0, "A00001Z"), short);
        assert_eq!(unit.code(0, &format!("IA{zmk}")), short);
        assert_eq!(unit.code(0, &format!("HC{}", variant(b"002", ZMK))), short);
        assert_eq!(unit.code(1, "A00FFFS#D0D1B00E00"), if short == "00" { "00" } else { "A7" });
        assert_eq!(unit.code(0, &format!("FA{zmk}{single};0Z1")), if short == "00" { "01" } else { "27" });
    }
}

#[test]
fn parity_is_forced_only_where_no_block_speaks_and_weak_keys_stay_out() {
    let zmk = variant(b"000", ZMK);
    let even = "9F76ABF426049E8FEFBFC292015EBC9E";
    let equal = "9E76ABF426049E8F9E76ABF426049E8F";
    let weak = "01010101010101019E76ABF426049E8F";
    let zero = "00000000000000000000000000000000";
    let mut strict = unit(Settings::STRICT);
    let (code, body) = strict.ask(0, &format!("A6001{zmk}{}U", x9_17(even)));
    assert_eq!(code, "01");
    assert_eq!(body, format!("{}{}", variant(b"001", KEY), check_value(CipherKind::Tdes, KEY)));
    assert_eq!(strict.code(0, &format!("A6001{zmk}{}U", tr31_block(Version::B, b"P0B00E", even))), "11");
    for (clear, code) in [(equal, "75"), (weak, "11"), (zero, "11")] {
        assert_eq!(strict.code(0, &format!("A6001{zmk}{}U", x9_17(clear))), code);
        assert_eq!(strict.code(0, &format!("FA{zmk}{};0U1", x9_17(clear))), code);
        let sent = tr31_block(Version::B, b"P0B00E", clear);
        assert_eq!(strict.code(0, &format!("A6001{zmk}{sent}U")), code);
    }
    let mut legacy = unit(Settings::LEGACY);
    assert_eq!(legacy.code(0, &format!("A6001{zmk}{}U", x9_17(equal))), "00");
    assert_eq!(legacy.code(0, &format!("A6001{zmk}{}U", x9_17(weak))), "11");
}

#[test]
fn an_atalla_variant_of_the_zmk_is_not_made() {
    let mut unit = unit(Settings::STRICT);
    let zmk = variant(b"000", ZMK);
    let key = x9_17(KEY);
    assert_eq!(unit.code(0, &format!("FA{zmk}{key}0;0U1")), "00");
    assert_eq!(unit.code(0, &format!("FA{zmk}{key}1;0U1")), "29");
    assert_eq!(unit.code(0, &format!("A6001{zmk}{key}U12")), "29");
}
