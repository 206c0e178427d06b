//! The command line of the load tester.

use super::assert::{self, Condition};
use super::compare::CompareArgs;
use super::preset::{Preset, Weight};
use super::run::Progress;
use crate::exit::Failure;
use clap::{Args, Subcommand};
use hostclient::load::in_flight_most;
use hostclient::{Options, Tls};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measures a unit under load; with no target, a gateway of its own under the public test LMKs.
///
/// Ends with 1 when a reply was wrong, when there was none, when requests were lost or connections broke (unless
/// an --assert on lost or dropped allows it), when every reply was a refusal (unless one on errors does), when an
/// --assert does not hold or a --sweep finds no rate that keeps its limit; with 2 for wrong usage, and with 3 when
/// the unit cannot be reached or refuses to make keys, or a result cannot be written.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(super) verb: Option<BenchVerb>,
    /// What is measured.
    #[arg(value_enum, required = true)]
    pub(super) preset: Option<Preset>,
    /// Address of the unit, its listener of that LMK. It must let keys be made (authorised where it asks for
    /// it), or --keys names them.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) target: Option<String>,
    /// A file of keys of the unit: see docs/performance.md. One `[[zmk]]` with its clear value is enough to
    /// bring in all others.
    #[arg(long, value_name = "FILE", requires = "target")]
    pub(super) keys: Option<PathBuf>,
    /// Speaks TLS; the certificate of the unit is always verified.
    #[arg(long, requires = "ca", requires = "target")]
    tls: bool,
    /// PEM file with the certificates that are trusted.
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// Name in the certificate of the unit, when it is not the host of --target.
    #[arg(long, value_name = "NAME", requires = "tls")]
    server_name: Option<String>,
    /// PEM file with the client's own certificate chain.
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"])]
    cert: Option<PathBuf>,
    /// PEM file with the private key of --cert.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Connections.
    #[arg(short, long, visible_alias = "clients", default_value_t = 8, value_parser = whole, value_name = "N")]
    pub(super) conns: usize,
    /// Requests in flight on each connection (16); in an open loop the most (1024). Fewer where the header is too
    /// short to tell them apart.
    #[arg(long, visible_alias = "pipeline", value_parser = whole, value_name = "N")]
    depth: Option<usize>,
    /// Requests a second over all connections (10k is 10000): open loop. Without it a closed loop.
    #[arg(short = 'R', long, value_parser = rate, value_name = "R", group = "pace")]
    pub(super) rate: Option<f64>,
    /// Open loop whose rate goes from one to the other in a straight line, such as 1k..50k.
    #[arg(long, value_parser = range, value_name = "FROM..TO", group = "pace")]
    pub(super) ramp: Option<Range>,
    /// Finds the knee: the highest rate between these that keeps --limit, no reply refused or lost. Every step
    /// is an open loop of --duration; one that breaks the limit is tried twice.
    #[arg(long, value_parser = rising, value_name = "FROM..TO", group = "pace", num_args = 0..=1)]
    #[arg(default_missing_value = "1k..2M")]
    pub(super) sweep: Option<Range>,
    /// What a step of --sweep must keep: a condition as of --assert, or a time that p99 must stay below.
    #[arg(long, default_value = "p99<10ms", value_parser = limit, value_name = "CONDITION", requires = "sweep")]
    pub(super) limit: Condition,
    /// Seconds that count; of one step with --sweep.
    #[arg(long, visible_alias = "seconds", default_value = "10", value_parser = seconds, value_name = "S")]
    pub(super) duration: Duration,
    /// Seconds before them, which do not count.
    #[arg(long, default_value = "2", value_parser = seconds, value_name = "S")]
    pub(super) warmup: Duration,
    /// LMK: of the own gateway (00 variant, 01 3DES key block, 02 AES key block); with --target sent as %NN in
    /// every command.
    #[arg(long, value_parser = lmk, value_name = "NN")]
    pub(super) lmk: Option<String>,
    /// Weights of the preset mix, such as cc=70,cy=20,m6=10. Commands: cc, ca, dc, ec, cw, cy, m6, m8, g0, a0,
    /// a6, a8, nc, b2.
    #[arg(long, value_delimiter = ',', value_name = "COMMAND=WEIGHT")]
    pub(super) mix: Vec<Weight>,
    /// Verifies one reply of so many, taken at random; 0 verifies none.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) verify_every: u64,
    /// A condition, repeatable: p50, p90, p99, p99.9, p99.99 or max with us, ms or s; rate, knee, errors, wrong,
    /// lost, late or dropped with a number.
    #[arg(long = "assert", value_name = "CONDITION")]
    pub(super) conditions: Vec<Condition>,
    /// Threads that make the load.
    #[arg(short, long, default_value_t = 1, value_parser = whole, value_name = "N")]
    pub(super) threads: usize,
    /// Length of the message header of the unit.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(..=255), value_name = "N")]
    header_len: u16,
    /// Longest wait for a reply, in seconds: then the connection counts as lost.
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "S")]
    timeout: Duration,
    /// A line of progress on standard error every so many seconds. On a terminal a bar is shown without it.
    #[arg(long, value_parser = seconds, value_name = "S")]
    progress: Option<Duration>,
    /// One JSON document instead of the table.
    #[arg(long)]
    pub(super) json: bool,
    /// Writes latency and service time as an HdrHistogram log (V2).
    #[arg(long, value_name = "FILE")]
    pub(super) hdr: Option<PathBuf>,
    /// Writes a report with plots: one file that needs no other.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

