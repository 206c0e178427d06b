//! The engine alone, without sockets: for profilers, and for instruction counts that noise cannot move.

use crate::frames::{self, Maker};
use clap::ValueEnum;
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
    /// What is run.
    #[arg(long, value_enum, default_value = "cc")]
    command: Command,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// PIN block, ZPK to ZPK, between 64 keys.
    Cc,
    /// PIN block, TDES DUKPT to ZPK.
    G0,
}

const KEYS: usize = 64;

/// Runs it and prints nanoseconds for one command.
pub fn run(args: &Args) -> io::Result<()> {
    let lmk = LmkId(args.lmk);
    let mut maker = Maker::new();
    let exchanges = match args.command {
        Command::Cc => maker.translations(lmk, KEYS, args.depth)?,
        Command::G0 => maker.dukpt(lmk, args.depth.min(128))?,
    };
    let batch = frames::batches(&exchanges, args.depth).swap_remove(0);
    let messages = batch.frames();
    let mut engine =
        Engine::new(crate::server::backend(), Unit { authorised: Authorised::ALL, ..Unit::default() });
    let port = Rc::new(Port::new(lmk, Settings::STRICT));
    let mut tickets = Vec::new();
    let mut out = Vec::new();
    let start = Instant::now();
    for _ in 0..args.batches {
        tickets.extend(messages.iter().map(|frame| engine.submit(&port, frame)));
        engine.run();
        out.clear();
        for ticket in tickets.drain(..) {
            engine.finish(ticket, &mut out);
        }
    }
    let done = args.batches as f64 * args.depth as f64;
    let ns = start.elapsed().as_secs_f64() * 1e9 / done;
    println!("{ns:.1} ns for one command, batches of {}", args.depth);
    Ok(())
}
