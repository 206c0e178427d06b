//! How cost grows with depth, connections and number of keys: gateway and echo, and the plots of it.

use crate::client::{self, Plan, Sample};
use crate::frames::{self, Maker, VARIANT};
use crate::host::{self, Host};
use crate::record;
use crate::server::{Kind, Server};
use crate::stats::Spread;
use hostclient::plot::{Axis, Plot, Scale, Series};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Interleaved pairs of runs for each point.
    #[arg(long, default_value_t = 3)]
    pub pairs: usize,
    /// Seconds of one run.
    #[arg(long, default_value_t = 0.5)]
    pub seconds: f64,
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
    /// Interleaved pairs of each point.
    pub pairs: usize,
    /// Seconds of one run.
    pub seconds: f64,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// How cost grows with one thing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Curve {
    /// Name of its plot.
    pub id: String,
    /// What stays the same.
    pub what: String,
    /// What grows.
    pub grows: String,
    /// The points.
    pub points: Vec<Point>,
}

/// Medians at one value.
#[derive(Debug, Serialize, Deserialize)]
pub struct Point {
    /// The value.
    pub at: f64,
    /// Messages a second of the echo, and processor time for one.
    pub echo_per_second: f64,
    /// Nanoseconds.
    pub echo_cpu_ns: f64,
    /// Of the gateway.
    pub per_second: f64,
    /// Nanoseconds.
    pub cpu_ns: f64,
}

const DEPTHS: [usize; 5] = [1, 4, 16, 64, 256];
const CONNECTIONS: [usize; 5] = [1, 8, 64, 256, 1000];
const KEYS: [usize; 6] = [2, 64, 1024, 8192, 65_536, 131_072];

struct Bench {
    echo: Server,
    engine: Server,
    maker: Maker,
    pairs: usize,
    duration: Duration,
}

impl Bench {
    fn point(&mut self, at: usize, keys: usize, connections: usize, depth: usize) -> io::Result<Point> {
        let exchanges = self.maker.translations(VARIANT, keys, (keys / 2).max(2048))?;
        let batches = frames::batches(&exchanges, depth);
        let plan = Plan { connections, batches: &batches, duration: self.duration };
        let mut pairs: Vec<(Sample, Sample)> = Vec::new();
        for _ in 0..self.pairs {
            let echo = client::run(&self.echo, self.echo.address(VARIANT)?, &plan, false)?;
            let engine = client::run(&self.engine, self.engine.address(VARIANT)?, &plan, true)?;
            pairs.push((echo, engine));
        }
        let median = |pick: fn(&(Sample, Sample)) -> f64| Spread::of(pairs.iter().map(pick)).median;
        eprintln!("{keys} keys, {connections}×{depth}: {:.0}/s", median(|pair| pair.1.rate));
        Ok(Point {
            at: at as f64,
            echo_per_second: median(|pair| pair.0.rate),
            echo_cpu_ns: median(|pair| pair.0.cpu_ns),
            per_second: median(|pair| pair.1.rate),
            cpu_ns: median(|pair| pair.1.cpu_ns),
        })
    }

    fn curves(&mut self) -> io::Result<Vec<Curve>> {
        let mut curve =
            |id: &str, what: &str, grows: &str, values: &[usize], shape: fn(usize) -> [usize; 3]| {
                let point = |at: &usize| {
                    let [keys, connections, depth] = shape(*at);
                    self.point(*at, keys, connections, depth)
                };
                let points = values.iter().map(point).collect::<io::Result<_>>()?;
                Ok::<_, io::Error>(Curve { id: id.into(), what: what.into(), grows: grows.into(), points })
            };
        Ok(vec![
            curve("depth", "8 connections, 64 keys", "requests in flight on each", &DEPTHS, |n| [64, 8, n])?,
            curve("connections", "16 in flight on each, 64 keys", "connections", &CONNECTIONS, |n| {
                [64, n, 16]
            })?,
            curve("keys", "8 connections × 64", "different keys, in turn", &KEYS, |n| [n, 8, 64])?,
        ])
    }
}

/// Measures and prints.
pub fn run(args: &Args) -> io::Result<()> {
    let host = Host::look();
    host::many_files();
    host::pin(&[1]);
    let duration = Duration::try_from_secs_f64(args.seconds).map_err(io::Error::other)?;
    let (echo, engine) = (Server::start(Kind::Echo, &[0])?, Server::start(Kind::Engine, &[0])?);
    let mut bench = Bench { echo, engine, maker: Maker::new(), pairs: args.pairs.max(1), duration };
    let curves = bench.curves()?;
    let document = Document { schema: 1, host, pairs: args.pairs, seconds: args.seconds, curves };
    if let Some(path) = &args.record {
        record::write(path, &document)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
        return Ok(());
    }
    print(&document);
    Ok(())
}

fn print(document: &Document) {
    for curve in &document.curves {
        println!("{} ({})", curve.grows, curve.what);
        for Point { at, echo_per_second, echo_cpu_ns, per_second, cpu_ns } in &curve.points {
            println!(
                "{at:>8}  echo {echo_per_second:>9.0}/s {echo_cpu_ns:>7.0} ns  gateway {per_second:>9.0}/s {cpu_ns:>7.0} ns"
            );
        }
    }
    let Host { cpu, cores, kernel, commit, .. } = &document.host;
    println!(
        "{cpu}, {cores} processors, Linux {kernel}, commit {commit}\n\
         Method: closed loop, CC under a variant LMK, medians of {} interleaved pairs (echo, gateway) of {} s a point; \
         server on processor 0, client on processor 1, loopback; ns is processor time of the server for one message.",
        document.pairs, document.seconds
    );
}

impl Curve {
    /// Processor time of the server for one message, gateway and echo.
    pub fn plot(&self) -> Plot {
        let line = |name: &str, pick: fn(&Point) -> f64| Series {
            name: name.into(),
            points: self.points.iter().map(|point| (point.at, pick(point))).collect(),
        };
        let mut x = Axis::new(&self.grows, Scale::Log);
        x.ticks = self.points.iter().map(|point| (point.at, format!("{:.0}", point.at))).collect();
        Plot {
            title: format!("Server CPU for one CC, {}", self.what),
            x,
            y: Axis::new("nanoseconds", Scale::Log),
            series: vec![
                line("gateway", |point| point.cpu_ns),
                line("echo of the same loop", |p| p.echo_cpu_ns),
            ],
            marks: Vec::new(),
        }
    }
}
