//! Metrics in the Prometheus text format. Counters and gauges are handles of the exporter; the durations
//! are histograms of our own (see `stats`), since the exporter keeps every single observation in memory
//! until its next upkeep. Labels come from the command table, the named codes and the configuration only.

use crate::admission::Reason;
use crate::stats::{BOUNDS_FRAMES, BOUNDS_US, CoreStats, Histogram, Stage, Stats};
use hostcmd::Code;
use hostcmd::table::TABLE;
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::fmt::Write;
use std::sync::Arc;

const METADATA: Metadata<'static> = Metadata::new("payhsm", Level::INFO, None);

/// Why a frame could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// Shorter than header and command code.
    Short,
    /// Longer than allowed.
    Long,
    /// The command code is not printable.
    Code,
    /// The connection ended inside a frame.
    Cut,
}

impl BadFrame {
    const ALL: [Self; 4] = [Self::Short, Self::Long, Self::Code, Self::Cut];

    const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Code => "code",
            Self::Cut => "cut",
        }
    }
}

/// Why a worker was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerLoss {
    /// It ended, or closed its socket.
    Ended,
    /// It had work and answered nothing in time.
    Hung,
    /// It said what no worker says.
    Protocol,
    /// Its socket could not be used.
    Socket,
}

impl WorkerLoss {
    const ALL: [Self; 4] = [Self::Ended, Self::Hung, Self::Protocol, Self::Socket];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Hung => "hung",
            Self::Protocol => "protocol",
            Self::Socket => "socket",
        }
    }
}

/// The metrics of a gateway.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    rejected: Vec<Counter>,
    invalid: Vec<Counter>,
    workers_lost: Vec<Counter>,
    stats: Stats,
}

impl Metrics {
    pub(crate) fn new(stats: Stats) -> Arc<Self> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        describe(&recorder);
        let counter = |name, reason| {
            let key = Key::from_parts(name, vec![Label::from_static_parts("reason", reason)]);
            recorder.register_counter(&key, &METADATA)
        };
        let rejected = Reason::ALL.map(|r| counter("payhsm_connections_rejected_total", r.name()));
        let invalid = BadFrame::ALL.map(|b| counter("payhsm_frames_invalid_total", b.name()));
        let workers_lost = WorkerLoss::ALL.map(|w| counter("payhsm_workers_lost_total", w.name()));
        let info = Key::from_parts(
            "payhsm_build_info",
            vec![Label::from_static_parts("version", env!("CARGO_PKG_VERSION"))],
        );
        recorder.register_gauge(&info, &METADATA).set(1);
        Arc::new(Self {
            rejected: rejected.into(),
            invalid: invalid.into(),
            workers_lost: workers_lost.into(),
            recorder,
            handle,
            stats,
        })
    }

    pub(crate) fn rejected(&self, reason: Reason) {
        let at = Reason::ALL.iter().position(|r| *r == reason);
        if let Some(counter) = at.and_then(|at| self.rejected.get(at)) {
            counter.increment(1);
        }
    }

    pub(crate) fn invalid(&self, bad: BadFrame) {
        let at = BadFrame::ALL.iter().position(|b| *b == bad);
        if let Some(counter) = at.and_then(|at| self.invalid.get(at)) {
            counter.increment(1);
        }
    }

    pub(crate) fn worker_lost(&self, why: WorkerLoss) {
        let at = WorkerLoss::ALL.iter().position(|w| *w == why);
        if let Some(counter) = at.and_then(|at| self.workers_lost.get(at)) {
            counter.increment(1);
        }
    }

    /// Crypto workers that serve.
    pub(crate) fn workers_up(&self, count: usize) {
        let gauge = self.recorder.register_gauge(&Key::from_static_name("payhsm_workers"), &METADATA);
        gauge.set(u32::try_from(count).map_or(f64::INFINITY, f64::from));
    }

    /// Open connections of a listener.
    pub(crate) fn connections(&self, listener: &str) -> Gauge {
        let key = Key::from_parts("payhsm_connections", vec![Label::new("listener", listener.to_owned())]);
        self.recorder.register_gauge(&key, &METADATA)
    }

    /// Replies of a command with a code. Codes without a name share one label, so that no host and no
    /// backend can make labels.
    pub(crate) fn commands(&self, row: Option<usize>, code: Code, listener: &str) -> Counter {
        let command = row.and_then(|row| TABLE.get(row)).map_or("unknown", |row| row.about.code_text());
        let code = if Code::ALL.contains(&code) { code.to_string() } else { "other".to_owned() };
        let labels = vec![
            Label::new("command", command.to_owned()),
            Label::new("code", code),
            Label::new("listener", listener.to_owned()),
        ];
        self.recorder.register_counter(&Key::from_parts("payhsm_commands_total", labels), &METADATA)
    }

    /// To be called from time to time.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// All metrics as text.
    pub(crate) fn render(&self) -> String {
        let mut text = self.handle.render();
        // Writing to a string does not fail.
        let _ = write_histograms(&mut text, self.stats.cores());
        text
    }
}

