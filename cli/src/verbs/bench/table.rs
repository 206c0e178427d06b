//! The table for people, and the method under it.

use super::figures::{Document, Figures, Latency, Setup, Step, Sweep};
use std::fmt::Write as _;

/// The table of a run.
pub fn table(document: &Document) -> String {
    let (run, result) = (&document.run, &document.result);
    let mut out = document.sweep.as_ref().map(steps).unwrap_or_default();
    let mut line = |name: &str, text: String| {
        let _never_fails = writeln!(out, "{name:<10} {text}");
    };
    line("run", what(run));
    if let Some(sweep) = &document.sweep {
        line("knee", knee(sweep));
    }
    line("rate", format!("{:.0}/s, {} replies in {:.2} s", result.rate, result.replies, result.elapsed_s));
    if let Some(rate) = run.rate {
        let to = run.ramp_to.map(|to| format!(" to {to:.0}")).unwrap_or_default();
        line("wanted", format!("{rate:.0}{to}/s; late {}, dropped {}", result.late, result.dropped));
    }
    line("latency", latency(&result.latency_us));
    if run.rate.is_some() {
        line("service", latency(&result.service_us));
    }
    line("codes", codes(result));
    line("replies", format!("{} verified, {} wrong, {} lost", result.verified, result.wrong, result.lost));
    line("processor", processor(result));
    for assertion in &document.assertions {
        let verdict = if assertion.holds { "holds" } else { "DOES NOT HOLD" };
        line("assert", format!("{}: {verdict} ({:.0})", assertion.condition, assertion.value));
    }
    for warning in warnings(document) {
        line("warning", warning);
    }
    out + "\n" + &document.method
}

/// What makes the figures doubtful, and what to do.
pub fn warnings(document: &Document) -> Vec<String> {
    let mut out = Vec::new();
    if document.result.client_saturated {
        let threads = document.run.threads + 1;
        out.push(format!(
            "a load thread computed, or waited for a processor, nearly all the time: the unit may be faster. Try \
             --threads {threads}, --verify-every 100 (replies of every command are still among them), or load from another machine"
        ));
    }
    if document
        .sweep
        .as_ref()
        .is_some_and(|s| s.steps.iter().any(|s| s.broken.is_some() && s.client_saturated))
    {
        out.push(
            "a step of the sweep was limited by this program: the knee of the unit may be higher".into(),
        );
    }
    out.extend(losses(document));
    let result = &document.result;
    if result.errors > 0 {
        let share = result.errors as f64 / result.replies.max(1) as f64 * 100.0;
        out.push(format!("{share:.1} % of the replies are refusals: rate and latency are theirs too"));
    }
    out
}

// What a unit that dies or hangs leaves.
fn losses(document: &Document) -> Vec<String> {
    let (result, duration) = (&document.result, document.run.duration_s);
    let mut out = Vec::new();
    if result.ended_early(duration) {
        out.push(format!(
            "the run ended early: the last reply came after {:.2} s of {duration} s; rate and latency are over all of them",
            result.last_reply_s
        ));
    }
    if result.lost > 0 {
        let lost = result.lost;
        out.push(format!(
            "{lost} requests got no reply: the unit was silent for --timeout or closed connections (see its limit of them)"
        ));
    }
    if result.broken > 0 {
        let why = result.first_break.as_deref().unwrap_or("unknown");
        out.push(format!("{} connections broke, the first of them: {why}", result.broken));
    }
    out
}

fn what(run: &Setup) -> String {
    let target = run.target.as_deref().unwrap_or("a gateway of its own");
    let tls = if run.tls { " over TLS" } else { "" };
    let mix = run.mix.iter().map(|(code, weight)| format!("{code}={weight}")).collect::<Vec<_>>().join(",");
    let lmk = run.lmk.as_ref().map(|lmk| format!(", LMK {lmk}")).unwrap_or_default();
    let how = match run.rate {
        Some(rate) => format!("open loop at {rate:.0}/s over {} connections", run.connections),
        None => format!("closed loop, {} connections x {} in flight", run.connections, run.depth),
    };
    format!("{} ({mix}) against {target}{tls}{lmk}: {how}", run.preset)
}

