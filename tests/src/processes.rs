//! Processes of a server under test, as the system sees them.

use std::fs;
use std::process::Command;

/// Children of a process, whichever of its threads started them.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let text: Vec<_> = tasks.flatten().map(of_task).collect();
    let mut all: Vec<u32> = text.iter().flat_map(|t| t.split_whitespace()).flat_map(str::parse).collect();
    all.sort_unstable();
    all
}

/// Sends a signal by its name.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

/// A field of `/proc/PID/status`.
pub fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// True while the process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    !matches!(status(pid, "State").chars().next(), None | Some('Z'))
}
