//! `payhsm bench`: a load tester of payShield-style units that makes or takes its keys, verifies replies by
//! cryptography of its own, and says how it measured.

mod args;
mod assert;
mod compare;
mod expect;
mod figures;
mod html;
mod keys;
mod material;
mod preset;
mod run;
mod sweep;
mod table;
mod unit;

pub use args::BenchArgs;

use crate::exit::{Exit, Failure};
use crate::hardening;
use args::BenchVerb;
use assert::Condition;
use expect::Expect;
use figures::{Assertion, Document, Figures, Host, Interval, Point, SCHEMA, Setup, Step, Sweep};
use hostclient::{Client, Load, Options, Report};
use keys::Keys;
use material::{Item, Maker, Trouble};
use preset::{Preset, Weight, turns};
use run::{Plan, Prepared, Ran};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use sweep::{Knee, Search};
use unit::Own;

/// Share of its time that a load thread computes or waits for a processor, from which it is the limit of what
/// it measures.
const SATURATED: f64 = 0.9;
/// Share of the wanted rate that a step of a sweep must reach.
const REACHED: f64 = 0.98;
const FEW: f64 = 3.0;
/// Time in which the last replies of a step may come.
const MOMENT_S: f64 = 0.1;

/// Runs the verb.
pub fn run(args: &BenchArgs) -> Exit {
    if let Some(BenchVerb::Compare(compare)) = &args.verb {
        return compare::run(compare);
    }
    let preset = args.judge()?;
    let room = hardening::connections(args.conns);
    if room < args.conns {
        return Err(Failure::environment(format!(
            "the limit of open files leaves room for {room} connections"
        )));
    }
    let files = Files::create(args)?;
    let bench = Bench::prepare(args, preset)?;
    let (mut figures, report, sweep) = match args.sweep {
        None => {
            let (figures, report) = bench.once(args.rate.or(args.ramp.map(|ramp| ramp.from)))?;
            (figures, report, None)
        }
        Some(range) => bench.sweep(Search::new(range.from, range.to))?,
    };
    let ended = SystemTime::now();
    figures.knee = sweep.as_ref().and_then(|sweep| sweep.knee);
    let document = bench.document(figures, &report, sweep);
    drop(bench);
    // What was measured is told before anything else can fail, and written when it cannot be told.
    let shown = show(args, &document);
    files.write(ended, &report, &document)?;
    shown?;
    end(args, &document)
}

/// Everything that a run needs, ready.
struct Bench<'a> {
    args: &'a BenchArgs,
    preset: Preset,
    weights: Vec<Weight>,
    own: Option<Own>,
    address: String,
    options: Options,
    work: Arc<Prepared>,
    verification: String,
}

impl<'a> Bench<'a> {
    fn prepare(args: &'a BenchArgs, preset: Preset) -> Result<Self, Failure> {
        let weights = preset.weights(&args.mix);
        let keys = args.keys.as_deref().map(Keys::read).transpose()?.unwrap_or_default();
        let options = args.options().map_err(wire)?;
        let lmk = args.lmk.as_deref().unwrap_or("00");
        let own = match &args.target {
            Some(_) => None,
            None => Some(Own::start(lmk, args.header_length())?),
        };
        let address = args.target.clone().or_else(|| own.as_ref().map(|own| own.address.clone()));
        let address = address.unwrap_or_default();
        let selector = args.lmk.as_ref().filter(|_| own.is_none()).map(|lmk| format!("%{lmk}"));
        let known = own.as_ref().map(|_| lmk);
        let rounds = rounds(&address, &options, (selector.unwrap_or_default(), keys, known), &weights)?;
        let verification = verification(&rounds);
        let work = Arc::new(Prepared::new(&rounds, &turns(&weights)));
        Ok(Self { args, preset, weights, own, address, options, work, verification })
    }

    // One run, open at this rate or closed.
    fn once(&self, rate: Option<f64>) -> Result<(Figures, Report), Failure> {
        let args = self.args;
        let load = Load {
            connections: args.conns,
            depth: args.depth(),
            requests_max: u64::MAX,
            duration: args.duration,
            verify_every: args.verify_every,
        };
        let ramp_to = args.ramp.map(|ramp| ramp.to);
        let (threads, warmup, progress) = (args.threads, args.warmup, args.progress());
        let plan = Plan { load, threads, rate, ramp_to, warmup, progress };
        let cpu = || self.own.as_ref().and_then(Own::cpu_seconds);
        let before = cpu();
        let Ran { report, busy, replies } =
            run::run(&plan, &self.address, &self.options, &self.work).map_err(wire)?;
        let spent = cpu().zip(before).map(|(after, before)| after - before);
        let mut figures = Figures::of(&report);
        figures.client_busy = busy.map(|busy| busy.cpu);
        figures.client_waiting = busy.map(|busy| busy.waiting);
        figures.client_saturated = busy.is_some_and(|busy| busy.sum() >= SATURATED);
        figures.server_cpu_us = spent.filter(|_| replies > 0).map(|seconds| seconds * 1e6 / replies as f64);
        Ok((figures, report))
    }

