//! Speed of key blocks with KBEK and KBAK kept, and with them derived each time. Every round checks its
//! answer, so that a fast wrong one does not count. Run: `cargo bench -p tr31`.
#![allow(missing_docs)] // criterion's macros

use criterion::{Criterion, criterion_group, criterion_main};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Algorithm, Exportability, KeyUsage, KeyVersion, ModeOfUse, now};
use std::hint::black_box;
use tr31::{Attributes, Header, Kbpk, KeyBlock, Masking, Policy, Version, wrap};

const KEY: [u8; 16] = *b"\x13\x57\x9B\xDF\x02\x46\x8A\xCE\xFD\xB9\x75\x31\xEC\xA8\x64\x20";
const SECRET: [u8; 32] = *b"a key protection key for a bench";

fn kbpk(version: Version, length: usize) -> Kbpk<SoftKey> {
    let key = SoftKey::new(version.kind(), &SECRET[..length]).expect("length");
    now(Kbpk::new(&Soft, &key, version)).expect("ready").expect("kbpk")
}

fn header(version: Version) -> Header<'static> {
    Header::new(
        version,
        Attributes {
            usage: KeyUsage(*b"P0"),
            algorithm: Algorithm::TDES,
            mode: ModeOfUse::BOTH,
            key_version: KeyVersion::UNUSED,
            exportability: Exportability::EXPORTABLE,
        },
    )
}

fn make(kbpk: &Kbpk<SoftKey>, header: &Header<'_>, policy: &Policy) -> Vec<u8> {
    let mut next = 0u8;
    let mut random = |out: &mut [u8]| {
        for o in out {
            next = next.wrapping_add(1);
            *o = next;
        }
    };
    let made = wrap(&Soft, kbpk, header, &KEY, Masking::Standard, policy, &mut random);
    now(made).expect("ready").expect("block")
}

fn open(kbpk: &Kbpk<SoftKey>, text: &[u8], policy: &Policy) {
    let block = KeyBlock::parse(text).expect("block");
    let key = now(block.unwrap(&Soft, kbpk, policy)).expect("ready").expect("key");
    assert!(key.material.expose() == KEY);
}

fn blocks(c: &mut Criterion) {
    for (version, length) in [(Version::B, 24), (Version::D, 16), (Version::D, 32), (Version::E, 32)] {
        let (kbpk, header) = (kbpk(version, length), header(version));
        let policy = if version == Version::E { Policy::ISO_20038 } else { Policy::X9_143_STRICT };
        let text = make(&kbpk, &header, &policy);
        let mut group = c.benchmark_group(format!("{version:?} of a 2-key TDES key under {length} bytes"));
        group.bench_function("parse", |b| b.iter(|| KeyBlock::parse(black_box(&text)).expect("block")));
        group.bench_function("wrap", |b| b.iter(|| make(&kbpk, black_box(&header), &policy)));
        group.bench_function("unwrap", |b| b.iter(|| open(&kbpk, black_box(&text), &policy)));
        group.bench_function("wrap and unwrap", |b| {
            b.iter(|| open(&kbpk, &make(&kbpk, black_box(&header), &policy), &policy));
        });
        group.bench_function("derive KBEK and KBAK", |b| b.iter(|| self::kbpk(black_box(version), length)));
        group.finish();
    }
}

criterion_group!(benches, blocks);
criterion_main!(benches);
