//! `payhsm bench compare`: two documents side by side.

use super::figures::{Document, Figures, SCHEMA};
use crate::exit::{Exit, Failure};
use clap::Args;
use std::path::{Path, PathBuf};

/// Compares two documents of `bench --json`: the figures of both, and the second by the first.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The document to compare with.
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The document that is compared.
    #[arg(value_name = "B.json")]
    b: PathBuf,
    /// One JSON document instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: &CompareArgs) -> Exit {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let rows = rows(&a.result).into_iter().zip(rows(&b.result));
    let rows: Vec<_> = rows.map(|((name, a), (_, b))| (name, a, b, ratio(a, b))).collect();
    let doubts = doubts(&a, &b);
    if args.json {
        let rows = rows
            .iter()
            .map(|(name, a, b, ratio)| serde_json::json!({ "figure": name, "a": a, "b": b, "ratio": ratio }));
        let rows: Vec<_> = rows.collect();
        println!("{}", serde_json::json!({ "schema": SCHEMA, "figures": rows, "doubts": doubts }));
        return Ok(());
    }
    println!("{:<16} {:>12} {:>12} {:>8}", "", "a", "b", "b/a");
    for (name, a, b, ratio) in rows {
        let ratio = ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"));
        println!("{name:<16} {a:>12.2} {b:>12.2} {ratio:>8}");
    }
    for what in &doubts {
        println!("doubtful: {what}");
    }
    Ok(())
}

fn read(path: &Path) -> Result<Document, Failure> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Failure::environment(failed(&error)))?;
    let document: Document = serde_json::from_str(&text).map_err(|error| Failure::usage(failed(&error)))?;
    if document.schema == SCHEMA {
        Ok(document)
    } else {
        Err(Failure::usage(failed(&format!("schema {}, expected {SCHEMA}", document.schema))))
    }
}

fn rows(f: &Figures) -> Vec<(&'static str, f64)> {
    let l = &f.latency_us;
    let cpu = f.server_cpu_us.unwrap_or_default();
    vec![
        ("rate /s", f.rate),
        ("p50 us", l.p50 as f64),
        ("p90 us", l.p90 as f64),
        ("p99 us", l.p99 as f64),
        ("p99.9 us", l.p99_9 as f64),
        ("max us", l.max as f64),
        ("gateway cpu us", cpu),
        ("errors", f.errors as f64),
        ("wrong", f.wrong as f64),
        ("lost", f.lost as f64),
    ]
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    (a > 0.0).then(|| b / a)
}

// What makes a ratio doubtful.
fn doubts(a: &Document, b: &Document) -> Vec<String> {
    let mut out = Vec::new();
    let mut compare = |name: &str, same: bool| {
        if !same {
            out.push(name.to_owned());
        }
    };
    compare("another machine", a.host == b.host);
    compare("another preset or mix", a.run.preset == b.run.preset && a.run.mix == b.run.mix);
    compare(
        "other connections or depth",
        (a.run.connections, a.run.depth) == (b.run.connections, b.run.depth),
    );
    compare("another wanted rate", a.run.rate == b.run.rate);
    compare("other threads", a.run.threads == b.run.threads);
    compare("another LMK", a.run.lmk == b.run.lmk);
    compare(
        "another duration or warm-up",
        a.run.duration_s == b.run.duration_s && a.run.warmup_s == b.run.warmup_s,
    );
    compare("load limited by the tester", !a.result.client_saturated && !b.result.client_saturated);
    out
}