    // Figures and report are of the best step that kept the limit, or of the lowest rate.
    fn sweep(&self, mut search: Search) -> Result<(Figures, Report, Option<Sweep>), Failure> {
        let mut steps: Vec<Step> = Vec::new();
        let mut best: Option<(f64, bool, Figures, Report)> = None;
        while let Some(rate) = search.next_rate() {
            let (mut figures, mut report) = self.once(Some(rate))?;
            let mut broken = self.broken(rate, &figures);
            // A moment of the machine breaks a limit too; a unit that cannot breaks it again.
            if broken.is_some() {
                (figures, report) = self.once(Some(rate))?;
                broken = self.broken(rate, &figures);
            }
            let step = Step::of(rate, &figures, broken);
            if !self.args.json {
                eprintln!("{}", table::step(&step));
            }
            let holds = step.broken.is_none();
            search.note(rate, holds);
            if best.as_ref().is_none_or(|(at, kept, ..)| holds && (!kept || rate > *at)) {
                best = Some((rate, holds, figures, report));
            }
            steps.push(step);
        }
        steps.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let limit = self.args.limit.text().to_owned();
        let (knee, broken_at) = match search.knee() {
            Knee::Between(kept, broken) => (Some(kept), Some(broken)),
            Knee::AtLeast(kept) => (Some(kept), None),
            Knee::Below(low) => (None, Some(low)),
        };
        let (_, _, figures, report) = best.ok_or_else(|| Failure::usage("--sweep has no step"))?;
        Ok((figures, report, Some(Sweep { limit, knee, broken_at, steps })))
    }

    // Why a step does not keep its limit.
    fn broken(&self, rate: f64, figures: &Figures) -> Option<String> {
        let limit = &self.args.limit;
        let Figures { errors, wrong, lost, broken, .. } = figures;
        if errors + wrong + lost + broken > 0 {
            return Some(format!(
                "{errors} refused, {wrong} wrong, {lost} lost, {broken} connections broken"
            ));
        }
        if !limit.judge(figures).0 {
            return Some(format!("{} does not hold", limit.text()));
        }
        let duration = self.args.duration.as_secs_f64();
        let due = rate * duration;
        // At the end of a short step one or two requests may be due and not yet sent.
        let unsent = due - figures.sent as f64;
        if unsent > (due * (1.0 - REACHED)).max(FEW) {
            return Some(format!("only {:.0} % of the rate", figures.sent as f64 / due * 100.0));
        }
        let overrun = figures.elapsed_s - duration;
        (overrun > duration * (1.0 - REACHED) + MOMENT_S).then(|| format!("{overrun:.1} s behind at the end"))
    }

    fn document(&self, result: Figures, report: &Report, sweep: Option<Sweep>) -> Document {
        let args = self.args;
        let open = args.rate.or(args.ramp.map(|ramp| ramp.from));
        let run = Setup {
            preset: self.preset.name(),
            mix: self.weights.iter().map(|w| (w.kind.code().to_owned(), w.weight)).collect(),
            target: args.target.clone(),
            tls: args.tls_wanted(),
            lmk: args.lmk.clone().or_else(|| args.target.is_none().then(|| "00".to_owned())),
            connections: args.conns,
            depth: args.depth(),
            rate: open.or_else(|| sweep.as_ref().and_then(|sweep| sweep.shown_rate())),
            ramp_to: args.ramp.map(|ramp| ramp.to),
            threads: args.threads,
            duration_s: args.duration.as_secs_f64(),
            warmup_s: args.warmup.as_secs_f64(),
            verify_every: args.verify_every,
            verification: self.verification.clone(),
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
            timeline: Interval::all(report),
            curve: Point::all(report),
            run,
            result,
            sweep,
        }
    }
}

