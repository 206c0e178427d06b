//! What a process that holds keys does to itself before it begins (security.md section 4): no core dumps,
//! no tracing by others, no panic text in the log, and descriptors for all connections it admits.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use std::panic;

/// Descriptors that are not connections: listeners, event loops, standard streams, files.
const OTHERS: u64 = 256;

/// Hardens this process. What the system refuses is logged; traffic is not refused for it.
pub fn harden() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process stays dumpable");
    }
    // A panic's text may hold what the code was working on; its place does not.
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
}

/// Raises the limit of open files as far as it goes, and gives the number of connections that fit.
pub fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let open_files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(open_files) = open_files else { return wanted };
    let room = usize::try_from(open_files.saturating_sub(OTHERS)).unwrap_or(usize::MAX).max(1);
    if room < wanted {
        tracing::warn!(open_files, connections = room, "fewer connections than configured: open files");
    }
    wanted.min(room)
}
