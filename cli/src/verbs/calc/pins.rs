//! PIN blocks.

use super::report::{Case, Report, failure, text_of};
use super::secrets::Secrets;
use crate::exit::Failure;
use crate::verbs::vectors::{deciphered, enciphered, format_of};
use clap::{Args, Subcommand};

#[derive(Subcommand, Debug)]
pub enum BlockVerb {
    /// Forms the clear block of a PIN. Secret: PIN.
    Encode(Encode),
    /// Reads a clear block and judges all of it. Secret: block.
    Decode(Decode),
    /// Forms a block and enciphers it. Secrets: PIN, key (TDES; AES for iso4).
    Encipher(Encode),
    /// Deciphers a block. Secret: key (TDES; AES for iso4).
    Decipher(Decipher),
}

#[derive(Args, Debug)]
pub struct Encode {
    /// Format: iso0 to iso4, docutel, diebold, plus, mastercard, visa2, visa3, eci2, eci3, or a host code.
    #[arg(long, default_value = "iso0")]
    format: String,
    /// Account number with its check digit.
    #[arg(long)]
    pan: Option<String>,
    /// Hex digits in place of random fill.
    #[arg(long)]
    fill: Option<String>,
}

#[derive(Args, Debug)]
pub struct Decode {
    /// Format, as for encode.
    #[arg(long, default_value = "iso0")]
    format: String,
    /// Account number with its check digit.
    #[arg(long)]
    pan: Option<String>,
}

#[derive(Args, Debug)]
pub struct Decipher {
    #[command(flatten)]
    read: Decode,
    /// Enciphered block, hexadecimal.
    #[arg(long)]
    block: String,
}

pub fn pinblock(verb: &BlockVerb, secrets: &mut Secrets) -> Result<Report, Failure> {
    let mut report = Report::default();
    match verb {
        BlockVerb::Encode(args) => report.row("block", clear(args, secrets)?),
        BlockVerb::Decode(args) => {
            let block = secrets.next("Clear PIN block")?;
            report.row("pin", reading(args).with("block", block.as_str()).text("pinblock.decode", "pin")?);
        }
        BlockVerb::Encipher(args) => report.row("block", encipher(args, secrets)?),
        BlockVerb::Decipher(args) => report.row("pin", decipher(args, secrets)?),
    }
    Ok(report)
}

fn reading(args: &Decode) -> Case {
    Case::default().with("format", args.format.as_str()).maybe("pan", args.pan.as_deref())
}

fn clear(args: &Encode, secrets: &mut Secrets) -> Result<String, Failure> {
    let pin = secrets.next("PIN")?;
    Case::default()
        .with("format", args.format.as_str())
        .with("pin", pin.as_str())
        .maybe("pan", args.pan.as_deref())
        .maybe("fill", args.fill.as_deref())
        .text("pinblock.encode", "block")
}

fn encipher(args: &Encode, secrets: &mut Secrets) -> Result<String, Failure> {
    let format = format_of(&args.format).map_err(failure)?;
    let (pin, key) = (secrets.next("PIN")?, secrets.next("PIN key")?);
    Case::default()
        .with("pin", pin.as_str())
        .with("key", key.as_str())
        .maybe("pan", args.pan.as_deref())
        .maybe("fill", args.fill.as_deref())
        .apply(|given| enciphered(given, format, "fill"))
        .and_then(|out| text_of(out, "block"))
}

fn decipher(args: &Decipher, secrets: &mut Secrets) -> Result<String, Failure> {
    let format = format_of(&args.read.format).map_err(failure)?;
    let key = secrets.next("PIN key")?;
    reading(&args.read)
        .with("block", args.block.replace(' ', ""))
        .with("key", key.as_str())
        .apply(|given| deciphered(given, format))
        .and_then(|out| text_of(out, "pin"))
}
