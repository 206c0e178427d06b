//! `payhsm dectab add|encrypt`: decimalisation tables that strict listeners take.

use crate::control::tables::{RULE, parse};
use crate::control::wire::{DataFolder, Reply, Request, call, two_consents};
use crate::exit::Exit;
use clap::Subcommand;

/// Registers or encrypts decimalisation tables on a running server, by two officers: a table of an attacker's
/// choice gives PINs away.
#[derive(Debug, Subcommand)]
pub enum Dectab {
    /// Registers a clear table, at once and for later starts on this folder.
    Add {
        /// Sixteen digits.
        #[arg(value_parser = table)]
        table: String,
        #[command(flatten)]
        folder: DataFolder,
    },
    /// Prints the cryptogram of a table, for the table field of host commands.
    Encrypt {
        /// Sixteen digits.
        #[arg(value_parser = table)]
        table: String,
        /// Identifier of an LMK of the server.
        #[arg(long, value_name = "NN", value_parser = clap::value_parser!(u8).range(0..100))]
        lmk: u8,
        #[command(flatten)]
        folder: DataFolder,
    },
}

/// Runs the verb.
pub fn run(verb: &Dectab) -> Exit {
    match verb {
        Dectab::Add { table, folder } => {
            let request = Request::DectabAdd { table: table.clone(), officers: two_consents(&folder.data)? };
            call(&folder.data, &request)?;
            println!("the table is registered");
        }
        Dectab::Encrypt { table, lmk, folder } => {
            let request = Request::DectabEncrypt {
                table: table.clone(),
                lmk: *lmk,
                officers: two_consents(&folder.data)?,
            };
            if let Reply::Table(field) = call(&folder.data, &request)? {
                println!("{field}");
            }
        }
    }
    Ok(())
}

fn table(text: &str) -> Result<String, String> {
    parse(text).map(|_| text.to_owned()).ok_or_else(|| RULE.to_owned())
}
