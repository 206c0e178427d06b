//! `payhsm vectors`: every formula of the libraries behind one function, so that anyone can hold them against
//! another implementation, in any language.
//!
//! A line `{"id","fn","in"}` on standard input gives a line `{"id","out"}` or `{"id","error"}`, in the
//! format of `tests/vectors/schema.json`. Key blocks are opened without a policy unless `in.policy` names one
//! (see [`keyblocks`]). A line that is no case, an unknown function and a missing input are answered with the
//! class `input`, which no vector expects.

mod cards;
mod dukpt;
mod emv;
mod input;
mod keyblocks;
mod macs;
mod pins;

pub use input::{Input, Out, Refused, ready};
pub use keyblocks::{kbpk, parse_policy};
pub use pins::{deciphered, enciphered, format_of};

use crate::exit::{Exit, Failure};
use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;

/// Computes test vectors: a JSON line in, a JSON line out.
///
/// Each line is {"id":…,"fn":…,"in":{…}}; the answer is {"id":…,"out":{…}} or {"id":…,"error":CLASS}.
/// Functions, inputs and error classes are those of tests/vectors/schema.json. Keys in the input are test
/// keys: they travel in the clear.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// File with the cases, one on a line; standard input without it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Adds a message for people to each error.
    #[arg(long)]
    explain: bool,
    /// Lists the functions and ends.
    #[arg(long)]
    list: bool,
}

type Function = fn(&Input<'_>) -> Out;

// One row for each function of the schema.
const FUNCTIONS: &[(&str, Function)] = &[
    ("cvv", cards::cvv),
    ("dukpt.aes.ik", dukpt::aes_initial),
    ("dukpt.aes.txn", dukpt::aes_transaction),
    ("dukpt.aes.update", dukpt::aes_update),
    ("dukpt.aes.working", dukpt::aes_working),
    ("dukpt.tdes.ik", dukpt::tdes_initial),
    ("dukpt.tdes.key", dukpt::tdes_keys),
    ("dukpt.tdes.pin_encrypt", dukpt::tdes_pin),
    ("emv.ac", emv::cryptogram),
    ("emv.ac.aes", emv::cryptogram_aes),
    ("emv.arpc1", emv::arpc_1),
    ("emv.arpc2", emv::arpc_2),
    ("emv.csk", emv::common_session),
    ("emv.cvc3", emv::cvc3),
    ("emv.icc_mk", emv::master_key),
    ("emv.script_encrypt", emv::script_encrypt),
    ("emv.script_mac", emv::script_mac),
    ("emv.tree_sk", emv::tree_session),
    ("emv.vis_pin_block", emv::vis_pin_block),
    ("emv.visa_sm_sk", emv::visa_session),
    ("kcv.cmac", macs::kcv_cmac),
    ("kcv.legacy", macs::kcv_legacy),
    ("key.odd_parity", macs::odd_parity),
    ("mac.cmac", macs::cmac),
    ("mac.hmac", macs::hmac),
    ("mac.iso9797.alg1", macs::iso9797_1),
    ("mac.iso9797.alg3", macs::iso9797_3),
    ("pin.ibm3624.natural", cards::ibm_natural),
    ("pin.ibm3624.offset", cards::ibm_offset),
    ("pin.ibm3624.pin", cards::ibm_pin),
    ("pin.translate", pins::translate),
    ("pin.visa_pvv", cards::pvv),
    ("pinblock.decode", pins::decode),
    ("pinblock.encode", pins::encode),
    ("pinblock.iso4.decipher", pins::decipher),
    ("pinblock.iso4.encipher", pins::encipher),
    ("tr31.length", keyblocks::length),
    ("tr31.parse", keyblocks::parse),
    ("tr31.unwrap", keyblocks::unwrap),
    ("tr31.wrap", keyblocks::wrap),
];

/// Computes one function of the schema over its named inputs.
pub fn compute(function: &str, given: &Value) -> Result<Map<String, Value>, Refused> {
    match FUNCTIONS.iter().find(|(name, _)| *name == function) {
        Some((_, run)) => run(&Input::new(given)),
        None => Err(Refused::input("no such function")),
    }
}

/// The answer to one case.
fn answer(case: &Value, explain: bool) -> Value {
    match compute(case["fn"].as_str().unwrap_or_default(), &case["in"]) {
        Ok(out) => json!({ "id": case["id"], "out": out }),
        Err(refused) if explain => {
            json!({ "id": case["id"], "error": refused.class, "message": refused.message })
        }
        Err(refused) => json!({ "id": case["id"], "error": refused.class }),
    }
}

/// Answers every line until the input ends; a line is answered before the next one is waited for.
pub fn run(args: &Args) -> Exit {
    let mut out = io::stdout().lock();
    if args.list {
        return FUNCTIONS.iter().try_for_each(|(name, _)| writeln!(out, "{name}")).or_else(closed);
    }
    let input: Box<dyn Read> = match &args.file {
        Some(path) => {
            Box::new(File::open(path).map_err(|e| Failure::environment(format!("{}: {e}", path.display())))?)
        }
        None => Box::new(io::stdin()),
    };
    serve(BufReader::new(input), io::BufWriter::new(out), args.explain).or_else(closed)
}

// A reader that went away is not our failure.
fn closed(error: io::Error) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(Failure::environment(error)) }
}

fn serve(mut input: BufReader<impl Read>, mut out: impl Write, explain: bool) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return out.flush();
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let reply = match keylink::wire::read::<Value>(&line) {
            Ok(case) => answer(&case, explain),
            Err(_) => json!({ "id": null, "error": Refused::INPUT }),
        };
        writeln!(out, "{reply}")?;
        if input.buffer().is_empty() {
            out.flush()?;
        }
    }
}

#[cfg(test)]
mod tests;
