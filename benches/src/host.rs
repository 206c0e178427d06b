//! Facts of the machine, and pinning to a processor.

use serde::Serialize;
use std::fs;
use std::io;
use std::process::Command;

/// What a figure must name.
#[derive(Debug, Serialize)]
pub struct Host {
    /// Processor.
    pub cpu: String,
    /// Logical processors.
    pub cores: usize,
    /// Kernel.
    pub kernel: String,
    /// Commit of the working tree, with `+` when it was changed.
    pub commit: String,
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
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain"])?;
    Some(git(&["rev-parse", "--short", "HEAD"])? + if changed.is_empty() { "" } else { "+" })
}

/// Keeps this process, and what it starts, on one processor; nothing happens where that is not possible.
pub fn pin(processor: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        eprintln!("not pinned to processor {processor}: {error}");
    }
}

/// Processor time of a process so far, user and system, in seconds (resolution 10 ms).
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command name may hold anything; fields are counted behind its closing bracket.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    Ok((ticks.next().unwrap_or_default() + ticks.next().unwrap_or_default()) / 100.0)
}
