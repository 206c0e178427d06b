//! Rows of the suite: what is measured, what it must reach, and what it did.

mod alone;
mod gateway;
mod memory;
mod others;

use crate::abuse;
use crate::client::{self, Batch, Plan, Sample};
use crate::frames::{self, Exchange, Maker};
use crate::limit::OpenSsl;
use crate::server::{Kind, Server};
use crate::stats::Spread;
use hsm::LmkId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// A figure and its goals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Name, for `--rows`.
    pub id: String,
    /// What by what.
    pub what: String,
    /// Of what the figure is.
    pub unit: Unit,
    /// Medians and extremes of the pairs; none where the row was skipped.
    pub figure: Option<Spread>,
    /// What it must reach; none is reported only.
    pub must: Option<f64>,
    /// What it should reach.
    pub aim: Option<f64>,
    /// Whether it reached both, by its median.
    pub must_reached: Option<bool>,
    /// Likewise.
    pub aim_reached: Option<bool>,
    /// Both sides of each pair, by name; medians.
    pub sides: Vec<Side>,
    /// The same ratio of processor time for a message instead of messages a second.
    pub cpu_ratio: Option<Spread>,
    /// Why it was not measured.
    pub skipped: Option<String>,
    /// It should have been.
    pub failed: bool,
}

/// One side of a pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Side {
    /// What it is.
    pub name: String,
    /// Messages a second.
    pub rate: Option<f64>,
    /// Nanoseconds of the server's processor for one.
    pub cpu_ns: Option<f64>,
    /// 99th percentile of latency, in microseconds.
    pub p99_us: Option<f64>,
}

/// Of what a figure is, and which way it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A ratio, the higher the better.
    RatioUp,
    /// A ratio, the lower the better.
    RatioDown,
    /// Bytes, the fewer the better.
    Bytes,
}

impl Unit {
    /// A figure for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::RatioUp | Self::RatioDown if value >= 10.0 => format!("{value:.0}"),
            Self::RatioUp | Self::RatioDown => format!("{value:.2}"),
            Self::Bytes if value >= 1_048_576.0 => format!("{:.1} MiB", value / 1_048_576.0),
            Self::Bytes if value >= 1024.0 => format!("{:.1} KiB", value / 1024.0),
            Self::Bytes => format!("{value:.0} B"),
        }
    }

    fn reaches(self, value: f64, goal: f64) -> bool {
        if self == Self::RatioUp { value >= goal } else { value <= goal }
    }
}

impl Row {
    fn new(id: &str, what: &str, unit: Unit, goals: Option<(f64, f64)>) -> Self {
        let (must, aim) = goals.unzip();
        let (id, what) = (id.to_owned(), what.to_owned());
        let (must_reached, aim_reached) = (None, None);
        let (figure, sides, cpu_ratio, skipped) = (None, Vec::new(), None, None);
        Self {
            id,
            what,
            unit,
            figure,
            must,
            aim,
            must_reached,
            aim_reached,
            sides,
            cpu_ratio,
            skipped,
            failed: false,
        }
    }

    /// A row that could not be measured.
    pub fn failed(id: &str, why: &dyn std::fmt::Display) -> Self {
        Self { failed: true, ..Self::new(id, id, Unit::RatioUp, None).skipped(why) }
    }

    fn with(mut self, figure: Spread) -> Self {
        self.figure = Some(figure);
        self.must_reached = self.must.map(|goal| self.unit.reaches(figure.median, goal));
        self.aim_reached = self.aim.map(|goal| self.unit.reaches(figure.median, goal));
        self
    }

    fn skipped(mut self, why: impl ToString) -> Self {
        self.skipped = Some(why.to_string());
        self
    }

    // Messages a second of the second side by those of the first.
    fn of_pairs(self, (first, second): (&str, &str), pairs: &[(Sample, Sample)]) -> Self {
        let side = |name: &str, pick: fn(&(Sample, Sample)) -> &Sample| {
            let of =
                |value: fn(&Sample) -> f64| Spread::of(pairs.iter().map(|pair| value(pick(pair)))).median;
            let (rate, cpu_ns) = (Some(of(|sample| sample.rate)), Some(of(|sample| sample.cpu_ns)));
            Side { name: name.to_owned(), rate, cpu_ns, p99_us: None }
        };
        let sides = vec![side(first, |pair| &pair.0), side(second, |pair| &pair.1)];
        let cpu_ratio = Spread::of(pairs.iter().map(|(a, b)| a.cpu_ns / b.cpu_ns));
        let mut row = self.with(Spread::of(pairs.iter().map(|(a, b)| b.rate / a.rate)));
        (row.sides, row.cpu_ratio) = (sides, Some(cpu_ratio));
        row
    }

