//! Known-answer vectors of `tests/vectors/`, see the README there.

use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, Drawn, Pan, Pin, ValueError, hex, now};
use pinblock::ibm3624::{self, DecimalisationTable, Offset, ValidationData};
use pinblock::{Account, ClearBlock, Format, PinBlockError, decode, encipher, encode, pvv};
use serde_json::Value;

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let suite: Value = serde_json::from_str(&text).unwrap();
    suite["cases"].as_array().unwrap().clone()
}

fn text<'a>(from: &'a Value, name: &str) -> &'a str {
    from[name].as_str().unwrap_or_default()
}

fn bytes(from: &Value, name: &str) -> Vec<u8> {
    hex::decode_vec(text(from, name).as_bytes()).unwrap()
}

fn format(from: &Value) -> Format {
    match text(from, "format") {
        "iso0" => Format::Iso0,
        "iso1" => Format::Iso1,
        "iso2" => Format::Iso2,
        "iso3" => Format::Iso3,
        "docutel" => Format::Docutel,
        "diebold" => Format::Diebold,
        "plus" => Format::Plus,
        "visa2" => Format::Visa2,
        "visa3" => Format::Visa3,
        "eci2" => Format::Eci2,
        "eci3" => Format::Eci3,
        other => panic!("{other}"),
    }
}

fn pin(from: &Value) -> Result<Pin, PinBlockError> {
    Pin::from_ascii(text(from, "pin").as_bytes()).map_err(|error| match error {
        ValueError::Length => PinBlockError::PinLength,
        ValueError::Digit => PinBlockError::PinDigit,
    })
}

fn account(from: &Value) -> Account {
    match from["pan"].as_str() {
        Some(pan) => Account::from_pan(Pan::new(pan.as_bytes()).unwrap()),
        None => Account::NONE,
    }
}

fn field12(from: &Value) -> [u8; 12] {
    Pan::new(text(from, "pan").as_bytes()).unwrap().account()
}

// `fill` counts half-bytes; an odd one is filled up with a value that is not reached.
fn fill(from: &Value) -> Vec<u8> {
    let digits = text(from, "fill");
    let even = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("{digits}0") };
    hex::decode_vec(even.as_bytes()).unwrap()
}

fn key(from: &Value, name: &str, aes: bool) -> SoftKey {
    let clear = bytes(from, name);
    let kind = match (aes, clear.len()) {
        (true, _) => CipherKind::Aes,
        (false, 8) => CipherKind::Des,
        (false, _) => CipherKind::Tdes,
    };
    SoftKey::new(kind, &clear).unwrap()
}

fn ascii(pin: &Pin) -> String {
    pin.expose().iter().map(|digit| char::from(b'0' + digit)).collect()
}

fn natural(given: &Value) -> Result<ibm3624::NaturalPin, PinBlockError> {
    let pan = Pan::new(text(given, "pan").as_bytes()).unwrap();
    let number = |name: &str| usize::try_from(given[name].as_u64().unwrap()).unwrap();
    let pad = text(given, "padc").as_bytes()[0];
    let data = ValidationData::from_window(&pan, number("off"), number("len"), pad)?;
    let table = DecimalisationTable::unjudged(text(given, "table").as_bytes())?;
    now(ibm3624::natural_pin(&Soft, &key(given, "pvk", false), &data, &table)).unwrap()
}

fn offset_of(given: &Value) -> Result<Offset, PinBlockError> {
    let values: Vec<u8> = text(given, "offset").bytes().map(|c| c.wrapping_sub(b'0')).collect();
    Offset::from_values(&values)
}

fn translate(given: &Value) -> Result<String, PinBlockError> {
    let (src, dst) = (&given["src"], &given["dst"]);
    let (from, to) = (format(src), format(dst));
    let block = bytes(src, "block");
    let source_key = key(src, "key", false);
    let clear = now(encipher::decipher(&Soft, &source_key, from, &block, &account(src))).unwrap()?;
    let random = fill(dst);
    let moved =
        pinblock::reformat(from, to, &clear, &account(src), &account(dst), &mut Drawn::new(&random), true)?;
    let target_key = key(dst, "key", false);
    let made = now(encipher::encipher(&Soft, &target_key, to, &moved.block, &account(dst))).unwrap()?;
    Ok(hex::encode(made.as_bytes()))
}

