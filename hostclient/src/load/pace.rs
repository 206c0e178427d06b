//! The clock of an open loop. A thread of its own sleeps from request to request and wakes the connection whose
//! turn it is: the timers of the runtime are a millisecond coarse, a sleeping thread about 60 us.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Shortest sleep: what is due within it is announced together.
const NAP: Duration = Duration::from_micros(50);
/// Longest sleep, so that the thread of a run that was given up ends soon.
const NAP_LONG: Duration = Duration::from_millis(100);
/// Slowest rate that is kept apart from none: one request in a day.
const RATE_MIN: f64 = 1.0 / 86_400.0;

/// When the requests of one connection are due.
pub(super) struct Due {
    /// The next one.
    pub(super) next: Instant,
    /// Told when one is due.
    pub(super) wake: Arc<Notify>,
    clock: Clock,
    number: u64,
    lanes: u64,
}

impl Due {
    /// Goes on to the request after.
    pub(super) fn advance(&mut self) {
        self.number = self.number.saturating_add(self.lanes);
        self.next = self.clock.at(self.number);
    }

    /// When the request is due that comes so many after the next one.
    pub(super) fn after(&self, count: u64) -> Instant {
        self.clock.at(self.number.saturating_add(count.saturating_mul(self.lanes)))
    }

    /// How many are due before a time, from the next one on. Found without counting: at an absurd rate there are
    /// more than can be counted.
    pub(super) fn before(&self, time: Instant) -> u64 {
        first(|count| self.after(count) >= time)
    }
}

