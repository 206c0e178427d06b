//! The clocks of the shell. The wall clock is believed as long as it goes with the monotonic one: a clock that is set
//! wrong for a moment must not end overlaps, holds and waiting times, nor erase a key. A step is followed only after
//! an hour, in which people are told; until then time goes on as it went before.
//!
//! What a clock shows at the start of the process is taken as it is, unless the log has signed later moments. Then time
//! goes on from the last of these until the clock shows more, or for that hour: a machine that starts without the time
//! must not give approvals a second life.

use keylink::Instant3;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

// What a time service moves at once without anybody caring.
const STEP_MS: u64 = 30_000;
// How long people have to look at a clock that has stepped.
const FOLLOWED_AFTER_MS: u64 = 3_600_000;

/// Wall and monotonic clock of this process. The process counts as a boot: its monotonic clock begins anew.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    boot_id: u64,
    ahead: Duration,
    guard: Arc<Mutex<Guard>>,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        let mut id = [0; 8];
        // Without randomness nothing else works either; the number then only tells boots apart less well.
        if getrandom::fill(&mut id).is_err() {
            id = u64::from(std::process::id()).to_be_bytes();
        }
        let boot_id = u64::from_be_bytes(id);
        Self { start: Instant::now(), boot_id, ahead: Duration::ZERO, guard: Arc::default() }
    }

    /// Begins now, in times to come: for tests of what takes days.
    pub fn ahead(by: Duration) -> Self {
        Self { ahead: by, ..Self::start() }
    }

    /// The moment.
    pub fn now(&self) -> Instant3 {
        let (mut guard, wall_ms, mono_ms) = self.look();
        Instant3 { utc_ms: guard.told(wall_ms, mono_ms), mono_ms, boot_id: self.boot_id }
    }

    /// Hears that it was this time, UTC milliseconds, before it was asked for the first time.
    pub fn was(&self, utc_ms: u64) {
        let (mut guard, wall_ms, mono_ms) = self.look();
        guard.was(utc_ms, wall_ms, mono_ms);
    }

    // The wall clock and the monotonic one, and who judges them.
    fn look(&self) -> (MutexGuard<'_, Guard>, u64, u64) {
        let guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.ahead;
        let wall_ms = u64::try_from(utc.as_millis()).unwrap_or(u64::MAX);
        let mono_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        (guard, wall_ms, mono_ms)
    }

    /// By how much the wall clock differs from the time that is told, milliseconds; 0 unless it has stepped.
    pub fn stepped_ms(&self) -> i64 {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).step_ms
    }
}

#[derive(Debug, Default)]
struct Guard {
    // Wall and monotonic time when they were looked at last.
    last: Option<(u64, u64)>,
    step_ms: i64,
    since_ms: u64,
    // The wall clock was never believed: the time that is told goes on from the log.
    from_log: bool,
}

impl Guard {
    fn told(&mut self, wall_ms: u64, mono_ms: u64) -> u64 {
        if let Some((wall, mono)) = self.last {
            let step = wall_ms.cast_signed().saturating_sub((wall + (mono_ms - mono)).cast_signed());
            if step.unsigned_abs() > STEP_MS {
                self.step_ms = self.step_ms.saturating_add(step);
                self.since_ms = mono_ms;
                tracing::error!(
                    step_ms = step,
                    "the clock of this machine has stepped and is not followed now"
                );
            }
        }
        self.last = Some((wall_ms, mono_ms));
        if self.step_ms != 0 {
            let back = self.step_ms.unsigned_abs() <= STEP_MS || self.from_log && self.step_ms > 0;
            if back || mono_ms - self.since_ms >= FOLLOWED_AFTER_MS {
                tracing::warn!(step_ms = self.step_ms, "the clock of this machine is followed again");
                (self.step_ms, self.from_log) = (0, false);
            }
        }
        wall_ms.saturating_add_signed(self.step_ms.saturating_neg())
    }