/// A step of a sweep, in one line.
pub fn step(step: &Step) -> String {
    let verdict = match &step.broken {
        None => "keeps the limit".to_owned(),
        Some(why) => format!("BREAKS IT: {why}"),
    };
    format!(
        "{:>10.0}/s  got {:>10.0}/s  p50 {:>9}  p99 {:>9}  p99.9 {:>9}  late {:>6}  {verdict}",
        step.rate,
        step.achieved,
        time(step.p50_us),
        time(step.p99_us),
        time(step.p99_9_us),
        step.late
    )
}

fn steps(sweep: &Sweep) -> String {
    sweep.steps.iter().map(|one| step(one) + "\n").collect::<String>() + "\n"
}

/// What a sweep found, in words.
pub fn knee(sweep: &Sweep) -> String {
    let limit = &sweep.limit;
    match (sweep.knee, sweep.broken_at) {
        (Some(kept), Some(broken)) => format!("{kept:.0}/s keeps {limit}, {broken:.0}/s does not"),
        (Some(kept), None) => format!("at least {kept:.0}/s, the highest rate of the sweep: {limit} is kept"),
        (None, _) => format!("below the lowest rate of the sweep: {limit} is not kept"),
    }
}

fn codes(result: &Figures) -> String {
    let codes = result.codes.iter().map(|(code, count)| format!("{code}: {count}"));
    let text = codes.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".into() } else { text }
}

fn processor(result: &Figures) -> String {
    let share = |share: Option<f64>| share.map_or("?".into(), |share| format!("{:.0} %", share * 100.0));
    let server = result.server_cpu_us.map(|us| format!("; gateway {us:.2} us a reply")).unwrap_or_default();
    let (busy, waiting) = (share(result.client_busy), share(result.client_waiting));
    format!("busiest load thread {busy} of a core, {waiting} waiting for one{server}")
}

fn latency(l: &Latency) -> String {
    let all = [("p50", l.p50), ("p90", l.p90), ("p99", l.p99), ("p99.9", l.p99_9), ("p99.99", l.p99_99)];
    let all = all.into_iter().chain([("max", l.max)]);
    all.map(|(name, us)| format!("{name} {}", time(us))).collect::<Vec<_>>().join("  ")
}

/// A time for people; three digits are what the histogram keeps.
pub fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.2} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// What is measured, and from when.
pub fn method(run: &Setup) -> String {
    let mut text = String::from("Method: ");
    text += match run.rate {
        Some(_) => {
            "requests are due at even distances, whatever the unit does. Latency runs from when a request was due \
             to when its reply was read (no coordinated omission); service from when it was written to the send \
             buffer. What this program itself is late by, about 0.1 ms on an idle machine, is in latency and not in \
             service. Late: sent more than 1 ms after it was due; dropped: due and never sent. "
        }
        None => {
            "a request is sent for every reply that comes. Latency runs from when a request was written to the \
             send buffer to when its reply was read; a stall of the unit delays requests that are then not sent, \
             and shows less than in an open loop (--rate). "
        }
    };
    let _never_fails =
        write!(text, "Requests were prepared before; the first {} s are not counted. ", run.warmup_s);
    if run.ramp_to.is_some() {
        text += "The rate goes in a straight line from the first to the second over the time that counts. ";
    }
    text += "A request without reply counts in both with the time to the end of the run. ";
    text += &match run.verify_every {
        0 => "No reply was verified.".to_owned(),
        1 => format!("Every reply was verified against what it must be, {}.", run.verification),
        n => format!(
            "One reply of {n}, taken at random, was verified against what it must be, {}.",
            run.verification
        ),
    };
    text
}
