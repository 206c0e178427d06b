//! Interleaved pairs, medians, and the table.

use crate::client::{self, Batch, Plan, Sample};
use crate::frames::Maker;
use crate::host::{self, Host};
use crate::limit;
use crate::server::{Kind, Server};
use hsm::LmkId;
use serde::Serialize;
use std::io;
use std::time::Duration;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Interleaved pairs of runs for each row.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Seconds of one run.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only this shape, such as `8x64`; may be given again.
    #[arg(long, value_parser = shape)]
    shape: Vec<(usize, usize)>,
    /// One JSON document instead of the table.
    #[arg(long)]
    json: bool,
}

/// One row: the gateway against the echo of the same loop.
#[derive(Debug, Serialize)]
struct Row {
    what: &'static str,
    connections: usize,
    depth: usize,
    echo_per_second: f64,
    per_second: f64,
    echo_cpu_ns: f64,
    cpu_ns: f64,
    rate_ratio: f64,
    rate_ratio_low: f64,
    rate_ratio_high: f64,
    cpu_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    host: Host,
    pairs: usize,
    seconds: f64,
    des_crate_ns_per_cc: f64,
    rows: Vec<Row>,
}

/// Connections and depth of the rows.
const SHAPES: [(usize, usize); 4] = [(8, 64), (64, 16), (1000, 1), (1, 1)];
const KEYS: usize = 64;

fn shape(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parsed.filter(|shape| SHAPES.contains(shape)).ok_or_else(|| format!("one of {SHAPES:?}, written 8x64"))
}

/// Measures and prints.
pub fn run(args: &Args) -> io::Result<()> {
    host::pin(1);
    let duration = Duration::try_from_secs_f64(args.seconds).map_err(io::Error::other)?;
    let (echo, engine) = (Server::start(Kind::Echo, 0)?, Server::start(Kind::Engine, 0)?);
    let mut maker = Maker::new();
    let mut rows = Vec::new();
    for (what, lmk) in [("CC, variant LMK, keys seen", LmkId(0)), ("CC, AES LMK, keys seen", LmkId(2))] {
        let keys = maker.keys(lmk, KEYS)?;
        for (connections, depth) in SHAPES {
            if !(args.shape.is_empty() || args.shape.contains(&(connections, depth))) {
                continue;
            }
            let batches = maker.batches(&keys, depth, 2048 / depth.max(32))?;
            let pair = Pair { echo: &echo, engine: &engine, lmk, connections, batches: &batches, duration };
            let samples = (0..args.pairs).map(|_| pair.run()).collect::<io::Result<Vec<_>>>()?;
            rows.push(row(what, connections, depth, &samples));
        }
    }
    let des_crate_ns_per_cc = limit::des_crate_ns(duration);
    let (host, pairs, seconds) = (Host::look(), args.pairs, args.seconds);
    let document = Document { schema: 1, host, pairs, seconds, des_crate_ns_per_cc, rows };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        print(&document);
    }
    Ok(())
}

struct Pair<'a> {
    echo: &'a Server,
    engine: &'a Server,
    lmk: LmkId,
    connections: usize,
    batches: &'a [Batch],
    duration: Duration,
}

impl Pair<'_> {
    fn run(&self) -> io::Result<(Sample, Sample)> {
        let (connections, batches, duration) = (self.connections, self.batches, self.duration);
        let plan = |compare| Plan { connections, batches, duration, compare };
        let echo = client::run(self.echo, self.echo.address(self.lmk)?, &plan(false))?;
        let engine = client::run(self.engine, self.engine.address(self.lmk)?, &plan(true))?;
        Ok((echo, engine))
    }
}

fn row(what: &'static str, connections: usize, depth: usize, samples: &[(Sample, Sample)]) -> Row {
    let of = |pick: fn(&(Sample, Sample)) -> f64| sorted(samples.iter().map(pick).collect());
    let ratios = of(|(echo, engine)| engine.rate / echo.rate);
    Row {
        what,
        connections,
        depth,
        echo_per_second: median(&of(|(echo, _)| echo.rate)),
        per_second: median(&of(|(_, engine)| engine.rate)),
        echo_cpu_ns: median(&of(|(echo, _)| echo.cpu_ns)),
        cpu_ns: median(&of(|(_, engine)| engine.cpu_ns)),
        rate_ratio: median(&ratios),
        rate_ratio_low: ratios.first().copied().unwrap_or(f64::NAN),
        rate_ratio_high: ratios.last().copied().unwrap_or(f64::NAN),
        cpu_ratio: median(&of(|(echo, engine)| echo.cpu_ns / engine.cpu_ns)),
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(document: &Document) {
    let Host { cpu, cores, kernel, commit } = &document.host;
    println!("{cpu}, {cores} processors, Linux {kernel}, commit {commit}");
    println!(
        "{} interleaved pairs of {} s for each row; server on processor 0, client on processor 1; medians\n",
        document.pairs, document.seconds
    );
    println!(
        "{:<28} {:>9} {:>12} {:>12} {:>9} {:>9}  {:<20} {:>9}",
        "row", "conns×depth", "echo/s", "gateway/s", "echo ns", "ns", "rate/echo (low–high)", "CPU ratio"
    );
    for r in &document.rows {
        println!(
            "{:<28} {:>11} {:>12.0} {:>12.0} {:>9.0} {:>9.0}  {:<20} {:>9.2}",
            r.what,
            format!("{}×{}", r.connections, r.depth),
            r.echo_per_second,
            r.per_second,
            r.echo_cpu_ns,
            r.cpu_ns,
            format!("{:.2} ({:.2}–{:.2})", r.rate_ratio, r.rate_ratio_low, r.rate_ratio_high),
            r.cpu_ratio,
        );
    }
    let limit = 1e9 / document.des_crate_ns_per_cc;
    println!(
        "\n`des` crate, two blocks with ready schedules: {:.0} ns a CC, so at most {limit:.0}/s on one core",
        document.des_crate_ns_per_cc
    );
    println!("ns = processor time of the server for one message; ratios: gateway to echo of the same loop");
}
