//! `payhsm node evidence`: what a node shows when the centre denies that it was told. Read beside the process that serves.

use super::file;
use crate::exit::{Exit, Failure};
use gateway::node::{Who, identity_file, receipt_file, store_file};
use keylink::message::{InclusionProof, Receipt};
use std::path::PathBuf;

/// Arguments of `evidence`.
#[derive(Debug, clap::Args)]
pub struct Evidence {
    /// Folder of everything that is kept.
    #[arg(long, env = "PAYHSM_DATA", value_name = "DIR")]
    data: PathBuf,
    /// File for the evidence, which `payhsm audit verify-receipt` takes.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The evidence on standard output, one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Evidence) -> Exit {
    let path = identity_file(&args.data);
    let identity = Who::load(&path).map_err(|error| file(&path, error))?;
    let evidence = receipt_file(&store_file(&args.data), &identity).map_err(Failure::environment)?;
    if let Some(to) = &args.to {
        std::fs::write(to, evidence.to_bytes()).map_err(|error| file(to, error))?;
    }
    if args.json {
        println!("{}", String::from_utf8_lossy(&evidence.to_bytes()));
        return Ok(());
    }
    let number = |signed: Option<&keylink::Signed>| {
        signed.and_then(|one| one.peek::<Receipt>().ok()).map_or(0, |receipt| receipt.head.seq.0)
    };
    let (first, last) = (number(evidence.receipts.first()), number(evidence.receipts.last()));
    println!("receipts {first} to {last}, {} counter-receipts of the centre", evidence.counters.len());
    match evidence.proof.as_ref().and_then(|proof| proof.peek::<InclusionProof>().ok()) {
        Some(proof) => println!(
            "proved up to {}: entry {} of the log of {} entries",
            proof.head.seq, proof.index, proof.checkpoint.size
        ),
        None => println!("no proof yet: the centre sends it when a checkpoint covers the receipt"),
    }
    if !evidence.disputed.is_empty() {
        println!("{} proofs of the centre DO NOT HOLD, and are signed by it", evidence.disputed.len());
    }
    if !evidence.forks.is_empty() {
        println!("{} proofs of the centre are of ANOTHER TREE than it had shown", evidence.forks.len());
    }
    Ok(())
}
