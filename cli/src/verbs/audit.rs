//! `payhsm audit export|verify|verify-receipt|head|show`: the log of a key management centre, without the centre.

use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use keylink::receipt_file::{CentreKeys, ReceiptFile, Shown};
use keylink::root::SignedRoot;
use keymgr::audit::{Head, Options, READ_AT_ONCE, Report, export, verify_export, verify_store_in_use};
use keymgr::log::{Record, VerifierKey};
use keymgr::store::{Error, Location, Store, key_text};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Exports and verifies the audit log of a key management centre, offline and with public keys only.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Writes the log, its checkpoints and every row of state into one text file.
    Export(ExportArgs),
    /// Verifies an export or a store: edits, inserts, reorders, cut tails, roll-backs and forks are named.
    ///
    /// Exit code 0: everything holds. 1: something does not. 3: nothing could be read.
    Verify(Box<VerifyArgs>),
    /// Verifies what `payhsm node evidence` wrote: that the centre took the node's receipts.
    ///
    /// Exit code 0: the log holds them. 1: it is not proved, or something does not hold. 3: nothing could be read.
    VerifyReceipt(ReceiptArgs),
    /// Prints the newest checkpoint: the head to keep, and to verify against later.
    Head(HeadArgs),
    /// Prints log entries, one JSON object a line.
    Show(ShowArgs),
}

// Where `payhsm kmc init` puts it.
const DEFAULT_STORE: &str = "payhsm-data/kmc/store.db";

#[derive(Debug, Args)]
pub struct Place {
    /// The store: postgres://…, or the file of the embedded store.
    #[arg(
        long,
        value_name = "STORE",
        env = "PAYHSM_STORE",
        default_value = DEFAULT_STORE,
        hide_env_values = true
    )]
    store: Location,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file to write; - for standard output. A file that is there already is not touched.
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The export; - for standard input. Without one the store itself is verified.
    #[arg(conflicts_with = "store")]
    export: Option<PathBuf>,
    /// Verifies this store: postgres://…, or the file of the embedded store.
    /// Without either, that of PAYHSM_STORE, or the one of a centre in the working folder.
    #[arg(long, value_name = "STORE")]
    store: Option<Location>,
    /// A checkpoint that a node or an auditor kept, or an earlier export; repeatable.
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    /// Fails unless a head agrees.
    #[arg(long)]
    require_head: bool,
    /// Checks every signature too, and that each action had the approvals it needed.
    #[arg(long)]
    signatures: bool,
    /// The first checkpoint key of the log, NAME+ID+KEY, as known from elsewhere.
    #[arg(long, value_name = "KEY")]
    key: Option<VerifierKey>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ReceiptArgs {
    /// The evidence; - for standard input.
    evidence: PathBuf,
    /// Root documents of the centre, as `payhsm root show --to` writes them or one alone; repeatable, oldest first. The
    /// first is believed.
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
    /// Wants this receipt to be among those that are proved: its number, or its hash.
    #[arg(long, value_name = "NUMBER|HASH")]
    receipt: Option<String>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct HeadArgs {
    #[command(flatten)]
    place: Place,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// An export; without it, the store.
    export: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// The first entry to print.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// JSON on standard output, as always.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(verb: Audit) -> Exit {
    match verb {
        Audit::Export(args) => write_export(&args),
        Audit::Verify(args) => verify(*args),
        Audit::VerifyReceipt(args) => verify_receipt(&args),
        Audit::Head(args) => head(&args),
        Audit::Show(args) => show(&args),
    }
}

fn usual_store() -> Result<Location, Failure> {
    let named = std::env::var("PAYHSM_STORE").unwrap_or_else(|_| DEFAULT_STORE.to_owned());
    named.parse().map_err(Failure::usage)
}

fn open(location: &Location) -> Result<Store, Failure> {
    Store::read(location).map_err(|error| failed(location, &error))
}

fn failed(location: &Location, error: &Error) -> Failure {
    Failure::environment(format!("{location}: {}", keymgr::with_causes(error)))
}

fn at(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::environment(format!("{}: {error}", path.display()))
}

fn write_export(args: &ExportArgs) -> Exit {
    let mut store = open(&args.place.store)?;
    if args.file == Path::new("-") {
        if args.json {
            return Err(Failure::usage("standard output takes the export or --json, not both"));
        }
        return export(&mut store, &mut BufWriter::new(io::stdout().lock()))
            .map(drop)
            .map_err(|error| failed(&args.place.store, &error));
    }
    let mut file = BufWriter::with_capacity(1 << 20, File::create_new(&args.file).map_err(at(&args.file))?);
    let counts = export(&mut store, &mut file).map_err(|error| failed(&args.place.store, &error))?;
    file.into_inner()
        .map_err(|error| at(&args.file)(error.into_error()))?
        .sync_all()
        .map_err(at(&args.file))?;
    let [entries, checkpoints, rows] = counts;
    if args.json {
        let counts =
            json!({ "file": args.file, "entries": entries, "checkpoints": checkpoints, "rows": rows });
        println!("{counts}");
    } else {
        println!("{entries} entries, {checkpoints} checkpoints and {rows} rows in {}", args.file.display());
    }
    Ok(())
}

fn verify(args: VerifyArgs) -> Exit {
    let heads = args.head.iter().map(|path| {
        let bytes = std::fs::read(path).map_err(at(path))?;
        Head::parse(&path.display().to_string(), &bytes).map_err(Failure::environment)
    });
    let heads = heads.collect::<Result<_, _>>()?;
    let options = Options { heads, key: args.key, signatures: args.signatures };
    let report = match &args.export {
        Some(path) => verify_export(&mut *input(path)?, options).map_err(at(path))?,
        None => {
            let store = args.store.map_or_else(usual_store, Ok)?;
            verify_store_in_use(&mut open(&store)?, options).map_err(|error| failed(&store, &error))?
        }
    };
    if args.json {
        println!("{}", serde_json::to_string(&report).map_err(Failure::environment)?);
    } else {
        print(&report);
    }
    if !report.holds {
        return Err(Failure::check(format!("{} things do not hold", report.findings_total)));
    }
    if args.require_head && !report.anchored {
        return Err(Failure::check(
            "no head from outside agrees: a cut tail or an older copy would not be seen",
        ));
    }
    Ok(())
}

fn roots(paths: &[PathBuf]) -> Result<Vec<SignedRoot>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path).map_err(at(path))?;
        let many = keylink::wire::read::<Vec<SignedRoot>>(&bytes);
        let many = many.or_else(|_| keylink::wire::read::<SignedRoot>(&bytes).map(|one| vec![one]));
        let form = || Failure::environment(format!("{}: no root document", path.display()));
        all.extend(many.map_err(|_| form())?);
    }
    Ok(all)
}

