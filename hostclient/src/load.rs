//! Load in two forms. Closed loop: so many connections, each with so many requests in flight; a request is
//! sent for every reply that comes. Open loop: requests are due at a constant rate whatever the unit does,
//! and latency counts from when a request was due, so that a stall shows in every request that it delayed.
//! Replies are counted by code, timed, and every Nth is verified by the caller.

mod choice;
mod hdr;
mod lane;
mod live;
mod pace;
mod timeline;

pub use live::Live;
pub use timeline::{Slot, Timeline};

use crate::correlation::{Waiting, id_count};
use crate::pump::Pump;
use crate::stream::connect;
use crate::{Error, Options};
use lane::Lane;
use pace::{Clock, Pacer};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Microseconds and how often they occurred.
pub type Histogram = hdrhistogram::Histogram<u64>;

/// What is sent and how it is judged. A sequence number names a request; both methods must agree on what
/// it stands for.
pub trait Work: Send + Sync + 'static {
    /// Appends the request of this number, command code first.
    fn request(&self, sequence: u64, out: &mut Vec<u8>);

    /// True when this is the right reply, reply code first.
    fn verify(&self, sequence: u64, reply: &[u8]) -> bool;
}

/// How much load, and when it ends: at the limit that comes first.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Sockets.
    pub connections: usize,
    /// Requests in flight on each.
    pub depth: usize,
    /// Requests in all.
    pub requests_max: u64,
    /// Time after which nothing new is sent.
    pub duration: Duration,
    /// Verifies one reply of so many, each at a place that looks random among them; 0 verifies none.
    pub verify_every: u64,
}

/// When requests are sent, and from when they count.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// Time before [`Load::duration`] begins, in which load runs and nothing is counted but what is wrong or
    /// lost.
    pub warmup: Duration,
    /// Requests a second over all connections, evenly spaced: open loop. `None` is the closed loop. Then
    /// [`Load::depth`] bounds what is in flight; a request that finds no room is sent when there is some, and
    /// counts as late.
    pub rate: Option<f64>,
    /// The rate that an open loop reaches at the end: after the warm-up it goes there from [`Self::rate`] in a
    /// straight line.
    pub ramp_to: Option<f64>,
    /// What has come so far, for who watches.
    pub live: Arc<Live>,
}

/// Requests in flight on one connection that headers of this length can tell apart; without a header, as many as
/// one likes, for order tells them apart.
pub fn in_flight_most(header_length: usize) -> usize {
    match header_length {
        0 => usize::MAX,
        length => usize::try_from(id_count(length)).unwrap_or(usize::MAX),
    }
}

/// A request that is sent so long after it was due is late: ten times what a timer of the system is off.
pub const LATE: Duration = Duration::from_millis(1);

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests that were sent.
    pub sent: u64,
    /// Replies by code.
    pub codes: BTreeMap<[u8; 2], u64>,
    /// Of the replies that count, those that were verified.
    pub verified: u64,
    /// Replies that were verified and wrong, or belonged to no request; those of the warm-up included.
    pub wrong: u64,
    /// Requests whose reply never came.
    pub lost: u64,
    /// Requests of an open loop that were sent more than [`LATE`] after they were due.
    pub late: u64,
    /// Requests of an open loop that were due and never sent, because time was over or a connection lost.
    pub dropped: u64,
    /// Connections that broke before the run was over: closed, silent for too long, or not to be trusted.
    pub broken: u64,
    /// Why the first of them did.
    pub first_break: Option<String>,
    /// Microseconds to the reply from sending or, in an open loop, from when the request was due; up to a
    /// minute, three significant digits. A request that was lost or dropped counts with the time to the end of
    /// the run: whoever sent it has waited at least so long.
    pub latency_us: Histogram,
    /// Microseconds from sending to reply, in either loop; of a lost request likewise.
    pub service_us: Histogram,
    /// From the end of the warm-up to the last reply; of a run that time ends, at least its time, even when the
    /// unit was gone before.
    pub elapsed: Duration,
    /// From the end of the warm-up to the last reply.
    pub last_reply: Duration,
    /// The same by intervals of time.
    pub timeline: Timeline,
}

