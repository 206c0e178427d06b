//! Closed-loop load: so many connections, each with so many requests in flight; a request is sent for
//! every reply that comes. Replies are counted by code, timed, and every Nth is verified by the caller.

use crate::correlation::{Waiting, id_count};
use crate::pump::Pump;
use crate::stream::connect;
use crate::{Error, Options, frame};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

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
    /// Verifies the replies whose number is a multiple of this; 0 verifies none.
    pub verify_every: u64,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests that were sent.
    pub sent: u64,
    /// Replies by code.
    pub codes: BTreeMap<[u8; 2], u64>,
    /// Replies that were verified.
    pub verified: u64,
    /// Replies that were verified and wrong, or belonged to no request.
    pub wrong: u64,
    /// Requests whose reply never came.
    pub lost: u64,
    /// Microseconds from sending to reply, up to a minute, three significant digits.
    pub latency_us: Histogram<u64>,
    /// From the first request to the last reply.
    pub elapsed: Duration,
}

impl Report {
    #[allow(clippy::expect_used)] // bounds and digits are constants, and valid (the test makes one)
    fn empty() -> Self {
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds");
        Self {
            sent: 0,
            codes: BTreeMap::new(),
            verified: 0,
            wrong: 0,
            lost: 0,
            latency_us,
            elapsed: Duration::ZERO,
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

    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.verified += other.verified;
        self.wrong += other.wrong;
        self.lost += other.lost;
        self.elapsed = self.elapsed.max(other.elapsed);
        for (code, count) in &other.codes {
            *self.codes.entry(*code).or_default() += count;
        }
        let _same_bounds = self.latency_us.add(&other.latency_us);
    }
}

impl Load {
    /// Runs it against a unit. Fails when a connection cannot be made; one that is lost later shows in
    /// [`Report::lost`].
    pub async fn run(&self, address: &str, options: &Options, work: Arc<dyn Work>) -> Result<Report, Error> {
        let mut pumps = Vec::new();
        for _ in 0..self.connections {
            pumps.push(Pump::new(connect(address, options).await?));
        }
        let (numbers, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let mut tasks = JoinSet::new();
        for pump in pumps {
            let lane = Lane {
                pump,
                waiting: Waiting::new(options.header_length),
                depth: self.depth_for(options),
                load: *self,
                work: Arc::clone(&work),
                numbers: Arc::clone(&numbers),
                start,
                timeout: options.timeout,
                report: Report::empty(),
            };
            tasks.spawn(lane.run());
        }
        let mut report = Report::empty();
        while let Some(lane) = tasks.join_next().await {
            match lane {
                Ok(lane) => report.add(&lane),
                // A verifier that panics has found no right reply.
                Err(_) => report.wrong += 1,
            }
        }
        Ok(report)
    }

    fn depth_for(&self, options: &Options) -> usize {
        let ids = usize::try_from(id_count(options.header_length)).unwrap_or(usize::MAX);
        if options.header_length == 0 { self.depth } else { self.depth.min(ids) }
    }
}

struct Sent {
    sequence: u64,
    at: Instant,
}

/// One connection of a run.
struct Lane {
    pump: Pump,
    waiting: Waiting<Sent>,
    depth: usize,
    load: Load,
    work: Arc<dyn Work>,
    numbers: Arc<AtomicU64>,
    start: Instant,
    timeout: Duration,
    report: Report,
}

impl Lane {
    async fn run(mut self) -> Report {
        loop {
            if self.fill().is_err() || self.waiting.len() == 0 {
                break;
            }
            let turned = tokio::time::timeout(self.timeout, self.pump.turn()).await;
            if !matches!(turned, Ok(Ok(()))) || !self.take_replies() {
                break;
            }
        }
        self.report.lost += u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        self.report.elapsed = self.start.elapsed();
        self.report
    }

    // Everything that may be sent now, in one buffer and with one time stamp.
    fn fill(&mut self) -> Result<(), Error> {
        let at = Instant::now();
        if at.duration_since(self.start) >= self.load.duration {
            return Ok(());
        }
        let mut message = Vec::new();
        while self.waiting.len() < self.depth {
            let sequence = self.numbers.fetch_add(1, Ordering::Relaxed);
            if sequence >= self.load.requests_max {
                break;
            }
            message.clear();
            self.waiting.add(Sent { sequence, at }, &mut message);
            self.work.request(sequence, &mut message);
            frame::append(&mut self.pump.out, &[&message])?;
            self.report.sent += 1;
        }
        Ok(())
    }

    // False when the connection cannot be trusted any more.
    fn take_replies(&mut self) -> bool {
        let now = Instant::now();
        while let Some(frame) = self.pump.frames.next_frame() {
            let taken = self.waiting.take(&frame);
            let Ok((sent, reply)) = taken else {
                self.report.wrong += 1;
                return false;
            };
            let Some(code) = reply.get(2..).and_then(|rest| rest.first_chunk::<2>()) else {
                self.report.wrong += 1;
                return false;
            };
            *self.report.codes.entry(*code).or_default() += 1;
            let latency = now.duration_since(sent.at).as_micros();
            self.report.latency_us.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
            let every = self.load.verify_every;
            if every > 0 && sent.sequence.is_multiple_of(every) {
                self.report.verified += 1;
                if !self.work.verify(sent.sequence, reply) {
                    self.report.wrong += 1;
                }
            }
        }
        true
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
    }

    #[tokio::test]
    async fn time_ends_a_run() {
        let load = Load { requests_max: u64::MAX, duration: Duration::from_millis(100), ..LOAD };
        let report = run(Answer::InOrder, load, Arc::new(Echo)).await;
        assert!(report.replies() > 0 && report.lost == 0);
        assert!(report.elapsed >= Duration::from_millis(100));
    }
}