fn rounds(
    address: &str,
    options: &Options,
    (selector, keys, own): (String, Keys, Option<&str>),
    weights: &[Weight],
) -> Result<Vec<Vec<Item>>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::environment)?;
    runtime.block_on(async {
        let client = Client::connect(address, options.clone()).await.map_err(wire)?;
        let kinds: Vec<_> = weights.iter().map(|weight| weight.kind).collect();
        let maker = Maker::new(client, selector, keys, own, &kinds).await.map_err(trouble)?;
        let mut rounds = Vec::new();
        for kind in kinds {
            rounds.push(maker.items(kind).await.map_err(trouble)?);
        }
        Ok(rounds)
    })
}

// Who says what a reply must be.
fn verification(rounds: &[Vec<Item>]) -> String {
    let (own, asked): (Vec<&Item>, Vec<&Item>) = rounds.iter().flatten().partition(|item| item.independent);
    let formed = asked.iter().any(|item| matches!(item.expect, Expect::Formed));
    let only = if formed { "; of a key that A0 made only the form, for the ZMK is not known" } else { "" };
    let text = match (own.is_empty(), asked.is_empty()) {
        (_, true) => "worked out by this program's own cryptography from clear keys".to_owned(),
        (true, false) => "made by another command of the unit (clear keys are not known)".into(),
        (false, false) => {
            "worked out by this program's own cryptography where clear keys are known, otherwise made by another \
             command of the unit"
                .into()
        }
    };
    text + only
}

fn wire(error: hostclient::Error) -> Failure {
    match std::error::Error::source(&error) {
        Some(source) => Failure::environment(format!("{error}: {source}")),
        None => Failure::environment(error),
    }
}

fn trouble(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Keys(_) => Failure::usage(trouble),
        Trouble::Wire(_) | Trouble::Refused(_) => Failure::environment(trouble),
    }
}

/// What a run is written to, open before it begins: minutes of load are not lost to a folder that is not there.
struct Files<'a> {
    hdr: Option<(&'a Path, File)>,
    html: Option<(&'a Path, File)>,
}

impl<'a> Files<'a> {
    fn create(args: &'a BenchArgs) -> Result<Self, Failure> {
        let open = |path: &'a Path| match File::create(path) {
            Ok(file) => Ok((path, file)),
            Err(error) => Err(unwritten(path, &error)),
        };
        let hdr = args.hdr.as_deref().map(open).transpose()?;
        Ok(Self { hdr, html: args.html.as_deref().map(open).transpose()? })
    }

    // Both are tried.
    fn write(self, ended: SystemTime, report: &Report, document: &Document) -> Exit {
        let hdr = self.hdr.map(|file| write(file, |mut out| report.write_hdr(ended, &mut out)));
        let html = self.html.map(|file| write(file, |out| out.write_all(html::page(document).as_bytes())));
        hdr.into_iter().chain(html).collect()
    }
}

fn write((path, file): (&Path, File), how: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Exit {
    let mut out = io::BufWriter::new(file);
    how(&mut out).and_then(|()| out.flush()).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::environment(format!("{}: {error}", path.display()))
}

fn show(args: &BenchArgs, document: &Document) -> Exit {
    let text = if args.json {
        serde_json::to_string_pretty(document).map_err(Failure::environment)?
    } else {
        table::table(document)
    };
    writeln!(io::stdout(), "{text}")
        .map_err(|error| Failure::environment(format!("standard output: {error}")))?;
    if args.json {
        table::warnings(document).iter().for_each(|warning| eprintln!("payhsm: {warning}"));
    }
    Ok(())
}

// What the run says of the unit.
fn end(args: &BenchArgs, document: &Document) -> Exit {
    let result = &document.result;
    if result.wrong > 0 {
        return Err(Failure::check(format!("{} replies were wrong", result.wrong)));
    }
    if result.replies == 0 {
        return Err(Failure::check("no reply was counted"));
    }
    let asked = |about: fn(&Condition) -> bool| args.conditions.iter().any(about);
    if result.lost + result.broken > 0 && !asked(Condition::is_of_lost) {
        let (lost, broken) = (result.lost, result.broken);
        return Err(Failure::check(format!("{lost} requests got no reply, {broken} connections broke")));
    }
    if result.all_refused() && !asked(Condition::is_of_errors) {
        return Err(Failure::check("every reply was a refusal"));
    }
    if let Some(sweep) = document.sweep.as_ref().filter(|sweep| sweep.knee.is_none()) {
        return Err(Failure::check(format!("no rate of the sweep keeps {}", sweep.limit)));
    }
    match document.assertions.iter().find(|assertion| !assertion.holds) {
        Some(broken) => Err(Failure::check(format!("{} does not hold", broken.condition))),
        None => Ok(()),
    }
}
