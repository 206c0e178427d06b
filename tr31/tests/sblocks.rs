//! `S` blocks of physical units (`s-blocks.json`), and the blocks in the wire examples, under the public
//! test LMKs.

mod common;

use common::{attributes, bytes, cases, counting, lmk_keys, s_header, soft, text};
use paytypes::soft::Soft;
use paytypes::{CipherKind, Drawn, now};
use serde_json::Value;
use tr31::sblock::{
    LmkId, SBlock, SHeader, SKeys, SVersion, declared_length, open, open_long, seal, sealed_length,
};
use tr31::{BlockId, ErrorKind, KeyBlock, KeyBlockError, Policy, kcv};

fn open_text(block: &[u8]) -> Result<Vec<u8>, KeyBlockError> {
    let block = SBlock::parse(block)?;
    let keys = lmk_keys(block.header().version);
    let key = now(open(&Soft, &keys, &block)).expect("ready")?;
    Ok(key.expose().to_vec())
}

// Every block inside a longer text: a tag S, then a header that parses to its declared length.
fn blocks_in(text: &str) -> Vec<&[u8]> {
    let bytes = text.as_bytes();
    let at = |i: usize| {
        let rest = bytes.get(i + 1..)?;
        let block = rest.get(..declared_length(rest)?)?;
        SBlock::parse(block).ok().map(|b| b.text())
    };
    (0..bytes.len()).filter(|i| bytes[*i] == b'S').filter_map(at).collect()
}

fn case(id: &str) -> Value {
    cases("s-blocks.json").into_iter().find(|c| c["id"] == id).expect("case")
}

#[test]
fn blocks_of_physical_units_open() {
    for id in ["tkb-1-T", "tkb-1-A", "tkb-0-T"] {
        let case = case(id);
        let block = &text(&case, "block").as_bytes()[1..];
        assert_eq!(open_text(block).unwrap(), bytes(&case, "key"), "{id}");
    }
    let tampered = case("tkb-neg-1");
    let error = open_text(&text(&tampered, "block").as_bytes()[1..]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MacMismatch);
}

#[test]
fn the_blocks_are_made_again_from_key_and_padding() {
    for id in ["tkb-1-T", "tkb-1-A"] {
        let case = case(id);
        let wanted = &text(&case, "block").as_bytes()[1..];
        let parsed = SBlock::parse(wanted).unwrap();
        let pad = bytes(&case, "pad");
        let mut out = b"before".to_vec();
        let key = bytes(&case, "key");
        let keys = lmk_keys(SVersion::Aes);
        now(seal(&Soft, &keys, parsed.header(), &key, &mut Drawn::new(&pad), &mut out)).unwrap().unwrap();
        assert_eq!(&out[6..], wanted, "{id}");
        assert_eq!(sealed_length(parsed.header(), key.len()).unwrap(), wanted.len());
    }
}

#[test]
fn every_block_in_the_recorded_traffic_opens() {
    let mut opened = 0;
    for case in cases("s-blocks.json") {
        for name in ["request", "response", "request_text", "response_text"] {
            for block in blocks_in(case[name].as_str().unwrap_or_default()) {
                open_text(block).unwrap_or_else(|e| panic!("{}: {e}", case["id"]));
                opened += 1;
            }
        }
    }
    assert_eq!(opened, 18);
}

// A4: two components, XOR, odd parity: the recorded check value follows the block.
#[test]
fn components_of_a_recorded_key_give_its_check_value() {
    let case = case("kb-A4");
    let parts = blocks_in(text(&case, "request"));
    let result = blocks_in(text(&case, "response"));
    let mut key = open_text(parts[0]).unwrap();
    paytypes::bytes::xor_into(&mut key, &open_text(parts[1]).unwrap());
    paytypes::parity::make_odd(&mut key);
    assert_eq!(key, open_text(result[0]).unwrap());
    assert!(SBlock::parse(parts[1]).unwrap().header().attributes.key_version.is_component());
    let value = now(kcv(&Soft, &soft(CipherKind::Tdes, &key))).unwrap().unwrap();
    assert!(text(&case, "response").ends_with(core::str::from_utf8(&value.hex6()).unwrap()));
}

// A0 mode B of a physical unit: the same initial key as an S block and as TR-31 D under the K0 of the
// request; its check value is the CMAC one.
#[test]
fn the_recorded_export_is_the_same_key() {
    for id in ["aes-A0-00", "aes-A0-01"] {
        let case = case(id);
        let (request, response) = (text(&case, "request_text"), text(&case, "response_text"));
        let kek = open_text(blocks_in(request)[1]).unwrap();
        let inside = open_text(blocks_in(response)[0]).unwrap();
        let start = response.find("RD0112").unwrap() + 1;
        let block = KeyBlock::parse(&response.as_bytes()[start..start + 112]).unwrap();
        let kbpk = common::kbpk(block.header().version, &kek);
        let key = now(block.unwrap(&Soft, &kbpk, &Policy::X9_143_STRICT)).unwrap().unwrap();
        assert_eq!(key.material.expose(), inside);
        let value = now(kcv(&Soft, &soft(CipherKind::Aes, &inside))).unwrap().unwrap();
        assert_eq!(&value.hex6(), b"DD3ABE");
        assert!(response.ends_with("DD3ABE"));
    }
}