/// What can be done besides measuring.
#[derive(Debug, Subcommand)]
pub enum BenchVerb {
    /// Compares two documents.
    Compare(CompareArgs),
}

/// From one rate to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// First.
    pub from: f64,
    /// Last.
    pub to: f64,
}

const DEPTH_CLOSED: usize = 16;
const DEPTH_OPEN: usize = 1024;

impl BenchArgs {
    /// The preset, or why these arguments do not go together.
    pub(super) fn judge(&self) -> Result<Preset, Failure> {
        let preset = self.preset.ok_or_else(|| Failure::usage("a preset is missing"))?;
        if preset != Preset::Mix && !self.mix.is_empty() {
            return Err(Failure::usage("--mix belongs to the preset mix"));
        }
        for (n, weight) in self.mix.iter().enumerate() {
            if self.mix[..n].iter().any(|before| before.kind == weight.kind) {
                let code = weight.kind.code().to_ascii_lowercase();
                return Err(Failure::usage(format!("--mix names {code} twice")));
            }
        }
        if self.duration.is_zero() {
            return Err(Failure::usage("--duration of nothing measures nothing"));
        }
        if self.timeout.is_zero() {
            return Err(Failure::usage("--timeout of nothing waits for no reply"));
        }
        if self.hdr.is_some() && same_file(self.hdr.as_deref(), self.html.as_deref()) {
            return Err(Failure::usage("--hdr and --html name one file"));
        }
        if let Some(target) = self.target.as_deref().filter(|target| !has_port(target)) {
            return Err(Failure::usage(format!("--target {target}: expected HOST:PORT")));
        }
        let most = in_flight_most(self.header_length());
        if let Some(depth) = self.depth.filter(|depth| *depth > most) {
            return Err(Failure::usage(format!(
                "--depth {depth}: headers of {} characters tell {most} requests apart",
                self.header_len
            )));
        }
        if self.threads > self.conns {
            return Err(Failure::usage("every one of --threads needs a connection of --conns"));
        }
        if self.sweep.is_none() && self.conditions.iter().any(Condition::is_of_sweep) {
            return Err(Failure::usage("--assert knee needs --sweep"));
        }
        if self.limit.is_of_sweep() {
            return Err(Failure::usage("--limit is judged at every step, where there is no knee yet"));
        }
        Ok(preset)
    }

    /// The loop is open.
    pub(super) const fn open(&self) -> bool {
        self.rate.is_some() || self.ramp.is_some() || self.sweep.is_some()
    }

    pub(super) fn depth(&self) -> usize {
        let normal = if self.open() { DEPTH_OPEN } else { DEPTH_CLOSED };
        self.depth.unwrap_or_else(|| normal.min(in_flight_most(self.header_length())))
    }

    pub(super) fn header_length(&self) -> usize {
        usize::from(self.header_len)
    }

