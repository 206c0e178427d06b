//! Gates that noise cannot break: instructions of one command, counted by callgrind, against what was recorded;
//! the same of the lanes for other keys and blocks, which must not differ by one; and the lanes against the `des`
//! crate in one process. (That a CC allocates nothing is a test of `hostcmd`.)
//!
//! callgrind knows no AVX-512, so that every machine with AVX2 counts the same path. Two runs of different
//! length are taken from each other: what making frames and starting costs is not in the count.

use crate::host;
use crate::lanes;
use crate::passes;
use crate::record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use tdes_lanes::Engine;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Records the instructions of this build as those to keep, instead of judging them.
    #[arg(long)]
    record: bool,
    /// Takes it as a broken gate when instructions cannot be counted, for want of valgrind.
    #[arg(long)]
    require: bool,
}

/// What was recorded.
#[derive(Debug, Serialize, Deserialize)]
struct Recorded {
    schema: u32,
    /// Counts are of one compiler; another one's are no regression of ours.
    rustc: String,
    commit: String,
    /// Instructions of one command.
    instructions: BTreeMap<String, f64>,
}

/// More of them than recorded by this share is a regression; so much fewer is to be recorded.
const TOLERANCE: f64 = 0.03;
/// The same for a compiler that is not the one of the record.
const FOREIGN_TOLERANCE: f64 = 0.15;

/// What is counted: name, and arguments of `engine`.
const COUNTED: [(&str, &[&str]); 4] = [
    ("CC, variant LMK, batches of 512", &["--depth", "512"]),
    ("CC, variant LMK, alone", &["--depth", "1"]),
    ("CC, AES block LMK, batches of 512", &["--depth", "512", "--lmk", "2"]),
    ("G0, variant LMK, batches of 512", &["--depth", "512", "--command", "g0"]),
];

/// Lanes must be so many times as fast as the `des` crate. Half of what was measured, so that a slow machine
/// passes and a lost vectorisation (a tenth) does not.
const KERNELS: [(Engine, f64); 2] = [(Engine::Avx2, 20.0), (Engine::Avx512, 30.0)];
const ROUNDS: usize = 11;

