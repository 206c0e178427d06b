//! Properties: what is made is read again, for every version, key length, protection key and masking; and no
//! text at all makes a parser panic.

mod common;

use common::{attributes, counting, kbpk, lmk_keys, s_header};
use paytypes::CipherKind;
use paytypes::{now, soft::Soft};
use proptest::prelude::*;
use tr31::sblock::{SBlock, SVersion, open, seal, sealed_length};
use tr31::{
    BlockId, Header, KcvMethod, KeyBlock, Masking, OptionalBlocks, Policy, Version, rewrap, wrap,
    wrapped_length,
};

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

fn key() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    prop_oneof![
        (Just("T"), prop::sample::select(vec![8usize, 16, 24])),
        (Just("A"), prop::sample::select(vec![16usize, 24, 32])),
        (Just("H"), 1usize..70),
        (Just("R"), 600usize..1300),
    ]
    .prop_flat_map(|(algorithm, length)| {
        (Just(algorithm), prop::collection::vec(any::<u8>(), length..=length))
    })
}

fn masking() -> impl Strategy<Value = Masking> {
    prop_oneof![Just(Masking::None), Just(Masking::Standard), (0usize..80).prop_map(Masking::Length)]
}

fn blocks() -> impl Strategy<Value = OptionalBlocks<'static>> {
    prop::collection::vec(("[A-OQ-Z0-9][A-Z0-9]", "[ -~]{0,300}"), 0..6).prop_map(|list| {
        let mut blocks = OptionalBlocks::none();
        for (id, data) in list {
            // A duplicate is refused and left out.
            let _ = blocks.push(BlockId(id.as_bytes().try_into().expect("id")), data.as_bytes());
        }
        blocks
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_block_for_exchange_is_read_again(
        version in version(), (algorithm, key) in key(), masking in masking(), blocks in blocks(),
        size in prop::sample::select(vec![16usize, 24, 32]), secret in any::<[u8; 32]>(),
    ) {
        let size = if version.kind() == CipherKind::Tdes { size.min(24) } else { size };
        let kbpk = kbpk(version, &secret[..size]);
        let mut header = Header::new(version, attributes("99", algorithm, "N", "7x", "S"));
        header.blocks = blocks;
        let length = wrapped_length(&header, key.len(), masking).unwrap();
        let made = now(wrap(&Soft, &kbpk, &header, &key, masking, &Policy::NONE, &mut counting()));
        let made = made.unwrap().unwrap();
        prop_assert_eq!(made.len(), length);
        prop_assert_eq!(made[1..5].to_vec(), format!("{length:04}").into_bytes());
        let block = KeyBlock::parse(&made).unwrap();
        let opened = now(block.unwrap(&Soft, &kbpk, &Policy::NONE)).unwrap().unwrap();
        prop_assert_eq!(opened.material.expose(), &key[..]);
        prop_assert!(opened.header.blocks.text().starts_with(header.blocks.text()));
        prop_assert_eq!(opened.header.attributes, header.attributes);
        // What was read is made again, optional blocks and PB included.
        let again = now(wrap(&Soft, &kbpk, &opened.header, &key, masking, &Policy::NONE, &mut counting()));
        prop_assert_eq!(again.unwrap().unwrap(), made);
    }

    #[test]
    fn an_s_block_is_read_again(
        aes in any::<bool>(), blocks in blocks(),
        key in prop::sample::select(vec![8usize, 16, 24])
            .prop_flat_map(|n| prop::collection::vec(any::<u8>(), n..=n)),
    ) {
        let version = if aes { SVersion::Aes } else { SVersion::Tdes };
        let keys = lmk_keys(version);
        let mut header = s_header(version, attributes("72", "T", "B", "c1", "E"));
        header.blocks = blocks;
        let mut out = Vec::new();
        now(seal(&Soft, &keys, &header, &key, &mut counting(), &mut out)).unwrap().unwrap();
        prop_assert_eq!(out.len(), sealed_length(&header, key.len()).unwrap());
        let block = SBlock::parse(&out).unwrap();
        prop_assert_eq!(block.header().lmk, header.lmk);
        let opened = now(open(&Soft, &keys, &block)).unwrap();
        match header.check_blocks() {
            Ok(()) => prop_assert!(opened.is_ok_and(|opened| opened.expose() == &key[..])),
            // Status and dates have a form, which is judged behind the MAC.
            Err(malformed) => prop_assert_eq!(opened.unwrap_err(), malformed),
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[A-E01][0-9]{4}[ -~]{0,200}", count in 0u8..100) {
        let mut text = text.into_bytes();
        let length = text.len();
        text[1..5].copy_from_slice(format!("{length:04}").as_bytes());
        if let Ok(block) = KeyBlock::parse(&text) {
            prop_assert_eq!(block.text(), &text[..]);
        }
        if let Ok(block) = SBlock::parse(&text) {
            prop_assert_eq!(block.text(), &text[..]);
        }
        if let Ok(blocks) = OptionalBlocks::parse(&text, count, 8) {
            prop_assert_eq!(blocks.iter().count(), usize::from(count));
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(KeyBlock::parse(&bytes).is_err() || bytes.len() >= 16);
        prop_assert!(SBlock::parse(&bytes).is_err() || bytes.len() >= 16);
    }
}

// A key changes its protection key and version: header and optional blocks are kept, PB is made new.
#[test]
fn rewrapping_keeps_the_header() {
    let from = kbpk(Version::B, &[0x3C; 24]);
    let mut header = Header::new(Version::B, attributes("K1", "T", "B", "00", "E"));
    header.context = b'2';
    let old = *from.check_value(KcvMethod::Legacy);
    header.blocks.push(BlockId::LB, b"zone 7").unwrap();
    header.blocks.push_check_value(BlockId::KP, KcvMethod::Legacy, &old).unwrap();
    header.blocks.push(BlockId(*b"1X"), b"own").unwrap();
    let key = [0x5B; 16];
    let policy = Policy { check_values: true, ..Policy::NONE };
    let made = now(wrap(&Soft, &from, &header, &key, Masking::Standard, &policy, &mut counting()));
    let made = made.unwrap().unwrap();
    let block = KeyBlock::parse(&made).unwrap();
    for version in [Version::B, Version::D, Version::E] {
        let to = kbpk(version, &[0x77; 32][..if version == Version::B { 24 } else { 32 }]);
        let mut padding = counting();
        let moved = rewrap(&Soft, &block, &from, &to, version, Masking::Standard, &policy, &mut padding);
        let moved = now(moved).unwrap().unwrap();
        let read = KeyBlock::parse(&moved).unwrap();
        let ids: Vec<_> = read.header().blocks.iter().map(|b| b.id).filter(|id| *id != BlockId::PB).collect();
        assert_eq!(ids, [BlockId::LB, BlockId::KP, BlockId(*b"1X")]);
        assert!(read.header().blocks.text().len().is_multiple_of(version.alignment()));
        assert_eq!((read.header().context, read.header().version), (b'2', version));
        // KP names the new key: the policy verifies it.
        let opened = now(read.unwrap(&Soft, &to, &policy)).unwrap().unwrap();
        assert_eq!(opened.material.expose(), key);
        assert_eq!(opened.header.attributes, header.attributes);
        // The old key opens it no more, nor does another key open the old block.
        if version == Version::B {
            assert!(now(read.unwrap(&Soft, &from, &Policy::NONE)).unwrap().is_err());
            let mut padding = counting();
            let again = rewrap(&Soft, &block, &to, &to, version, Masking::None, &policy, &mut padding);
            assert_eq!(now(again).unwrap().unwrap_err().kind.class(), "kp_mismatch");
        }
    }
}
