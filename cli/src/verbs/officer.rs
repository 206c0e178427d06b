//! `payhsm officer add|list`: who may authorise.

use crate::control::officers::Officers;
use crate::control::wire::{DataFolder, passphrase};
use crate::exit::{Exit, Failure};
use crate::private::make_folder;
use clap::Subcommand;
use serde_json::json;
use std::io::{self, IsTerminal};

/// Makes and lists the officers who authorise what needs two people.
#[derive(Debug, Subcommand)]
pub enum Officer {
    /// Adds an officer, whose passphrase is asked for.
    Add {
        /// Name: small letters, digits, `.`, `_` and `-`.
        name: String,
        #[command(flatten)]
        folder: DataFolder,
        /// JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Lists the officers' names.
    List {
        #[command(flatten)]
        folder: DataFolder,
        /// JSON on standard output.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the verb.
pub fn run(verb: &Officer) -> Exit {
    match verb {
        Officer::Add { name, folder, json } => add(name, folder, *json),
        Officer::List { folder, json } => {
            let officers = Officers::load(&folder.data)?;
            if *json {
                println!("{}", json!(officers.names().collect::<Vec<_>>()));
            } else {
                officers.names().for_each(|name| println!("{name}"));
            }
            Ok(())
        }
    }
}

fn add(name: &str, DataFolder { data }: &DataFolder, json: bool) -> Exit {
    make_folder(data).map_err(|error| Failure::environment(format!("{}: {error}", data.display())))?;
    let secret = passphrase(&format!("passphrase of {name}: "))?;
    if io::stdin().is_terminal() && passphrase("once more: ")?.expose() != secret.expose() {
        return Err(Failure::check("the two passphrases differ"));
    }
    let mut officers = Officers::load(data)?;
    officers.add(name, secret.expose())?;
    officers.save(data)?;
    if json {
        println!("{}", json!({ "name": name }));
    } else {
        println!("{name} is an officer");
    }
    Ok(())
}
