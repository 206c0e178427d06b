//! Mistakes found in other open libraries for key blocks (design document, section 3), each as a test that
//! it is not made here. Those of PIN blocks and card values stand in `pinblock` and `cardcrypto`.

mod common;

use common::{attributes, bytes, cases, counting, kbpk, soft, text};
use paytypes::soft::Soft;
use paytypes::{CipherKind, hex, now};
use tr31::{
    BlockId, ErrorKind, Header, KeyBlock, KeyBlockError, Masking, OptionalBlocks, Policy, Version,
    kcv_legacy, wrap,
};

const SECRET: [u8; 32] = *b"a key protection key for a bench";

fn length(version: Version) -> usize {
    if version.kind() == CipherKind::Aes { 32 } else { 24 }
}

fn header(version: Version) -> Header<'static> {
    Header::new(version, attributes("P0", "T", "B", "00", "E"))
}

fn made(header: &Header<'_>, key: &[u8], policy: &Policy) -> Result<Vec<u8>, KeyBlockError> {
    let kbpk = kbpk(header.version, &SECRET[..length(header.version)]);
    now(wrap(&Soft, &kbpk, header, key, Masking::Standard, policy, &mut counting())).unwrap()
}

fn opened(text: &[u8], secret: &[u8], policy: &Policy) -> Result<Vec<u8>, KeyBlockError> {
    let block = KeyBlock::parse(text)?;
    let kbpk = kbpk(block.header().version, secret);
    now(block.unwrap(&Soft, &kbpk, policy)).unwrap().map(|key| key.material.expose().to_vec())
}

// psec: counts the extended length in bytes (02) where X9.143 counts characters (04).
#[test]
fn psec_extended_length_counts_bytes() {
    let mut blocks = OptionalBlocks::none();
    blocks.push(BlockId::CT, &[b'A'; 300]).unwrap();
    assert!(blocks.text().starts_with(b"CT00040136"));
    let mut bytewise = blocks.text().to_vec();
    bytewise.splice(4..6, *b"02");
    let refused = OptionalBlocks::parse(&bytewise, 1, 1).unwrap_err();
    assert_eq!((refused.kind, refused.offset), (ErrorKind::OptLength, 16));
    for id in ["x9.143-8.5", "x9.143-8.6"] {
        let all = cases("tr31.json");
        let case = all.iter().find(|c| c["id"] == id).unwrap();
        let given = &case["in"];
        let key = opened(text(given, "key_block").as_bytes(), &bytes(given, "kbpk"), &Policy::X9_143_STRICT);
        assert_eq!(key.unwrap(), bytes(&case["out"], "key"), "{id}");
    }
}

// psec: takes keys of no and of five bytes, twice the same block, any attributes; knows no version E and
// loses the key context.
#[test]
fn psec_takes_anything() {
    for length in [0, 5, 15, 17, 33] {
        let error = made(&header(Version::D), &vec![7; length], &Policy::NONE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::KeyLength, "{length} bytes");
    }
    let odd = Header::new(Version::D, attributes("P0", "R", "X", "00", "E"));
    assert_eq!(made(&odd, &[7; 16], &Policy::X9_143_STRICT).unwrap_err().kind, ErrorKind::Policy);
    let mut context = header(Version::E);
    context.context = b'2';
    let text = made(&context, &[7; 16], &Policy::NONE).unwrap();
    assert_eq!((text[0], text[14]), (b'E', b'2'));
    assert_eq!(KeyBlock::parse(&text).unwrap().header().context, b'2');
}

// openemv/tr31: the content check of strict mode never runs.
#[test]
fn openemv_strict_mode_looks_at_no_content() {
    let mut header = Header::new(Version::B, attributes("B1", "T", "X", "00", "E"));
    header.blocks.push(BlockId::KS, b"not a serial number!").unwrap();
    let key = hex::decode::<16>(b"13579BDF02468ACEFDB97531ECA86420").unwrap();
    let error = made(&header, &key, &Policy::X9_143_STRICT).unwrap_err();
    assert_eq!((error.kind, error.field, error.offset), (ErrorKind::OptData, "KS", 16));
    let text = made(&header, &key, &Policy::NONE).unwrap();
    assert_eq!(opened(&text, &SECRET[..24], &Policy::X9_143_STRICT).unwrap_err().kind, ErrorKind::OptData);
    assert!(opened(&text, &SECRET[..24], &Policy::lenient("a partner")).is_ok());
}

// openemv/tr31: for B, D and E a wrong protection key nearly always looks like a wrong inner length.
#[test]
fn openemv_judges_the_inner_length_before_the_mac() {
    for version in Version::ALL {
        let text = made(&header(version), &[7; 16], &Policy::NONE).unwrap();
        for n in 0..200u8 {
            let mut secret = SECRET;
            secret[0] ^= n << 1 | 2;
            secret[9] = n;
            let error = opened(&text, &secret[..length(version)], &Policy::NONE).unwrap_err();
            assert_eq!((error.kind, error.field), (ErrorKind::MacMismatch, "mac"), "{version:?} {n}");
        }
    }
}