/// Judges; ends with 1 when a gate does not hold.
pub fn run(args: &Args) -> io::Result<ExitCode> {
    let path = record::folder().join("instructions.json");
    if args.record {
        let recorded = Recorded {
            schema: 1,
            rustc: host::rustc(),
            commit: host::Host::look().commit,
            instructions: count_all()?.ok_or_else(|| io::Error::other(MISSING))?,
        };
        record::write(&path, &recorded)?;
        print(&recorded.instructions);
        return Ok(ExitCode::SUCCESS);
    }
    let instructions = instructions(&path, args.require)?;
    let steady = steady(args.require)?;
    let kernels = kernels();
    Ok(if instructions && steady && kernels { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

const MISSING: &str = "instructions are not counted: needs valgrind (Debian package valgrind) and AVX2";

fn kernels() -> bool {
    let judge = |(engine, least): &(Engine, f64)| match lanes::measure(*engine, ROUNDS) {
        None => {
            println!("SKIP lanes / des crate, {engine:?}: this processor does not have it");
            true
        }
        Some((ratio, ..)) => {
            let holds = ratio.median >= *least;
            let verdict = if holds { "ok" } else { "TOO SLOW" };
            println!("{verdict} lanes / des crate, {engine:?}: {:.0}, must be {least:.0}", ratio.median);
            holds
        }
    };
    // All of them are told.
    KERNELS.iter().map(judge).filter(|holds| !holds).count() == 0
}

fn instructions(path: &std::path::Path, require: bool) -> io::Result<bool> {
    let recorded: Recorded = record::read(path)?;
    let tolerance = tolerance(&recorded);
    let Some(counted) = count_all()? else {
        println!("SKIP {MISSING}");
        return Ok(!require);
    };
    let mut good = true;
    for (name, (now, before)) in pairs(&counted, &recorded.instructions) {
        let (holds, verdict) = judge(now, before, tolerance);
        println!(
            "{verdict} {name}: {now:.0} instructions, recorded {before:.0} ({:+.1} %)",
            (now / before - 1.0) * 100.0
        );
        good &= holds;
    }
    Ok(good)
}

const RECORD: &str = "`cargo run --release -p benches -- gate --record` with this compiler records anew";

/// What must not depend on keys and blocks: jobs of one run.
const STEADY: [&str; 2] = ["256", "1"];
const SEEDS: [&str; 2] = ["1", "2"];

// The lanes do the same whatever they carry: instructions for two seeds are equal to the last one.
fn steady(require: bool) -> io::Result<bool> {
    if !counts_instructions() {
        println!("SKIP the same instructions for other keys and blocks: {MISSING}");
        return Ok(!require);
    }
    let program = std::env::current_exe()?;
    let mut good = true;
    for jobs in STEADY {
        let one = |seed| total(Command::new(&program).args(["passes", jobs, seed]), Some(passes::COUNTED));
        let [a, b] = [one(SEEDS[0])?, one(SEEDS[1])?];
        let verdict = if same(a, b) { "ok" } else { "DIFFERENT" };
        println!("{verdict} lanes, {jobs} jobs, other keys and blocks: {a:.0} and {b:.0} instructions");
        good &= same(a, b);
    }
    Ok(good)
}

// Counts are whole numbers.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.5
}

// A count without record, and a record without count, are refused by their names.
fn pairs<'c>(
    counted: &'c BTreeMap<String, f64>,
    recorded: &BTreeMap<String, f64>,
) -> Vec<(&'c str, (f64, f64))> {
    let before = |name: &String| recorded.get(name).copied().unwrap_or(f64::NAN);
    counted.iter().map(|(name, now)| (name.as_str(), (*now, before(name)))).collect()
}

// Another compiler's counts are compared all the same, in wider bounds: a gate that goes to sleep guards nothing.
fn tolerance(recorded: &Recorded) -> f64 {
    if recorded.rustc == host::rustc() {
        return TOLERANCE;
    }
    println!("recorded with {}, here is {}: {RECORD}", recorded.rustc, host::rustc());
    FOREIGN_TOLERANCE
}

fn judge(now: f64, before: f64, tolerance: f64) -> (bool, &'static str) {
    match now / before - 1.0 {
        growth if growth > tolerance => (false, "TOO MANY"),
        growth if growth < -tolerance => (true, "ok, FEWER (record them anew: gate --record)"),
        growth if growth.is_nan() => (false, "NOT RECORDED"),
        _ => (true, "ok"),
    }
}

fn print(instructions: &BTreeMap<String, f64>) {
    instructions.iter().for_each(|(name, count)| println!("{name}: {count:.0} instructions"));
}

// `None` where they cannot be counted.
fn count_all() -> io::Result<Option<BTreeMap<String, f64>>> {
    if !counts_instructions() {
        return Ok(None);
    }
    let one = |(name, words): &(&str, &[&str])| Ok(((*name).to_owned(), instructions_of_one(words)?));
    COUNTED.iter().map(one).collect::<io::Result<BTreeMap<_, _>>>().map(Some)
}

fn counts_instructions() -> bool {
    let valgrind = Command::new("valgrind").arg("--version").output();
    valgrind.is_ok_and(|output| output.status.success()) && Engine::Avx2.available()
}

fn instructions_of_one(words: &[&str]) -> io::Result<f64> {
    let depth = words.get(1).and_then(|depth| depth.parse::<u64>().ok()).unwrap_or(1);
    // Some thousand commands in the longer run.
    let (few, many) = if depth > 1 { (4, 12) } else { (200, 1_000) };
    let (less, more) = (callgrind(words, few)?, callgrind(words, many)?);
    Ok((more - less) / ((many - few) * depth) as f64)
}

fn callgrind(words: &[&str], batches: u64) -> io::Result<f64> {
    let program = std::env::current_exe()?;
    total(Command::new(program).args(["engine", "--batches", &batches.to_string()]).args(words), None)
}

// Instructions of a program: all, or those of one function and what it calls.
fn total(program: &Command, function: Option<&str>) -> io::Result<f64> {
    let folder = tempfile::tempdir()?;
    let file: PathBuf = folder.path().join("count");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--error-exitcode=9"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .args(function.map(|name| format!("--toggle-collect={name}")))
        .arg(program.get_program())
        .args(program.get_args())
        .output()?;
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    let total = total.and_then(|count| count.split_whitespace().next()?.parse().ok());
    let counted = |total: &f64| *total > 0.0 && output.status.success();
    total.filter(counted).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("callgrind: {}", errors.lines().last().unwrap_or("no count")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_compiler_is_judged_in_wider_bounds() {
        let recorded =
            |rustc| Recorded { schema: 1, rustc, commit: String::new(), instructions: BTreeMap::new() };
        assert_eq!(judge(110.0, 100.0, tolerance(&recorded(host::rustc()))), (false, "TOO MANY"));
        let another = tolerance(&recorded("rustc of another year".to_owned()));
        assert_eq!(judge(110.0, 100.0, another), (true, "ok"));
        assert_eq!(judge(120.0, 100.0, another), (false, "TOO MANY"));
    }

    #[test]
    fn more_instructions_than_recorded_break_the_gate() {
        assert_eq!(judge(102.0, 100.0, TOLERANCE), (true, "ok"));
        assert_eq!(judge(103.5, 100.0, TOLERANCE), (false, "TOO MANY"));
        assert!(judge(90.0, 100.0, TOLERANCE).0 && judge(90.0, 100.0, TOLERANCE).1.contains("FEWER"));
        assert_eq!(judge(1.0, f64::NAN, TOLERANCE), (false, "NOT RECORDED"));
        assert!(same(7e9, 7e9) && !same(7e9, 7e9 + 1.0));
        let counted = BTreeMap::from([("a".to_owned(), 1.0)]);
        assert!(pairs(&counted, &BTreeMap::new())[0].1.1.is_nan());
    }
}
