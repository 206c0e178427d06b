//! The suite: rows in interleaved pairs, the table, the record.

use crate::host::{self, Host};
use crate::record;
use crate::rows::{self, Bench, Row, Side, Unit};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Interleaved pairs of runs for each row.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pairs: u16,
    /// Seconds of one run.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Rows to measure: their names, or how they begin (cc, unseen, memory, peer …). All without it.
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Three pairs of 0.2 s and fewer keys: to see whether it runs, not to quote.
    #[arg(long)]
    pub quick: bool,
    /// Names the rows and their goals, and measures nothing.
    #[arg(long)]
    pub list: bool,
    /// One JSON document instead of the table.
    #[arg(long)]
    pub json: bool,
    /// Writes the document to a file as well.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// What a run gave.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document {
    /// Version of this form.
    pub schema: u32,
    /// The machine and the code.
    pub host: Host,
    /// The command.
    pub command_line: Vec<String>,
    /// Interleaved pairs.
    pub pairs: u16,
    /// Seconds of one run.
    pub seconds: f64,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Version of the document.
pub const SCHEMA: u32 = 2;
/// Different keys that stand for keys never seen: more than a cache of 64k entries holds.
const UNSEEN: usize = 160_000;
const UNSEEN_QUICK: usize = 40_000;

/// Measures and prints.
pub fn run(args: &Args) -> io::Result<()> {
    let wanted: Vec<_> = rows::all().into_iter().filter(|row| asked(&args.rows, &row.id)).collect();
    if wanted.is_empty() {
        return Err(io::Error::other("no such row: --list names them"));
    }
    if args.list {
        wanted.iter().for_each(|row| println!("{}", row.id));
        return Ok(());
    }
    let document = measure(args, &wanted)?;
    if let Some(path) = &args.record {
        record::write(path, &document)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        println!("{}", table(&document));
    }
    match document.rows.iter().find(|row| row.failed) {
        Some(row) => Err(io::Error::other(format!("{} could not be measured", row.id))),
        None => Ok(()),
    }
}

fn measure(args: &Args, wanted: &[rows::Wanted]) -> io::Result<Document> {
    let host = Host::look();
    host::many_files();
    host::pin(&[1]);
    let (pairs, seconds) = if args.quick { (3, 0.2) } else { (args.pairs, args.seconds) };
    let duration = Duration::try_from_secs_f64(seconds).map_err(io::Error::other)?;
    let unseen = if args.quick { UNSEEN_QUICK } else { UNSEEN };
    let mut bench = Bench::start(usize::from(pairs), duration, unseen, host.cores)?;
    let mut rows = Vec::new();
    for row in wanted {
        eprint!("{} … ", row.id);
        // One row that cannot be measured does not take the others with it.
        let measured = (row.measure)(&mut bench, &row.id);
        let measured = measured.unwrap_or_else(|error| Row::failed(&row.id, &error));
        eprintln!("{}", figure(&measured));
        rows.push(measured);
    }
    let command_line = std::env::args().skip(1).collect();
    Ok(Document { schema: SCHEMA, host, command_line, pairs, seconds, rows })
}

// `cc` is every row that begins with it.
fn asked(wanted: &[String], id: &str) -> bool {
    let begins =
        |name: &String| id == name || id.strip_prefix(name.as_str()).is_some_and(|r| r.starts_with('-'));
    wanted.is_empty() || wanted.iter().any(begins)
}

/// The figure of a row, with its spread.
pub fn figure(row: &Row) -> String {
    match (&row.figure, &row.skipped) {
        (Some(spread), _) if spread.low < spread.high => format!(
            "{} ({}–{})",
            row.unit.show(spread.median),
            row.unit.show(spread.low),
            row.unit.show(spread.high)
        ),
        (Some(spread), _) => row.unit.show(spread.median),
        (None, Some(why)) if row.failed => format!("FAILED {why}"),
        (None, Some(why)) => format!("SKIP {why}"),
        (None, None) => "SKIP".to_owned(),
    }
}

/// A goal of a row, and whether it is reached.
pub fn goal(row: &Row, goal: Option<f64>, reached: Option<bool>) -> String {
    let Some(goal) = goal else { return "–".into() };
    let sign = if row.unit == Unit::RatioUp { "≥" } else { "≤" };
    let verdict = match reached {
        Some(true) => " yes",
        Some(false) => " NO",
        None => "",
    };
    format!("{sign} {}{verdict}", row.unit.show(goal))
}

/// Both sides of a row, in words.
pub fn sides(row: &Row) -> String {
    let side = |side: &Side| {
        let mut text = side.name.clone();
        let mut add = |part: String| {
            let _never_fails = write!(text, " {part}");
        };
        side.rate.into_iter().for_each(|rate| add(format!("{}/s", grouped(rate))));
        side.cpu_ns.into_iter().for_each(|ns| add(format!("{ns:.0} ns")));
        side.p99_us.into_iter().for_each(|us| add(format!("p99 {us:.0} us")));
        text
    };
    row.sides.iter().map(side).collect::<Vec<_>>().join("; ")
}

/// A whole number with its thousands apart.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let head = (!head.is_empty()).then(|| head.to_owned());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// What every table must say.
pub fn method(document: &Document) -> String {
    let Host { cpu, cores, kernel, commit, rustc, load_average, .. } = &document.host;
    format!(
        "{cpu}, {cores} processors, Linux {kernel}, {rustc}, commit {commit}, load average {load_average} before.\n\
         Method: {} interleaved pairs of {} s a row in one run, first side and second side in turn; figures are \
         medians of the pairs' own ratios, in brackets the lowest and the highest; latency is taken in four times as \
         many pairs of a quarter of the time, in brackets the quartiles. Server on processor 0, client on \
         processor 1, loopback. The echo is the gateway's own loop that answers with a canned reply. ns is processor \
         time of the server's threads for one message. Replies of the gateway are compared with what they must be.",
        document.pairs, document.seconds
    )
}

fn table(document: &Document) -> String {
    let mut out = String::new();
    for row in &document.rows {
        let cpu = row.cpu_ratio.map(|ratio| format!("by CPU {:.2}", ratio.median)).unwrap_or_default();
        let _never_fails = writeln!(
            out,
            "{:<16} {:<62} {:<22} {:<14} {:<14} {:<12} {}",
            row.id,
            row.what,
            figure(row),
            goal(row, row.must, row.must_reached),
            goal(row, row.aim, row.aim_reached),
            cpu,
            sides(row)
        );
    }
    let missed: Vec<&str> =
        document.rows.iter().filter(|r| r.must_reached == Some(false)).map(|r| r.id.as_str()).collect();
    let missed = if missed.is_empty() { "none".to_owned() } else { missed.join(", ") };
    out + &format!(
        "\ncolumns: figure (lowest–highest), must, aim; musts missed: {missed}\n{}",
        method(document)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_asked_for_by_name_or_beginning() {
        let asked =
            |words: &[&str], id: &str| asked(&words.iter().map(|w| (*w).into()).collect::<Vec<_>>(), id);
        assert!(asked(&[], "cc-8x64") && asked(&["cc"], "cc-8x64") && asked(&["x", "cc-8x64"], "cc-8x64"));
        assert!(!asked(&["c"], "cc-8x64") && !asked(&["cc-8"], "cc-8x64") && !asked(&["openssl"], "cc-8x64"));
    }

    #[test]
    fn figures_are_grouped_by_thousands() {
        assert_eq!(
            (grouped(1_234_567.4), grouped(12.0), grouped(999.6)),
            ("1,234,567".into(), "12".into(), "1,000".into())
        );
    }
}
