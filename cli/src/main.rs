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
mod log;
mod node_side;
mod node_token;
mod oracle;
mod private;
mod token;
mod verbs;
mod workers;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Payment-HSM gateway, software HSM and tools around the host command language.
#[derive(Debug, Parser)]
#[command(name = "payhsm", version, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    verb: verbs::Verb,
}

// Whoever reads standard output may have seen enough, as `head` has: that is no failure of ours.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map(String::as_str).unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    end_with_the_reader();
    Program::parse().verb.run()
}
