//! Keys from a file, and what can be verified with them.

use crate::units::{Serving, spoiling};
use crate::{bench, json, payhsm};
use serde_json::Value;

const ZMK: [u8; 16] = *b"\x23\x23\x23\x23\x23\x23\x23\x23\xC1\xC1\xC1\xC1\xC1\xC1\xC1\xC1";

// A double-length key as ZMK under the public variant test LMKs: pair 04-05, scheme U.
fn zmk_token(key: &[u8; 16]) -> String {
    use des::cipher::{Block, BlockCipherEncrypt, KeyInit};
    let half = |half: &[u8], scheme: u8| {
        let mut pair = [[0x40; 8], [0x51; 8]].concat();
        pair[8] ^= scheme;
        let mut block = Block::<des::TdesEde2>::try_from(half).unwrap();
        des::TdesEde2::new_from_slice(&pair).unwrap().encrypt_block(&mut block);
        hex::encode_upper(block)
    };
    format!("U{}{}", half(&key[..8], 0xA6), half(&key[8..], 0x5A))
}

// A file with the ZMK, of which it says this clear value.
fn file_with(clear: &str) -> String {
    format!("[[zmk]]\nkey = \"{}\"\nclear = \"{clear}\"\n", zmk_token(&ZMK))
}

#[test]
fn one_zmk_with_its_clear_value_is_enough_to_verify_all() {
    let (serving, folder) = (Serving::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.toml");
    let clear = hex::encode_upper(ZMK);
    std::fs::write(&path, file_with(&clear)).unwrap();
    let path = path.to_str().unwrap();
    for preset in ["pin-translate", "pin-verify", "cvv", "mac", "tr31", "dukpt", "mix"] {
        let words = [preset, "--target", &serving.1, "--keys", path, "--json", "--assert", "errors=0"];
        let document = json(&bench(&words), 0);
        assert_eq!((&document["result"]["wrong"], &document["result"]["lost"]), (&0.into(), &0.into()));
        let verification = document["run"]["verification"].as_str().unwrap();
        assert!(verification.starts_with("worked out by this program's own"), "{preset}: {verification}");
        assert!(!document.to_string().contains(&clear));
    }
    // A clear value that is not that of the token: every key is refused, or every answer is wrong.
    std::fs::write(path, file_with(&"45".repeat(16))).unwrap();
    let words = ["tr31", "--target", &serving.1, "--keys", path, "--json"];
    assert!(matches!(bench(&words).status.code(), Some(1 | 3)));
}

#[test]
fn working_keys_of_a_file_are_used_as_they_are() {
    let (serving, folder) = (Serving::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.toml");
    let zpk = |_| {
        let reply = payhsm(&["send", "A00001U", "--target", &serving.1, "--json"]).stdout;
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        reply["reply"].as_str().unwrap()[8..41].to_owned()
    };
    let zpks: Vec<String> = (0..2).map(zpk).collect();
    let file = format!("[[zpk]]\nkey = '{}'\n[[zpk]]\nkey = '{}'\n", zpks[0], zpks[1]);
    std::fs::write(&path, &file).unwrap();
    let path = path.to_str().unwrap();
    let document = json(&bench(&["pin-translate", "--target", &serving.1, "--keys", path, "--json"]), 0);
    assert_eq!((&document["result"]["wrong"], &document["result"]["errors"]), (&0.into(), &0.into()));
    // What the file has not is made by the unit, a TPK too: one ZPK is enough.
    std::fs::write(path, format!("[[zpk]]\nkey = '{}'\n", zpks[0])).unwrap();
    let mix = ["mix", "--mix", "cc=1,ca=1", "--target", &serving.1, "--keys", path, "--json"];
    assert_eq!(json(&bench(&mix), 0)["result"]["errors"], 0);
    // What cannot be done without a clear value is said.
    std::fs::write(path, file.replace("zpk", "tpk")).unwrap();
    let refused = bench(&["pin-verify", "--target", &serving.1, "--keys", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("needs the clear value of the tpk"));
    std::fs::write(path, "[[zpk]]\nkey = 'nonsense'\n").unwrap();
    assert_eq!(bench(&["cvv", "--target", &serving.1, "--keys", path]).status.code(), Some(2));
    assert_eq!(bench(&["cvv", "--target", &serving.1, "--keys", "/nowhere"]).status.code(), Some(3));
}

// The file of keys that the documentation shows is one, and works under the public test LMK.
#[test]
fn the_example_of_the_documentation_works() {
    let page = include_str!("../../../docs/performance.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (serving, folder) = (Serving::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.toml");
    std::fs::write(&path, example).unwrap();
    let words =
        ["mix", "--mix", "g0=1,a6=1", "--target", &serving.1, "--keys", path.to_str().unwrap(), "--json"];
    let document = json(&bench(&words), 0);
    assert_eq!((&document["result"]["wrong"], &document["result"]["lost"]), (&0.into(), &0.into()));
}

#[test]
fn replies_of_every_command_of_a_mix_are_verified() {
    let (serving, folder) = (Serving::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.toml");
    std::fs::write(&path, file_with(&hex::encode_upper(ZMK))).unwrap();
    for code in [b"CB", b"DD", b"CZ", b"M7", b"G1"] {
        let address = spoiling(&serving.1, code);
        for every in ["10", "100"] {
            let mix = ["bench", "mix", "--mix", "ca=1,dc=1,cy=1,m6=1,g0=1", "--target", &address, "--json"];
            let rest = ["--keys", path.to_str().unwrap(), "--verify-every", every];
            let time = ["--duration", "0.5", "--warmup", "0", "--conns", "2", "--depth", "128"];
            let document = json(&payhsm(&[&mix[..], &rest, &time].concat()), 1);
            assert!(document["result"]["wrong"].as_u64() > Some(0), "1 of {every}: {document}");
        }
    }
}
