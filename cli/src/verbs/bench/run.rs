//! Load from several threads, each with a runtime and connections of its own.

use super::material::Item;
use super::unit::Busy;
use hostclient::load::{Live, Work};
use hostclient::{Error, Load, Options, Report, Schedule};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Prepared requests, sent in turn.
pub struct Prepared {
    items: Vec<Item>,
}

impl Prepared {
    /// Rounds by command, in the order of the turns: as long a sequence as the longest round needs.
    pub fn new(rounds: &[Vec<Item>], turns: &[usize]) -> Self {
        let longest = rounds.iter().map(Vec::len).max().unwrap_or_default();
        let mut next = vec![0; rounds.len()];
        let mut items = Vec::new();
        while !turns.is_empty() && next.iter().copied().max() < Some(longest) {
            for turn in turns {
                let Some(item) = rounds[*turn].iter().cycle().nth(next[*turn] % rounds[*turn].len().max(1))
                else {
                    return Self { items };
                };
                items.push(item.clone());
                next[*turn] += 1;
            }
        }
        Self { items }
    }

    fn item(&self, sequence: u64) -> Option<&Item> {
        let count = u64::try_from(self.items.len()).ok().filter(|count| *count > 0)?;
        self.items.get(usize::try_from(sequence % count).ok()?)
    }
}

impl Work for Prepared {
    fn request(&self, sequence: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.item(sequence).map_or(&[], |item| &item.request));
    }

    fn verify(&self, sequence: u64, reply: &[u8]) -> bool {
        self.item(sequence).is_some_and(|item| item.expect.holds(reply))
    }
}

/// How the load is made.
pub struct Plan {
    /// Of all threads together.
    pub load: Load,
    /// Threads, each with a share of the connections and of the rate.
    pub threads: usize,
    /// Requests a second of an open loop.
    pub rate: Option<f64>,
    /// The rate that it reaches at the end.
    pub ramp_to: Option<f64>,
    /// Time before the run counts.
    pub warmup: Duration,
    /// How progress is shown.
    pub progress: Progress,
}

/// How progress is shown, on standard error.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// Not at all.
    None,
    /// A bar, for who looks at a terminal.
    Bar,
    /// A line every so often.
    Lines(Duration),
}

/// What a run gave.
pub struct Ran {
    /// Of all threads together.
    pub report: Report,
    /// The busiest thread.
    pub busy: Option<Busy>,
    /// All replies, those of the warm-up included.
    pub replies: u64,
}

/// Runs it.
pub fn run(plan: &Plan, address: &str, options: &Options, work: &Arc<Prepared>) -> Result<Ran, Error> {
    let live = Arc::new(Live::default());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .map(|index| {
                let connections = share(plan.load.connections, plan.threads, index);
                let load = Load { connections, ..plan.load };
                let part = connections as f64 / plan.load.connections.max(1) as f64;
                let share = |rate: Option<f64>| rate.map(|rate| rate * part);
                let (rate, ramp_to) = (share(plan.rate), share(plan.ramp_to));
                let schedule = Schedule { warmup: plan.warmup, rate, ramp_to, live: Arc::clone(&live) };
                let work = Arc::clone(work);
                scope.spawn(move || one(&load, &schedule, address, options, work))
            })
            .collect();
        show(plan, &live, || threads.iter().all(thread::ScopedJoinHandle::is_finished));
        let (mut report, mut busy) = (Report::empty(), None);
        for thread in threads {
            let (part, part_busy) = thread.join().map_err(|_| Error::Lost)??;
            report.add(&part);
            busy = part_busy.into_iter().chain(busy).max_by(|a, b| a.sum().total_cmp(&b.sum()));
        }
        Ok(Ran { report, busy, replies: live.replies() })
    })
}

// As evenly as whole connections go.
const fn share(connections: usize, threads: usize, index: usize) -> usize {
    connections / threads + if index < connections % threads { 1 } else { 0 }
}

fn one(
    load: &Load,
    schedule: &Schedule,
    address: &str,
    options: &Options,
    work: Arc<Prepared>,
) -> Result<(Report, Option<Busy>), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Error::Connect { address: address.to_owned(), source: source.into() })?;
    let (before, start) = (Busy::of_thread(), Instant::now());
    let report = runtime.block_on(load.run_at(address, options, work, schedule))?;
    let seconds = start.elapsed().as_secs_f64();
    let busy = before.zip(Busy::of_thread()).map(|(before, after)| after.share(before, seconds));
    Ok((report, busy))
}

const TICK: Duration = Duration::from_millis(100);

fn show(plan: &Plan, live: &Live, finished: impl Fn() -> bool) {
    let (tick, bar) = match plan.progress {
        Progress::Bar if std::io::stderr().is_terminal() => (TICK, Some(bar(plan))),
        Progress::Lines(every) => (every, None),
        _ => return,
    };
    let (start, mut before) = (Instant::now(), (Instant::now(), 0));
    let mut next = start + tick;
    while !finished() {
        thread::sleep(TICK.min(tick));
        if Instant::now() < next {
            continue;
        }
        next += tick;
        let (now, count) = (Instant::now(), live.replies());
        let seconds = now.duration_since(before.0).as_secs_f64();
        let rate = (count - before.1) as f64 / seconds;
        let text = line(start.elapsed() < plan.warmup, rate, live);
        match &bar {
            Some(bar) => {
                bar.set_position(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
                bar.set_message(text);
            }
            None => eprintln!("{:6.1} s  {text}", start.elapsed().as_secs_f64()),
        }
        before = (now, count);
    }
    bar.iter().for_each(ProgressBar::finish_and_clear);
}

fn bar(plan: &Plan) -> ProgressBar {
    let whole = plan.warmup + plan.load.duration;
    let bar = ProgressBar::new(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn line(warming: bool, rate: f64, live: &Live) -> String {
    let phase = if warming { "warming up" } else { "measuring" };
    let p99 = live.p99_us().map(|us| format!(", p99 {}", super::table::time(us))).unwrap_or_default();
    let errors = match live.errors() {
        0 => String::new(),
        errors => format!(", {errors} refused"),
    };
    format!("{phase}, {rate:.0}/s{p99}{errors}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::bench::expect::Expect;

    fn round(name: &str, count: usize) -> Vec<Item> {
        let item = |n| Item {
            request: format!("{name}{n}").into_bytes(),
            expect: Expect::Bytes(b"ok".to_vec()),
            independent: true,
        };
        (0..count).map(item).collect()
    }

    #[test]
    fn rounds_take_turns_and_begin_anew() {
        let prepared = Prepared::new(&[round("a", 3), round("b", 2)], &[0, 0, 1]);
        let request = |n| {
            let mut out = Vec::new();
            prepared.request(n, &mut out);
            String::from_utf8(out).unwrap()
        };
        let all: Vec<String> = (0..6).map(request).collect();
        assert_eq!(all, ["a0", "a1", "b0", "a2", "a0", "b1"]);
        assert_eq!(request(6), "a0");
        assert!(prepared.verify(0, b"ok") && !prepared.verify(0, b"no"));
    }

    #[test]
    fn connections_are_shared_whole() {
        assert_eq!((0..3).map(|index| share(8, 3, index)).collect::<Vec<_>>(), [3, 3, 2]);
    }
}
