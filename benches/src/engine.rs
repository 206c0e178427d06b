//! The engine alone, without sockets: for profilers, and for instruction counts that noise cannot move.

use crate::frames::Maker;
use hostcmd::{Authorised, Engine, Port, Settings, Unit};
use hsm::LmkId;
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
}

/// Runs CC and prints nanoseconds for one.
pub fn run(args: &Args) -> io::Result<()> {
    let lmk = LmkId(args.lmk);
    let mut maker = Maker::new();
    let keys = maker.keys(lmk, 64)?;
    let batch = maker.batches(&keys, args.depth, 1)?.swap_remove(0);
    let frames = batch.frames();
    let mut engine =
        Engine::new(crate::server::backend(), Unit { authorised: Authorised::ALL, ..Unit::default() });
    let port = Rc::new(Port::new(lmk, Settings::STRICT));
    let mut tickets = Vec::new();
    let mut out = Vec::new();
    let start = Instant::now();
    for _ in 0..args.batches {
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
