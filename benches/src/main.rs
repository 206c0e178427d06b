//! Side-by-side ratios, measured in interleaved pairs in one run: the gateway against an echo server of the
//! same framing and the same loop, and against what the `des` crate alone could do.
//!
//! Absolute figures move with the machine; ratios of one run are what is quoted.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for people

mod client;
mod engine;
mod frames;
mod host;
mod limit;
mod pkcs11;
mod ratios;
mod server;
mod token;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Side-by-side ratios of payhsm")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measures and prints the ratios.
    Ratios(ratios::Args),
    /// PIN translation on a SoftHSM token, against a loop over the same token without us.
    Pkcs11(pkcs11::Args),
    /// The engine alone, for profilers.
    Engine(engine::Args),
    /// One measurement on a token, in a process of its own.
    #[command(hide = true)]
    TokenLoop(token::Args),
    /// A server in a process of its own, so that its CPU time can be told from the client's.
    #[command(hide = true)]
    Serve(server::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Ratios(args) => ratios::run(&args),
        Verb::Pkcs11(args) => pkcs11::run(&args),
        Verb::TokenLoop(args) => token::run(&args),
        Verb::Engine(args) => engine::run(&args),
        Verb::Serve(args) => server::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error}");
            ExitCode::from(3)
        }
    }
}
