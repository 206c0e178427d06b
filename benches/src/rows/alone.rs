//! The cipher work alone: what OpenSSL and the `des` crate could do, and the lanes.

use super::{Bench, Row, Side, Unit};
use crate::client::Sample;
use crate::frames::{self, VARIANT};
use crate::limit::{self, OpenSsl};
use crate::{lanes, stats};
use std::io;
use tdes_lanes::Engine;

const ROUNDS: usize = 21;

// The limit and the gateway in turn. The limit is one of processor time, so that the gateway is taken by that too:
// CC for each second that its core computes.
fn by_limit(bench: &mut Bench, row: Row, name: &str, ns: impl Fn() -> io::Result<f64>) -> io::Result<Row> {
    let batches = frames::batches(&bench.translations(VARIANT, true)?, 64);
    let plan = bench.plan(&batches, 8);
    let limit = || ns().map(|ns| Sample { rate: 1e9 / ns, cpu_ns: ns });
    let pairs = bench.pairs(limit, || bench.on_engine(VARIANT, &plan))?;
    let by_cpu = stats::Spread::of(pairs.iter().map(|(limit, gateway)| limit.cpu_ns / gateway.cpu_ns));
    let mut shown = Row::new("", "", Unit::RatioUp, None).of_pairs((name, "gateway"), &pairs);
    let mut row = row.with(by_cpu);
    (row.sides, row.cpu_ratio) = (std::mem::take(&mut shown.sides), shown.cpu_ratio);
    Ok(row)
}

/// CC a second of one core by what OpenSSL could do at most.
pub fn by_openssl(bench: &mut Bench, id: &str, program: Result<OpenSsl, String>) -> io::Result<Row> {
    let what = "CC a core second / OpenSSL's 3DES limit (two blocks each), 8×64";
    let row = Row::new(id, what, Unit::RatioUp, Some((1.0, 2.0)));
    let duration = bench.duration / 2;
    match program {
        Ok(program) => by_limit(bench, row, "OpenSSL limit", || program.ns(duration)),
        Err(why) => Ok(row.skipped(why)),
    }
}

/// The same by the `des` crate.
pub fn by_des_crate(bench: &mut Bench, id: &str) -> io::Result<Row> {
    let row =
        Row::new(id, "CC a core second / `des` crate's limit (two blocks each), 8×64", Unit::RatioUp, None);
    let duration = bench.duration / 2;
    by_limit(bench, row, "`des` crate limit", || Ok(limit::des_crate_ns(duration)))
}

fn lanes(id: &str, name: &str, engine: Engine, goals: (f64, f64)) -> io::Result<Row> {
    let what = format!("lanes / `des` crate, 256 random keys, {name}");
    let row = Row::new(id, &what, Unit::RatioUp, Some(goals));
    let Some((ratio, other_ns, own_ns)) = lanes::measure(engine, ROUNDS) else {
        return Ok(row.skipped(format!("this processor has no {name}")));
    };
    let side = |name: &str, ns: f64| Side {
        name: name.to_owned(),
        rate: Some(1e9 / ns),
        cpu_ns: Some(ns),
        p99_us: None,
    };
    let mut row = row.with(ratio);
    row.sides = vec![side("`des` crate, one block", other_ns), side("lanes, one block", own_ns)];
    row.cpu_ratio = Some(stats::Spread { ..ratio });
    Ok(row)
}

/// Lanes of 256 bits.
pub fn lanes_avx2(_: &mut Bench, id: &str) -> io::Result<Row> {
    lanes(id, "AVX2", Engine::Avx2, (20.0, 60.0))
}

/// Lanes of 512 bits.
pub fn lanes_avx512(_: &mut Bench, id: &str) -> io::Result<Row> {
    lanes(id, "AVX-512", Engine::Avx512, (30.0, 90.0))
}