    fn was(&mut self, utc_ms: u64, wall_ms: u64, mono_ms: u64) {
        let missing = utc_ms.saturating_sub(self.told(wall_ms, mono_ms));
        if missing > STEP_MS {
            self.step_ms = self.step_ms.saturating_sub_unsigned(missing);
            (self.since_ms, self.from_log) = (mono_ms, true);
            tracing::error!(
                missing_ms = missing,
                "the clock of this machine is behind the log and is not followed now"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * FOLLOWED_AFTER_MS;
    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn a_wrong_clock_of_a_moment_ends_nothing() {
        let mut guard = Guard::default();
        assert_eq!(guard.told(NOW, 5), NOW);
        assert_eq!(guard.told(NOW + 1_000 + 8 * DAY_MS, 1_005), NOW + 1_000);
        assert_eq!(guard.told(NOW + 60_000 + 8 * DAY_MS, 60_005), NOW + 60_000);
        assert!(guard.step_ms > 0);
        assert_eq!(guard.told(NOW + 61_000, 61_005), NOW + 61_000);
        assert_eq!(guard.step_ms, 0);
        // Into the past it is the same.
        assert_eq!(guard.told(NOW - DAY_MS, 62_005), NOW + 62_000);
    }

    #[test]
    fn a_clock_that_stays_where_it_is_is_followed_after_an_hour() {
        let mut guard = Guard::default();
        guard.told(NOW, 0);
        let wall = |mono: u64| NOW + DAY_MS + mono;
        assert_eq!(guard.told(wall(1_000), 1_000), NOW + 1_000);
        assert_eq!(guard.told(wall(FOLLOWED_AFTER_MS), FOLLOWED_AFTER_MS), NOW + FOLLOWED_AFTER_MS);
        let then = FOLLOWED_AFTER_MS + 1_000;
        assert_eq!((guard.told(wall(then), then), guard.step_ms), (wall(then), 0));
    }

    #[test]
    fn a_clock_that_is_behind_the_log_at_a_start_is_believed_once_it_shows_more() {
        let mut guard = Guard::default();
        guard.was(NOW, 7, 0);
        assert_eq!((guard.told(1_007, 1_000), guard.step_ms < 0), (NOW + 1_000, true));
        // The time service sets it, in two steps: the manager had been away for a day.
        assert_eq!(guard.told(NOW - DAY_MS, 2_000), NOW + 2_000);
        assert_eq!((guard.told(NOW + DAY_MS, 3_000), guard.step_ms), (NOW + DAY_MS, 0));
        // From here on it is a clock as any.
        assert_eq!(guard.told(NOW + 9 * DAY_MS, 4_000), NOW + DAY_MS + 1_000);
    }

    #[test]
    fn a_clock_that_stays_behind_the_log_is_followed_after_an_hour() {
        let mut guard = Guard::default();
        guard.was(NOW, NOW - DAY_MS, 0);
        let wall = |mono: u64| NOW - DAY_MS + mono;
        assert_eq!(guard.told(wall(1_000), 1_000), NOW + 1_000);
        let then = FOLLOWED_AFTER_MS + 1;
        assert_eq!((guard.told(wall(then), then), guard.step_ms), (wall(then), 0));
    }

    #[test]
    fn a_log_that_ends_before_the_clock_or_just_after_it_says_nothing() {
        for ends in [0, NOW, NOW + STEP_MS] {
            let mut guard = Guard::default();
            guard.was(ends, NOW, 0);
            assert_eq!((guard.told(NOW + 5, 5), guard.step_ms), (NOW + 5, 0));
        }
    }

    #[test]
    fn what_a_time_service_corrects_is_followed_at_once() {
        let mut guard = Guard::default();
        guard.told(NOW, 0);
        assert_eq!(guard.told(NOW + 21_000, 1_000), NOW + 21_000);
        assert_eq!(guard.told(NOW + 2_000, 2_000), NOW + 2_000);
        assert_eq!(guard.step_ms, 0);
    }

    #[test]
    fn clones_share_what_they_believe() {
        let clock = Clock::start();
        clock.guard.lock().unwrap().step_ms = 7_000_000;
        assert_eq!(clock.clone().stepped_ms(), 7_000_000);
        let real = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        assert!(clock.clone().now().utc_ms + 6_999_000 < real);
    }
}
