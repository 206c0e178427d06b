//! The program `payhsm`: wiring and verbs. Each verb has a file of its own under `verbs/`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // standard output and error are what a program speaks by

mod backend;
mod confine;
mod control;
mod exit;
mod hardening;
mod node_side;
mod oracle;
mod private;
mod token;
mod verbs;
mod workers;

use clap::Parser;
use std::process::ExitCode;

/// Payment-HSM gateway, software HSM and tools around the host command language.
#[derive(Debug, Parser)]
#[command(name = "payhsm", version, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    verb: verbs::Verb,
}

fn main() -> ExitCode {
    Program::parse().verb.run()
}
