//! The clocks of the shell.

use keylink::Instant3;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall and monotonic clock of this process. The process counts as a boot: its monotonic clock begins anew.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    boot_id: u64,
    ahead: Duration,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        let mut id = [0; 8];
        // Without randomness nothing else works either; the number then only tells boots apart less well.
        if getrandom::fill(&mut id).is_err() {
            id = u64::from(std::process::id()).to_be_bytes();
        }
        Self { start: Instant::now(), boot_id: u64::from_be_bytes(id), ahead: Duration::ZERO }
    }

    /// Begins now, in times to come: for tests of what takes days.
    pub fn ahead(by: Duration) -> Self {
        Self { ahead: by, ..Self::start() }
    }

    /// The moment.
    pub fn now(&self) -> Instant3 {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.ahead;
        Instant3 {
            utc_ms: u64::try_from(utc.as_millis()).unwrap_or(u64::MAX),
            mono_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            boot_id: self.boot_id,
        }
    }
}
