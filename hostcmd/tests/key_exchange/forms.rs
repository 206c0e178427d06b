//! Every form goes out and comes back; what may leave in which form.

use crate::harness::*;
use hostcmd::Settings;
use hsm::Scheme;
use paytypes::CipherKind;

#[test]
fn every_form_goes_out_and_comes_back_under_a_variant_lmk() {
    let mut unit = unit(Settings::LEGACY);
    let zmk = variant(b"000", ZMK3);
    for (key, forms) in [(KEY, "URXS"), (KEY3, "TRYS")] {
        let token = variant(b"001", key);
        for form in forms.chars() {
            let attributes = if "RS".contains(form) { "%00&P0B00E00" } else { "" };
            let sent = unit.ok(0, &format!("A8001{zmk}{token}{form}{attributes}"));
            let (sent, kcv) = split(&sent);
            assert!(sent.starts_with(form) && kcv == check_value(CipherKind::Tdes, key));
            let back = unit.ok(0, &format!("A6001{zmk}{sent}{}", &token[..1]));
            assert_eq!(back, format!("{token}{kcv}"), "{form}");
        }
    }
}

#[test]
fn every_form_goes_out_and_comes_back_under_key_block_lmks() {
    let mut unit = unit(Settings::LEGACY);
    let tdes = CipherKind::Tdes;
    for (lmk, zmk) in [
        (1, block(1, tdes, b"52B00N", ZMK3)),
        (2, block(2, tdes, b"K0N00N", ZMK3)),
        (2, block(2, CipherKind::Aes, b"K1B00N", ZMK_AES)),
    ] {
        let aes_zmk = zmk.contains("K1A");
        for (kind, key, forms) in
            [(tdes, KEY, "RSUX"), (tdes, KEY3, "RSTY"), (CipherKind::Aes, ZMK_AES, "RS")]
        {
            if kind == CipherKind::Aes && !aes_zmk {
                continue;
            }
            let token = block(lmk, kind, b"72B05S", key);
            for form in forms.chars().filter(|form| !aes_zmk || "RS".contains(*form)) {
                let (code, sent) = unit.ask(lmk, &format!("A8FFF{zmk}{token}{form}"));
                assert_eq!(code, "00", "{form} of {token} under {zmk}");
                let (sent, kcv) = split(&sent);
                assert_eq!(kcv, check_value(kind, key));
                let attributes = match form {
                    'S' => "",
                    'R' => "%{}&7200",
                    _ => "%{}#72B05S00",
                };
                let attributes = attributes.replace("{}", &format!("{lmk:02}"));
                let back = unit.ok(lmk, &format!("A6FFF{zmk}{sent}S{attributes}"));
                assert_eq!(&back[6..17], &token[6..17], "{form}");
                assert_eq!(split(&back).1, kcv);
            }
        }
    }
}

#[test]
fn the_version_follows_the_zmk_and_old_versions_are_never_made() {
    let mut unit = unit(Settings::LEGACY);
    let key = block(2, CipherKind::Tdes, b"P0B00E", KEY);
    let tdes = block(2, CipherKind::Tdes, b"K0B00N", ZMK);
    let aes = block(2, CipherKind::Aes, b"K0B00N", ZMK_AES);
    assert!(unit.ok(2, &format!("A8FFF{tdes}{key}R")).starts_with("RB"));
    assert!(unit.ok(2, &format!("A8FFF{aes}{key}R!D")).starts_with("RD"));
    for (zmk, group, code) in [
        (&tdes, "!D", "BB"),
        (&aes, "!B", "BB"),
        (&tdes, "!A", "29"),
        (&tdes, "!C", "29"),
        (&aes, "!E", "29"),
        (&tdes, "!Q", "83"),
        (&tdes, "!", "15"),
    ] {
        assert_eq!(unit.code(2, &format!("A8FFF{zmk}{key}R{group}")), code, "{group}");
    }
    assert_eq!(unit.code(2, &format!("A8FFF{tdes}{key}S!B")), "15");
    assert_eq!(unit.code(2, &format!("A8FFF{tdes}{key}P")), "26");
}

