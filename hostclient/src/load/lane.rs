//! One connection of a run.

use super::pace::Due;
use super::{LATE, Load, Report, Work};
use crate::correlation::Waiting;
use crate::pump::Pump;
use crate::{Error, frame};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    pub(super) progress: Arc<AtomicU64>,
    pub(super) report: Report,
}

impl Lane {
    pub(super) async fn run(mut self) -> Report {
        loop {
            let Ok(more) = self.fill() else { break };
            if !more && self.waiting.len() == 0 {
                break;
            }
            if !self.turn(more).await || !self.take_replies() {
                break;
            }
        }
        self.report.lost += u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        self.report.elapsed = self.counted_from.elapsed();
        if let Some((due, end)) = self.due.as_mut().zip(self.end) {
            while due.next < end {
                self.report.dropped += u64::from(due.next >= self.counted_from);
                due.advance();
            }
        }
        self.report
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
            self.report.sent += u64::from(counted);
            self.report.late += u64::from(counted && at.duration_since(meant) > LATE);
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
        let mut count = 0;
        let mut good = true;
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
            self.judge(now, &sent, *code, reply);
        }
        self.report.wrong += u64::from(!good);
        self.progress.fetch_add(count, Ordering::Relaxed);
        good
    }

    fn judge(&mut self, now: Instant, sent: &Sent, code: [u8; 2], reply: &[u8]) {
        if sent.counted {
            let us = |since| u64::try_from(now.duration_since(since).as_micros()).unwrap_or(u64::MAX);
            *self.report.codes.entry(code).or_default() += 1;
            self.report.latency_us.saturating_record(us(sent.meant));
            self.report.service_us.saturating_record(us(sent.at));
        }
        let every = self.load.verify_every;
        if every > 0 && sent.sequence.is_multiple_of(every) {
            self.report.verified += 1;
            self.report.wrong += u64::from(!self.work.verify(sent.sequence, reply));
        }
    }
}