impl Report {
    /// Of no request.
    #[allow(clippy::expect_used)] // bounds and digits are constants, and valid (the test makes one)
    pub fn empty() -> Self {
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds");
        Self {
            sent: 0,
            codes: BTreeMap::new(),
            verified: 0,
            wrong: 0,
            lost: 0,
            late: 0,
            dropped: 0,
            broken: 0,
            first_break: None,
            service_us: latency_us.clone(),
            latency_us,
            elapsed: Duration::ZERO,
            last_reply: Duration::ZERO,
            timeline: Timeline::default(),
        }
    }

    /// Replies of any code.
    pub fn replies(&self) -> u64 {
        self.codes.values().sum()
    }

    /// Replies a second.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // a rate for people
        if seconds > 0.0 { self.replies() as f64 / seconds } else { 0.0 }
    }

    /// Adds what another run gave at the same time.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.verified += other.verified;
        self.wrong += other.wrong;
        self.lost += other.lost;
        self.late += other.late;
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.broken += other.broken;
        if self.first_break.is_none() {
            self.first_break.clone_from(&other.first_break);
        }
        self.last_reply = self.last_reply.max(other.last_reply);
        self.elapsed = self.elapsed.max(other.elapsed);
        for (code, count) in &other.codes {
            *self.codes.entry(*code).or_default() += count;
        }
        let _same_bounds = self.latency_us.add(&other.latency_us);
        let _same_bounds = self.service_us.add(&other.service_us);
        self.timeline.add(&other.timeline);
    }
}

impl Load {
    /// Runs it as a closed loop without warm-up. Fails when a connection cannot be made; one that is lost later
    /// shows in [`Report::lost`].
    pub async fn run(&self, address: &str, options: &Options, work: Arc<dyn Work>) -> Result<Report, Error> {
        self.run_at(address, options, work, &Schedule::default()).await
    }