#[test]
fn exportability_decides_what_leaves_in_which_form() {
    let mut unit = unit(Settings::STRICT);
    let zmk = block(1, CipherKind::Tdes, b"K0B00N", ZMK);
    let expected = [(b'N', ["AA"; 3]), (b'E', ["00", "00", "AA"]), (b'S', ["00"; 3])];
    for (letter, codes) in expected {
        let key = block(1, CipherKind::Tdes, &[b'P', b'0', b'B', b'0', b'0', letter], KEY);
        for (form, code) in "SRU".chars().zip(codes) {
            assert_eq!(unit.code(1, &format!("A8FFF{zmk}{key}{form}")), code, "{letter} {form}");
        }
        let group = format!("#P0T2B00{}00", char::from(letter));
        for (form, code) in "SRU".chars().zip(codes) {
            assert_eq!(unit.code(1, &format!("A01FFFS;0{zmk}{form}{group}")), code, "new {letter} {form}");
        }
    }
    // `&` takes away, never gives.
    for (own, wanted, code) in [(b'E', 'S', "AA"), (b'E', 'N', "00"), (b'S', 'E', "00"), (b'S', 'Q', "AA")] {
        let key = block(1, CipherKind::Tdes, &[b'P', b'0', b'B', b'0', b'0', own], KEY);
        let (got, sent) = unit.ask(1, &format!("A8FFF{zmk}{key}R&{wanted}"));
        assert_eq!(got, code);
        assert!(code != "00" || sent.chars().nth(12) == Some(wanted), "{sent}");
    }
}

// A client reads what the unit writes: fields that may be missing are found again.
#[test]
fn replies_are_read_as_they_were_written() {
    use hostcmd::commands::{
        a0_generate, a4_form_from_components, a6_import, ae_tmk_to_tmk, bu_check_value, ia_generate_zpk,
    };
    use hostcmd::service::legacy::{Both, Checked};
    use hostcmd::wire::{Message, Reader, Writer};

    fn again<M: Message>(body: &str) -> M {
        let settings = Settings::STRICT;
        let mut reader = Reader::new(body.as_bytes(), body.as_bytes(), 0, &settings);
        let mut message = M::default();
        message.walk(&mut reader).unwrap();
        assert_eq!(reader.finish(), Ok(b"".as_slice()), "{body}");
        let mut out = Vec::new();
        message.walk(&mut Writer::new(&mut out, &settings, false, None)).unwrap();
        assert_eq!(out, body.as_bytes());
        message
    }

    let mut unit = unit(Settings::STRICT);
    let (zmk, tmk, key) = (variant(b"000", ZMK), variant(b"002", ZMK), variant(b"001", KEY));
    let new: a0_generate::Reply = again(&unit.ok(0, "A00001U"));
    assert!(new.exported.is_none());
    let new: a0_generate::Reply = again(&unit.ok(0, &format!("A01001U;0{zmk}R%00&P0B00E00")));
    assert_eq!(new.exported.map(|token| token.scheme), Some(Scheme::R));
    again::<a4_form_from_components::Reply>(&unit.ok(0, &format!("A42001U{key}{}", variant(b"001", ZMK))));
    let sent = x9_17(KEY);
    again::<a6_import::Reply>(&unit.ok(0, &format!("A6001{zmk}{sent}U")));
    let six: Checked = again(&unit.ok(0, &format!("GC{zmk}{key};U01")));
    let sixteen: Checked = again(&unit.ok(0, &format!("GC{zmk}{key}")));
    assert_eq!((six.check.digits().len(), sixteen.check.digits().len()), (6, 16));
    again::<Both>(&unit.ok(0, &format!("HC{tmk};UU1")));
    again::<ia_generate_zpk::Reply>(&unit.ok(0, &format!("IA{zmk};UU0")));
    again::<ae_tmk_to_tmk::Reply>(&unit.ok(0, &format!("AE{tmk}{tmk}")));
    again::<bu_check_value::Reply>(&unit.ok(0, &format!("BU011{key}")));
}
