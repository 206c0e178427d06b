//! `payhsm token init|list`: PKCS#11 tokens before they hold an LMK.

use crate::exit::{Exit, Failure};
use crate::hardening;
use crate::private::{open_line, secret_line};
use crate::token::failure;
use hsm_pkcs11::initialise::{Plan, TokenFacts, initialise, target, tokens};
use hsm_pkcs11::{Pin, known_module};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Makes PKCS#11 tokens ready for use.
#[derive(Debug, clap::Subcommand)]
pub enum Token {
    /// Initialises a token: label, PIN of its security officer, user PIN.
    ///
    /// A token that is initialised already is refused; with --force its label must be typed, and everything on it
    /// is lost.
    Init(Init),
    /// Shows the tokens of a module.
    List(List),
}

/// Arguments of `token init`.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Label of the token, at most 32 bytes.
    #[arg(long, value_name = "LABEL")]
    label: String,
    /// The PKCS#11 module; SoftHSM where packages put it when missing.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Slot; without it the token of that label, else the first one that is not initialised.
    #[arg(long)]
    slot: Option<u64>,
    /// File with the PIN of the security officer; asked for when missing.
    #[arg(long, value_name = "FILE")]
    so_pin_file: Option<PathBuf>,
    /// File with the user PIN; asked for when missing.
    #[arg(long, env = "PAYHSM_PIN_FILE", value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Erases a token that is initialised, after its label was typed.
    #[arg(long)]
    force: bool,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Arguments of `token list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// The PKCS#11 module; SoftHSM where packages put it when missing.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(verb: &Token) -> Exit {
    match verb {
        Token::Init(args) => init(args),
        Token::List(args) => {
            print(&tokens(&module(args.module.as_ref())?).map_err(failure)?, args.json);
            Ok(())
        }
    }
}

fn module(named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let found = named.cloned().or_else(known_module);
    found
        .ok_or_else(|| Failure::environment("no PKCS#11 module: name one with --module, or install softhsm2"))
}

fn init(args: &Init) -> Exit {
    hardening::harden();
    let module = module(args.module.as_ref())?;
    let so_pin = pin(args.so_pin_file.as_deref(), "PIN of the security officer")?;
    let user_pin = pin(args.pin_file.as_deref(), "user PIN")?;
    let mut plan = Plan {
        module: &module,
        label: &args.label,
        slot: args.slot,
        so_pin: &so_pin,
        pin: &user_pin,
        erase: false,
    };
    let found = target(&plan).map_err(failure)?;
    if found.initialised && args.force {
        confirm(&found)?;
        plan.erase = true;
    }
    print(&[initialise(&plan).map_err(failure)?], args.json);
    Ok(())
}

// The label, so that nobody erases another token than the one that was meant.
fn confirm(found: &TokenFacts) -> Exit {
    eprintln!(
        "token `{}`, serial {}, is initialised: all keys on it will be lost",
        found.label, found.serial
    );
    if open_line("type its label to erase it: ")? == found.label {
        Ok(())
    } else {
        Err(Failure::check("another label was typed: nothing was done"))
    }
}

fn pin(file: Option<&Path>, what: &str) -> Result<Pin, Failure> {
    if let Some(path) = file {
        return Pin::read(path).map_err(|error| Failure::environment(format!("{}: {error}", path.display())));
    }
    let typed = trimmed(&secret_line(&format!("{what}: "))?);
    if io::stdin().is_terminal() && trimmed(&secret_line(&format!("{what} again: "))?) != typed {
        return Err(Failure::usage(format!("the {what} was not typed twice the same")));
    }
    if typed.is_empty() { Err(Failure::usage(format!("no {what}"))) } else { Ok(Pin::new(typed)) }
}

fn trimmed(line: &str) -> Zeroizing<String> {
    Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn print(tokens: &[TokenFacts], json: bool) {
    if json {
        let all: Vec<_> = tokens
            .iter()
            .map(|token| {
                serde_json::json!({
                    "slot": token.slot,
                    "label": token.label,
                    "serial": token.serial,
                    "manufacturer": token.manufacturer,
                    "model": token.model,
                    "initialised": token.initialised,
                    "has_pin": token.has_pin,
                    "pin_locked": token.pin_locked,
                })
            })
            .collect();
        println!("{}", serde_json::json!({ "tokens": all }));
        return;
    }
    for token in tokens {
        let TokenFacts { slot, label, serial, manufacturer, model, .. } = token;
        let state = match (token.initialised, token.has_pin, token.pin_locked) {
            (false, ..) => "not initialised",
            (true, false, _) => "no user PIN",
            (true, true, true) => "user PIN locked",
            (true, true, false) => "ready",
        };
        println!("slot {slot}  label `{label}`  serial {serial}  {manufacturer} {model}: {state}");
    }
}
