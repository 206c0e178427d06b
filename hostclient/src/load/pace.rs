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
}

// Times are computed from the number of the request, so that no rounding adds up.
#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
    rate: f64,
}

impl Clock {
    #[allow(clippy::cast_precision_loss)] // exact up to 2^53 requests
    fn at(&self, number: u64) -> Instant {
        let after = Duration::try_from_secs_f64(number as f64 / self.rate).unwrap_or(Duration::MAX);
        let far = Duration::from_secs(1 << 32);
        self.start.checked_add(after.min(far)).unwrap_or(self.start)
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
    pub(super) fn start(rate: f64, connections: usize, start: Instant, end: Option<Instant>) -> Self {
        let rate = if rate.is_finite() { rate.max(RATE_MIN) } else { f64::MAX };
        let lanes: Vec<_> = (0..connections).map(|_| Arc::new(Notify::new())).collect();
        let (clock, alive) = (Clock { start, rate }, Arc::new(()));
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
    let mut turn = lanes.iter().cycle();
    let mut number = 0;
    loop {
        let now = Instant::now();
        if end.is_some_and(|end| now >= end) || alive.strong_count() == 0 {
            break;
        }
        while clock.at(number) <= now {
            let Some(lane) = turn.next() else { return };
            lane.notify_one();
            number += 1;
        }
        let wait = clock.at(number).saturating_duration_since(Instant::now());
        let left = end.map_or(NAP_LONG, |end| end.saturating_duration_since(now));
        thread::sleep(wait.clamp(NAP, NAP_LONG).min(left));
    }
    lanes.iter().for_each(|lane| lane.notify_one());
}
