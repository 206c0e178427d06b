//! The machine: limits, memory, clock, and what a crypto worker can give up here.

use super::Args;
use super::report::{Report, State};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Descriptors that are not connections, as `serve` counts them.
const OTHERS: u64 = 256;
/// Begin of 2025: no clock of a machine that runs this program is right before it.
const EARLIEST: u64 = 1_735_689_600;

/// Looks at everything that needs no token.
pub fn look(args: &Args, report: &mut Report) {
    clock(report);
    open_files(args, report);
    core_dumps(report);
    memory(report);
    system_calls(report);
    if let Some(folder) = &args.data {
        data_folder(folder, report);
    }
}

fn clock(report: &mut Report) {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let synchronised = ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/ntpd.pid"];
    if seconds < EARLIEST {
        let help = "dates of keys, grants and logs would be wrong: set the clock";
        report.add("clock", State::Wrong, "before 2025", help);
    } else if synchronised.iter().any(|path| Path::new(path).exists()) {
        report.good("clock", "set, and kept by a time service");
    } else {
        let help = "dates of keys, grants and logs follow it: run a time service";
        report.add("clock", State::Worth, "set; no time service is seen", help);
    }
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

fn open_files(args: &Args, report: &mut Report) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = args.connections.saturating_add(OTHERS);
    let found = format!("{} may be open, {wanted} are wanted", shown(maximum));
    if maximum.is_none_or(|most| most >= wanted) {
        report.good("open files", found);
    } else {
        let help = "fewer connections will be served: raise LimitNOFILE, or `ulimit -Hn`";
        report.add("open files", State::Worth, found, help);
    }
}

// `hardening::harden` has been called: what can be switched off is off.
fn core_dumps(report: &mut Report) {
    let off = getrlimit(Resource::Core).maximum == Some(0);
    let status = rustix::process::dumpable_behavior();
    let closed = matches!(status, Ok(rustix::process::DumpableBehavior::NotDumpable));
    if off && closed {
        report.good("core dumps", "off, and no other user can look into the process");
    } else {
        report.add("core dumps", State::Wrong, "cannot be switched off here", "keys could reach a disk");
    }
}

fn memory(report: &mut Report) {
    let limit = getrlimit(Resource::Memlock).maximum;
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    let swap = swaps.lines().count() > 1;
    let free = limit.is_none() || geteuid().is_root();
    let found = format!("{} bytes may be locked, swap is {}", shown(limit), if swap { "on" } else { "off" });
    match (free, swap) {
        (true, _) => report.good("memory lock", found),
        (false, false) => report.add("memory lock", State::Worth, found, "raise LimitMEMLOCK to infinity"),
        (false, true) => {
            let help = "keys of workers could reach swap: raise LimitMEMLOCK to infinity, or encrypt swap";
            report.add("memory lock", State::Worth, found, help);
        }
    }
}

fn system_calls(report: &mut Report) {
    if Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        report.good("system call filter", "there: workers have no network and start no programs");
    } else {
        let help = "workers keep the network and may start programs";
        report.add("system call filter", State::Worth, "not here", help);
    }
}

fn data_folder(folder: &Path, report: &mut Report) {
    let name = folder.display();
    match std::fs::metadata(folder) {
        Err(error) => {
            report.add("data folder", State::Worth, format!("{name}: {error}"), "`serve` will make it")
        }
        Ok(facts) if facts.permissions().mode() & 0o022 != 0 => {
            let help = format!("others could make officers there: chmod 700 {name}");
            report.add("data folder", State::Wrong, format!("{name}: others may write it"), help);
        }
        Ok(_) => report.good("data folder", name.to_string()),
    }
}
