//! What the integration tests share: vectors as data, soft keys, and a repeatable source of padding.
#![allow(dead_code)] // each test binary uses a part

use paytypes::hex;
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Algorithm, CipherKind, Exportability, KeyUsage, KeyVersion, ModeOfUse, now};
use serde_json::Value;
use tr31::sblock::{LmkId, SHeader, SKeys, SVersion};
use tr31::{Attributes, BlockId, Header, Kbpk, Version};

pub fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("vector file");
    let all: Value = serde_json::from_str(&text).expect("vector file is JSON");
    all["cases"].as_array().expect("cases").clone()
}

pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"))
}

pub fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode_vec(text(value, name).as_bytes()).expect("hex")
}

pub fn soft(kind: CipherKind, key: &[u8]) -> SoftKey {
    SoftKey::new(kind, key).expect("key")
}

pub fn kbpk(version: Version, key: &[u8]) -> Kbpk<SoftKey> {
    now(Kbpk::new(&Soft, &soft(version.kind(), key), version)).expect("ready").expect("kbpk")
}

pub fn attributes(usage: &str, algorithm: &str, mode: &str, number: &str, export: &str) -> Attributes {
    Attributes {
        usage: KeyUsage::new(usage.as_bytes()).expect("usage"),
        algorithm: Algorithm(algorithm.as_bytes()[0]),
        mode: ModeOfUse(mode.as_bytes()[0]),
        key_version: KeyVersion::new(number.as_bytes()).expect("version number"),
        exportability: Exportability(export.as_bytes()[0]),
    }
}

pub fn header(value: &Value) -> Header<'static> {
    let attributes = attributes(
        text(value, "usage"),
        text(value, "algorithm"),
        text(value, "mode"),
        text(value, "version_num"),
        text(value, "exportability"),
    );
    let version = Version::from_letter(text(value, "version").as_bytes()[0]).expect("version");
    let mut header = Header::new(version, attributes);
    header.context = text(value, "context").as_bytes()[0];
    for block in value["blocks"].as_array().expect("blocks") {
        let id = block[0].as_str().expect("id").as_bytes().try_into().expect("id");
        header.blocks.push(BlockId(id), block[1].as_str().expect("data").as_bytes()).expect("block");
    }
    header
}

/// The public test LMK of a version of `S` blocks.
pub fn lmk(version: SVersion) -> SoftKey {
    let key: &[u8] = match version {
        SVersion::Tdes => b"0123456789ABCDEF8080808080808080FEDCBA9876543210",
        SVersion::Aes => b"9B71333A13F9FAE72F9D0E2DAB4AD6784718012F9244033F3F26A2DE0C8AA11A",
    };
    soft(version.kind(), &hex::decode_vec(key).expect("hex"))
}

pub fn lmk_keys(version: SVersion) -> SKeys<SoftKey> {
    now(SKeys::new(&Soft, &lmk(version))).expect("ready").expect("keys")
}

pub fn s_header(version: SVersion, attributes: Attributes) -> SHeader<'static> {
    let id = LmkId::new(if version == SVersion::Tdes { 1 } else { 2 }).expect("id");
    SHeader::new(version, attributes, id)
}

/// Padding that repeats: 1, 2, 3 ...
pub fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0u8;
    move |out: &mut [u8]| {
        for o in out {
            next = next.wrapping_add(1);
            *o = next;
        }
    }
}
