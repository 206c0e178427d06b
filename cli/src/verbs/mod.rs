//! The verbs: a line in each of the three lists, and a file.

mod audit;
mod authorise;
mod bench;
mod calc;
mod centre;
mod config;
mod decode;
mod dectab;
mod demo;
mod doctor;
mod explain;
mod lmk;
mod node;
mod officer;
mod send;
mod serve;
#[cfg(test)]
mod speaks_json;
mod token;
mod vectors;
mod worker;

pub use lmk::load as load_lmks;

use crate::exit::{Exit, whole};
use clap::Subcommand;
use std::process::ExitCode;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serves host commands over TCP and TLS.
    Serve(Box<serve::Args>),
    /// Judges the configuration file.
    #[command(subcommand)]
    Config(config::Config),
    Demo(demo::DemoArgs),
    Bench(Box<bench::BenchArgs>),
    Send(send::Args),
    Decode(decode::Args),
    Explain(explain::Args),
    #[command(subcommand)]
    Lmk(lmk::Lmk),
    #[command(subcommand)]
    Officer(officer::Officer),
    Authorise(authorise::Args),
    #[command(subcommand)]
    Dectab(dectab::Dectab),
    #[command(subcommand)]
    Audit(audit::Audit),
    /// The key management centre: begins, runs, says how it is.
    #[command(subcommand)]
    Kmc(centre::kmc::Kmc),
    /// The root document: who speaks for the centre.
    #[command(subcommand)]
    Root(centre::root::Root),
    /// Persons and their keys.
    #[command(subcommand)]
    Person(centre::person::Person),
    /// Nodes: at the centre, and at the node's own place (join, show --data, carry).
    #[command(subcommand)]
    Node(centre::node::Node),
    /// Virtual networks.
    #[command(subcommand)]
    Zone(centre::zone::Zone),
    /// Keys of the centre.
    #[command(subcommand)]
    Key(centre::key::Key),
    /// Policies of key sets.
    #[command(subcommand)]
    Policy(centre::policy::Policy),
    /// New keys for a zone.
    #[command(subcommand)]
    Rotate(centre::rotate::Rotate),
    /// Campaigns.
    #[command(subcommand)]
    Campaign(centre::campaign::Campaign),
    /// Approvals.
    #[command(subcommand)]
    Approve(centre::approve::Approve),
    /// Reports of the centre.
    #[command(subcommand)]
    Report(centre::report::Report),
    /// Key ceremonies.
    #[command(subcommand)]
    Ceremony(centre::ceremony::Ceremony),
    Calc(calc::Args),
    Vectors(vectors::Args),
    #[command(subcommand)]
    Token(token::Token),
    Doctor(doctor::Args),
    #[command(hide = true)]
    Worker(worker::Args),
}

impl Verb {
    /// Does it.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Serve(args) => end(serve::run(*args)),
            Self::Config(verb) => end(config::run(&verb)),
            Self::Demo(args) => end(demo::run(&args)),
            Self::Bench(args) => end(bench::run(&args)),
            Self::Send(args) => send::run(&args),
            Self::Decode(args) => decode::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Lmk(verb) => end(lmk::run(verb)),
            Self::Officer(verb) => end(officer::run(&verb)),
            Self::Authorise(args) => end(authorise::run(&args)),
            Self::Dectab(verb) => end(dectab::run(&verb)),
            Self::Audit(verb) => end(audit::run(verb)),
            Self::Kmc(verb) => end(centre::kmc::run(verb)),
            Self::Root(verb) => end(centre::root::run(verb)),
            Self::Person(verb) => end(centre::person::run(verb)),
            Self::Node(verb) => end(centre::node::run(verb)),
            Self::Zone(verb) => end(centre::zone::run(verb)),
            Self::Key(verb) => end(centre::key::run(verb)),
            Self::Policy(verb) => end(centre::policy::run(verb)),
            Self::Rotate(verb) => end(centre::rotate::run(verb)),
            Self::Campaign(verb) => end(centre::campaign::run(verb)),
            Self::Approve(verb) => end(centre::approve::run(verb)),
            Self::Report(verb) => end(centre::report::run(&verb)),
            Self::Ceremony(verb) => end(centre::ceremony::run(verb)),
            Self::Calc(args) => end(calc::run(&args)),
            Self::Vectors(args) => end(vectors::run(&args)),
            Self::Token(verb) => end(token::run(&verb)),
            Self::Doctor(args) => end(doctor::run(&args)),
            Self::Worker(args) => end(worker::run(args)),
        }
    }
}

// A diagnostic with its place in a file has lines of its own; everything else is one line.
fn end(exit: Exit) -> ExitCode {
    let Err(failure) = whole(exit) else { return ExitCode::SUCCESS };
    match failure.message.trim_end() {
        "" => {}
        text if text.contains('\n') => eprintln!("{text}"),
        line => eprintln!("payhsm: {line}"),
    }
    ExitCode::from(failure.code)
}