    pub(super) const fn tls_wanted(&self) -> bool {
        self.tls
    }

    pub(super) fn progress(&self) -> Progress {
        match self.progress {
            Some(every) if !every.is_zero() => Progress::Lines(every),
            None if !self.json => Progress::Bar,
            _ => Progress::None,
        }
    }

    /// How the unit is spoken to.
    pub(super) fn options(&self) -> Result<Options, hostclient::Error> {
        let (header_length, timeout) = (self.header_length(), self.timeout);
        Ok(Options { header_length, timeout, tls: self.tls_options()?, ..Options::default() })
    }

    fn tls_options(&self) -> Result<Option<Tls>, hostclient::Error> {
        let Some(ca) = self.ca.as_deref().filter(|_| self.tls) else { return Ok(None) };
        let target = self.target.as_deref().unwrap_or_default();
        let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
        let name = self.server_name.as_deref().unwrap_or(host.trim_matches(['[', ']']));
        Tls::new(name, ca, self.cert.as_deref().zip(self.key.as_deref())).map(Some)
    }
}

fn whole(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=65_535).contains(n));
    number.ok_or_else(|| "expected 1 to 65535".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = assert::count(text)?;
    let good = rate > 0.0 && rate <= RATE_MOST;
    good.then_some(rate).ok_or_else(|| "expected more than 0 and at most 100M".to_owned())
}

// No unit answers so many, and no load thread sends them.
const RATE_MOST: f64 = 100e6;

fn has_port(target: &str) -> bool {
    let port =
        target.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    matches!(port, Some(Ok(1..)))
}

// By its folder, so that two ways of writing it do not hide that it is one.
fn same_file(a: Option<&Path>, b: Option<&Path>) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (folder.canonicalize().ok(), path.file_name().map(ToOwned::to_owned))
    };
    let real = |path: &Path| path.canonicalize().ok();
    a.zip(b)
        .is_some_and(|(a, b)| a == b || place(a) == place(b) || real(a).is_some_and(|a| Some(a) == real(b)))
}

fn range(text: &str) -> Result<Range, String> {
    let (from, to) = text.split_once("..").ok_or("expected FROM..TO, such as 1k..50k")?;
    Ok(Range { from: rate(from)?, to: rate(to)? })
}

fn rising(text: &str) -> Result<Range, String> {
    range(text).and_then(|range| {
        if range.from <= range.to { Ok(range) } else { Err("expected the lower rate first".to_owned()) }
    })
}

fn limit(text: &str) -> Result<Condition, String> {
    let time = text.starts_with(|c: char| c.is_ascii_digit());
    if time { format!("p99<{text}").parse() } else { text.parse() }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let (digits, factor) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60.0),
        None => (text.trim_end_matches('s'), 1.0),
    };
    let number: f64 = digits.parse().map_err(|_| "expected seconds".to_owned())?;
    Duration::try_from_secs_f64(number * factor).map_err(|error| error.to_string())
}

fn lmk(text: &str) -> Result<String, String> {
    let good = text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
    good.then(|| text.to_owned()).ok_or_else(|| "expected two digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_ranges_and_times_are_read() {
        assert_eq!(range("1k..2.5M"), Ok(Range { from: 1e3, to: 2.5e6 }));
        assert_eq!(seconds("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(seconds("0.5s"), Ok(Duration::from_millis(500)));
        assert!(rate("100M").is_ok() && rate("101M").is_err() && range("1k..1e12").is_err());
        assert!(
            has_port("a:1500")
                && has_port("[::1]:1500")
                && !has_port("a")
                && !has_port("a:")
                && !has_port(":1")
        );
        assert!(!has_port("a:0") && !has_port("a:70000"));
        let same = |a, b| same_file(Some(Path::new(a)), Some(Path::new(b)));
        assert!(
            same("a", "a") && same("a", "./a") && !same("a", "b") && !same_file(Some(Path::new("a")), None)
        );
        assert!(range("1k").is_err() && range("0..1").is_err() && rising("5..1").is_err());
        assert!(
            seconds("-1").is_err() && seconds("soon").is_err() && lmk("7").is_err() && whole("0").is_err()
        );
    }
}