    fn of_latencies(self, (first, second): (&str, &str), pairs: &[(f64, f64)]) -> Self {
        let side = |name: &str, pick: fn(&(f64, f64)) -> f64| Side {
            name: name.to_owned(),
            rate: None,
            cpu_ns: None,
            p99_us: Some(Spread::of(pairs.iter().map(pick)).median),
        };
        let sides = vec![side(first, |pair| pair.0), side(second, |pair| pair.1)];
        let mut row = self.with(Spread::of(pairs.iter().map(|(a, b)| b / a)));
        row.sides = sides;
        row
    }
}

/// What rows share: servers, frames that were made, and how long to measure.
pub struct Bench {
    /// Interleaved pairs of each row.
    pub pairs: usize,
    /// Time of one side of a pair.
    pub duration: Duration,
    /// So many different keys stand for keys that were never seen.
    pub unseen: usize,
    /// Of the machine.
    pub processors: usize,
    echo: Server,
    engine: Server,
    maker: Maker,
    made: BTreeMap<(u8, &'static str), Vec<Exchange>>,
    /// The rate of the gateway at 8×64, once a row has measured it.
    maximum: Option<f64>,
}

/// Server on the first processor, client on the second.
const SERVER: usize = 0;
/// Keys of the rows in which all are seen before.
const SEEN: usize = 64;
/// Different frames of those rows.
const FRAMES: usize = 2048;

impl Bench {
    /// Starts the servers.
    pub fn start(pairs: usize, duration: Duration, unseen: usize, processors: usize) -> io::Result<Self> {
        let (echo, engine) = (Server::start(Kind::Echo, &[SERVER])?, Server::start(Kind::Engine, &[SERVER])?);
        let (maker, made) = (Maker::new(), BTreeMap::new());
        Ok(Self { pairs, duration, unseen, processors, echo, engine, maker, made, maximum: None })
    }

    /// CC between `keys` different keys.
    fn translations(&mut self, lmk: LmkId, seen: bool) -> io::Result<Vec<Exchange>> {
        let (keys, count) = if seen { (SEEN, FRAMES) } else { (self.unseen, self.unseen / 2) };
        let name = if seen { "seen" } else { "unseen" };
        if let Some(made) = self.made.get(&(lmk.0, name)) {
            return Ok(made.clone());
        }
        let made = self.maker.translations(lmk, keys, count)?;
        // Only small sets are worth their memory.
        if seen {
            self.made.insert((lmk.0, name), made.clone());
        }
        Ok(made)
    }

    // CC with half as many other keys again: more than the key cache holds.
    fn others(&mut self, lmk: LmkId) -> io::Result<Vec<Exchange>> {
        let keys = self.unseen / 2;
        self.maker.translations(lmk, keys, keys / 2)
    }

    fn dukpt(&mut self, lmk: LmkId) -> io::Result<Vec<Exchange>> {
        if let Some(made) = self.made.get(&(lmk.0, "dukpt")) {
            return Ok(made.clone());
        }
        let made = self.maker.dukpt(lmk, 128)?;
        self.made.insert((lmk.0, "dukpt"), made.clone());
        Ok(made)
    }

    fn plan<'b>(&self, batches: &'b [Batch], connections: usize) -> Plan<'b> {
        Plan { connections, batches, duration: self.duration }
    }

    fn on_echo(&self, lmk: LmkId, plan: &Plan<'_>) -> io::Result<Sample> {
        client::run(&self.echo, self.echo.address(lmk)?, plan, false)
    }

    fn on_engine(&self, lmk: LmkId, plan: &Plan<'_>) -> io::Result<Sample> {
        client::run(&self.engine, self.engine.address(lmk)?, plan, true)
    }

    // First one side, then the other, so many times.
    fn pairs<T>(
        &self,
        first: impl FnMut() -> io::Result<T>,
        second: impl FnMut() -> io::Result<T>,
    ) -> io::Result<Vec<(T, T)>> {
        self.many_pairs(1, first, second)
    }

    // So many times as many pairs.
    fn many_pairs<T>(
        &self,
        times: u32,
        mut first: impl FnMut() -> io::Result<T>,
        mut second: impl FnMut() -> io::Result<T>,
    ) -> io::Result<Vec<(T, T)>> {
        let count = self.pairs.saturating_mul(times as usize);
        (0..count).map(|_| Ok((first()?, second()?))).collect()
    }

    // The gateway's own maximum, measured now when no row has done it.
    fn maximum(&mut self) -> io::Result<f64> {
        if let Some(rate) = self.maximum {
            return Ok(rate);
        }
        let batches = frames::batches(&self.translations(frames::VARIANT, true)?, 64);
        let plan = self.plan(&batches, 8);
        let runs: Vec<f64> =
            (0..3).map(|_| Ok(self.on_engine(frames::VARIANT, &plan)?.rate)).collect::<io::Result<_>>()?;
        let rate = Spread::of(runs).median;
        self.maximum = Some(rate);
        Ok(rate)
    }
}