// openemv/tr31 and psec: a block may stand there twice.
#[test]
fn openemv_and_psec_accept_duplicates() {
    let twice = b"LB08zoneLB08zone";
    assert_eq!(OptionalBlocks::parse(twice, 2, 8).unwrap_err().kind, ErrorKind::OptDuplicate);
    let mut blocks = OptionalBlocks::none();
    blocks.push(BlockId::LB, b"zone").unwrap();
    assert_eq!(blocks.push(BlockId::LB, b"zone").unwrap_err().kind, ErrorKind::OptDuplicate);
}

// openemv/tr31: lower-case hex is refused (others, and Apple, write it); an 8-byte key has no check value.
#[test]
fn openemv_refuses_lower_case_and_short_keys() {
    let key = hex::decode::<16>(b"13579BDF02468ACEFDB97531ECA86420").unwrap();
    let text = made(&header(Version::D), &key, &Policy::NONE).unwrap();
    let lower = [&text[..16], &text[16..].to_ascii_lowercase()].concat();
    assert!(opened(&lower, &SECRET, &Policy::lenient("a partner")).is_ok());
    let strict = opened(&lower, &SECRET, &Policy::X9_143_STRICT).unwrap_err();
    assert_eq!(strict.kind, ErrorKind::PayloadEncoding);
    let des = soft(CipherKind::Des, &hex::decode::<8>(b"0123456789ABCDEF").unwrap());
    assert_eq!(now(kcv_legacy(&Soft, &des)).unwrap().unwrap().hex6(), *b"D5D44F");
    assert!(made(&header(Version::B), &[7; 8], &Policy::NONE).is_ok());
}

// moov-io/tr31: when lengths of optional blocks are judged differs from block to block. Here the first check
// that fails is the one of the order of section 5, whatever else is wrong further on.
#[test]
fn moov_judges_lengths_at_different_times() {
    let full = |text: &str| {
        let mut block = text.as_bytes().to_vec();
        let length = format!("{:04}", block.len());
        block[1..5].copy_from_slice(length.as_bytes());
        KeyBlock::parse(&block).unwrap_err().kind
    };
    // Id, length, duplicate, alignment, key data, its size: each text has all the later faults too.
    assert_eq!(full("D0000P0TB00E0200L*00LB03LB03xyz"), ErrorKind::OptId);
    assert_eq!(full("D0000P0TB00E0200LB03LB03xyz"), ErrorKind::OptLength);
    assert_eq!(full("D0000P0TB00E0200LB05aLB05axyz"), ErrorKind::OptDuplicate);
    assert_eq!(full("D0000P0TB00E0100LB05axyz"), ErrorKind::OptPadding);
    assert_eq!(full("D0000P0TB00E0100LB10abcdefghijklxyz"), ErrorKind::PayloadEncoding);
    assert_eq!(full("D0000P0TB00E0100LB10abcdefghijklABC"), ErrorKind::PayloadLength);
}

// The standards: X9.143 8.2 breaks its own rules, 8.3.2.1 and 8.3.2.2 have wrong lengths, ISO 20038 B.3
// prints another key than it wraps.
#[test]
fn standards_print_mistakes() {
    let all = cases("tr31.json");
    let case = |id: &str| all.iter().find(|c| c["id"] == id).unwrap().clone();
    let run = |id: &str, policy: &Policy| {
        let case = case(id);
        opened(text(&case["in"], "key_block").as_bytes(), &bytes(&case["in"], "kbpk"), policy)
    };
    for id in ["x9.143-8.3.2.1-errata", "x9.143-8.3.2.2-errata"] {
        assert_eq!(run(id, &Policy::NONE).unwrap_err().kind, ErrorKind::LengthField);
        // With the length put right, the MAC fails all the same.
        let case = case(id);
        let mut block = text(&case["in"], "key_block").as_bytes().to_vec();
        let length = format!("{:04}", block.len());
        block[1..5].copy_from_slice(length.as_bytes());
        let error = opened(&block, &bytes(&case["in"], "kbpk"), &Policy::NONE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::MacMismatch);
    }
    assert_eq!(run("x9.143-8.2", &Policy::X9_143_STRICT).unwrap_err().kind, ErrorKind::OptData);
    assert!(run("x9.143-8.2", &Policy::lenient("a partner")).is_ok());
    assert_eq!(run("iso20038-B.3", &Policy::ISO_20038).unwrap()[..3], [0x76, 0x73, 0x61]);
}

// chhil (issue 3): a triple-length key gives a header with a wrong length.
#[test]
fn chhil_wrong_length_of_a_triple_key() {
    for version in Version::ALL {
        for key in [8, 16, 24] {
            for masking in [Masking::None, Masking::Standard, Masking::Length(40)] {
                let kbpk = kbpk(version, &SECRET[..length(version)]);
                let header = header(version);
                let mut padding = counting();
                let key = vec![7; key];
                let made = wrap(&Soft, &kbpk, &header, &key, masking, &Policy::NONE, &mut padding);
                let text = now(made).unwrap().unwrap();
                assert_eq!(tr31::declared_length(&text), Some(text.len()));
            }
        }
    }
}
