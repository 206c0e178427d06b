//! Facts of the machine and of a process, and pinning to processors.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::process::Command;

/// What a figure must name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Host {
    /// Processor.
    pub cpu: String,
    /// Features that the lanes can use.
    pub features: Vec<String>,
    /// Logical processors.
    pub cores: usize,
    /// Kernel.
    pub kernel: String,
    /// Compiler.
    pub rustc: String,
    /// Commit of the working tree, with `+` when it was changed.
    pub commit: String,
    /// Load of the machine over the minute before, by others too.
    pub load_average: f64,
    /// Day, as the machine has it.
    pub day: String,
}

const FEATURES: [&str; 5] = ["aes", "avx2", "avx512f", "avx512vl", "vaes"];

impl Host {
    /// Looks around.
    pub fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let line = |name: &str| cpuinfo.lines().find_map(|l| l.strip_prefix(name)).unwrap_or(": unknown");
        let flags: Vec<&str> = line("flags").split_whitespace().collect();
        let load = read("/proc/loadavg").split_whitespace().next().and_then(|n| n.parse().ok());
        Self {
            cpu: line("model name").trim_start_matches([' ', '\t', ':']).to_owned(),
            features: FEATURES.iter().filter(|f| flags.contains(f)).map(|f| (*f).to_owned()).collect(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: rustc(),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            load_average: load.unwrap_or_default(),
            day: output("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default(),
        }
    }
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Version of the compiler that builds here.
pub fn rustc() -> String {
    output("rustc", &["--version"]).unwrap_or_else(|| "unknown".to_owned())
}

fn commit() -> Option<String> {
    // What a run writes itself is no change of what it measures.
    let changed =
        output("git", &["status", "--porcelain", "--", ":!benches/record", ":!docs", ":!README.md"])?;
    Some(output("git", &["rev-parse", "--short", "HEAD"])? + if changed.is_empty() { "" } else { "+" })
}

/// Keeps this process, and what it starts, on these processors; nothing happens where that is not possible.
pub fn pin(processors: &[usize]) {
    let mut set = rustix::thread::CpuSet::new();
    processors.iter().for_each(|processor| set.set(*processor));
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        eprintln!("not pinned to processors {processors:?}: {error}");
    }
}

/// Lets this process, and what it starts, open as many files as the system allows.
pub fn many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the limit of open files stays: {error}");
    }
}

/// Processor time of all threads of a process so far, in seconds (Documentation/scheduler/sched-stats.rst of
/// Linux: nanoseconds). Threads that ended are not in it: a gateway ends none while it serves.
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let mut ns = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        ns += text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default();
    }
    Ok(ns / 1e9)
}

/// Anonymous resident memory of a process, in bytes: heap and stacks, not code or files.
pub fn anonymous_bytes(pid: u32) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).ok_or_else(|| io::Error::other("the kernel does not tell RssAnon"))
}
