//! The report as one page: what the table says, and plots. No script, and nothing that is fetched: it can be
//! attached to a ticket and read in ten years.

use super::figures::{Document, Interval, Point, Sweep};
use super::table;
use hostclient::plot::{Axis, Mark, Plot, Scale, Series, escape};
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;\
background:#fff}table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.2rem .6rem;\
text-align:right}td:first-child,th:first-child{text-align:left}pre{background:#f5f5f5;padding:.8rem;\
overflow-x:auto}svg{width:100%;height:auto;margin:1rem 0}.bad{color:#b00020;font-weight:bold}\
.note{color:#555}";

/// The page.
pub fn page(document: &Document) -> String {
    let title = format!("payhsm bench {}", document.run.preset);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escape(&title)
    );
    for warning in table::warnings(document) {
        add(&mut out, &format!("<p class=\"bad\">{}</p>", escape(&warning)));
    }
    for assertion in document.assertions.iter().filter(|assertion| !assertion.holds) {
        add(&mut out, &format!("<p class=\"bad\">{} does not hold</p>", escape(&assertion.condition)));
    }
    latencies(document, &mut out);
    for plot in plots(document) {
        add(&mut out, &plot.svg());
    }
    if let Some(sweep) = &document.sweep {
        steps(sweep, &mut out);
    }
    // The table for people ends with the method.
    add(&mut out, &format!("<h2>All figures</h2>\n<pre>{}</pre>", escape_lines(&table::table(document))));
    let host = &document.host;
    let host = format!("{}, {} processors, Linux {}", host.cpu, host.cores, host.kernel);
    let line = document.command_line.join(" ");
    add(
        &mut out,
        &format!(
            "<p class=\"note\">Load made by payhsm {} on {}</p>\n<pre>{}</pre>\n</body>\n</html>",
            escape(&document.version),
            escape(&host),
            escape(&line)
        ),
    );
    out
}

fn add(out: &mut String, text: &str) {
    let _never_fails = writeln!(out, "{text}");
}

fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape(line) + "\n").collect()
}

fn row(cells: &[String], tag: &str) -> String {
    let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
    format!("<tr>{}</tr>", cells.collect::<String>())
}

fn latencies(document: &Document, out: &mut String) {
    let head = ["", "p50", "p90", "p99", "p99.9", "p99.99", "max"].map(str::to_owned);
    let line = |name: &str, l: &super::figures::Latency| {
        let times = [l.p50, l.p90, l.p99, l.p99_9, l.p99_99, l.max].map(table::time);
        row(&[&[name.to_owned()], &times[..]].concat(), "td")
    };
    let (latency, service) = (&document.result.latency_us, &document.result.service_us);
    let service = if document.run.rate.is_some() { line("service", service) } else { String::new() };
    add(
        out,
        &format!("<p>{:.0} replies a second, {} in all</p>", document.result.rate, document.result.replies),
    );
    add(out, &format!("<table>{}{}{service}</table>", row(&head, "th"), line("latency", latency)));
}

fn steps(sweep: &Sweep, out: &mut String) {
    let head = ["wanted /s", "got /s", "p50", "p99", "p99.9", "late", "verdict"].map(str::to_owned);
    let rows = sweep.steps.iter().map(|step| {
        let verdict = step.broken.clone().unwrap_or_else(|| "kept".into());
        let times = [step.p50_us, step.p99_us, step.p99_9_us].map(table::time);
        let rates = [step.rate, step.achieved].map(|rate| format!("{rate:.0}"));
        row(&[&rates[..], &times[..], &[step.late.to_string(), verdict]].concat(), "td")
    });
    let rows: String = rows.collect();
    let knee = escape(&table::knee(sweep));
    add(out, &format!("<h2>Sweep</h2>\n<p>{knee}</p>\n<table>{}{rows}</table>", row(&head, "th")));
}

