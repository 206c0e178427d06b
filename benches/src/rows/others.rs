//! Latency under load, a second core, and clients that misbehave.

use super::{Bench, FRAMES, Row, SERVER, Unit};
use crate::abuse::{Abuse, Kind};
use crate::client::{self, Batch, Sample};
use crate::frames::{self, VARIANT};
use crate::open::{self, Plan};
use crate::rotation::{CLEAR, INDEX};
use crate::server::{self, Server};
use crate::stats::Spread;
use std::cell::RefCell;
use std::io;

const CONNECTIONS: usize = 8;
/// A moment in which others have the processor is in the tail of the run that it falls into. So latency is taken
/// in many short runs, of which most are spared, in the same time as the few of other rows.
const SHORTER: u32 = 4;

const ONE_PROCESSOR: &str = "this machine has one processor: the client needs one of its own";

/// Open loop at half of the gateway's own maximum: p99 by that of the echo at the same rate.
pub fn open_half(bench: &mut Bench, id: &str) -> io::Result<Row> {
    let what = "open loop at half of own maximum: p99 / echo's p99, 8 connections";
    let row = Row::new(id, what, Unit::RatioDown, Some((1.5, 1.2)));
    if bench.processors < 2 {
        return Ok(row.skipped(ONE_PROCESSOR));
    }
    let rate = bench.maximum()? / 2.0;
    let batches = frames::batches(&bench.translations(VARIANT, true)?, 1);
    let plan = |compare| Plan {
        connections: CONNECTIONS,
        frames: &batches,
        rate,
        duration: bench.duration / SHORTER,
        compare,
    };
    let run = |server: &Server, compare| open::p99(server.address(VARIANT)?, &plan(compare));
    let pairs = bench.many_pairs(SHORTER, || run(&bench.echo, false), || run(&bench.engine, true))?;
    let mut row = row.of_latencies(("echo", "gateway"), &pairs);
    row.sides.iter_mut().for_each(|side| side.rate = Some(rate));
    Ok(row)
}

/// Processor time for a message with the gateway on two cores by that on one. The client shares the second core
/// with the gateway, so that time counts and rate says nothing.
pub fn second_core(bench: &mut Bench, id: &str) -> io::Result<Row> {
    let row =
        Row::new(id, "second core: CPU per message, two / one, CC 8×64", Unit::RatioDown, Some((1.10, 1.03)));
    if bench.processors < 2 {
        return Ok(row.skipped(ONE_PROCESSOR));
    }
    let batches = frames::batches(&bench.translations(VARIANT, true)?, 64);
    let plan = bench.plan(&batches, CONNECTIONS);
    let two = Server::start(server::Kind::Engine, &[SERVER, SERVER + 1])?;
    let pairs = bench.pairs(
        || bench.on_engine(VARIANT, &plan),
        || client::run(&two, two.address(VARIANT)?, &plan, true),
    )?;
    let growth = |(one, two): &(Sample, Sample)| two.cpu_ns / one.cpu_ns;
    let figure = Spread::of(pairs.iter().map(growth));
    let mut shown = Row::new(id, "", Unit::RatioUp, None).of_pairs(("one core", "two cores"), &pairs);
    let mut row = row.with(figure);
    row.sides = std::mem::take(&mut shown.sides);
    Ok(row)
}

/// p99 of others beside a client that misbehaves, by p99 without it, at a quarter of the gateway's maximum.
pub fn beside(bench: &mut Bench, id: &str, kind: Kind) -> io::Result<Row> {
    let what = format!("p99 of others beside a client that is {}, at a quarter of own maximum", kind.name());
    let row = Row::new(id, &what, Unit::RatioDown, Some((2.0, 1.3)));
    if bench.processors < 2 {
        return Ok(row.skipped(ONE_PROCESSOR));
    }
    let rate = bench.maximum()? / 4.0;
    let batches = frames::batches(&bench.translations(VARIANT, true)?, 1);
    let (duration, compare) = (bench.duration / SHORTER, true);
    let plan = Plan { connections: CONNECTIONS, frames: &batches, rate, duration, compare };
    let address = bench.engine.address(VARIANT)?;
    let calm = || open::p99(address, &plan);
    let disturbed = || {
        let _until_the_end = Abuse::start(kind, address, &batches[0]);
        calm()
    };
    let pairs = bench.many_pairs(SHORTER, calm, disturbed)?;
    Ok(row.of_latencies(("alone", "beside it"), &pairs))
}

/// p99 while keys are rotated without pause, by p99 without it, at a quarter of the gateway's maximum: the load
/// translates to the very key that is rotated, which it names by its index.
pub fn rotation(bench: &mut Bench, id: &str) -> io::Result<Row> {
    let what = "p99 of others while keys are rotated without pause, at a quarter of own maximum";
    let row = Row::new(id, what, Unit::RatioDown, Some((2.0, 1.3)));
    if bench.processors < 2 {
        return Ok(row.skipped(ONE_PROCESSOR));
    }
    let rate = bench.maximum()? / 4.0;
    let frames = frames_to_rotated(bench)?;
    let (duration, compare) = (bench.duration / SHORTER, true);
    let plan = Plan { connections: CONNECTIONS, frames: &frames, rate, duration, compare };
    let server = RefCell::new(Server::start(server::Kind::Rotating, &[SERVER])?);
    let address = server.borrow().address(VARIANT)?;
    let calm = || open::p99(address, &plan);
    let mut generations = 0;
    let rotated = || {
        let (p99, turned) = server.borrow_mut().rotating(calm)?;
        generations += turned;
        Ok(p99)
    };
    let pairs = bench.many_pairs(SHORTER, calm, rotated)?;
    if generations == 0 {
        return Err(io::Error::other("no key was rotated"));
    }
    Ok(row.of_latencies(("alone", &format!("through {generations} generations")), &pairs))
}

// Two replies are right: one for each value that the key has in turn.
fn frames_to_rotated(bench: &mut Bench) -> io::Result<Vec<Batch>> {
    let [mut frames, other] =
        bench.maker.translations_to(INDEX, &CLEAR, FRAMES)?.map(|exchanges| frames::batches(&exchanges, 1));
    frames.iter_mut().zip(other).for_each(|(batch, other)| batch.or = other.reply);
    Ok(frames)
}
