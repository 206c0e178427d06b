//! How a run went over time: replies, refusals and latency of equal intervals.

use super::Histogram;
use std::time::Duration;

/// Intervals of one run.
const SLOTS: u32 = 60;
/// Shortest interval: below, scheduling of the load threads is what would be seen.
const SHORTEST: Duration = Duration::from_millis(50);

/// One interval.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Replies of any code.
    pub replies: u64,
    /// Replies with another code than 00.
    pub errors: u64,
    /// Microseconds as in [`super::Report::latency_us`], two significant digits.
    pub latency_us: Histogram,
}

/// A run in equal intervals, from the end of its warm-up; replies belong to the interval in which they came.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    interval: Duration,
    slots: Vec<Slot>,
}

impl Timeline {
    /// Of a run of this length: in at most 60 intervals and those that late replies add.
    pub(super) fn new(duration: Duration) -> Self {
        Self { interval: (duration / SLOTS).max(SHORTEST), slots: Vec::new() }
    }

    /// Length of an interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The intervals in order; the last may be cut short by the end of the run.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The interval of a reply that came so long after the warm-up; `None` when nothing is kept by time. Gives
    /// the 99th percentile of the interval before when this one is new.
    pub(super) fn slot(&mut self, since: Duration) -> Option<(&mut Slot, Option<u64>)> {
        let index = since.as_micros().checked_div(self.interval.as_micros())?;
        // A run without end of its own is kept for its first hours; what comes after counts to the last.
        let index = usize::try_from(index).unwrap_or(usize::MAX).min(SLOTS_MAX);
        let before = (index >= self.slots.len())
            .then(|| self.slots.last().map(|slot| slot.latency_us.value_at_quantile(0.99)))
            .flatten();
        while self.slots.len() <= index {
            self.slots.push(Slot::empty());
        }
        self.slots.get_mut(index).map(|slot| (slot, before))
    }

    /// Adds a run of the same length at the same time.
    pub(super) fn add(&mut self, other: &Self) {
        self.interval = self.interval.max(other.interval);
        while self.slots.len() < other.slots.len() {
            self.slots.push(Slot::empty());
        }
        for (slot, more) in self.slots.iter_mut().zip(&other.slots) {
            slot.replies += more.replies;
            slot.errors += more.errors;
            let _same_bounds = slot.latency_us.add(&more.latency_us);
        }
    }
}

const SLOTS_MAX: usize = 1_000;

impl Slot {
    #[allow(clippy::expect_used)] // bounds and digits are constants, and valid (every test makes one)
    fn empty() -> Self {
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 2).expect("valid bounds");
        Self { replies: 0, errors: 0, latency_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timeline: &mut Timeline, ms: u64, us: u64) -> Option<u64> {
        let (slot, before) = timeline.slot(Duration::from_millis(ms)).unwrap();
        slot.replies += 1;
        slot.latency_us.saturating_record(us);
        before
    }

    #[test]
    fn replies_fall_into_the_interval_in_which_they_came() {
        let mut timeline = Timeline::new(Duration::from_secs(6));
        assert_eq!(timeline.interval(), Duration::from_millis(100));
        assert_eq!(at(&mut timeline, 10, 50), None);
        assert_eq!(at(&mut timeline, 99, 70), None);
        assert_eq!(at(&mut timeline, 350, 5), Some(70));
        let counts: Vec<_> = timeline.slots().iter().map(|slot| slot.replies).collect();
        assert_eq!(counts, [2, 0, 0, 1]);
    }

    #[test]
    fn runs_at_the_same_time_add_up() {
        let (mut a, mut b) = (Timeline::new(Duration::from_secs(6)), Timeline::new(Duration::from_secs(6)));
        at(&mut a, 10, 50);
        at(&mut b, 10, 90);
        at(&mut b, 150, 90);
        a.add(&b);
        assert_eq!(a.slots().iter().map(|slot| slot.replies).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(a.slots()[0].latency_us.max(), 90);
    }

    #[test]
    fn without_an_interval_nothing_is_kept() {
        assert!(Timeline::default().slot(Duration::from_secs(1)).is_none());
    }
}