/// What is drawn.
fn plots(document: &Document) -> Vec<Plot> {
    let mut plots = Vec::new();
    if let Some(sweep) = &document.sweep {
        plots.push(knee(sweep));
    }
    plots.push(percentiles(&document.curve, document.run.rate.is_some()));
    if document.timeline.len() > 1 {
        plots.push(rate_over_time(document));
        plots.push(latency_over_time(&document.timeline));
    }
    plots
}

fn series(name: &str, points: impl Iterator<Item = (f64, f64)>) -> Series {
    Series { name: name.into(), points: points.collect() }
}

fn percentiles(curve: &[Point], open: bool) -> Plot {
    let tick = |one_of: f64, name: &str| (one_of, name.to_owned());
    let mut x = Axis::new("percentile", Scale::Log);
    x.ticks = vec![
        tick(1.0, "0"),
        tick(2.0, "50"),
        tick(10.0, "90"),
        tick(1e2, "99"),
        tick(1e3, "99.9"),
        tick(1e4, "99.99"),
        tick(1e5, "99.999"),
        tick(1e6, "99.9999"),
        tick(1e7, "99.99999"),
        tick(1e8, "99.999999"),
    ];
    let one_of = |point: &Point| 1.0 / (1.0 - point.quantile).max(1e-12);
    let mut lines = vec![series("latency", curve.iter().map(|p| (one_of(p), p.latency_us as f64)))];
    if open {
        lines.push(series("service", curve.iter().map(|p| (one_of(p), p.service_us as f64))));
    }
    let y = Axis::new("microseconds", Scale::Log);
    Plot { title: "Latency by percentile".into(), x, y, series: lines, marks: Vec::new() }
}

fn rate_over_time(document: &Document) -> Plot {
    // The last interval is cut short.
    let whole = document.timeline.split_last().map_or(&[][..], |(_, whole)| whole);
    let middle = |i: &Interval| i.at_s + i.seconds / 2.0;
    let mut lines = vec![series("replies", whole.iter().map(|i| (middle(i), i.rate())))];
    if document.result.errors > 0 {
        let refused = |i: &Interval| (middle(i), i.errors as f64 / i.seconds.max(1e-9));
        lines.push(series("refused", whole.iter().map(refused)));
    }
    if let Some((from, to)) = document.run.rate.zip(document.run.ramp_to) {
        lines.push(series("wanted", [(0.0, from), (document.run.duration_s, to)].into_iter()));
    }
    let (x, y) = (Axis::new("seconds", Scale::Linear), Axis::new("replies a second", Scale::Linear));
    Plot { title: "Rate over time".into(), x, y, series: lines, marks: Vec::new() }
}

fn latency_over_time(timeline: &[Interval]) -> Plot {
    let line = |name: &str, pick: fn(&Interval) -> u64| {
        series(name, timeline.iter().map(|i| (i.at_s + i.seconds / 2.0, pick(i) as f64)))
    };
    let lines = vec![line("p50", |i| i.p50_us), line("p99", |i| i.p99_us), line("max", |i| i.max_us)];
    let (x, y) = (Axis::new("seconds", Scale::Linear), Axis::new("microseconds", Scale::Log));
    Plot { title: "Latency over time".into(), x, y, series: lines, marks: Vec::new() }
}

fn knee(sweep: &Sweep) -> Plot {
    let lines = vec![
        series("p50", sweep.steps.iter().map(|s| (s.rate, s.p50_us as f64))),
        series("p99", sweep.steps.iter().map(|s| (s.rate, s.p99_us as f64))),
        series("p99.9", sweep.steps.iter().map(|s| (s.rate, s.p99_9_us as f64))),
    ];
    let marks = sweep.knee.map(|at| Mark::Vertical(at, format!("knee {at:.0}/s, {}", sweep.limit)));
    let (x, y) = (Axis::new("wanted requests a second", Scale::Log), Axis::new("microseconds", Scale::Log));
    let (title, marks) = ("Latency by rate".into(), marks.into_iter().collect());
    Plot { title, x, y, series: lines, marks }
}
