//! Side-by-side ratios, measured in interleaved pairs in one run: the gateway against an echo server of the same
//! framing and the same loop, against what OpenSSL and the `des` crate could do, and against itself; and gates
//! for CI that noise cannot break.
//!
//! Absolute figures move with the machine; ratios of one run are what is quoted.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for people

mod abuse;
#[cfg(feature = "centre")]
mod centre;
mod client;
// What the manager in memory signs with.
#[path = "../../keylink/tests/common/mod.rs"]
mod common;
mod curves;
mod engine;
mod frames;
mod gate;
mod host;
mod lanes;
mod limit;
mod open;
mod page;
mod passes;
mod pkcs11;
mod ratios;
mod record;
mod rotation;
mod rows;
mod server;
#[cfg(feature = "centre")]
mod staging;
mod stats;
#[cfg(feature = "centre")]
mod store;
mod token;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

// What the program has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Side-by-side ratios of payhsm, and gates for CI")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measures and prints the ratios.
    Ratios(ratios::Args),
    /// The store of the key management centre.
    #[cfg(feature = "centre")]
    Store(store::Args),
    /// One key to thousands of nodes.
    #[cfg(feature = "centre")]
    Staging(staging::Args),
    /// Measures how cost grows with depth, connections and number of keys.
    Curves(curves::Args),
    /// Everything, for the record: writes benches/record, the plots, and the tables of docs/performance.md and README.
    Record(record::Args),
    /// Writes tables and plots again from what was recorded.
    Page,
    /// Judges instructions of a command and the lanes against the `des` crate; ends with 1 when a gate breaks.
    Gate(gate::Args),
    /// PIN translation on a SoftHSM token, against a loop over the same token without us.
    Pkcs11(pkcs11::Args),
    /// The engine alone, for profilers.
    Engine(engine::Args),
    /// One measurement on a token, in a process of its own.
    #[command(hide = true)]
    TokenLoop(token::Args),
    /// Passes of the lanes, to be counted.
    #[command(hide = true)]
    Passes(passes::Args),
    /// A server in a process of its own, so that its CPU time can be told from the client's.
    #[command(hide = true)]
    Serve(server::Args),
}

fn main() -> ExitCode {
    let good = |()| ExitCode::SUCCESS;
    let done = match Cli::parse().verb {
        #[cfg(feature = "centre")]
        Verb::Store(args) => store::run(&args).map(good),
        #[cfg(feature = "centre")]
        Verb::Staging(args) => staging::run(&args).map(good),
        Verb::Ratios(args) => ratios::run(&args).map(good),
        Verb::Curves(args) => curves::run(&args).map(good),
        Verb::Record(args) => record::run(&args).map(good),
        Verb::Page => page::run().map(good),
        Verb::Gate(args) => gate::run(&args),
        Verb::Engine(args) => engine::run(&args).map(good),
        Verb::Passes(args) => passes::run(&args).map(good),
        Verb::Serve(args) => server::run(&args).map(good),
        Verb::Pkcs11(args) => pkcs11::run(&args).map(good),
        Verb::TokenLoop(args) => token::run(&args).map(good),
    };
    done.unwrap_or_else(|error| {
        eprintln!("benches: {error}");
        ExitCode::from(3)
    })
}
