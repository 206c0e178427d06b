//! What was counted, and the verdict: a list of things that must hold, each with what was found.

use super::units::UnitKill;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where the campaigns are, the slowest one counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing is asked for yet.
    Before,
    /// The key is made and brought to nodes.
    Staging,
    /// Nodes begin to process with it.
    Accepting,
    /// Nodes begin to protect with it.
    Protecting,
    /// All protect with it, and process with the old one.
    Overlap,
    /// The old one is taken away, and after that.
    Retiring,
}

impl Stage {
    /// How many.
    pub const COUNT: usize = 6;
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Staging => "staging",
            Self::Accepting => "accepting",
            Self::Protecting => "protecting",
            Self::Overlap => "overlap",
            Self::Retiring => "retiring",
        }
    }

    /// All of them.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Before, Self::Staging, Self::Accepting, Self::Protecting, Self::Overlap, Self::Retiring];
}

/// Counts of one stage.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StageCounts {
    /// Begun in it, and the PIN was right.
    pub right: u64,
    /// Begun in it, and refused somewhere.
    pub refused: u64,
}

/// What one node has carried.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Carried {
    /// Right transactions in which it had a part.
    pub right: u64,
    /// How long it was in traffic, seconds.
    pub in_traffic_s: f64,
}

impl Carried {
    /// A second, while in traffic.
    pub fn rate(&self) -> f64 {
        self.right as f64 / self.in_traffic_s.max(f64::MIN_POSITIVE)
    }
}

/// What the load counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// Transactions that began.
    pub begun: u64,
    /// PIN blocks that were made.
    pub blocks: u64,
    /// Requests that hosts have made.
    pub requests: u64,
    /// Length of the load, seconds.
    pub seconds: f64,
    /// Most that a transaction began after its time.
    pub late_ms: f64,
    /// By stage.
    pub stages: BTreeMap<Stage, StageCounts>,
    /// PINs that the oracle found to be others.
    pub wrong: u64,
    /// Refusals by place and reason.
    pub refusals: BTreeMap<String, u64>,
    /// Blocks of an earlier generation, processed by a node that protected with the new one already.
    pub old_after_activation: u64,
    /// The same, while the campaigns were in the overlap or just before it.
    pub old_to_new: u64,
    /// Blocks of the new generation, processed by a node that still protected with the old one.
    pub new_to_old: u64,
    /// By node.
    pub carried: Vec<Carried>,
    /// When a zone's generation protected first: UTC milliseconds, node.
    pub first: BTreeMap<(usize, u32), (u64, usize)>,
    /// Blocks under the old generation after every node was activated, by node.
    pub stale: BTreeMap<usize, u64>,
}

impl Tally {
    /// A refusal.
    pub fn refuse(&mut self, begun: Stage, reason: String) {
        self.stages.entry(begun).or_default().refused += 1;
        *self.refusals.entry(reason).or_default() += 1;
    }

    /// A block was made.
    pub fn protected(&mut self, zone: usize, generation: u32, node: usize, stage: Stage) {
        self.first.entry((zone, generation)).or_insert_with(|| (keymgr::client::utc_ms(), node));
        if stage >= Stage::Overlap && self.first.contains_key(&(zone, generation + 1)) {
            *self.stale.entry(node).or_default() += 1;
        }
    }

    /// A PIN came out right.
    pub fn right(&mut self, begun: Stage, now: Stage, generation: u32, at_node: Option<u32>) {
        self.stages.entry(begun).or_default().right += 1;
        let around = matches!(now, Stage::Protecting | Stage::Overlap);
        match at_node {
            Some(current) if generation < current => {
                self.old_after_activation += 1;
                self.old_to_new += u64::from(around);
            }
            Some(current) if generation > current => self.new_to_old += u64::from(around),
            _ => {}
        }
    }

    /// What a refusal means, by generation and stage.
    pub fn why_refused(&self, zone: usize, generation: u32, now: Stage) -> &'static str {
        let newer = self.first.contains_key(&(zone, generation + 1));
        match now {
            _ if !newer && generation > 1 => {
                "does not process the generation that another node protects with"
            }
            Stage::Protecting | Stage::Overlap => "has dropped the previous generation within the overlap",
            Stage::Retiring => "has retired the previous generation while its blocks were on their way",
            _ => "refuses the block",
        }
    }

    /// Refused transactions.
    pub fn refused(&self) -> u64 {
        self.refusals.values().sum()
    }
}

/// One thing that must hold.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// Whether it does.
    pub holds: bool,
    /// What was found.
    pub found: String,
}

/// A kill of the manager.
#[derive(Debug, Serialize)]
pub struct Kill {
    /// When it was due.
    pub due: &'static str,
    /// Number of the process that was killed.
    pub pid: u32,
    /// Proofs that nodes of this process had confirmed, or nodes of it with the order, before.
    pub before: usize,
    /// Proofs that the next process counts, or nodes with the order when it is there.
    pub after: usize,
    /// Of how many.
    pub of: usize,
    /// Where the campaigns are for the next process.
    pub stage: Stage,
    /// The phase that was meant was hit.
    pub hit: bool,
}

/// The verdict.
#[derive(Debug, Default)]
pub struct Report {
    /// What must hold.
    pub checks: Vec<Check>,
    /// Kills of the manager.
    pub kills: Vec<Kill>,
    /// The kill of a node.
    pub node_kill: Option<UnitKill>,
    /// Figures.
    pub figures: BTreeMap<&'static str, Value>,
}

impl Report {
    /// Adds a thing that must hold.
    pub fn check(&mut self, what: &'static str, holds: bool, found: impl Into<String>) {
        self.checks.push(Check { what, holds, found: found.into() });
    }

    /// Adds a figure.
    pub fn figure(&mut self, name: &'static str, value: impl Serialize) {
        self.figures.insert(name, json!(value));
    }

    /// What does not hold, in a line.
    pub fn failures(&self) -> Option<String> {
        let failed = self.checks.iter().filter(|check| !check.holds);
        let lines: Vec<String> = failed.map(|check| format!("{}: {}", check.what, check.found)).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// As one document.
    pub fn document(&self) -> Value {
        json!({
            "holds": self.failures().is_none(),
            "checks": self.checks,
            "kills": self.kills,
            "node_kill": self.node_kill,
            "figures": self.figures,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mark = |holds: bool| if holds { "holds " } else { "FAILS " };
        let checks = self.checks.iter().map(|c| format!("{}{}: {}\n", mark(c.holds), c.what, c.found));
        let kills = self.kills.iter().map(|k| {
            format!(
                "kill of the manager at {}: process {}, {} of {} before, {} after, {}\n",
                k.due,
                k.pid,
                k.before,
                k.of,
                k.after,
                k.stage.name()
            )
        });
        let node = self.node_kill.iter().map(|k| {
            format!(
                "kill of {} between store and receipt: process {}, drained in {} ms, down for {} ms\n",
                k.node, k.pids[0], k.drained_ms, k.down_ms
            )
        });
        let figures = self.figures.iter().map(|(name, value)| format!("{name}: {value}\n"));
        figures.chain(kills).chain(node).chain(checks).collect()
    }
}
