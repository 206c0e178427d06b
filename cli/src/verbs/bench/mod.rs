//! `payhsm bench`: a load tester of payShield-style units that makes its own keys, checks replies, and says how
//! it measured.

mod assert;
mod compare;
mod figures;
mod material;
mod preset;
mod run;
mod table;
mod unit;

use crate::exit::{Exit, Failure};
use crate::hardening;
use assert::Condition;
use clap::{Args, Subcommand};
use compare::CompareArgs;
use figures::{Assertion, Document, Figures, Host, SCHEMA, Setup};
use hostclient::{Client, Load, Options, Report};
use material::{Item, Maker, Trouble};
use preset::{Preset, Weight, turns};
use run::{Plan, Prepared, Ran};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use unit::Own;

/// Share of its time that a load thread computes or waits for a processor, from which it is the limit of what
/// it measures.
const SATURATED: f64 = 0.9;

/// Measures a unit under load; with no target, a gateway of its own under the public test LMKs.
///
/// Ends with 1 when a reply was wrong, when there was none, or when an --assert does not hold.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    verb: Option<BenchVerb>,
    /// What is measured.
    #[arg(value_enum, required = true)]
    preset: Option<Preset>,
    /// Address of the unit, its listener of that LMK. It must let keys be made: authorised where it asks for it.
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<String>,
    /// Connections.
    #[arg(short, long, visible_alias = "clients", default_value_t = 8, value_parser = whole, value_name = "N")]
    conns: usize,
    /// Requests in flight on each connection; in an open loop the most.
    #[arg(long, visible_alias = "pipeline", value_parser = whole, value_name = "N")]
    depth: Option<usize>,
    /// Requests a second over all connections (10k is 10000): open loop. Without it a closed loop.
    #[arg(short = 'R', long, value_parser = rate, value_name = "R")]
    rate: Option<f64>,
    /// Seconds that count.
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "S")]
    duration: Duration,
    /// Seconds before them, which do not count.
    #[arg(long, default_value = "2", value_parser = seconds, value_name = "S")]
    warmup: Duration,
    /// LMK: of the own gateway (00 variant, 01 3DES key block, 02 AES key block); with --target sent as %NN in
    /// every command.
    #[arg(long, value_parser = lmk, value_name = "NN")]
    lmk: Option<String>,
    /// Weights of the preset mix, such as cc=70,cy=20,m6=10.
    #[arg(long, value_delimiter = ',', required_if_eq("preset", "mix"), value_name = "COMMAND=WEIGHT")]
    mix: Vec<Weight>,
    /// Compares one reply of so many with the bytes it must have; 0 compares none.
    #[arg(long, default_value_t = 1, value_name = "N")]
    verify_every: u64,
    /// A condition, repeatable: p50, p90, p99, p99.9 or max with us, ms or s; rate, errors, wrong, lost, late or
    /// dropped with a number.
    #[arg(long = "assert", value_name = "CONDITION")]
    conditions: Vec<Condition>,
    /// Threads that make the load.
    #[arg(short, long, default_value_t = 1, value_parser = whole, value_name = "N")]
    threads: usize,
    /// Length of the message header of the unit.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(..=255), value_name = "N")]
    header_len: u16,
    /// One JSON document instead of the table.
    #[arg(long)]
    json: bool,
    /// Writes latency and service time as an HdrHistogram log (V2).
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum BenchVerb {
    Compare(CompareArgs),
}

// A run of its own closed loop, or the bound of an open one.
const DEPTH_CLOSED: usize = 16;
const DEPTH_OPEN: usize = 1024;

