//! `payhsm bench compare`: two documents side by side.

use super::figures::{Document, Figures, Interval, SCHEMA};
use crate::exit::{Exit, Failure};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Compares two documents of `bench --json`: the figures of both, the second by the first, and how far the ratio
/// may be noise.
///
/// The noise of a figure is twice the standard error of its mean over the whole intervals of the run. With
/// --max-worse it ends with 1 when the rate, a percentile or the knee is worse by more than that and the noise
/// (none of it where it is not known), when a larger share of requests was refused, wrong, lost or dropped, or when
/// there is no reply or the run did not last its time; and with 2 when the documents are of another preset, mix or
/// shape of load.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The document to compare with.
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The document that is compared.
    #[arg(value_name = "B.json")]
    b: PathBuf,
    /// Percent by which rate, p50 and p99 may be worse beyond noise.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_worse: Option<f64>,
    /// One JSON document instead of the table.
    #[arg(long)]
    json: bool,
}

/// Share of its time that a run must have lasted.
const LASTED: f64 = 0.99;
/// How far apart two rates of a sweep are that it does not tell apart.
const KNEE_NOISE: f64 = 0.05;

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse::<f64>().ok().filter(|n| (0.0..=1000.0).contains(n));
    number.ok_or_else(|| "expected a percentage".to_owned())
}

/// A figure of both documents.
#[derive(Debug, Serialize)]
struct Row {
    figure: &'static str,
    a: f64,
    b: f64,
    ratio: Option<f64>,
    /// Half the width of where the ratio may be by noise alone.
    noise: Option<f64>,
    verdict: &'static str,
}

// Which way a figure gets better, where it says anything.
#[derive(Clone, Copy, PartialEq)]
enum Better {
    Higher,
    Lower,
    Neither,
}

/// Runs it.
pub fn run(args: &CompareArgs) -> Exit {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let (of_a, of_b) = (figures(&a), figures(&b));
    let rows: Vec<Row> = of_a.into_iter().zip(of_b).map(|(a, b)| row(&a, &b)).collect();
    let doubts = doubts(&a, &b);
    if args.json {
        println!("{}", serde_json::json!({ "schema": SCHEMA, "figures": rows, "doubts": doubts }));
    } else {
        print(&rows, &doubts);
    }
    match args.max_worse {
        Some(most) => {
            comparable(&a, &b)?;
            sound(&a, &b, most)?;
            judge(&rows, most)
        }
        None => Ok(()),
    }
}

// What was not run alike cannot be better or worse.
fn comparable(a: &Document, b: &Document) -> Exit {
    let (x, y) = (&a.run, &b.run);
    let swept = a.sweep.is_some() && b.sweep.is_some();
    let alike = [
        ("preset", x.preset == y.preset),
        ("mix", x.mix == y.mix),
        ("connections or depth", (x.connections, x.depth) == (y.connections, y.depth)),
        ("wanted rate", swept || (x.rate, x.ramp_to) == (y.rate, y.ramp_to)),
        ("kind of run", a.sweep.is_some() == b.sweep.is_some()),
        ("limit of the sweep", limit(a) == limit(b)),
        ("use of TLS", x.tls == y.tls),
    ];
    if let Some((what, _)) = alike.iter().find(|(_, same)| !same) {
        return Err(Failure::usage(format!("--max-worse: the documents differ in their {what}")));
    }
    if a.result.replies == 0 {
        return Err(Failure::usage("--max-worse: the first document has no reply to compare with"));
    }
    Ok(())
}

fn limit(document: &Document) -> Option<&str> {
    document.sweep.as_ref().map(|sweep| sweep.limit.as_str())
}

// What a rate and percentiles do not tell: requests that were not answered, or not well.
fn sound(a: &Document, b: &Document, most_percent: f64) -> Exit {
    let (f, g) = (&a.result, &b.result);
    if g.replies == 0 {
        return Err(Failure::check("no reply"));
    }
    if g.elapsed_s < b.run.duration_s * LASTED || g.ended_early(b.run.duration_s) {
        return Err(Failure::check("the run did not last its time"));
    }
    let share = |count: u64, of: &Figures| count as f64 / (of.sent + of.dropped).max(1) as f64;
    let grown = [
        ("wrong", f.wrong, g.wrong, 0.0),
        ("lost", f.lost, g.lost, most_percent),
        ("errors", f.errors, g.errors, most_percent),
        ("dropped", f.dropped, g.dropped, most_percent),
        ("broken connections", f.broken, g.broken, most_percent),
    ];
    let worse = grown.iter().find(|(name, x, y, most)| {
        // A request or two at the end of an open loop is due and not sent when all is well.
        let few = if *name == "dropped" { x.saturating_add(b.run.connections as u64) } else { *x };
        *y > few && share(*y, g) > share(*x, f) * (1.0 + most / 100.0)
    });
    match worse {
        Some((name, x, y, _)) => Err(Failure::check(format!("more {name}: {y}, where there were {x}"))),
        None => Ok(()),
    }
}

