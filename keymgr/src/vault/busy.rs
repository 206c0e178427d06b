//! For how long the vault's thread has been at one piece of work: a token that does not return from a call says nothing
//! by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Since when something is being done; clones of its owner share it.
#[derive(Debug)]
pub(crate) struct Busy {
    start: Instant,
    // Milliseconds after the start, from 1; 0 at rest.
    since: AtomicU64,
}

impl Busy {
    /// At rest.
    pub fn new() -> Self {
        Self { start: Instant::now(), since: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Does a piece of work.
    pub fn at<T>(&self, work: impl FnOnce() -> T) -> T {
        self.since.store(self.now(), Ordering::Relaxed);
        let done = work();
        self.since.store(0, Ordering::Relaxed);
        done
    }

    /// True when the piece that is at work has taken so long.
    pub fn for_at_least(&self, time: Duration) -> bool {
        match self.since.load(Ordering::Relaxed) {
            0 => false,
            since => u128::from(self.now().saturating_sub(since)) >= time.as_millis(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_counts() {
        let busy = Busy::new();
        assert!(!busy.for_at_least(Duration::ZERO), "at rest");
        busy.at(|| {
            assert!(busy.for_at_least(Duration::ZERO) && !busy.for_at_least(Duration::from_secs(60)));
            std::thread::sleep(Duration::from_millis(20));
            assert!(busy.for_at_least(Duration::from_millis(15)));
        });
        assert!(!busy.for_at_least(Duration::ZERO));
    }
}
