//! Speed of forming and reading clear PIN blocks. Run: `cargo bench -p pinblock`.
#![allow(missing_docs)] // criterion's macros

use criterion::{Criterion, criterion_group, criterion_main};
use paytypes::{Drawn, Pan, Pin};
use pinblock::{Account, Format, decode, encode};
use std::hint::black_box;

fn formats(c: &mut Criterion) {
    let account = Account::from_pan(Pan::new(b"5413330089020011").expect("pan"));
    let pin = Pin::from_ascii(b"92389").expect("pin");
    let random: Vec<u8> = (0..64u8).map(|n| n.wrapping_mul(0x9D) ^ 0xC3).collect();
    for format in [Format::Iso0, Format::Iso1, Format::Iso3, Format::Iso4] {
        let make = || encode(format, black_box(&pin), black_box(&account), &mut Drawn::new(&random));
        let block = make().expect("block");
        assert!(decode(format, &block, &account).expect("pin").same_as(&pin));
        let mut group = c.benchmark_group(format!("{format}"));
        group.bench_function("encode", |b| b.iter(|| make().expect("block")));
        group.bench_function("decode", |b| {
            b.iter(|| decode(format, black_box(&block), black_box(&account)).expect("pin"));
        });
        group.finish();
    }
}

criterion_group!(benches, formats);
criterion_main!(benches);