fn print(rows: &[Row], doubts: &[String]) {
    println!("{:<16} {:>12} {:>12} {:>8} {:>8}", "", "a", "b", "b/a", "noise");
    for Row { figure, a, b, ratio, noise, verdict } in rows {
        let ratio = ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"));
        let noise = noise.map_or("-".into(), |noise| format!("±{noise:.3}"));
        println!("{figure:<16} {a:>12.2} {b:>12.2} {ratio:>8} {noise:>8}  {verdict}");
    }
    for what in doubts {
        println!("doubtful: {what}");
    }
    println!(
        "noise: twice the standard error over the intervals of both runs; what is slower than an interval is not in it"
    );
}

fn judge(rows: &[Row], most_percent: f64) -> Exit {
    let worse = |row: &&Row| {
        let Some(ratio) = row.ratio else { return false };
        let noise = row.noise.unwrap_or_default();
        match better(row.figure) {
            Better::Higher => ratio + noise < 1.0 - most_percent / 100.0,
            Better::Lower => ratio - noise > 1.0 + most_percent / 100.0,
            Better::Neither => false,
        }
    };
    match rows.iter().find(worse) {
        Some(row) => Err(Failure::check(format!("{} is worse by more than {most_percent} %", row.figure))),
        None => Ok(()),
    }
}

fn better(figure: &str) -> Better {
    match figure {
        "rate /s" | "knee /s" => Better::Higher,
        "p50 us" | "p99 us" => Better::Lower,
        _ => Better::Neither,
    }
}

fn row(a: &(&'static str, f64, Option<f64>), b: &(&'static str, f64, Option<f64>)) -> Row {
    let ratio = (a.1 > 0.0).then(|| b.1 / a.1);
    let noise = a.2.zip(b.2).zip(ratio).map(|((x, y), ratio)| ratio * (x * x + y * y).sqrt());
    let verdict = match (better(a.0), ratio.zip(noise)) {
        (Better::Neither, _) | (_, None) => "",
        (_, Some((ratio, noise))) if (ratio - 1.0).abs() <= noise => "the same within noise",
        (Better::Higher, Some((ratio, _))) if ratio > 1.0 => "better",
        (Better::Lower, Some((ratio, _))) if ratio < 1.0 => "better",
        _ => "worse",
    };
    Row { figure: a.0, a: a.1, b: b.1, ratio, noise, verdict }
}

/// Twice the standard error of the mean, by the mean; `None` of fewer than five values.
fn noise(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (values.len() >= 5 && mean > 0.0).then(|| 2.0 * (variance / count).sqrt() / mean)
}

fn read(path: &Path) -> Result<Document, Failure> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Failure::environment(failed(&error)))?;
    let document: Document = serde_json::from_str(&text).map_err(|error| Failure::usage(failed(&error)))?;
    if document.schema == SCHEMA {
        Ok(document)
    } else {
        Err(Failure::usage(failed(&format!("schema {}, expected {SCHEMA}", document.schema))))
    }
}