    /// Runs it by a schedule.
    pub async fn run_at(
        &self,
        address: &str,
        options: &Options,
        work: Arc<dyn Work>,
        schedule: &Schedule,
    ) -> Result<Report, Error> {
        let mut pumps = Vec::new();
        for _ in 0..self.connections {
            pumps.push(Pump::new(connect(address, options).await?));
        }
        let (numbers, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let end = schedule.warmup.checked_add(self.duration).and_then(|time| start.checked_add(time));
        let pacer = schedule.rate.map(|rate| {
            let clock = Clock::new(start, rate, schedule.ramp_to, (schedule.warmup, self.duration));
            Pacer::start(clock, self.connections, end)
        });
        let report = Report { timeline: Timeline::new(self.duration), ..Report::empty() };
        let report = Arc::new(Mutex::new(report));
        let mut tasks = JoinSet::new();
        for (index, pump) in pumps.into_iter().enumerate() {
            let due = pacer.as_ref().and_then(|pacer| pacer.due(index));
            let lane = Lane {
                pump,
                waiting: Waiting::new(options.header_length),
                depth: self.depth_for(options),
                load: *self,
                work: Arc::clone(&work),
                numbers: Arc::clone(&numbers),
                counted_from: start.checked_add(schedule.warmup).unwrap_or(start),
                end,
                due,
                timeout: options.timeout,
                live: Arc::clone(&schedule.live),
                report: Arc::clone(&report),
            };
            tasks.spawn(lane.run());
        }
        let mut panicked = 0;
        while let Some(lane) = tasks.join_next().await {
            // A verifier that panics has found no right reply.
            panicked += u64::from(lane.is_err());
        }
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        report.wrong += panicked;
        // Nobody is faster for having died early.
        if end.is_some() && numbers.load(Ordering::Relaxed) < self.requests_max {
            report.elapsed = report.elapsed.max(self.duration);
        }
        Ok(std::mem::replace(&mut *report, Report::empty()))
    }

    fn depth_for(&self, options: &Options) -> usize {
        self.depth.min(in_flight_most(options.header_length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Answer, Toy};

    struct Echo;

    impl Work for Echo {
        fn request(&self, sequence: u64, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("B20008{sequence:08}").as_bytes());
        }
        fn verify(&self, sequence: u64, reply: &[u8]) -> bool {
            reply == format!("B3000008{sequence:08}").as_bytes()
        }
    }

    const LOAD: Load = Load {
        connections: 3,
        depth: 16,
        requests_max: 5_000,
        duration: Duration::from_secs(60),
        verify_every: 1,
    };

    async fn run(answer: Answer, load: Load, work: Arc<dyn Work>) -> Report {
        let toy = Toy::start(answer).await;
        load.run(&toy.address, &Options::default(), work).await.unwrap()
    }

    #[tokio::test]
    async fn every_reply_is_counted_timed_and_verified() {
        for answer in [Answer::InOrder, Answer::Reversed] {
            let report = run(answer, LOAD, Arc::new(Echo)).await;
            assert_eq!((report.sent, report.replies(), report.verified), (5_000, 5_000, 5_000));
            assert_eq!((report.wrong, report.lost), (0, 0));
            assert_eq!(report.codes.get(b"00"), Some(&5_000));
            assert_eq!(report.latency_us.len(), 5_000);
            assert!(report.rate() > 0.0);
        }
    }

    #[tokio::test]
    async fn every_nth_is_verified() {
        let report = run(Answer::InOrder, Load { verify_every: 10, ..LOAD }, Arc::new(Echo)).await;
        assert_eq!((report.replies(), report.verified), (5_000, 500));
    }

    struct Doubter;

    impl Work for Doubter {
        fn request(&self, sequence: u64, out: &mut Vec<u8>) {
            Echo.request(sequence, out);
        }
        fn verify(&self, sequence: u64, _: &[u8]) -> bool {
            sequence != 77
        }
    }

    #[tokio::test]
    async fn wrong_replies_are_counted() {
        assert_eq!(run(Answer::InOrder, LOAD, Arc::new(Doubter)).await.wrong, 1);
        let foreign = run(Answer::ForeignHeader, LOAD, Arc::new(Echo)).await;
        assert_eq!((foreign.wrong, foreign.replies()), (3, 0));
        assert_eq!(foreign.lost, foreign.sent);
    }

    #[tokio::test]
    async fn a_lost_connection_shows() {
        let report = run(Answer::FirstConnectionCloses, LOAD, Arc::new(Echo)).await;
        assert_eq!(report.lost, 16);
        assert_eq!(report.replies() + report.lost, report.sent);
        assert_eq!((report.broken, report.latency_us.len()), (1, report.sent));
        assert_eq!(report.first_break.as_deref(), Some("the unit closed the connection"));
    }

    // A unit that dies is not fast: its rate is over the time it was to live, and what it did not answer waited.
    #[tokio::test]
    async fn a_unit_that_dies_has_a_bad_rate_and_a_bad_latency() {
        let duration = Duration::from_millis(400);
        let load = Load { connections: 1, depth: 4, requests_max: u64::MAX, duration, verify_every: 1 };
        let closed = run(Answer::FirstConnectionCloses, load, Arc::new(Echo)).await;
        assert_eq!((closed.replies(), closed.lost, closed.latency_us.len()), (0, 4, 4));
        assert!(closed.elapsed >= duration && closed.latency_us.min() > 300_000, "{closed:?}");
        let schedule = Schedule { rate: Some(1_000.0), ..Schedule::default() };
        let open = run_at(Answer::FirstConnectionCloses, load, &schedule).await;
        assert_eq!((open.lost + open.dropped, open.latency_us.len()), (400, 400), "{open:?}");
        assert!(open.elapsed >= duration && open.last_reply.is_zero());
        assert!(open.latency_us.value_at_quantile(0.5) > 150_000, "{open:?}");
    }

    #[tokio::test]
    async fn an_absurd_rate_ends_with_time() {
        let load = Load { requests_max: u64::MAX, duration: Duration::from_millis(200), ..LOAD };
        let schedule = Schedule { rate: Some(1e12), ..Schedule::default() };
        let start = Instant::now();
        let report = run_at(Answer::InOrder, load, &schedule).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(report.replies() > 0 && report.dropped > 100_000_000_000, "{}", report.dropped);
    }

    #[test]
    fn short_headers_bound_what_is_in_flight() {
        assert_eq!((in_flight_most(0), in_flight_most(1), in_flight_most(2)), (usize::MAX, 36, 1_296));
    }

    #[tokio::test]
    async fn time_ends_a_run() {
        let load = Load { requests_max: u64::MAX, duration: Duration::from_millis(100), ..LOAD };
        let report = run(Answer::InOrder, load, Arc::new(Echo)).await;
        assert!(report.replies() > 0 && report.lost == 0);
        assert!(report.elapsed >= Duration::from_millis(100));
    }

    async fn run_at(answer: Answer, load: Load, schedule: &Schedule) -> Report {
        let toy = Toy::start(answer).await;
        load.run_at(&toy.address, &Options::default(), Arc::new(Echo), schedule).await.unwrap()
    }

    #[tokio::test]
    async fn an_open_loop_sends_what_is_due_and_no_more() {
        let load = Load { requests_max: u64::MAX, duration: Duration::from_millis(500), ..LOAD };
        let schedule = Schedule { rate: Some(2_000.0), ..Schedule::default() };
        let report = run_at(Answer::InOrder, load, &schedule).await;
        assert_eq!(report.sent + report.dropped, 1_000);
        assert!(report.sent >= 500, "{report:?}");
        assert_eq!((report.replies(), report.wrong), (report.sent, 0));
        assert_eq!(schedule.live.replies(), report.sent);
    }

    // The toy keeps the first reply back until the second request comes: with one request in flight, never.
    #[tokio::test]
    async fn what_a_stall_delays_is_late_or_dropped() {
        let load = Load { connections: 1, depth: 1, duration: Duration::from_millis(200), ..LOAD };
        let schedule = Schedule { rate: Some(1_000.0), ..Schedule::default() };
        let toy = Toy::start(Answer::FirstLate).await;
        let options = Options { timeout: Duration::from_millis(300), ..Options::default() };
        let report = load.run_at(&toy.address, &options, Arc::new(Echo), &schedule).await.unwrap();
        assert_eq!((report.sent, report.lost, report.dropped), (1, 1, 199));
    }

    // The second request is due 100 ms after the first, whose reply comes only then.
    #[tokio::test]
    async fn latency_counts_from_when_a_request_was_due() {
        let load = Load { connections: 1, depth: 2, duration: Duration::from_millis(200), ..LOAD };
        let schedule = Schedule { rate: Some(10.0), ..Schedule::default() };
        let report = run_at(Answer::FirstLate, load, &schedule).await;
        assert_eq!((report.sent, report.replies(), report.dropped), (2, 2, 0));
        assert!(report.latency_us.max() >= 90_000 && report.latency_us.min() < 90_000);
    }

    // 500 a second at the beginning and 1500 at the end: 1000 on the way of a second, most of them late in it.
    #[tokio::test]
    async fn a_ramp_sends_more_and_more() {
        let load = Load { requests_max: u64::MAX, duration: Duration::from_secs(1), ..LOAD };
        let schedule = Schedule { rate: Some(500.0), ramp_to: Some(1_500.0), ..Schedule::default() };
        let report = run_at(Answer::InOrder, load, &schedule).await;
        assert!((995..=1_005).contains(&(report.sent + report.dropped)), "{report:?}");
        let replies = |part: &[Slot]| part.iter().map(|slot| slot.replies).sum::<u64>();
        let slots = report.timeline.slots();
        assert_eq!(replies(slots), report.replies());
        let (first, second) = slots.split_at(slots.len().min(10));
        assert!(replies(first) < replies(second), "{} {}", replies(first), replies(second));
    }

    #[tokio::test]
    async fn a_warm_up_is_not_counted() {
        let load = Load { requests_max: u64::MAX, duration: Duration::from_millis(500), ..LOAD };
        let schedule =
            Schedule { warmup: Duration::from_millis(1_000), rate: Some(1_000.0), ..Schedule::default() };
        let report = run_at(Answer::InOrder, load, &schedule).await;
        assert!(report.sent + report.dropped <= 501 && report.sent >= 250, "{report:?}");
        assert!(schedule.live.replies() > report.sent + 500);
        assert_eq!(report.verified, report.replies());
        assert!(report.elapsed < Duration::from_millis(1_500));
    }
}
