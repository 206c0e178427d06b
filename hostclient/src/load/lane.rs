//! One connection of a run.

use super::pace::Due;
use super::{LATE, Live, Load, Report, Work};
use crate::correlation::Waiting;
use crate::pump::Pump;
use crate::{Error, frame};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Sent {
    sequence: u64,
    /// When it was to be sent.
    meant: Instant,
    at: Instant,
    counted: bool,
}

pub(super) struct Lane {
    pub(super) pump: Pump,
    pub(super) waiting: Waiting<Sent>,
    pub(super) depth: usize,
    pub(super) load: Load,
    pub(super) work: Arc<dyn Work>,
    pub(super) numbers: Arc<AtomicU64>,
    /// End of the warm-up.
    pub(super) counted_from: Instant,
    /// Nothing is sent any more; `None` is never.
    pub(super) end: Option<Instant>,
    /// Times of an open loop.
    pub(super) due: Option<Due>,
    pub(super) timeout: Duration,
    pub(super) live: Arc<Live>,
    /// Of all lanes of a run: histograms are large, connections may be many.
    pub(super) report: Arc<Mutex<Report>>,
}

impl Lane {
    pub(super) async fn run(mut self) {
        loop {
            let Ok(more) = self.fill() else { break };
            if !more && self.waiting.len() == 0 {
                break;
            }
            if !self.turn(more).await || !self.take_replies() {
                break;
            }
        }
        let dropped = self.dropped();
        let ended = self.end.map_or(Instant::now(), |end| end.min(Instant::now()));
        let mut report = lock(&self.report);
        report.lost += u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        report.dropped += dropped;
        report.elapsed = report.elapsed.max(ended.saturating_duration_since(self.counted_from));
    }

    // What was due and is not sent any more.
    fn dropped(&mut self) -> u64 {
        let mut count = 0;
        if let Some((due, end)) = self.due.as_mut().zip(self.end) {
            while due.next < end {
                count += u64::from(due.next >= self.counted_from);
                due.advance();
            }
        }
        count
    }

    // Waits for the socket or until a request is due. False when the connection gives nothing any more.
    async fn turn(&mut self, more: bool) -> bool {
        let room = more && self.waiting.len() < self.depth;
        let Some(due) = self.due.as_ref().filter(|_| room) else {
            return matches!(tokio::time::timeout(self.timeout, self.pump.turn()).await, Ok(Ok(())));
        };
        tokio::select! {
            turned = self.pump.turn() => turned.is_ok(),
            () = due.wake.notified() => true,
        }
    }

    // Everything that may be sent now, in one buffer and with one time stamp. False when there will be no more.
    fn fill(&mut self) -> Result<bool, Error> {
        let (mut sent, mut late) = (0, 0);
        let more = self.fill_counting(&mut sent, &mut late);
        if sent > 0 {
            let mut report = lock(&self.report);
            report.sent += sent;
            report.late += late;
        }
        more
    }

    fn fill_counting(&mut self, sent: &mut u64, late: &mut u64) -> Result<bool, Error> {
        let at = Instant::now();
        let mut message = Vec::new();
        while self.waiting.len() < self.depth {
            if self.end.is_some_and(|end| at >= end) {
                return Ok(false);
            }
            let Some(meant) = self.meant(at) else { return Ok(true) };
            if self.end.is_some_and(|end| meant >= end) {
                return Ok(false);
            }
            let sequence = self.numbers.fetch_add(1, Ordering::Relaxed);
            if sequence >= self.load.requests_max {
                return Ok(false);
            }
            let counted = meant >= self.counted_from;
            message.clear();
            self.waiting.add(Sent { sequence, meant, at, counted }, &mut message);
            self.work.request(sequence, &mut message);
            frame::append(&mut self.pump.out, &[&message])?;
            *sent += u64::from(counted);
            *late += u64::from(counted && at.duration_since(meant) > LATE);
            if let Some(due) = &mut self.due {
                due.advance();
            }
        }
        Ok(true)
    }

    // When the next request is to be sent, if that is now or was before.
    fn meant(&self, now: Instant) -> Option<Instant> {
        match &self.due {
            None => Some(now),
            Some(due) => Some(due.next).filter(|next| *next <= now),
        }
    }

    // False when the connection cannot be trusted any more.
    fn take_replies(&mut self) -> bool {
        let now = Instant::now();
        let (mut count, mut errors, mut good) = (0, 0, true);
        let since = now.saturating_duration_since(self.counted_from);
        let mut report = lock(&self.report);
        while let Some(frame) = self.pump.frames.next_frame() {
            let taken = self.waiting.take(&frame);
            let Ok((sent, reply)) = taken else {
                good = false;
                break;
            };
            let Some(code) = reply.get(2..).and_then(|rest| rest.first_chunk::<2>()) else {
                good = false;
                break;
            };
            count += 1;
            errors += u64::from(code != b"00");
            if sent.counted {
                let p99 = count_reply(&mut report, now, since, &sent, *code);
                p99.into_iter().for_each(|us| self.live.set_p99(us));
            }
            let every = self.load.verify_every;
            if every > 0 && sent.sequence.is_multiple_of(every) {
                report.verified += 1;
                report.wrong += u64::from(!self.work.verify(sent.sequence, reply));
            }
        }
        if count > 0 {
            report.elapsed = report.elapsed.max(since);
        }
        report.wrong += u64::from(!good);
        self.live.add(count, errors);
        good
    }
}

// What a verifier that panicked has left is whole: every change is a number.
fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

// Gives the 99th percentile of an interval that has ended.
fn count_reply(
    report: &mut Report,
    now: Instant,
    since: Duration,
    sent: &Sent,
    code: [u8; 2],
) -> Option<u64> {
    let us = |since| u64::try_from(now.duration_since(since).as_micros()).unwrap_or(u64::MAX);
    let latency = us(sent.meant);
    *report.codes.entry(code).or_default() += 1;
    report.latency_us.saturating_record(latency);
    report.service_us.saturating_record(us(sent.at));
    let (slot, ended) = report.timeline.slot(since)?;
    slot.replies += 1;
    slot.errors += u64::from(&code != b"00");
    slot.latency_us.saturating_record(latency);
    ended
}
