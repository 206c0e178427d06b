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
    /// The run by intervals of time; with a sweep, of the step that `result` is of.
    #[serde(default)]
    pub timeline: Vec<Interval>,
    /// Latency by percentile.
    #[serde(default)]
    pub curve: Vec<Point>,
    /// The search for the knee.
    #[serde(default)]
    pub sweep: Option<Sweep>,
}

/// An interval of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// Its beginning, in seconds from the end of the warm-up.
    pub at_s: f64,
    /// Its length, in seconds; the last one is cut short by the end of the run.
    pub seconds: f64,
    /// Replies that came in it.
    pub replies: u64,
    /// Of these, with another code than 00.
    pub errors: u64,
    /// Latency of these, in microseconds, two significant digits.
    pub p50_us: u64,
    /// Likewise.
    pub p99_us: u64,
    /// Likewise.
    pub max_us: u64,
}

impl Interval {
    /// Those of a report.
    pub fn all(report: &Report) -> Vec<Self> {
        let length = report.timeline.interval().as_secs_f64();
        let elapsed = report.elapsed.as_secs_f64();
        let interval = |(n, slot): (usize, &hostclient::load::Slot)| {
            let at_s = n as f64 * length;
            let at = |quantile| slot.latency_us.value_at_quantile(quantile);
            Self {
                at_s,
                seconds: length.min(elapsed - at_s).max(0.0),
                replies: slot.replies,
                errors: slot.errors,
                p50_us: at(0.5),
                p99_us: at(0.99),
                max_us: slot.latency_us.max(),
            }
        };
        report.timeline.slots().iter().enumerate().map(interval).collect()
    }

    /// Replies a second.
    pub fn rate(&self) -> f64 {
        self.replies as f64 / self.seconds.max(1e-9)
    }
}

/// So many of all replies came within this time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Share of replies, 0 to 1.
    pub quantile: f64,
    /// Microseconds.
    pub latency_us: u64,
    /// From sending.
    pub service_us: u64,
}

impl Point {
    /// Ten to each power of ten, as far as there are replies.
    pub fn all(report: &Report) -> Vec<Self> {
        let count = report.latency_us.len() as f64;
        let one_of = (0..=80).map(|n| 10f64.powf(f64::from(n) / 10.0));
        let shares = one_of.take_while(|one_of| *one_of <= count).map(|one_of| 1.0 - 1.0 / one_of);
        shares
            .map(|quantile| Self {
                quantile,
                latency_us: report.latency_us.value_at_quantile(quantile),
                service_us: report.service_us.value_at_quantile(quantile),
            })
            .collect()
    }
}

/// The search for the knee.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sweep {
    /// What every step had to keep.
    pub limit: String,
    /// Highest rate that kept it; none when even the lowest did not.
    pub knee: Option<f64>,
    /// Lowest rate that did not keep it; none when even the highest did.
    pub broken_at: Option<f64>,
    /// In the order of their rates.
    pub steps: Vec<Step>,
}

impl Sweep {
    /// The rate of the step whose figures are shown.
    pub fn shown_rate(&self) -> Option<f64> {
        self.knee.or(self.broken_at)
    }
}

/// One rate of a sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Wanted, requests a second.
    pub rate: f64,
    /// Replies a second.
    pub achieved: f64,
    /// Latency, in microseconds.
    pub p50_us: u64,
    /// Likewise.
    pub p99_us: u64,
    /// Likewise.
    pub p99_9_us: u64,
    /// Requests sent more than a millisecond after they were due.
    pub late: u64,
    /// Requests that were due and never sent.
    pub dropped: u64,
    /// The load was limited by this program.
    pub client_saturated: bool,
    /// Why the limit was not kept; none when it was.
    pub broken: Option<String>,
}

impl Step {
    /// Of the figures of its run.
    pub fn of(rate: f64, figures: &Figures, broken: Option<String>) -> Self {
        let l = &figures.latency_us;
        Self {
            rate,
            achieved: figures.rate,
            p50_us: l.p50,
            p99_us: l.p99,
            p99_9_us: l.p99_9,
            late: figures.late,
            dropped: figures.dropped,
            client_saturated: figures.client_saturated,
            broken,
        }
    }
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
    /// Over TLS.
    #[serde(default)]
    pub tls: bool,
    /// LMK that was chosen.
    pub lmk: Option<String>,
    /// Sockets.
    pub connections: usize,
    /// Requests in flight on each, at most in an open loop.
    pub depth: usize,
    /// Requests a second of an open loop.
    pub rate: Option<f64>,
    /// The rate that an open loop reaches at its end.
    #[serde(default)]
    pub ramp_to: Option<f64>,
    /// Threads that made the load.
    pub threads: usize,
    /// Seconds that count.
    pub duration_s: f64,
    /// Seconds before them.
    pub warmup_s: f64,
    /// Of so many replies one was verified.
    pub verify_every: u64,
    /// Where it comes from what a reply must be.
    #[serde(default)]
    pub verification: String,
}

/// What a run gave.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// From the end of the warm-up to the last reply, and at least the time that the run was to last.
    pub elapsed_s: f64,
    /// From the end of the warm-up to the last reply.
    #[serde(default)]
    pub last_reply_s: f64,
    /// Requests.
    pub sent: u64,
    /// Replies of any code.
    pub replies: u64,
    /// Replies a second.
    pub rate: f64,
    /// Highest rate that kept the limit of a sweep.
    #[serde(default)]
    pub knee: Option<f64>,
    /// Replies by code.
    pub codes: BTreeMap<String, u64>,
    /// Replies with another code than 00.
    pub errors: u64,
    /// Of the replies, those that were compared.
    pub verified: u64,
    /// Replies with other bytes than expected, or to no request; those of the warm-up included.
    pub wrong: u64,
    /// Requests without reply.
    pub lost: u64,
    /// Open loop: requests sent more than a millisecond after they were due.
    pub late: u64,
    /// Open loop: requests that were due and never sent.
    pub dropped: u64,
    /// Connections that broke before the run was over.
    #[serde(default)]
    pub broken: u64,
    /// Why the first of them did.
    #[serde(default)]
    pub first_break: Option<String>,
    /// From when a request was due, or sent in a closed loop, to its reply; of one that was lost or dropped, to the
    /// end of the run.
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

/// Share of its time after which a run that lost requests did not end before its time.
const NEARLY_ALL: f64 = 0.9;

impl Figures {
    /// Nothing came any more long before the end of a run of this length, and requests waited for it.
    pub fn ended_early(&self, duration_s: f64) -> bool {
        self.lost + self.broken > 0 && self.last_reply_s < duration_s * NEARLY_ALL
    }

    /// No reply was good.
    pub fn all_refused(&self) -> bool {
        self.replies > 0 && self.errors == self.replies
    }

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
            last_reply_s: report.last_reply.as_secs_f64(),
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
            broken: report.broken,
            first_break: report.first_break.clone(),
            latency_us: latency(&report.latency_us),
            service_us: latency(&report.service_us),
            ..Self::default()
        }
    }
}
