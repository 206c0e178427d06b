//! Where the hot path allocates: not at all for reading a text, nor for opening an `S` block of a symmetric
//! key; for the key and for the text that leave.

mod common;

use common::{attributes, counting, kbpk, lmk_keys, s_header};
use paytypes::now;
use paytypes::soft::Soft;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use tr31::sblock::{SBlock, SVersion, open, seal};
use tr31::{BlockId, Header, KeyBlock, Masking, Policy, Version, wrap};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocations(run: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    run();
    let change = region.change();
    change.allocations + change.reallocations
}

// One test, so that no other thread allocates meanwhile.
#[test]
fn parse_allocates_nothing() {
    for version in Version::ALL {
        let kbpk = kbpk(version, b"protectionkey..!");
        let mut header = Header::new(version, attributes("P0", "T", "B", "00", "E"));
        header.blocks.push(BlockId::LB, b"zone 7").unwrap();
        let mut padding = counting();
        let made = wrap(&Soft, &kbpk, &header, &[0x5B; 16], Masking::Standard, &Policy::NONE, &mut padding);
        let text = now(made).unwrap().unwrap();
        let parsed = allocations(|| {
            let block = KeyBlock::parse(&text).unwrap();
            assert!(block.header().blocks.get(BlockId::LB).is_some());
        });
        assert_eq!(parsed, 0, "{version:?}");
        let unwrap =
            |block: &KeyBlock<'_>| drop(now(block.unwrap(&Soft, &kbpk, &Policy::NONE)).unwrap().unwrap());
        let block = KeyBlock::parse(&text).unwrap();
        unwrap(&block); // the keys make what they keep for MACs once
        assert_eq!(allocations(|| unwrap(&block)), 1, "{version:?}: the key");
        let mut broken = text.clone();
        broken[text.len() - 1] = b'*';
        assert_eq!(allocations(|| assert!(KeyBlock::parse(&broken).is_err())), 0, "a refusal neither");
    }
    for version in [SVersion::Tdes, SVersion::Aes] {
        let (keys, mut text) = (lmk_keys(version), Vec::new());
        let header = s_header(version, attributes("72", "T", "N", "00", "N"));
        now(seal(&Soft, &keys, &header, &[0x5B; 16], &mut counting(), &mut text)).unwrap().unwrap();
        let opened = || drop(now(open(&Soft, &keys, &SBlock::parse(&text).unwrap())).unwrap().unwrap());
        opened();
        assert_eq!(allocations(opened), 0, "{version:?}");
    }
}