fn verify_receipt(args: &ReceiptArgs) -> Exit {
    let centre = CentreKeys::of(&roots(&args.root)?).map_err(Failure::check)?;
    let mut bytes = Vec::new();
    // One that is longer is refused by its length.
    let most = ReceiptFile::LENGTH_MAX as u64 + 1;
    input(&args.evidence)?.take(most).read_to_end(&mut bytes).map_err(at(&args.evidence))?;
    let file = ReceiptFile::from_bytes(&bytes)
        .map_err(|error| Failure::environment(format!("{}: {error}", args.evidence.display())))?;
    let shown = file.judge(&centre).map_err(Failure::check)?;
    let proved = shown.proved.as_ref().map_or(0, |proved| proved.number);
    let wanted = args.receipt.as_ref().map(|wanted| {
        let fits = |hash: &str, number: u64| hash == wanted || number.to_string() == *wanted;
        shown.receipts.iter().any(|(hash, receipt)| {
            receipt.head.seq.0 <= proved && fits(&hash.to_string(), receipt.head.seq.0)
        })
    });
    let holds = proved > 0 && wanted != Some(false) && !shown.convicts();
    print_receipts(args, &file, &shown, holds);
    match (&shown, proved, wanted) {
        (shown, ..) if !shown.forks.is_empty() => {
            Err(Failure::check("the centre has signed two states of one size: its log has a fork"))
        }
        (shown, ..) if shown.convicts() => {
            Err(Failure::check("the centre has signed a proof that does not hold: its log differs"))
        }
        (Shown { strayed: Some(_), .. }, 0, _) => Err(Failure::check(
            "no receipt is proved: the proof is about one that the evidence does not have",
        )),
        (_, 0, _) => Err(Failure::check("no receipt is proved: the evidence has no proof")),
        (.., Some(false)) => Err(Failure::check("this receipt is not among those that are proved")),
        _ => Ok(()),
    }
}

