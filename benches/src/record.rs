//! Records of runs: JSON files with the facts of the machine, and what can be done with them.

use crate::{curves, page, pkcs11, ratios};
use clap::ValueEnum;
use serde::{Serialize, de::DeserializeOwned};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is measured; everything if none is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    #[command(flatten)]
    ratios: ratios::Args,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The key management centre: its store, and a key to thousands of nodes.
    Centre,
    /// The gateway against others.
    Ratios,
    /// How cost grows.
    Curves,
    /// A PKCS#11 token.
    Token,
}

/// What the table of the centre is made of: each keeps its own figures.
const CENTRE: [&[&str]; 4] = [
    &["store", "receipts", "verification", "--record"],
    &["store", "inventory", "--record"],
    &["staging", "--record"],
    &["staging", "--store", "postgres", "--record"],
];

/// Where records of this repository are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("record")
}

/// Measures again, and writes the records, the plots, and the tables of the documents. What cannot be measured is told
/// at the end, and does not take the rest with it.
pub fn run(args: &Args) -> io::Result<()> {
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    let mut all = args.ratios.clone();
    all.record = Some(folder().join("ratios.json"));
    let mut done = Vec::new();
    // First of all: what follows keeps this process, and so its children, on one processor.
    if wanted(Part::Centre) && !all.quick {
        done.extend(CENTRE.map(again));
    }
    if wanted(Part::Ratios) {
        done.push(ratios::run(&all));
    }
    let seconds = if all.quick { 0.1 } else { all.seconds / 2.0 };
    if wanted(Part::Curves) {
        let (pairs, record) = (if all.quick { 1 } else { 3 }, Some(folder().join("curves.json")));
        done.push(curves::run(&curves::Args { pairs, seconds, json: false, record }));
    }
    if wanted(Part::Token) {
        let (pairs, record) = (if all.quick { 1 } else { 5 }, Some(folder().join("token.json")));
        done.push(pkcs11::run(&pkcs11::Args { pairs, seconds, json: false, record }));
    }
    page::run()?;
    let failed: Vec<String> = done.into_iter().filter_map(Result::err).map(|e| e.to_string()).collect();
    if failed.is_empty() { Ok(()) } else { Err(io::Error::other(failed.join("; "))) }
}

// This program with other words, as the table will name it.
fn again(words: &[&str]) -> io::Result<()> {
    let ended = Command::new(std::env::current_exe()?).args(words).status()?;
    if ended.success() { Ok(()) } else { Err(io::Error::other(format!("{}: {ended}", words.join(" ")))) }
}

/// Writes a document.
pub fn write(path: &Path, document: &impl Serialize) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, serde_json::to_string_pretty(document)? + "\n")
}

/// Reads one.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let named = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| named(&error))?;
    serde_json::from_str(&text).map_err(|error| named(&error))
}
