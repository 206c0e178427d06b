//! `payhsm node package`: what is due for a node in a file, and what the node wrote taken back; and where a node takes
//! pushes. The file is carried by whoever goes there: it opens nothing, and every message in it proves itself.

use super::node::find;
use super::place::{Place, block_on, show, table};
use crate::exit::{Exit, Failure};
use clap::Args;
use keylink::envelope::{bytes_of, strict};
use keylink::message::{Mail, Package as File, Parcel};
use keymgr::service::{Fate, Verdict};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Longest file that is taken: as much as the manager takes.
const FILE_MAX: u64 = 1 << 20;

/// Arguments of `node package`.
#[derive(Debug, Args)]
pub struct Package {
    /// Name or id.
    node: String,
    /// Takes this file, which the node wrote (`payhsm node carry`): receipts, refusals, status. Done before --out.
    #[arg(long, value_name = "FILE", required_unless_present = "out")]
    take: Option<PathBuf>,
    /// Writes what is due for the node to this file, for `payhsm node carry` at its place.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `node push`.
#[derive(Debug, Args)]
pub struct Push {
    /// Name or id.
    node: String,
    /// HOST:PORT at which the node takes pushes (`push` of its `[node]`).
    #[arg(required_unless_present = "off")]
    address: Option<String>,
    /// The node is not pushed to any more.
    #[arg(long, conflicts_with = "address")]
    off: bool,
    #[command(flatten)]
    place: Place,
}

/// Takes, then makes, a package.
pub fn package(args: &Package) -> Exit {
    let brought = args.take.as_deref().map(read).transpose()?;
    let client = args.place.client()?;
    let node = find(&client, &args.node)?;
    let verdicts: Option<Vec<Verdict>> = brought
        .map(|file| block_on(client.post(&format!("/nodes/{}/parcel", node.id), &file)))
        .transpose()?;
    let made: Option<File<Mail>> = match &args.out {
        Some(out) => {
            let made = block_on(client.post(&format!("/nodes/{}/package", node.id), &json!({})))?;
            std::fs::write(out, bytes_of(&made)).map_err(|error| unusable(out, error))?;
            Some(made)
        }
        None => None,
    };
    let kinds: Option<Vec<String>> = made.map(|made| {
        let roots = made.content.roots.iter().map(|_| "root".to_owned());
        roots.chain(made.content.messages.iter().map(|message| message.kind.clone())).collect()
    });
    let report = json!({
        "node": node.name, "id": node.id, "taken": verdicts, "file": args.out, "messages": kinds,
    });
    show(args.place.json, &report, |_| {
        let taken = verdicts.as_deref().map(of_verdicts).unwrap_or_default();
        let made = kinds.as_ref().zip(args.out.as_deref()).map(|(kinds, out)| of_package(kinds, out));
        format!("{taken}{}", made.unwrap_or_default())
    })?;
    let refused = verdicts.iter().flatten().filter(|verdict| verdict.fate == Fate::Refused).count();
    match refused {
        0 => Ok(()),
        some => Err(Failure::check(format!("{some} of the messages change nothing: see their codes"))),
    }
}

fn of_verdicts(list: &[Verdict]) -> String {
    let row = |one: &Verdict| {
        let fate = format!("{:?}", one.fate).to_lowercase();
        let why = [one.code.clone(), one.detail.clone()].into_iter().flatten().collect::<Vec<_>>().join(": ");
        vec![one.kind.clone(), fate, one.message.to_string().chars().take(16).collect(), why]
    };
    table(&["message", "is", "hash", ""], &list.iter().map(row).collect::<Vec<_>>())
}

fn of_package(kinds: &[String], out: &Path) -> String {
    let due = kinds.iter().any(|kind| kind != "counter-receipt");
    let what = match (due, kinds.is_empty()) {
        (_, true) => "nothing is due".to_owned(),
        (false, _) => "nothing is due but what confirms receipts".to_owned(),
        _ => kinds.join(", "),
    };
    format!("{}: {what}\n", out.display())
}

fn unusable(file: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::environment(format!("{}: {error}", file.display()))
}

fn read(path: &Path) -> Result<File<Parcel>, Failure> {
    let length = std::fs::metadata(path).map_err(|error| unusable(path, error))?.len();
    if length > FILE_MAX {
        return Err(Failure::check(format!("{}: too long for a package", path.display())));
    }
    let bytes = std::fs::read(path).map_err(|error| unusable(path, error))?;
    strict(&bytes).map_err(|_| Failure::check(format!("{}: not a package of a node", path.display())))
}

/// Says where a node takes pushes.
pub fn push(args: &Push) -> Exit {
    let client = args.place.client()?;
    let node = find(&client, &args.node)?;
    let body = json!({ "address": args.address });
    let done: Value = block_on(client.post(&format!("/nodes/{}/push", node.id), &body))?;
    show(args.place.json, &done, |_| match &args.address {
        Some(address) => format!("{} is pushed to at {address}", node.name),
        None => format!("{} is not pushed to", node.name),
    })
}
