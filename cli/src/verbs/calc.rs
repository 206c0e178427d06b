//! `payhsm calc`: one formula at a time, for people at a terminal.
//!
//! Each verb names the inputs of a function of `payhsm vectors` and lets it compute, so that both always
//! agree. Keys, PINs and components never stand on the command line, where other users of the machine and
//! the shell's history see them: they are read from `--secrets FILE`, from a pipe, or asked for. A verb that
//! could show a clear key shows its check value, unless `--show` asks for the key.

mod blocks;
mod cards;
mod keys;
mod pins;
mod report;
mod secrets;

use crate::exit::Exit;
use clap::{Args as ClapArgs, Subcommand};
use report::Report;
use secrets::Secrets;
use std::io;
use std::path::PathBuf;

/// Calculates check values, PIN blocks, card values, keys and key blocks.
///
/// Secrets (keys, components, PINs) are read one on a line, in the order in which the verb names them.
/// Keys are hexadecimal; blanks in them do not count. Ends with 0, with 1 when a value is refused or does
/// not match, with 2 for wrong usage.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// JSON on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// File with the secrets, one on a line; without it they come from standard input or are asked for.
    #[arg(long, global = true, value_name = "FILE")]
    secrets: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Check values of a key. Secret: key.
    Kcv(keys::KcvArgs),
    /// Joins components to a key by XOR. Secrets: components, each a line.
    Components(keys::ComponentArgs),
    /// Splits a key into random components. Secret: key.
    Split(keys::SplitArgs),
    /// Judges or forces odd parity. Secret: key.
    Parity(keys::ParityArgs),
    /// Forms and reads PIN blocks.
    Pinblock {
        #[command(subcommand)]
        verb: pins::BlockVerb,
    },
    /// Visa PVV. Secrets: PVK, PIN.
    Pvv(cards::PvvArgs),
    /// IBM 3624 natural PIN, PIN and offset. Secrets: PVK, then the PIN when there is no --offset.
    Ibm(cards::IbmArgs),
    /// CVV, CVC, iCVV, CVV2. Secret: CVK.
    Cvv(cards::CvvArgs),
    /// American Express CSC. Secret: CSCK.
    Csc(cards::CscArgs),
    /// DUKPT keys, TDES (KSN of 10 bytes) or AES (12 bytes). Secret: BDK.
    Dukpt(keys::DukptArgs),
    /// ISO 9797-1, CMAC and HMAC. Secret: key.
    Mac(keys::MacArgs),
    /// Key blocks of TR-31, X9.143, ISO 20038.
    Tr31 {
        #[command(subcommand)]
        verb: blocks::Tr31Verb,
    },
    /// Key blocks of payment HSMs (`S` blocks).
    Sblock {
        #[command(subcommand)]
        verb: blocks::SVerb,
    },
}

/// Computes and shows.
pub fn run(args: &Args) -> Exit {
    let mut secrets = Secrets::new(args.secrets.clone());
    let report = calculate(&args.verb, &mut secrets)?;
    report.write(args.json, &mut io::stdout().lock())?;
    report.verdict()
}

fn calculate(verb: &Verb, secrets: &mut Secrets) -> Result<Report, crate::exit::Failure> {
    match verb {
        Verb::Kcv(args) => keys::kcv(args, secrets),
        Verb::Components(args) => keys::components(args, secrets),
        Verb::Split(args) => keys::split(args, secrets),
        Verb::Parity(args) => keys::parity(args, secrets),
        Verb::Pinblock { verb } => pins::pinblock(verb, secrets),
        Verb::Pvv(args) => cards::pvv(args, secrets),
        Verb::Ibm(args) => cards::ibm(args, secrets),
        Verb::Cvv(args) => cards::cvv(args, secrets),
        Verb::Csc(args) => cards::csc(args, secrets),
        Verb::Dukpt(args) => keys::dukpt(args, secrets),
        Verb::Mac(args) => keys::mac(args, secrets),
        Verb::Tr31 { verb } => blocks::tr31(verb, secrets),
        Verb::Sblock { verb } => blocks::sblock(verb),
    }
}

#[cfg(test)]
mod tests;
