//! How fast an auditor verifies, on one core.

use super::{Args, Figure, Place};
use keylink::{Sign, Signed, SoftSigner};
use keymgr::audit::{Options, READ_AT_ONCE, Report, export, verify_export};
use keymgr::log::Entry;
use keymgr::store::{Change, Store, Table, Value};
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use tempfile::TempDir;

/// A long log, and one with signed receipts.
pub fn run(args: &Args, place: &Place) -> Result<Vec<Figure>, String> {
    let folder = TempDir::new_in(&args.folder).map_err(|error| error.to_string())?;
    let plain = folder.path().join("plain");
    let entries = long(args.entries, place, &plain)?;
    let rate = |count: u64, begin: u64| count as f64 * 1e9 / cpu_ns().saturating_sub(begin).max(1) as f64;
    let begin = cpu_ns();
    let report = verify(&plain, false)?;
    let chain = rate(report.entries, begin);
    if report.entries != entries {
        return Err("entries are missing".to_owned());
    }
    // In a store of its own.
    let signed = folder.path().join("signed");
    let store = Place {
        location: keymgr::store::Location::Sqlite(folder.path().join("kmc.db")),
        _folder: None,
        _cluster: None,
    };
    receipts(args.signed, &store, &signed)?;
    let begin = cpu_ns();
    let report = verify(&signed, true)?;
    let signatures = rate(report.signatures.map_or(0, |counts| counts.receipts), begin);
    Ok(vec![
        Figure::at_least("log entries verified (chain, tree, checkpoints)", chain, "/s", 1_000_000.0),
        Figure::at_least("entries with signed receipts verified", signatures, "/s", 15_000.0),
    ])
}

// What this thread has had of a core, in nanoseconds: the goals are for a second of one core.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn verify(path: &Path, signatures: bool) -> Result<Report, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut file = BufReader::with_capacity(READ_AT_ONCE, file);
    let options = Options { signatures, ..Options::default() };
    let report = verify_export(&mut file, options).map_err(|error| error.to_string())?;
    if report.holds { Ok(report) } else { Err(format!("does not hold: {:?}", report.findings.first())) }
}

// A log of entries of 256 bytes, each with one change of one of few rows.
fn long(entries: u64, place: &Place, path: &Path) -> Result<u64, String> {
    let text = |error: keymgr::store::Error| error.to_string();
    let mut ledger = place.lead().map_err(text)?;
    let row = |n: u64| {
        let columns = [("state", Value::from("proven"))];
        Change::raw(
            Table::Deliveries,
            (n % 5000).to_be_bytes().to_vec(),
            &columns,
            n.to_string().into_bytes(),
        )
    };
    let mut next = 0;
    while next < entries {
        let end = entries.min(next + 4096);
        let entry = |n: u64| Entry {
            actor: format!("node:{:06}", n % 5000),
            action: "receipt.proven".into(),
            decision: "allowed".into(),
            objects: vec!["campaign:0190".into()],
            ..Entry::default()
        };
        let batch = (next..end).map(|n| (entry(n), vec![row(n)]));
        ledger.commit(batch.collect(), 1_800_000_000_000, true).map_err(text)?;
        next = end;
    }
    ledger.checkpoint().map_err(text)?;
    let line = ledger.store().line(entries / 2).map_err(text)?.unwrap_or_default();
    let size = ledger.size();
    drop(ledger);
    write(place, path)?;
    eprintln!("{size} entries, one of them {} bytes long", line.len());
    Ok(size)
}

fn receipts(count: u64, place: &Place, path: &Path) -> Result<(), String> {
    let text = |error: keymgr::store::Error| error.to_string();
    let mut ledger = place.lead().map_err(text)?;
    let nodes: Vec<SoftSigner> = (0..100u8).map(|n| SoftSigner::new(&[n + 1; 32])).collect();
    let known = nodes.iter().enumerate().map(|(n, node)| {
        let columns = [("public_key", Value::from(node.key().0.as_slice()))];
        (Entry::default(), vec![Change::raw(Table::Nodes, vec![n as u8], &columns, Vec::new())])
    });
    ledger.commit(known.collect(), 1, true).map_err(text)?;
    let mut next = 0u64;
    while next < count {
        let end = count.min(next + 4096);
        let batch = (next..end).map(|n| {
            let node = n as usize % nodes.len();
            let payload = format!("{{\"seq\":\"{n}\",\"kind\":\"proven\",\"pad\":\"{}\"}}", "0".repeat(500));
            let signed = Signed::seal_bytes("receipt", payload.into_bytes(), &nodes[node]);
            let columns = [("node", Value::Bytes(vec![node as u8])), ("seq", n.into())];
            (
                Entry::default(),
                vec![Change::raw(Table::Receipts, n.to_be_bytes().to_vec(), &columns, signed.to_bytes())],
            )
        });
        ledger.commit(batch.collect(), 1, true).map_err(text)?;
        next = end;
    }
    ledger.checkpoint().map_err(text)?;
    drop(ledger);
    write(place, path)
}

fn write(place: &Place, path: &Path) -> Result<(), String> {
    let mut store = Store::read(&place.location).map_err(|error| error.to_string())?;
    let file = File::create(path).map_err(|error| error.to_string())?;
    export(&mut store, &mut BufWriter::new(file)).map(drop).map_err(|error| error.to_string())
}
