//! What the vector tests share: cases as data and the keys in them.
#![allow(dead_code)] // each test binary uses a part

use cardcrypto::CardError;
use paytypes::CipherKind;
use paytypes::hex;
use paytypes::soft::SoftKey;
use serde_json::Value;

pub type Answer = Result<Vec<(&'static str, String)>, CardError>;

pub fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let suite: Value = serde_json::from_str(&text).unwrap();
    suite["cases"].as_array().unwrap().clone()
}

pub fn text<'a>(from: &'a Value, name: &str) -> &'a str {
    from[name].as_str().unwrap_or_default()
}

pub fn bytes(from: &Value, name: &str) -> Vec<u8> {
    hex::decode_vec(text(from, name).as_bytes()).unwrap()
}

pub fn array<const N: usize>(from: &Value, name: &str) -> [u8; N] {
    bytes(from, name).try_into().unwrap()
}

pub fn key(from: &Value, name: &str, algorithm: &str) -> SoftKey {
    let clear = bytes(from, name);
    let kind = match (algorithm, clear.len()) {
        ("A", _) => CipherKind::Aes,
        (_, 8) => CipherKind::Des,
        _ => CipherKind::Tdes,
    };
    SoftKey::new(kind, &clear).unwrap()
}

/// Runs the cases that `run` knows and compares; the number of them must be `expected_count`.
pub fn check(file: &str, expected_count: usize, run: fn(&str, &Value) -> Option<Answer>) {
    let mut count = 0;
    for case in cases(file) {
        let Some(result) = run(text(&case, "fn"), &case["in"]) else { continue };
        count += 1;
        match (result, case["error"].as_str()) {
            (Ok(answers), None) => {
                for (name, value) in answers {
                    assert_eq!(value, text(&case["out"], name), "{} {name}", case["id"]);
                }
            }
            (Err(error), Some(class)) => assert_eq!(error.class(), class, "{}", case["id"]),
            (result, _) => panic!("{}: {result:?}", case["id"]),
        }
    }
    assert_eq!(count, expected_count, "{file}");
}
