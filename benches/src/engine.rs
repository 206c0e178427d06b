//! The engine alone, without sockets: for profilers, and for instruction counts that noise cannot move.

use crate::frames::Maker;
use hostcmd::{Authorised, Engine, Port, Settings, Unit};
use hsm::{Hsm, LmkId};
use std::io;
use std::rc::Rc;
use std::time::Instant;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Batches to run.
    #[arg(long, default_value_t = 2000)]
    batches: u64,
    /// Commands of one batch.
    #[arg(long, default_value_t = 512)]
    depth: usize,
    /// LMK.
    #[arg(long, default_value_t = 0)]
    lmk: u8,
    /// Keys that the commands use in turn.
    #[arg(long, default_value_t = 64)]
    keys: usize,
    /// Bytes of the cache of opened keys; far fewer than the keys need show what keys cost that were never seen.
    #[arg(long, default_value_t = 16 << 20)]
    cache: usize,
}

/// Runs CC and prints nanoseconds for one.
pub fn run(args: &Args) -> io::Result<()> {
    let lmk = LmkId(args.lmk);
    let mut maker = Maker::new();
    let keys = maker.keys(lmk, args.keys)?;
    let depth = args.depth.max(1);
    let batches = maker.batches(&keys, depth, args.keys.div_ceil(2 * depth).max(1))?;
    let batches: Vec<Vec<&[u8]>> = batches.iter().map(|batch| frames_of(&batch.request)).collect();
    let unit = Unit { authorised: Authorised::ALL, ..Unit::default() };
    let mut engine = Engine::with_queue(crate::server::backend(), unit, Hsm::with_cache(args.cache));
    let port = Rc::new(Port::new(lmk, Settings::STRICT));
    let mut tickets = Vec::new();
    let mut out = Vec::new();
    let start = Instant::now();
    for frames in batches.iter().cycle().take(usize::try_from(args.batches).unwrap_or(usize::MAX)) {
        tickets.extend(frames.iter().map(|frame| engine.submit(&port, frame)));
        engine.run();
        out.clear();
        for ticket in tickets.drain(..) {
            engine.finish(ticket, &mut out);
        }
    }
    let done = args.batches as f64 * args.depth as f64;
    println!("{:.1} ns for one CC, batches of {}", start.elapsed().as_secs_f64() * 1e9 / done, args.depth);
    Ok(())
}

fn frames_of(request: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut rest = request;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (frame, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        frames.push(frame);
        rest = tail;
    }
    frames
}
