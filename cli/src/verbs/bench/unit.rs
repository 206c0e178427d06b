//! The gateway that a run without target starts: another process of this executable, so that its processor
//! time is its own and can be told.

use crate::exit::Failure;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// More than `--conns` can ask for.
const CONNECTIONS_MAX: &str = "100000";

/// A gateway of this run; ends with it.
pub struct Own {
    child: Child,
    /// Where its port is.
    pub address: String,
}

impl Own {
    /// Starts it on a port of loopback, under one of the public test LMKs. Nothing of the surroundings, neither
    /// file nor environment, changes how it serves.
    pub fn start(lmk: &str, header_length: usize) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::environment)?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PAYHSM_") {
                command.env_remove(name);
            }
        }
        command
            .args([
                "serve",
                "--end-with-parent",
                "--insecure-test-lmk",
                "--authorised",
                "--config",
                "/dev/null",
            ])
            .args(["--listen", &format!("127.0.0.1:0/{lmk}"), "--header-len", &header_length.to_string()])
            .env("PAYHSM_LOG", "error")
            // All connections come from one address.
            .env("PAYHSM_LIMITS_CONNECTIONS", CONNECTIONS_MAX)
            .env("PAYHSM_LIMITS_PER_ADDRESS", CONNECTIONS_MAX)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::environment)?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(Failure::environment)?;
        }
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("listen="));
        let address = address.unwrap_or_default().to_owned();
        let own = Self { child, address };
        if own.address.is_empty() {
            return Err(Failure::environment("the gateway for the run did not start"));
        }
        Ok(own)
    }

    /// Processor time so far, in seconds.
    pub fn cpu_seconds(&self) -> Option<f64> {
        cpu_of(&format!("/proc/{}/stat", self.child.id()))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let asked = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if asked.is_err() {
            let _already_gone = self.child.kill();
        }
        let _status = self.child.wait();
    }
}

/// Time of a thread, or its share of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Busy {
    /// It computed.
    pub cpu: f64,
    /// It was ready to, and another thread had the processor.
    pub waiting: f64,
}

impl Busy {
    /// Of the calling thread so far, in seconds (Documentation/scheduler/sched-stats.rst of Linux).
    pub fn of_thread() -> Option<Self> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut ns = text.split_whitespace().map_while(|field| field.parse::<f64>().ok());
        Some(Self { cpu: ns.next()? / 1e9, waiting: ns.next()? / 1e9 })
    }

    /// The share of `seconds` since `before`.
    pub fn share(self, before: Self, seconds: f64) -> Self {
        let share = |after: f64, before: f64| (after - before) / seconds.max(f64::MIN_POSITIVE);
        Self { cpu: share(self.cpu, before.cpu), waiting: share(self.waiting, before.waiting) }
    }

    /// Both: what a thread cannot do more of.
    pub fn sum(self) -> f64 {
        self.cpu + self.waiting
    }
}

// User and system time (proc(5), fields 14 and 15), in ticks of 10 ms. The command name may hold anything;
// fields are counted behind its closing bracket.
fn cpu_of(path: &str) -> Option<f64> {
    let stat = fs::read_to_string(path).ok()?;
    let mut ticks = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut next = || ticks.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}