/// A row that can be asked for.
pub struct Wanted {
    /// Name.
    pub id: String,
    /// Measures it.
    pub measure: Measure,
}

/// Measures a row of this name.
pub type Measure = Box<dyn Fn(&mut Bench, &str) -> io::Result<Row>>;

/// All rows, in the order of the table.
pub fn all() -> Vec<Wanted> {
    let mut rows = Vec::new();
    let mut add = |id: &str, measure: Measure| {
        rows.push(Wanted { id: id.to_owned(), measure });
    };
    for row in gateway::BY_ECHO {
        add(row.id, Box::new(|bench, _| gateway::by_echo(bench, row)));
    }
    add("openssl", Box::new(|bench, id| alone::by_openssl(bench, id, OpenSsl::compile())));
    add("des-crate", Box::new(alone::by_des_crate));
    add("lanes-avx2", Box::new(alone::lanes_avx2));
    add("lanes-avx512", Box::new(alone::lanes_avx512));
    for row in gateway::UNSEEN {
        add(row.id, Box::new(|bench, _| gateway::unseen(bench, row)));
    }
    add("g0-8x64", Box::new(gateway::dukpt_by_cc));
    add("open-half", Box::new(others::open_half));
    add("second-core", Box::new(others::second_core));
    add("memory-idle", Box::new(memory::idle));
    add("memory-keys", Box::new(memory::keys));
    for kind in abuse::Kind::ALL {
        let id = format!("peer-{}", kind.name());
        add(&id, Box::new(move |bench, id| others::beside(bench, id, kind)));
    }
    add("rotation", Box::new(others::rotation));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_it_reached_its_goals() {
        let spread = |median| Spread { median, low: median, high: median };
        let up = Row::new("a", "b", Unit::RatioUp, Some((0.4, 0.6))).with(spread(0.5));
        assert_eq!((up.must_reached, up.aim_reached), (Some(true), Some(false)));
        let down = Row::new("a", "b", Unit::Bytes, Some((2048.0, 614.0))).with(spread(600.0));
        assert_eq!((down.must_reached, down.aim_reached), (Some(true), Some(true)));
        let free = Row::new("a", "b", Unit::RatioDown, None).with(spread(1.0));
        assert_eq!((free.must_reached, free.aim_reached), (None, None));
    }

    #[test]
    fn pairs_are_ratios_of_their_own_run() {
        let sample = |rate, cpu_ns| Sample { rate, cpu_ns };
        // The machine was twice as slow in the second pair: the ratio is the same.
        let pairs = [(sample(100.0, 10.0), sample(50.0, 40.0)), (sample(50.0, 20.0), sample(25.0, 80.0))];
        let row = Row::new("a", "b", Unit::RatioUp, None).of_pairs(("echo", "gateway"), &pairs);
        assert_eq!(row.figure, Some(Spread { median: 0.5, low: 0.5, high: 0.5 }));
        assert_eq!(row.cpu_ratio.unwrap().median, 0.25);
        assert_eq!((row.sides[1].rate, row.sides[1].cpu_ns), (Some(37.5), Some(60.0)));
        let row =
            Row::new("a", "b", Unit::RatioDown, None).of_latencies(("echo", "gateway"), &[(10.0, 12.0)]);
        assert_eq!((row.figure.unwrap().median, row.sides[0].p99_us), (1.2, Some(10.0)));
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<String> = all().into_iter().map(|row| row.id).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn figures_for_people_have_few_digits() {
        assert_eq!(Unit::RatioUp.show(0.6149), "0.61");
        assert_eq!(Unit::RatioUp.show(66.7), "67");
        assert_eq!((Unit::Bytes.show(600.0), Unit::Bytes.show(1536.0)), ("600 B".into(), "1.5 KiB".into()));
        assert_eq!(Unit::Bytes.show(16.0 * 1_048_576.0), "16.0 MiB");
    }
}