fn whole(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=65_535).contains(n));
    number.ok_or_else(|| "expected 1 to 65535".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = assert::count(text)?;
    if rate > 0.0 { Ok(rate) } else { Err("expected more than 0".to_owned()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.trim_end_matches('s').parse().map_err(|_| "expected seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn lmk(text: &str) -> Result<String, String> {
    let good = text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
    good.then(|| text.to_owned()).ok_or_else(|| "expected two digits".to_owned())
}

/// Runs the verb.
pub fn run(args: &BenchArgs) -> Exit {
    if let Some(BenchVerb::Compare(compare)) = &args.verb {
        return compare::run(compare);
    }
    let preset = args.preset.ok_or_else(|| Failure::usage("a preset is missing"))?;
    if preset != Preset::Mix && !args.mix.is_empty() {
        return Err(Failure::usage("--mix belongs to the preset mix"));
    }
    if args.threads > args.conns {
        return Err(Failure::usage("every one of --threads needs a connection of --conns"));
    }
    let room = hardening::connections(args.conns);
    if room < args.conns {
        return Err(Failure::environment(format!(
            "the limit of open files leaves room for {room} connections"
        )));
    }
    measure(args, preset)
}

fn measure(args: &BenchArgs, preset: Preset) -> Exit {
    let weights = preset.weights(&args.mix);
    let header_length = usize::from(args.header_len);
    let own = match &args.target {
        Some(_) => None,
        None => Some(Own::start(args.lmk.as_deref().unwrap_or("00"), header_length)?),
    };
    let address = args.target.clone().or_else(|| own.as_ref().map(|own| own.address.clone()));
    let address = address.unwrap_or_default();
    let options = Options { header_length, ..Options::default() };
    let selector = args.lmk.as_ref().filter(|_| own.is_none()).map(|lmk| format!("%{lmk}"));
    let rounds = prepare(&address, &options, selector.unwrap_or_default(), &weights)?;
    let work = Arc::new(Prepared::new(&rounds, &turns(&weights)));
    let plan = plan(args);
    let cpu_before = own.as_ref().and_then(Own::cpu_seconds);
    let Ran { report, busy, replies } = run::run(&plan, &address, &options, &work).map_err(wire)?;
    let cpu = own.as_ref().and_then(Own::cpu_seconds).zip(cpu_before).map(|(after, before)| after - before);
    let ended = SystemTime::now();
    drop(own);
    if let Some(path) = &args.hdr {
        write_hdr(path, &report, ended)
            .map_err(|e| Failure::environment(format!("{}: {e}", path.display())))?;
    }
    let mut figures = Figures::of(&report);
    figures.client_busy = busy.map(|busy| busy.cpu);
    figures.client_waiting = busy.map(|busy| busy.waiting);
    figures.client_saturated = busy.is_some_and(|busy| busy.sum() >= SATURATED);
    figures.server_cpu_us = cpu.filter(|_| replies > 0).map(|seconds| seconds * 1e6 / replies as f64);
    end(args, document(args, preset, &weights, figures))
}

fn prepare(
    address: &str,
    options: &Options,
    selector: String,
    weights: &[Weight],
) -> Result<Vec<Vec<Item>>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::environment)?;
    runtime.block_on(async {
        let client = Client::connect(address, options.clone()).await.map_err(wire)?;
        let kinds: Vec<_> = weights.iter().map(|weight| weight.kind).collect();
        let maker = Maker::new(client, selector, &kinds).await.map_err(trouble)?;
        let mut rounds = Vec::new();
        for kind in kinds {
            rounds.push(maker.items(kind).await.map_err(trouble)?);
        }
        Ok(rounds)
    })
}

fn wire(error: hostclient::Error) -> Failure {
    match std::error::Error::source(&error) {
        Some(source) => Failure::environment(format!("{error}: {source}")),
        None => Failure::environment(error),
    }
}

fn trouble(trouble: Trouble) -> Failure {
    Failure::environment(trouble)
}

fn plan(args: &BenchArgs) -> Plan {
    let load = Load {
        connections: args.conns,
        depth: depth(args),
        requests_max: u64::MAX,
        duration: args.duration,
        verify_every: args.verify_every,
    };
    Plan { load, threads: args.threads, rate: args.rate, warmup: args.warmup, visible: !args.json }
}

fn depth(args: &BenchArgs) -> usize {
    args.depth.unwrap_or(if args.rate.is_some() { DEPTH_OPEN } else { DEPTH_CLOSED })
}

fn write_hdr(path: &Path, report: &Report, ended: SystemTime) -> io::Result<()> {
    let mut out = io::BufWriter::new(std::fs::File::create(path)?);
    report.write_hdr(ended, &mut out)?;
    out.flush()
}

fn document(args: &BenchArgs, preset: Preset, weights: &[Weight], result: Figures) -> Document {
    let run = Setup {
        preset: preset.name(),
        mix: weights.iter().map(|weight| (weight.kind.code().to_owned(), weight.weight)).collect(),
        target: args.target.clone(),
        lmk: args.lmk.clone().or_else(|| args.target.is_none().then(|| "00".to_owned())),
        connections: args.conns,
        depth: depth(args),
        rate: args.rate,
        threads: args.threads,
        duration_s: args.duration.as_secs_f64(),
        warmup_s: args.warmup.as_secs_f64(),
        verify_every: args.verify_every,
    };
    let judged = args.conditions.iter().map(|condition| {
        let (holds, value) = condition.judge(&result);
        Assertion { condition: condition.text().to_owned(), value, holds }
    });
    Document {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command_line: std::env::args().collect(),
        host: Host::look(),
        assertions: judged.collect(),
        method: table::method(&run),
        run,
        result,
    }
}

fn end(args: &BenchArgs, document: Document) -> Exit {
    let text = if args.json {
        serde_json::to_string_pretty(&document).map_err(Failure::environment)?
    } else {
        table::table(&document)
    };
    writeln!(io::stdout(), "{text}")
        .map_err(|error| Failure::environment(format!("standard output: {error}")))?;
    if args.json {
        table::warnings(&document).iter().for_each(|warning| eprintln!("payhsm: {warning}"));
    }
    let result = &document.result;
    if result.wrong > 0 {
        return Err(Failure::check(format!("{} replies were wrong", result.wrong)));
    }
    if result.replies == 0 {
        return Err(Failure::check("no reply was counted"));
    }
    match document.assertions.iter().find(|assertion| !assertion.holds) {
        Some(broken) => Err(Failure::check(format!("{} does not hold", broken.condition))),
        None => Ok(()),
    }
}
