//! Processes of a server under test, as the system sees them.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

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

/// Ends a process whose time is over; until then it may be called off by dropping this. A test that waits for ever tells
/// nobody why.
pub struct Overdue {
    over: Arc<AtomicBool>,
    // Its end calls the watch off.
    _until: Sender<()>,
}

impl Overdue {
    /// Gives the process so long.
    pub fn after(time: Duration, pid: u32) -> Self {
        let (until, called_off) = channel::<()>();
        let over = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&over);
        std::thread::spawn(move || {
            if called_off.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                own.store(true, Ordering::Relaxed);
                signal(pid, "KILL");
            }
        });
        Self { over, _until: until }
    }

    /// True when it was ended.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_does_not_end_is_ended() {
        let sleep = |seconds: &str| Command::new("sleep").arg(seconds).spawn().expect("starts");
        let mut long = sleep("600");
        let overdue = Overdue::after(Duration::from_millis(50), long.id());
        assert!(!long.wait().expect("ends").success() && overdue.is_over());
        let mut short = sleep("0.1");
        let overdue = Overdue::after(Duration::from_secs(600), short.id());
        assert!(short.wait().expect("ends").success() && !overdue.is_over());
    }
}