// Name, value, and noise by the value.
fn figures(document: &Document) -> Vec<(&'static str, f64, Option<f64>)> {
    let f = &document.result;
    let l = &f.latency_us;
    // The last interval is cut short, and what came after the end belongs to no rate.
    let whole = document.timeline.split_last().map_or(&[][..], |(_, whole)| whole);
    let over = |pick: fn(&Interval) -> f64| noise(&whole.iter().map(pick).collect::<Vec<_>>());
    // A ramp has no rate and no latency of its own.
    let steady = document.run.ramp_to.is_none();
    let over = |pick| if steady { over(pick) } else { None };
    // The step that a sweep shows has a rate of its own: only the knee is compared.
    let [rate, p50, p99] = if document.sweep.is_some() {
        ["rate of the step", "p50 of the step", "p99 of the step"]
    } else {
        ["rate /s", "p50 us", "p99 us"]
    };
    vec![
        (rate, f.rate, over(Interval::rate)),
        (p50, l.p50 as f64, over(|i| i.p50_us as f64)),
        ("p90 us", l.p90 as f64, None),
        (p99, l.p99 as f64, over(|i| i.p99_us as f64)),
        ("p99.9 us", l.p99_9 as f64, None),
        ("max us", l.max as f64, None),
        ("gateway cpu us", f.server_cpu_us.unwrap_or_default(), None),
        ("knee /s", f.knee.unwrap_or_default(), Some(KNEE_NOISE)),
        ("errors", f.errors as f64, None),
        ("wrong", f.wrong as f64, None),
        ("lost", f.lost as f64, None),
        ("dropped", f.dropped as f64, None),
    ]
}

// What makes a ratio doubtful.
fn doubts(a: &Document, b: &Document) -> Vec<String> {
    let mut out = Vec::new();
    let mut compare = |name: &str, same: bool| {
        if !same {
            out.push(name.to_owned());
        }
    };
    compare("another machine", a.host == b.host);
    compare("another preset or mix", a.run.preset == b.run.preset && a.run.mix == b.run.mix);
    compare(
        "other connections or depth",
        (a.run.connections, a.run.depth) == (b.run.connections, b.run.depth),
    );
    compare("another wanted rate", a.run.rate == b.run.rate && a.run.ramp_to == b.run.ramp_to);
    compare("TLS on one side only", a.run.tls == b.run.tls);
    compare("another share of verified replies", a.run.verify_every == b.run.verify_every);
    compare("other threads", a.run.threads == b.run.threads);
    compare("another LMK", a.run.lmk == b.run.lmk);
    compare(
        "another duration or warm-up",
        a.run.duration_s == b.run.duration_s && a.run.warmup_s == b.run.warmup_s,
    );
    compare("load limited by the tester", !a.result.client_saturated && !b.result.client_saturated);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_twice_the_standard_error() {
        // Mean 10, variance 2.5, five values: a standard error of 0.7071.
        let found = noise(&[8.0, 9.0, 10.0, 11.0, 12.0]).unwrap();
        assert!((found - 2.0 * 0.5f64.sqrt() / 10.0).abs() < 1e-12, "{found}");
        assert_eq!((noise(&[1.0; 4]), noise(&[0.0; 9]), noise(&[])), (None, None, None));
        assert_eq!(noise(&[7.0; 9]), Some(0.0));
    }

    #[test]
    fn a_difference_within_noise_is_none() {
        let verdict = |a, b, noise| row(&("rate /s", a, Some(noise)), &("rate /s", b, Some(noise))).verdict;
        assert_eq!(verdict(100.0, 103.0, 0.03), "the same within noise");
        assert_eq!((verdict(100.0, 110.0, 0.03), verdict(100.0, 90.0, 0.03)), ("better", "worse"));
        let latency = row(&("p99 us", 100.0, Some(0.01)), &("p99 us", 90.0, Some(0.01)));
        assert_eq!(latency.verdict, "better");
        assert_eq!(row(&("p90 us", 1.0, None), &("p90 us", 9.0, None)).verdict, "");
    }

    #[test]
    fn worse_beyond_noise_and_allowance_ends_with_1() {
        let rows =
            |ratio: f64| vec![row(&("rate /s", 100.0, Some(0.02)), &("rate /s", 100.0 * ratio, Some(0.02)))];
        assert!(judge(&rows(0.96), 5.0).is_ok() && judge(&rows(2.0), 5.0).is_ok());
        assert_eq!(judge(&rows(0.80), 5.0).unwrap_err().code, 1);
        let latency = vec![row(&("p99 us", 100.0, Some(0.02)), &("p99 us", 120.0, Some(0.02)))];
        assert_eq!(judge(&latency, 5.0).unwrap_err().code, 1);
        assert!(judge(&latency, 25.0).is_ok());
        let unknown = |b: f64| vec![row(&("rate /s", 100.0, None), &("rate /s", b, None))];
        assert_eq!(
            judge(&unknown(94.0), 5.0).unwrap_err().code,
            1,
            "noise that is not known excuses nothing"
        );
        assert!(judge(&unknown(96.0), 5.0).is_ok());
    }
}