/// The lowest number of which something holds that holds of every higher one.
fn first(holds: impl Fn(u64) -> bool) -> u64 {
    if holds(0) {
        return 0;
    }
    let (mut low, mut high) = (0, 1);
    while high < u64::MAX && !holds(high) {
        (low, high) = (high, high.saturating_mul(2));
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// When the request of a number is due. Computed from the number, so that no rounding adds up.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    rate: f64,
    ramp: Option<Ramp>,
}

// From the rate of the warm-up in a straight line to another; times in seconds.
#[derive(Clone, Copy)]
struct Ramp {
    begins: f64,
    lasts: f64,
    to: f64,
}

impl Clock {
    /// Requests a second from `start` on; with `ramp_to` until the warm-up is over, and then towards that rate,
    /// which is reached when the run has lasted its time.
    pub(super) fn new(
        start: Instant,
        rate: f64,
        ramp_to: Option<f64>,
        (warmup, lasts): (Duration, Duration),
    ) -> Self {
        let sane = |rate: f64| if rate.is_finite() { rate.max(RATE_MIN) } else { f64::MAX };
        let (begins, lasts) = (warmup.as_secs_f64(), lasts.as_secs_f64());
        let ramp = ramp_to.filter(|_| lasts > 0.0).map(|to| Ramp { begins, lasts, to: sane(to) });
        Self { start, rate: sane(rate), ramp }
    }

    #[allow(clippy::cast_precision_loss)] // exact up to 2^53 requests
    fn at(&self, number: u64) -> Instant {
        let after = Duration::try_from_secs_f64(self.seconds(number as f64)).unwrap_or(Duration::MAX);
        let far = Duration::from_secs(1 << 32);
        self.start.checked_add(after.min(far)).unwrap_or(self.start)
    }

    fn seconds(&self, number: f64) -> f64 {
        let Some(ramp) = &self.ramp else { return number / self.rate };
        let on_ramp = number - self.rate * ramp.begins;
        if on_ramp <= 0.0 {
            return number / self.rate;
        }
        let whole = (self.rate + ramp.to) / 2.0 * ramp.lasts;
        if on_ramp >= whole {
            return ramp.begins + ramp.lasts + (on_ramp - whole) / ramp.to;
        }
        // The root of rate * t + slope * t * t / 2 = on_ramp, in the form that is exact for a small slope too.
        let slope = (ramp.to - self.rate) / ramp.lasts;
        let root = (self.rate * self.rate + 2.0 * slope * on_ramp).max(0.0).sqrt();
        ramp.begins + 2.0 * on_ramp / (self.rate + root)
    }
}

/// Wakes connections, each in its turn.
pub(super) struct Pacer {
    clock: Clock,
    lanes: Vec<Arc<Notify>>,
    /// Gone when the run is over.
    _alive: Arc<()>,
}

impl Pacer {
    pub(super) fn start(clock: Clock, connections: usize, end: Option<Instant>) -> Self {
        let lanes: Vec<_> = (0..connections).map(|_| Arc::new(Notify::new())).collect();
        let alive = Arc::new(());
        let pacer = Self { clock, lanes: lanes.clone(), _alive: Arc::clone(&alive) };
        let alive = Arc::downgrade(&alive);
        thread::spawn(move || tick(clock, &lanes, end, &alive));
        pacer
    }

    /// The times of a connection: every Nth of all requests is its own.
    pub(super) fn due(&self, index: usize) -> Option<Due> {
        let number = u64::try_from(index).ok()?;
        Some(Due {
            next: self.clock.at(number),
            wake: Arc::clone(self.lanes.get(index)?),
            clock: self.clock,
            number,
            lanes: u64::try_from(self.lanes.len()).ok()?,
        })
    }
}

// Ends with time, or when the run is over before. The last wake-up is for all: they see that
// time is over.
fn tick(clock: Clock, lanes: &[Arc<Notify>], end: Option<Instant>, alive: &Weak<()>) {
    let (mut turn, mut number) = (0, 0u64);
    loop {
        let now = Instant::now();
        if end.is_some_and(|end| now >= end) || alive.strong_count() == 0 {
            break;
        }
        let due = first(|count| clock.at(number.saturating_add(count)) > now);
        wake(lanes, &mut turn, due);
        number = number.saturating_add(due);
        let wait = clock.at(number).saturating_duration_since(Instant::now());
        let left = end.map_or(NAP_LONG, |end| end.saturating_duration_since(now));
        thread::sleep(wait.clamp(NAP, NAP_LONG).min(left));
    }
    lanes.iter().for_each(|lane| lane.notify_one());
}

// The lanes of so many requests, from the one whose turn it is; each once, for it sends all that is due.
fn wake(lanes: &[Arc<Notify>], turn: &mut usize, due: u64) {
    let count = usize::try_from(due).unwrap_or(usize::MAX);
    lanes.iter().cycle().skip(*turn).take(count.min(lanes.len())).for_each(|lane| lane.notify_one());
    *turn = (*turn).wrapping_add(count).checked_rem(lanes.len()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(rate: f64, to: Option<f64>) -> Clock {
        Clock::new(Instant::now(), rate, to, (Duration::from_secs(2), Duration::from_secs(10)))
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced() {
        let clock = clock(100.0, None);
        assert!((clock.seconds(250.0) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn the_first_number_is_found() {
        for wanted in [0, 1, 2, 3, 1_000, 1 << 40, u64::MAX - 1] {
            assert_eq!(first(|n| n >= wanted), wanted);
        }
        assert_eq!(first(|_| false), u64::MAX);
    }

    #[test]
    fn every_lane_is_woken_in_its_turn_and_once() {
        let lanes: Vec<_> = (0..3).map(|_| Arc::new(Notify::new())).collect();
        let mut turn = 2;
        wake(&lanes, &mut turn, 2);
        assert_eq!(turn, 1);
        wake(&lanes, &mut turn, 7_000_000_001);
        assert_eq!(turn, (1 + 7_000_000_001usize) % 3);
    }

    // A rate that no unit has: what is due in ten seconds is found without going through it.
    #[test]
    fn what_is_due_is_counted_by_arithmetic() {
        let start = Instant::now();
        let clock = Clock::new(start, 1e12, None, (Duration::ZERO, Duration::from_secs(10)));
        let due = Due { next: start, wake: Arc::default(), clock, number: 3, lanes: 8 };
        let count = due.before(start + Duration::from_secs(10));
        assert!(count.abs_diff(1_250_000_000_000) < 1_000, "{count}");
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_ramp_begins_behind_the_warm_up_and_goes_in_a_straight_line() {
        for (from, to) in [(100.0, 300.0), (300.0, 100.0), (100.0, 100.0)] {
            let clock = clock(from, Some(to));
            let warm = from * 2.0;
            assert!((clock.seconds(warm) - 2.0).abs() < 1e-9);
            // Half of the time: the mean of the first rate and the rate in the middle.
            let half = 5.0 * (from + f64::midpoint(from, to)) / 2.0;
            assert!((clock.seconds(warm + half) - 7.0).abs() < 1e-6, "{from} {to}");
            let whole = 10.0 * f64::midpoint(from, to);
            assert!((clock.seconds(warm + whole) - 12.0).abs() < 1e-6, "{from} {to}");
            assert!((clock.seconds(warm + whole + to) - 13.0).abs() < 1e-6, "{from} {to}");
        }
    }
}
