//! `payhsm node form-kek`: the root KEK of this node from components that its custodians type, one after the other. The
//! centre's custodians enter the same in a ceremony; the two are in use when the centre has the node's proof.

use super::{NodeTable, alone};
use crate::backend::SourceOptions;
use crate::exit::{Exit, Failure};
use crate::verbs::centre::ceremony::entered;
use keymgr::ceremony::check_of;
use keymgr::vault::{ROOT_KEK, combine};
use paytypes::ClearKey;
use std::path::PathBuf;

/// Arguments of `form-kek`.
#[derive(Debug, clap::Args)]
pub struct FormKek {
    /// Folder of everything that is kept.
    #[arg(long, env = "PAYHSM_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Number of the KEK at this node, as the centre has it; the next when missing.
    #[arg(long)]
    number: Option<u32>,
    /// How many components there are. Each is asked for twice and not echoed.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=9))]
    components: u8,
    /// Check value of the combined key, as the transcript of the centre's ceremony says it; another is not taken.
    #[arg(long, value_name = "HEX")]
    kcv: Option<String>,
    /// LMK of traffic; the first one when missing.
    #[arg(long)]
    lmk: Option<u8>,
    /// LMK of the root KEK; the first AES key-block LMK when missing.
    #[arg(long)]
    kek_lmk: Option<u8>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceOptions,
}

/// Runs the verb.
pub async fn run(args: FormKek) -> Exit {
    let table = NodeTable { lmk: args.lmk, kek_lmk: args.kek_lmk, ..NodeTable::default() };
    let (mut side, _) = alone(&args.data, &table, args.source).await?;
    let held = side.machine().state().kek.as_ref().map_or(0, |kek| kek.number);
    let number = args.number.unwrap_or_else(|| held.saturating_add(1));
    if number <= held {
        return Err(Failure::check(format!("this node has root KEK {held}: the number only rises")));
    }
    let (kind, length) = (ROOT_KEK.shape.kind, ROOT_KEK.shape.length);
    let (mut parts, mut checks): (Vec<ClearKey>, Vec<String>) = (Vec::new(), Vec::new());
    for part in 1..=args.components {
        let clear = entered(&format!("component {part}"), length)?;
        let check = check_of(kind, &clear).map_err(Failure::check)?;
        eprintln!("component {part} check value {check}");
        parts.push(clear);
        checks.push(check);
    }
    let clear = Box::new(combine(&parts, ROOT_KEK).map_err(Failure::check)?);
    drop(parts);
    let kcv = check_of(kind, &clear).map_err(Failure::check)?;
    eprintln!("root KEK {number} check value {kcv}");
    if args.kcv.as_ref().is_some_and(|stated| !stated.trim().eq_ignore_ascii_case(&kcv)) {
        return Err(Failure::check("another check value than was stated: nothing is changed"));
    }
    let formed = side.form_kek(number, clear).await.map_err(Failure::environment)?;
    let kek = formed.map_err(|reason| Failure::check(format!("not taken: {reason:?}")))?;
    if args.json {
        println!("{}", serde_json::json!({ "number": kek.number, "kcv": kek.kcv, "components": checks }));
    } else {
        println!("root KEK {} {}: the centre hears of it with the next receipts", kek.number, kek.kcv);
    }
    Ok(())
}