// The generated wire examples: their blocks are under the test LMKs, but for blocks under a ZMK (LMK id
// FF), which do not open here.
#[test]
fn blocks_of_the_wire_examples_open() {
    let (mut good, mut bad) = (0, 0);
    for case in cases("wire-examples.json") {
        for step in case["steps"].as_array().unwrap() {
            for block in blocks_in(step["req"].as_str().unwrap_or_default()) {
                let own = SBlock::parse(block).unwrap().header().lmk != LmkId::EXCHANGE;
                match open_text(block) {
                    Ok(_) => good += 1,
                    Err(error) => {
                        assert_eq!(error.kind, ErrorKind::MacMismatch, "{}", case["id"]);
                        bad += usize::from(own);
                    }
                }
            }
        }
    }

    assert!(good >= 274 && bad == 0, "{good} {bad}");
}

#[test]
fn lengths_are_those_of_physical_units() {
    for (version, algorithm, length, total) in [
        (SVersion::Tdes, "T", 16, 72),
        (SVersion::Tdes, "T", 24, 88),
        (SVersion::Tdes, "D", 8, 56),
        (SVersion::Aes, "T", 16, 96),
        (SVersion::Aes, "A", 16, 96),
        (SVersion::Aes, "A", 32, 128),
    ] {
        let header = s_header(version, attributes("B0", algorithm, "N", "00", "E"));
        assert_eq!(sealed_length(&header, length).unwrap(), total);
    }
}

#[test]
fn optional_blocks_and_exchange_id_round_trip() {
    for version in [SVersion::Tdes, SVersion::Aes] {
        let keys = lmk_keys(version);
        let mut header = s_header(version, attributes("72", "T", "B", "c1", "S"));
        header.lmk = LmkId::EXCHANGE;
        header.blocks.push(BlockId(*b"00"), b"L").unwrap();
        header.blocks.push(BlockId(*b"05"), &[b'x'; 300]).unwrap();
        let mut out = Vec::new();
        now(seal(&Soft, &keys, &header, &[7; 24], &mut counting(), &mut out)).unwrap().unwrap();
        let block = SBlock::parse(&out).unwrap();
        assert_eq!(block.header().blocks.get(BlockId(*b"00")), Some(&b"L"[..]));
        assert_eq!(block.header().blocks.count(), 3);
        assert_eq!(now(open(&Soft, &keys, &block)).unwrap().unwrap().expose(), [7; 24]);
    }
}

#[test]
fn long_keys_have_their_own_way_out() {
    let keys = lmk_keys(SVersion::Aes);
    let header = s_header(SVersion::Aes, attributes("03", "R", "N", "00", "N"));
    let mut out = Vec::new();
    let secret: Vec<u8> = (0..1200u32).map(|i| i as u8).collect();
    now(seal(&Soft, &keys, &header, &secret, &mut counting(), &mut out)).unwrap().unwrap();
    let block = SBlock::parse(&out).unwrap();
    assert_eq!(now(open_long(&Soft, &keys, &block)).unwrap().unwrap().expose(), secret);
    assert_eq!(now(open(&Soft, &keys, &block)).unwrap().unwrap_err().kind, ErrorKind::KeyLength);
    let long = now(seal(&Soft, &keys, &header, &[1; 5000], &mut counting(), &mut out)).unwrap();
    assert_eq!(long.unwrap_err().kind, ErrorKind::LengthField);
}

#[test]
fn refusals_leave_the_output_alone() {
    let keys = lmk_keys(SVersion::Aes);
    let mut out = b"kept".to_vec();
    let mut refused = |header: &SHeader<'_>, key: &[u8]| {
        let result = now(seal(&Soft, &keys, header, key, &mut counting(), &mut out)).unwrap();
        assert_eq!(out, b"kept");
        result.unwrap_err().kind
    };
    let good = attributes("72", "A", "B", "00", "E");
    assert_eq!(refused(&s_header(SVersion::Tdes, good), &[1; 16]), ErrorKind::KbpkAlgorithm);
    assert_eq!(refused(&s_header(SVersion::Aes, good), &[1; 17]), ErrorKind::KeyLength);
    assert_eq!(refused(&s_header(SVersion::Aes, good), &[]), ErrorKind::KeyLength);
    let mut odd = good;
    odd.mode = paytypes::ModeOfUse(b'*');
    assert_eq!(refused(&s_header(SVersion::Aes, odd), &[1; 16]), ErrorKind::HeaderField);
}

#[test]
fn keys_of_the_other_version_and_single_des_are_refused() {
    let block = case("tkb-0-T");
    let block = &text(&block, "block").as_bytes()[1..];
    let block = SBlock::parse(block).unwrap();
    let error = now(open(&Soft, &lmk_keys(SVersion::Aes), &block)).unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::KbpkAlgorithm);
    let single = soft(CipherKind::Des, &[0x13; 8]);
    assert_eq!(now(SKeys::new(&Soft, &single)).unwrap().unwrap_err().kind, ErrorKind::KbpkLength);
}

#[test]
fn protection_keys_print_their_kind_only() {
    assert_eq!(format!("{:?}", lmk_keys(SVersion::Aes)), "SKeys(Aes)");
    assert_eq!(format!("{:?}", common::kbpk(tr31::Version::B, &[0x29; 24])), "Kbpk(Tdes, 112 bits)");
    assert_eq!(format!("{:?}", common::kbpk(tr31::Version::D, &[0x29; 32])), "Kbpk(Aes, 256 bits)");
}
