//! PIN translation (CC) on a SoftHSM token: through the gateway and through the engine, against a loop over one
//! session that uses the module and nothing of ours. Interleaved, in one run.

use crate::client::{self, Plan};
use crate::frames::{self, Maker};
use crate::host::{self, Host};
use crate::ratios::grouped;
use crate::record;
use crate::server::{Kind, Server};
use crate::token::{Folder, KEYS, LMK, What, measure};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Interleaved rounds.
    #[arg(long, default_value_t = 5)]
    pub pairs: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// One JSON document instead of the table.
    #[arg(long)]
    pub json: bool,
    /// Writes the document to a file as well.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// Connections and depth of the gateway's rows.
const SHAPES: [(usize, usize); 3] = [(8, 64), (64, 16), (1, 1)];
/// Commands of one batch of the engine alone.
const DEPTHS: [usize; 2] = [512, 1];

/// One row: translations a second, and against the direct loop of the same round.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    what: String,
    per_second: f64,
    ratio: f64,
    ratio_low: f64,
    ratio_high: f64,
}

/// What a run gave.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document {
    schema: u32,
    host: Host,
    module: String,
    keys: usize,
    pairs: usize,
    seconds: f64,
    direct_per_second: f64,
    cached_to_uncached: f64,
    rows: Vec<Row>,
}

/// Measures and prints.
pub fn run(args: &Args) -> io::Result<()> {
    let host = Host::look();
    host::pin(&[1]);
    let folder = Folder::new()?;
    // The first process puts the LMK on the token.
    measure(&folder, What::Engine, 0.01, 1)?;
    let server = Server::start_with(Kind::Token, &[0], folder.environment())?;
    let mut maker = Maker::new();
    let exchanges = maker.translations(LMK, KEYS, 2048)?;
    let duration = Duration::try_from_secs_f64(args.seconds).map_err(io::Error::other)?;
    let mut rounds = Vec::new();
    for _ in 0..args.pairs.max(1) {
        let loops = [What::Direct, What::DirectUpdate].map(|w| measure(&folder, w, args.seconds, 1));
        let direct = loops.into_iter().try_fold(0f64, |best, rate| rate.map(|rate| best.max(rate)))?;
        let mut rates = Vec::new();
        for (connections, depth) in SHAPES {
            let batches = frames::batches(&exchanges, depth);
            let plan = Plan { connections, batches: &batches, duration };
            rates.push(client::run(&server, server.address(LMK)?, &plan, true)?.rate);
        }
        for (what, depth) in engine_rows() {
            rates.push(measure(&folder, what, args.seconds, depth)?);
        }
        rounds.push((direct, rates));
    }
    report(args, host, &rounds)
}

fn engine_rows() -> impl Iterator<Item = (What, usize)> {
    [What::Engine, What::Uncached].into_iter().flat_map(|what| DEPTHS.map(|depth| (what, depth)))
}

fn names() -> Vec<String> {
    let gateway = SHAPES.iter().map(|(conns, depth)| format!("gateway, keys seen, {conns}×{depth}"));
    let engine = engine_rows().map(|(what, depth)| match what {
        What::Uncached => format!("engine, keys opened anew, batches of {depth}"),
        _ => format!("engine, keys seen, batches of {depth}"),
    });
    gateway.chain(engine).collect()
}

fn report(args: &Args, host: Host, rounds: &[(f64, Vec<f64>)]) -> io::Result<()> {
    let column = |at: usize| rounds.iter().map(|(_, rates)| rates[at]).collect::<Vec<_>>();
    let ratios = |at: usize| rounds.iter().map(|(direct, rates)| rates[at] / direct).collect::<Vec<_>>();
    let rows = names().into_iter().enumerate().map(|(at, what)| {
        let mut ratios = ratios(at);
        let ratio = median(&mut ratios);
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        Row { what, per_second: median(&mut column(at)), ratio, ratio_low: low, ratio_high: high }
    });
    let rows: Vec<Row> = rows.collect();
    let (seen, anew) = (SHAPES.len(), SHAPES.len() + DEPTHS.len());
    let mut against = rounds.iter().map(|(_, rates)| rates[seen] / rates[anew]).collect::<Vec<_>>();
    let document = Document {
        schema: 1,
        host,
        module: "SoftHSM2".to_owned(),
        keys: KEYS,
        pairs: rounds.len(),
        seconds: args.seconds,
        direct_per_second: median(&mut rounds.iter().map(|(direct, _)| *direct).collect::<Vec<_>>()),
        cached_to_uncached: median(&mut against),
        rows,
    };
    if let Some(path) = &args.record {
        record::write(path, &document)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        print(&document);
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(document: &Document) {
    let Host { cpu, cores, kernel, commit, .. } = &document.host;
    println!("{cpu}, {cores} processors, Linux {kernel}, commit {commit}");
    println!(
        "{} rounds of {} s; {} on processor 0, client on processor 1; {} keys; medians\n",
        document.pairs, document.seconds, document.module, document.keys
    );
    println!("{:<44} {:>12}  ratio (low–high)", "row", "CC/s");
    println!("{:<44} {:>12.0}  1", "direct loop, one session", document.direct_per_second);
    for r in &document.rows {
        let ratio = format!("{:.2} ({:.2}–{:.2})", r.ratio, r.ratio_low, r.ratio_high);
        println!("{:<44} {:>12.0}  {ratio}", r.what, r.per_second);
    }
    println!("\nkeys seen to keys opened anew, batches of 512: {:.1}", document.cached_to_uncached);
}

/// The table for a document.
pub fn table(document: &Document) -> String {
    let mut out = String::from("| | CC a second | against the loop |\n|---|---|---|\n");
    let mut add = |what: &str, per_second: f64, ratio: &str| {
        let _never_fails = writeln!(out, "| {what} | {} | {ratio} |", grouped(per_second));
    };
    let direct = "direct loop, one session, the faster of single- and multi-part calls";
    add(direct, document.direct_per_second, "1");
    for Row { what, per_second, ratio, ratio_low, ratio_high } in &document.rows {
        add(what, *per_second, &format!("{ratio:.2} ({ratio_low:.2}–{ratio_high:.2})"));
    }
    let Host { cpu, cores, kernel, commit, load_average, day, .. } = &document.host;
    let Document { module, keys, pairs, seconds, .. } = document;
    out + &format!(
        "\n{module}, AES key-block LMK, {keys} keys; medians of {pairs} interleaved rounds of {seconds} s, in brackets the \
         lowest and the highest. {cpu}, {cores} processors, Linux {kernel}, commit {commit}, load average \
         {load_average} before, {day}.\n"
    )
}
