//! Processes of a server under test, as the system sees them.

use std::fs;
use std::process::Command;

/// Children of a process, whichever of its threads started them. Read from every process's own entry: the list that
/// a thread's `children` file gives may lack some while others end (proc(5)).
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut children: Vec<u32> = ids.filter(|id| status(*id, "PPid").parse() == Ok(pid)).collect();
    children.sort_unstable();
    children
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
