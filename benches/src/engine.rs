//! The engine alone, without sockets: for profilers, and for instruction counts that noise cannot move.

use crate::client::Batch;
use crate::frames::{self, Maker};
use clap::ValueEnum;
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
    /// Keys that CC uses in turn.
    #[arg(long, default_value_t = 64)]
    keys: usize,
    /// Bytes of the cache of opened keys; far fewer than the keys need show what keys cost that were never seen.
    #[arg(long, default_value_t = 16 << 20)]
    cache: usize,
    /// What is run.
    #[arg(long, value_enum, default_value = "cc")]
    command: Command,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// PIN block, ZPK to ZPK.
    Cc,
    /// PIN block, TDES DUKPT to ZPK.
    G0,
}

/// Runs it and prints nanoseconds for one command.
pub fn run(args: &Args) -> io::Result<()> {
    let lmk = LmkId(args.lmk);
    let mut maker = Maker::new();
    let depth = args.depth.max(1);
    let exchanges = match args.command {
        Command::Cc => maker.translations(lmk, args.keys, depth.max(args.keys.div_ceil(2)))?,
        Command::G0 => maker.dukpt(lmk, depth.min(128))?,
    };
    let batches = frames::batches(&exchanges, depth);
    let batches: Vec<Vec<&[u8]>> = batches.iter().map(Batch::frames).collect();
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
    let done = args.batches as f64 * depth as f64;
    let ns = start.elapsed().as_secs_f64() * 1e9 / done;
    println!("{ns:.1} ns for one command, batches of {depth}");
    Ok(())
}
