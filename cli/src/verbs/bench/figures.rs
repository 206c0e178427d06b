//! What a run gave, as figures: the document of `--json` and what `compare` reads.

use hostclient::Report;
use hostclient::load::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;

/// Version of the document's form.
pub const SCHEMA: u32 = 1;

/// The whole document.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of this program.
    pub version: String,
    /// Its arguments.
    pub command_line: Vec<String>,
    /// Machine that made the load.
    pub host: Host,
    /// What was run.
    pub run: Setup,
    /// What it gave.
    pub result: Figures,
    /// Conditions and whether they hold.
    pub assertions: Vec<Assertion>,
    /// What is measured, and from when.
    pub method: String,
}

/// Facts of a machine.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Processor.
    pub cpu: String,
    /// Logical processors.
    pub cores: usize,
    /// Kernel.
    pub kernel: String,
}

impl Host {
    /// Looks around.
    pub fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or(": unknown");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: name.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
        }
    }
}

/// What was run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Preset.
    pub preset: String,
    /// Weights by command.
    pub mix: BTreeMap<String, u32>,
    /// Address of the unit; none is a gateway of this run.
    pub target: Option<String>,
    /// LMK that was chosen.
    pub lmk: Option<String>,
    /// Sockets.
    pub connections: usize,
    /// Requests in flight on each, at most in an open loop.
    pub depth: usize,
    /// Requests a second of an open loop.
    pub rate: Option<f64>,
    /// Threads that made the load.
    pub threads: usize,
    /// Seconds that count.
    pub duration_s: f64,
    /// Seconds before them.
    pub warmup_s: f64,
    /// Of so many replies one was compared.
    pub verify_every: u64,
}

/// What a run gave.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// From the end of the warm-up to the last reply.
    pub elapsed_s: f64,
    /// Requests.
    pub sent: u64,
    /// Replies of any code.
    pub replies: u64,
    /// Replies a second.
    pub rate: f64,
    /// Replies by code.
    pub codes: BTreeMap<String, u64>,
    /// Replies with another code than 00.
    pub errors: u64,
    /// Replies that were compared, those of the warm-up included.
    pub verified: u64,
    /// Of these, replies with other bytes than expected; and replies to no request.
    pub wrong: u64,
    /// Requests without reply.
    pub lost: u64,
    /// Open loop: requests sent more than a millisecond after they were due.
    pub late: u64,
    /// Open loop: requests that were due and never sent.
    pub dropped: u64,
    /// From when a request was due, or sent in a closed loop, to its reply.
    pub latency_us: Latency,
    /// From sending to reply.
    pub service_us: Latency,
    /// Processor time of the busiest load thread by time of the run.
    pub client_busy: Option<f64>,
    /// Time in which that thread was ready to compute and got no processor, by time of the run.
    pub client_waiting: Option<f64>,
    /// The load was limited by this program.
    pub client_saturated: bool,
    /// Processor time of the gateway of this run for one reply, in microseconds, over warm-up and run.
    pub server_cpu_us: Option<f64>,
}

/// Percentiles, in microseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)] // named as they are spoken
pub struct Latency {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub p99_99: u64,
    pub max: u64,
    pub mean: f64,
}

/// A condition of `--assert`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Assertion {
    /// As it was written.
    pub condition: String,
    /// The figure, in microseconds, replies a second, or as a count.
    pub value: f64,
    /// Whether it holds.
    pub holds: bool,
}

impl Figures {
    /// Of a report.
    pub fn of(report: &Report) -> Self {
        let codes: BTreeMap<String, u64> =
            report.codes.iter().map(|(code, n)| (code.escape_ascii().to_string(), *n)).collect();
        let good = codes.get("00").copied().unwrap_or_default();
        let latency = |h: &Histogram| Latency {
            p50: h.value_at_quantile(0.5),
            p90: h.value_at_quantile(0.9),
            p99: h.value_at_quantile(0.99),
            p99_9: h.value_at_quantile(0.999),
            p99_99: h.value_at_quantile(0.9999),
            max: h.max(),
            mean: h.mean(),
        };
        Self {
            elapsed_s: report.elapsed.as_secs_f64(),
            sent: report.sent,
            replies: report.replies(),
            rate: report.rate(),
            errors: report.replies() - good,
            codes,
            verified: report.verified,
            wrong: report.wrong,
            lost: report.lost,
            late: report.late,
            dropped: report.dropped,
            latency_us: latency(&report.latency_us),
            service_us: latency(&report.service_us),
            ..Self::default()
        }
    }
}