fn print_receipts(args: &ReceiptArgs, file: &ReceiptFile, shown: &Shown, holds: bool) {
    let proved = shown.proved.as_ref().map_or(0, |proved| proved.number);
    if args.json {
        let receipts: Vec<_> = shown
            .receipts
            .iter()
            .map(|(hash, receipt)| {
                json!({
                    "number": receipt.head.seq.0, "hash": hash, "kind": receipt.kind,
                    "key_set": receipt.key_set, "generation": receipt.generation, "kcv": receipt.kcv,
                    "utc_ms": receipt.utc_ms.0, "proved": receipt.head.seq.0 <= proved,
                })
            })
            .collect();
        let disputed: Vec<_> = shown
            .disputed
            .iter()
            .map(|(number, fault)| json!({ "number": number, "what": fault.to_string() }))
            .collect();
        let proof = shown.proved.as_ref().map(|proved| {
            json!({ "number": proved.number, "entry": proved.index, "log_size": proved.checkpoint.size.0,
                "root": proved.checkpoint.root, "checkpoint": proved.checkpoint.note })
        });
        let forks: Vec<_> = shown
            .forks
            .iter()
            .map(|fork| json!({ "number": fork.number, "log_size": fork.size, "roots": fork.roots }))
            .collect();
        let all = json!({
            "holds": holds, "kmc": file.kmc, "node": file.node, "proof": proof, "confirmed": shown.confirmed,
            "receipts": receipts, "disputed": disputed, "forks": forks, "not_shown": shown.unshown,
            "proof_of_another": shown.strayed,
        });
        println!("{all}");
        return;
    }
    println!("centre       {}\nnode         {}", file.kmc, file.node);
    if let Some(proof) = &shown.proved {
        let size = proof.checkpoint.size;
        println!("proved       receipts up to {}: entry {} of the log of {size}", proof.number, proof.index);
    }
    println!("confirmed    receipts up to {}", shown.confirmed.unwrap_or_default());
    for (hash, receipt) in &shown.receipts {
        let word = if receipt.head.seq.0 <= proved { "proved" } else { "not proved" };
        let key = match (receipt.key_set, receipt.generation) {
            (Some(set), Some(generation)) => format!(" {set} {generation}"),
            _ => String::new(),
        };
        println!("{:<12} {} {:?}{key} {hash}", word, receipt.head.seq, receipt.kind);
    }
    for (number, fault) in &shown.disputed {
        println!("{:<12} {number}: {fault}", "DISPUTED");
    }
    for fork in &shown.forks {
        let [one, other] = &fork.roots;
        println!("{:<12} {}: a log of {} has the roots {one} and {other}", "FORK", fork.number, fork.size);
    }
    for number in &shown.unshown {
        println!("{:<12} {number}: the node disputed a proof, and this file does not show why", "not shown");
    }
    if let Some(number) = shown.strayed {
        println!("{:<12} the proof is about receipt {number}, which is not here", "not proved");
    }
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
}

fn input(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(at(path))?)
    };
    Ok(Box::new(BufReader::with_capacity(READ_AT_ONCE, source)))
}

fn print(report: &Report) {
    println!("log          {}", report.origin);
    println!("entries      {}, {} of them under a checkpoint", report.entries, report.covered);
    println!("root         {}", report.root);
    println!("checkpoints  {}", report.checkpoints);
    println!("rows         {}", report.rows);
    if let Some(counts) = report.signatures {
        println!(
            "signatures   {} approvals, {} receipts, {} manifests, {} ceremonies, {} components",
            counts.approvals, counts.receipts, counts.manifests, counts.ceremonies, counts.components
        );
        println!("approved     {} actions", counts.actions);
    }
    let anchored =
        if report.anchored { "true" } else { "false: a cut tail or an older copy would not be seen" };
    println!("anchored     {anchored}");
    for finding in &report.findings {
        println!("{:<12} {}/{}: {}", finding.kind, finding.table, finding.key, finding.what);
    }
    println!("{}", if report.holds { "holds" } else { "DOES NOT HOLD" });
}

fn head(args: &HeadArgs) -> Exit {
    let mut store = open(&args.place.store)?;
    let last = store.last_checkpoint().map_err(|error| failed(&args.place.store, &error))?;
    let (size, note) = last.ok_or_else(|| Failure::check("the log has no checkpoint yet"))?;
    if args.json {
        println!("{}", json!({ "size": size, "checkpoint": note }));
    } else {
        print!("{note}");
    }
    Ok(())
}

fn show(args: &ShowArgs) -> Exit {
    // A line is an object in any case.
    let _ = args.json;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut entry = |line: &str| match Record::parse(line) {
        Ok(record) if record.seq < args.from => Ok(()),
        Ok(record) => writeln!(out, "{}", object(&record)),
        Err(error) => writeln!(out, "{}", json!({ "error": error.to_string(), "line": line })),
    };
    if let Some(path) = &args.export {
        for line in input(path)?.lines() {
            let line = line.map_err(at(path))?;
            if line.starts_with("v1 ") {
                entry(&line).map_err(Failure::environment)?;
            }
        }
    } else {
        let mut each = |_: u64, line: String| Ok(entry(&line)?);
        open(&args.place.store)?
            .each_line(args.from, &mut each)
            .map_err(|error| failed(&args.place.store, &error))?;
    }
    out.flush().map_err(Failure::environment)
}

fn object(record: &Record) -> serde_json::Value {
    let entry = &record.entry;
    let changes: Vec<_> = record
        .changes
        .iter()
        .map(|(table, key, image)| json!({ "table": table, "key": key_text(key), "image": image.map(hex::encode) }))
        .collect();
    json!({
        "seq": record.seq,
        "utc_ms": record.utc_ms,
        "actor": entry.actor,
        "credential": entry.credential,
        "action": entry.action,
        "objects": entry.objects,
        "decision": entry.decision,
        "action_hash": entry.action_hash.map(hex::encode),
        "approvals": entry.approvals.iter().map(hex::encode).collect::<Vec<_>>(),
        "changes": changes,
        "prev": hex::encode(record.prev),
    })
}
