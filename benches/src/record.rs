//! Records of runs: JSON files with the facts of the machine, and what can be done with them.

use crate::{curves, page, ratios};
use serde::{Serialize, de::DeserializeOwned};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    ratios: ratios::Args,
}

/// Where records of this repository are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("record")
}

/// Measures everything again, and writes the records, the plots, and the tables of the documents.
pub fn run(args: &Args) -> io::Result<()> {
    let mut all = args.ratios.clone();
    all.record = Some(folder().join("ratios.json"));
    ratios::run(&all)?;
    let seconds = if all.quick { 0.1 } else { all.seconds / 2.0 };
    let (points, record) = (if all.quick { 1 } else { 3 }, Some(folder().join("curves.json")));
    curves::run(&curves::Args { pairs: points, seconds, json: false, record })?;
    page::run()
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