fn describe(recorder: &PrometheusRecorder) {
    let counters = [
        ("payhsm_commands_total", "Replies by command, response code and listener."),
        ("payhsm_connections_rejected_total", "Connections that were turned away or ended, by reason."),
        ("payhsm_frames_invalid_total", "Frames that could not be used, by reason."),
        ("payhsm_workers_lost_total", "Crypto workers that were given up, by reason."),
    ];
    for (name, text) in counters {
        recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
    recorder.describe_gauge("payhsm_connections".into(), Some(Unit::Count), "Open connections.".into());
    recorder.describe_gauge("payhsm_workers".into(), Some(Unit::Count), "Crypto workers that serve.".into());
    recorder.describe_gauge("payhsm_build_info".into(), None, "Version of the program.".into());
}

fn write_histograms(text: &mut String, cores: &[CoreStats]) -> std::fmt::Result {
    head(text, "payhsm_command_duration_seconds", "histogram", "Time of commands by stage.")?;
    for (index, row) in TABLE.iter().enumerate() {
        for stage in Stage::ALL {
            let all = cores.iter().filter_map(|core| core.rows.get(index)).map(|row| row.stage(stage));
            let labels = format!("command=\"{}\",stage=\"{}\"", row.about.code_text(), stage.name());
            let scale = (1e6, 1e9);
            histogram(text, "payhsm_command_duration_seconds", &labels, &BOUNDS_US, scale, all)?;
        }
    }
    head(text, "payhsm_batch_frames", "histogram", "Frames that ran together.")?;
    let batches = cores.iter().map(|core| &core.batches);
    histogram(text, "payhsm_batch_frames", "", &BOUNDS_FRAMES, (1.0, 1.0), batches)?;
    head(text, "payhsm_inflight_commands", "gauge", "Commands that run now.")?;
    let running = cores.iter().map(|core| core.in_flight.get()).fold(0, u64::wrapping_add);
    writeln!(text, "payhsm_inflight_commands {running}")
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

// `scale`: how many units of the bounds, and of the sum, are one of the metric. A histogram that never saw
// anything is left out.
fn histogram<'a, const N: usize>(
    text: &mut String,
    name: &str,
    labels: &str,
    bounds: &[u64; N],
    scale: (f64, f64),
    cores: impl Iterator<Item = &'a Histogram<N>>,
) -> std::fmt::Result {
    let mut counts = vec![0_u64; N.saturating_add(1)];
    let sum = cores.map(|core| core.gather(&mut counts)).fold(0_u64, u64::wrapping_add);
    let count = counts.last().copied().unwrap_or_default();
    if count == 0 {
        return Ok(());
    }
    let (comma, own) = if labels.is_empty() { ("", String::new()) } else { (",", format!("{{{labels}}}")) };
    for (bound, so_far) in bounds.iter().zip(&counts) {
        let le = *bound as f64 / scale.0;
        writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{le}\"}} {so_far}")?;
    }
    writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}")?;
    writeln!(text, "{name}_sum{own} {}\n{name}_count{own} {count}", sum as f64 / scale.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_names_labels_and_cumulative_buckets() {
        let stats = Stats::new(2);
        for core in stats.cores() {
            core.rows[0].stage(Stage::Total).record(30, 30_000, 2);
            core.batches.record(2, 2, 1);
        }
        let metrics = Metrics::new(stats);
        metrics.rejected(Reason::Idle);
        metrics.invalid(BadFrame::Short);
        metrics.connections("a").set(3);
        metrics.commands(None, Code(*b"zz"), "a").increment(1);
        metrics.commands(Some(0), Code::OK, "a").increment(2);
        let text = metrics.render();
        for line in [
            "payhsm_connections_rejected_total{reason=\"idle\"} 1",
            "payhsm_frames_invalid_total{reason=\"short\"} 1",
            "payhsm_connections{listener=\"a\"} 3",
            "payhsm_commands_total{command=\"unknown\",code=\"other\",listener=\"a\"} 1",
            "payhsm_batch_frames_bucket{le=\"1\"} 0",
            "payhsm_batch_frames_bucket{le=\"2\"} 2",
            "payhsm_batch_frames_count 2",
            "payhsm_inflight_commands 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        let code = TABLE[0].about.code_text();
        for (le, count) in [("0.000025", 0), ("0.00005", 4), ("1", 4), ("+Inf", 4)] {
            let line = format!(
                "payhsm_command_duration_seconds_bucket{{command=\"{code}\",stage=\"total\",le=\"{le}\"}} {count}"
            );
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert!(text.contains("stage=\"total\"} 0.00012\n"));
        assert!(!text.contains("stage=\"queue\""), "nothing was seen there");
    }
}
