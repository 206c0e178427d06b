//! How long to wait after a failure: twice as long each time, from one second to five minutes, and each time a random
//! part of it, so that a fleet does not come back all at once.

use std::time::Duration;

const SHORTEST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 300_000;

/// Counts failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry(u32);

impl Retry {
    /// It worked.
    pub(super) const fn reset(&mut self) {
        self.0 = 0;
    }

    /// It failed; `random` is drawn anew.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let most = SHORTEST_MS.saturating_mul(1 << self.0.min(16)).min(LONGEST_MS);
        self.0 = self.0.saturating_add(1);
        let half = most >> 1;
        Duration::from_millis(half.saturating_add(random.checked_rem(half.max(1)).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_differ() {
        let mut retry = Retry::default();
        let waits: Vec<u64> = (0..40).map(|_| retry.next(u64::MAX).as_millis() as u64).collect();
        assert!((500..=1_000).contains(&waits[0]) && waits.is_sorted_by(|a, b| a <= b || *b >= 150_000));
        assert!(waits.iter().all(|ms| *ms <= LONGEST_MS) && waits[39] >= 150_000);
        retry.reset();
        assert_ne!(retry.next(1), Retry::default().next(400));
    }
}
