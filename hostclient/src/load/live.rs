//! What a run has given so far, for who watches it: never exact to the last reply, never in its way.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of a run as it goes, those of the warm-up included.
#[derive(Debug, Default)]
pub struct Live {
    replies: AtomicU64,
    errors: AtomicU64,
    p99_us: AtomicU64,
}

impl Live {
    /// Replies of any code.
    pub fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Replies with another code than 00.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// 99th percentile of latency in the last whole interval, in microseconds, once there is one.
    pub fn p99_us(&self) -> Option<u64> {
        Some(self.p99_us.load(Ordering::Relaxed)).filter(|us| *us > 0)
    }

    pub(super) fn add(&self, replies: u64, errors: u64) {
        self.replies.fetch_add(replies, Ordering::Relaxed);
        if errors > 0 {
            self.errors.fetch_add(errors, Ordering::Relaxed);
        }
    }

    pub(super) fn set_p99(&self, us: u64) {
        self.p99_us.store(us, Ordering::Relaxed);
    }
}
