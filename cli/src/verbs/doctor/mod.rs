//! `payhsm doctor`: what this machine and its token are fit for, before anything is served.
//!
//! Ends with 0 when nothing that is needed is missing, 1 when something that was found does not hold, 2 for wrong
//! usage, 3 when there is no module or no token to look at.

mod machine;
mod report;
mod token;

use crate::exit::{Exit, Failure};
use crate::hardening;
use report::{Report, State};
use std::path::PathBuf;

/// Checks the machine, the PKCS#11 module, the token and its LMKs, and says what would not work.
///
/// Ends with 0 when all is well, 1 when something does not hold, 3 when there is no module or token.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The token: pkcs11:token=LABEL;serial=…?module-path=FILE (RFC 7512). Without it only the machine is looked at.
    #[arg(long, env = "PAYHSM_TOKEN", value_name = "URI")]
    token: Option<String>,
    /// File with the user PIN of the token.
    #[arg(long, env = "PAYHSM_PIN_FILE", value_name = "FILE", requires = "token")]
    pin_file: Option<PathBuf>,
    /// Data folder to look at.
    #[arg(long, env = "PAYHSM_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Workers that are to share the token.
    #[arg(long, env = "PAYHSM_WORKERS", default_value_t = 1, value_name = "N")]
    workers: u64,
    /// Connections that are to be served.
    #[arg(long, default_value_t = 8192, value_name = "N")]
    connections: u64,
    /// Treats DES as if the token had none: what an AES-only module would mean.
    #[arg(long)]
    without_des: bool,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Exit {
    hardening::harden();
    let mut report = Report::default();
    machine::look(args, &mut report);
    if let Some(uri) = &args.token {
        token::look(args, uri, &mut report)?;
    }
    report.print(args.json);
    // The report has said everything.
    match report.worst() {
        State::Missing => Err(Failure::environment("")),
        State::Wrong => Err(Failure::check("")),
        State::Good | State::Worth => Ok(()),
    }
}
