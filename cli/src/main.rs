//! The program `payhsm`: wiring and verbs. Each verb has a file of its own under `verbs/`.

// Those of the standard library panic when a stream was closed before: a run would end with the log that it is told to.
macro_rules! println {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        $crate::exit::note(writeln!(std::io::stdout(), $($words)*));
    }};
}
macro_rules! print {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        $crate::exit::note(write!(std::io::stdout(), $($words)*));
    }};
}
macro_rules! eprintln {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _nobody_reads = writeln!(std::io::stderr(), $($words)*);
    }};
}
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
