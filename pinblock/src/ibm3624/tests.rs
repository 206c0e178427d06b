use super::*;
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Pan, hex, now};

assert_lacks!(NaturalPin: Clone, PartialEq, core::fmt::Display);
assert_lacks!(DecimalisationTable: Clone, PartialEq, core::fmt::Display);

const ACCOUNT: &[u8; 12] = b"223453571273";

fn pin(text: &str) -> Pin {
    Pin::from_ascii(text.as_bytes()).unwrap()
}

// Figures of case DA-0-00055 of tests/vectors/wire-examples.json: eight PIN digits, six of them checked.
fn natural() -> NaturalPin {
    NaturalPin([7, 5, 2, 3, 6, 2, 3, 5, 1, 0, 6, 4, 7, 7, 1, 7])
}

#[test]
fn check_length_counts_from_the_left() {
    let offset = Offset::from_host(b"501625FFFFFF").unwrap();
    assert!(verify(&pin("25398711"), &natural(), &offset, 6).unwrap());
    assert!(verify(&pin("25398799"), &natural(), &offset, 6).unwrap());
    assert!(!verify(&pin("25398611"), &natural(), &offset, 6).unwrap());
    assert_eq!(super::offset(&pin("25398711"), &natural(), 6).unwrap(), offset);
    assert!(pin_from_offset(&natural(), &offset, 6).unwrap().same_as(&pin("253987")));
    assert!(pin_from_offset(&natural(), &offset, 4).unwrap().same_as(&pin("2539")));
}

#[test]
fn every_wrong_digit_is_seen() {
    let good = pin_from_offset(&natural(), &Offset::from_values(&[9; 12]).unwrap(), 12).unwrap();
    let offset = Offset::from_values(&[9; 12]).unwrap();
    assert!(verify(&good, &natural(), &offset, 12).unwrap());
    for i in 0..12 {
        let mut digits: Vec<u8> = good.expose().to_vec();
        digits[i] = (digits[i] + 1) % 10;
        assert!(!verify(&Pin::from_values(&digits).unwrap(), &natural(), &offset, 12).unwrap());
    }
}

#[test]
fn a_short_pin_is_wrong_for_the_verifier_and_an_error_for_the_maker() {
    let offset = Offset::from_host(b"501625FFFFFF").unwrap();
    assert!(!verify(&pin("2539"), &natural(), &offset, 6).unwrap());
    assert_eq!(super::offset(&pin("2539"), &natural(), 6).unwrap_err(), PinBlockError::PinLength);
    assert_eq!(verify(&pin("25398711"), &natural(), &offset, 7), Err(PinBlockError::Offset));
    assert_eq!(pin_from_offset(&natural(), &offset, 8).unwrap_err(), PinBlockError::Offset);
    for length in [0, 3, 13] {
        assert_eq!(verify(&pin("253987"), &natural(), &offset, length), Err(PinBlockError::CheckLength));
    }
}

#[test]
fn offset_fields() {
    let offset = Offset::from_host(b"0123FFFFFFFF").unwrap();
    assert_eq!(format!("{offset:?}"), "Offset(4 digits)");
    assert_eq!((offset.digits(), &offset.to_host()), (&[0, 1, 2, 3][..], b"0123FFFFFFFF"));
    assert_eq!(Offset::from_host(b"012345678901").unwrap().to_host(), *b"012345678901");
    for bad in [b"012FFFFFFFFF", b"FFFFFFFFFFFF", b"0123FFF4FFFF", b"0123AFFFFFFF", b"0123FFFFFFF "] {
        assert_eq!(Offset::from_host(bad).unwrap_err(), PinBlockError::Offset);
    }
}

#[test]
fn table_rule() {
    let judge = |text: &[u8]| DecimalisationTable::new(text).map(|_| ());
    assert_eq!(judge(b"0123456789012345"), Ok(()));
    assert_eq!(judge(b"0000123456711112"), Err(PinBlockError::Table), "1 five times");
    assert_eq!(judge(b"0000123456711122"), Ok(()));
    assert_eq!(judge(b"0123456012345601"), Err(PinBlockError::Table), "seven digits");
    assert_eq!(judge(b"0123012301230123"), Err(PinBlockError::Table));
    assert_eq!(judge(b"012345678901234"), Err(PinBlockError::Table));
    assert_eq!(judge(b"012345678901234A"), Err(PinBlockError::Table));
    assert!(DecimalisationTable::unjudged(b"0000000000000000").is_ok());
}

#[test]
fn validation_data_fields() {
    let made = |field: &[u8]| ValidationData::from_host(field, ACCOUNT).map(|d| hex::encode(d.bytes()));
    assert_eq!(made(b"74773N663551").unwrap(), "7477371273663551");
    assert_eq!(made(b"N0123456789A").unwrap(), "712730123456789A");
    assert_eq!(made(b"0123456789AN").unwrap(), "0123456789A71273");
    assert_eq!(made(b"P0123456789ABCDEF").unwrap(), "0123456789ABCDEF");
    for bad in [
        &b"747730663551"[..],
        b"74773N66355N",
        b"74773N66355",
        b"74773N6635511",
        b"74773NG63551",
        b"P0123456789ABCDE",
        b"P0123456789ABCDEG",
        b"",
    ] {
        assert_eq!(made(bad).unwrap_err(), PinBlockError::ValidationData);
    }
}

#[test]
fn windows_into_the_pan() {
    let pan = Pan::new(b"1122334455667788").unwrap();
    let made = |start, length, pad| {
        ValidationData::from_window(&pan, start, length, pad).map(|d| hex::encode(d.bytes()))
    };
    assert_eq!(made(1, 4, b'D').unwrap(), "1223DDDDDDDDDDDD");
    assert_eq!(made(0, 16, b'F').unwrap(), "1122334455667788");
    assert_eq!(made(1, 16, b'F').unwrap_err(), PinBlockError::PanWindow);
    assert_eq!(made(usize::MAX, 2, b'F').unwrap_err(), PinBlockError::PanWindow);
    assert_eq!(made(0, 4, b'G').unwrap_err(), PinBlockError::PadChar);
}

#[test]
fn aes_is_no_pvk_and_debug_is_quiet() {
    let key = SoftKey::new(CipherKind::Aes, &[1; 16]).unwrap();
    let data = ValidationData::from_host(b"74773N663551", ACCOUNT).unwrap();
    let table = DecimalisationTable::new(b"0123456789012345").unwrap();
    let refused = now(natural_pin(&Soft, &key, &data, &table)).unwrap().unwrap_err();
    assert_eq!(refused, PinBlockError::KeySize);
    assert_eq!(
        format!("{data:?} {table:?} {:?}", natural()),
        "ValidationData DecimalisationTable NaturalPin"
    );
}