/// Runs one case: `None` for a function of another crate.
fn run(function: &str, given: &Value) -> Option<Result<(&'static str, String), PinBlockError>> {
    Some(match function {
        "pinblock.encode" => pin(given).and_then(|pin| {
            let block = encode(format(given), &pin, &account(given), &mut Drawn::new(&fill(given)))?;
            Ok(("block", hex::encode(block.expose())))
        }),
        "pinblock.decode" => ClearBlock::new(&bytes(given, "block"))
            .and_then(|block| decode(format(given), &block, &account(given)))
            .map(|pin| ("pin", ascii(&pin))),
        "pinblock.iso4.encipher" => pin(given).and_then(|pin| {
            let random = bytes(given, "random");
            let key = key(given, "key", true);
            let account = account(given);
            let mut random = Drawn::new(&random);
            let made = encipher::encode_under(&Soft, &key, Format::Iso4, &pin, &account, &mut random);
            Ok(("block", hex::encode(now(made).unwrap()?.as_bytes())))
        }),
        "pinblock.iso4.decipher" => {
            let block = bytes(given, "block");
            let (key, account) = (key(given, "key", true), account(given));
            now(encipher::decode_under(&Soft, &key, Format::Iso4, &block, &account))
                .unwrap()
                .map(|pin| ("pin", ascii(&pin)))
        }
        "pin.translate" => translate(given).map(|block| ("block", block)),
        "pin.visa_pvv" => pin(given).and_then(|pin| {
            let index = text(given, "pvki").as_bytes()[0];
            let key = key(given, "pvk", false);
            let made = now(pvv::pvv(&Soft, &key, &pin, &field12(given), index)).unwrap()?;
            Ok(("pvv", String::from_utf8_lossy(&made).into_owned()))
        }),
        "pin.ibm3624.natural" => natural(given)
            .map(|natural| ("natural", natural.expose().iter().map(|d| char::from(b'0' + d)).collect())),
        "pin.ibm3624.offset" => natural(given).and_then(|natural| {
            let pin = pin(given)?;
            let made = ibm3624::offset(&pin, &natural, u8::try_from(pin.len()).unwrap())?;
            assert!(ibm3624::verify(&pin, &natural, &made, u8::try_from(pin.len()).unwrap())?);
            Ok(("offset", made.digits().iter().map(|d| char::from(b'0' + d)).collect()))
        }),
        "pin.ibm3624.pin" => natural(given).and_then(|natural| {
            let offset = offset_of(given)?;
            let length = u8::try_from(offset.digits().len()).unwrap();
            Ok(("pin", ascii(&ibm3624::pin_from_offset(&natural, &offset, length)?)))
        }),
        _ => return None,
    })
}

fn check(file: &str, expected_count: usize) {
    let mut count = 0;
    for case in cases(file) {
        let Some(result) = run(text(&case, "fn"), &case["in"]) else { continue };
        count += 1;
        match (result, case["error"].as_str()) {
            (Ok((name, value)), None) => assert_eq!(value, text(&case["out"], name), "{}", case["id"]),
            (Err(error), Some(class)) => assert_eq!(error.class(), class, "{}", case["id"]),
            (result, _) => panic!("{}: {result:?}", case["id"]),
        }
    }
    assert_eq!(count, expected_count, "{file}");
}

#[test]
fn pin_blocks() {
    check("pinblock", 40);
}

#[test]
fn pvv_and_ibm_3624() {
    check("card_pin_kcv", 33);
}

#[test]
fn iso_4_under_aes_dukpt_keys() {
    check("dukpt_aes", 8);
}

#[test]
fn one_of_each() {
    check("one-of-each", 20);
}
