//! One connection of a run.

use super::choice::is_verified;
use super::pace::Due;
use super::{Histogram, LATE, Live, Load, Report, Work};
use crate::correlation::Waiting;
use crate::pump::Pump;
use crate::{Error, frame};
use std::io;
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
        let broken = self.go().await.err();
        let (now, until) = (Instant::now(), self.until());
        let ended = self.end.map_or(now, |end| end.min(now));
        let mut report = lock(&self.report);
        report.lost += u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        for sent in self.waiting.drain().filter(|sent| sent.counted) {
            report.latency_us.saturating_record(us(until, sent.meant));
            report.service_us.saturating_record(us(until, sent.at));
        }
        if let Some((due, end)) = self.due.as_ref().zip(self.end) {
            let dropped = drop_due(due, self.counted_from, (end, until), &mut report.latency_us);
            report.dropped = report.dropped.saturating_add(dropped);
        }
        report.elapsed = report.elapsed.max(ended.saturating_duration_since(self.counted_from));
        if let Some(why) = broken {
            report.broken += 1;
            report.first_break.get_or_insert(why);
        }
    }

    // Until there is nothing more to send or to wait for; or why the connection gives nothing any more.
    async fn go(&mut self) -> Result<(), String> {
        loop {
            let more = self.fill().map_err(|error| error.to_string())?;
            if !more && self.waiting.len() == 0 {
                return Ok(());
            }
            self.turn(more).await?;
            self.take_replies()?;
        }
    }

    // Until when whoever asked has waited for what was never answered: time that was to be measured, and in which
    // nothing came, is not left out because the connection was lost in it.
    fn until(&self) -> Instant {
        let now = Instant::now();
        let timed = self.load.requests_max == u64::MAX;
        self.end.filter(|_| timed).map_or(now, |end| end.max(now))
    }

    // Waits for the socket or until a request is due.
    async fn turn(&mut self, more: bool) -> Result<(), String> {
        let room = more && self.waiting.len() < self.depth;
        let Some(due) = self.due.as_ref().filter(|_| room) else {
            let turned = tokio::time::timeout(self.timeout, self.pump.turn()).await;
            let turned = turned.map_err(|_| format!("nothing came for {:?}", self.timeout))?;
            return turned.map_err(|error| told(&error));
        };
        tokio::select! {
            turned = self.pump.turn() => turned.map_err(|error| told(&error)),
            () = due.wake.notified() => Ok(()),
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

    // Fails when the connection cannot be trusted any more.
    fn take_replies(&mut self) -> Result<(), String> {
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
            if is_verified(sent.sequence, self.load.verify_every) {
                report.verified += u64::from(sent.counted);
                report.wrong += u64::from(!self.work.verify(sent.sequence, reply));
            }
        }
        if count > 0 {
            report.elapsed = report.elapsed.max(since);
            report.last_reply = report.last_reply.max(since);
        }
        report.wrong += u64::from(!good);
        self.live.add(count, errors);
        if good { Ok(()) } else { Err("a reply came that belongs to no request".to_owned()) }
    }
}

fn us(now: Instant, since: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the unit closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

/// So many groups of neighbours stand for any number of requests that were dropped.
const GROUPS: u64 = 1_000;

// What was due from the end of the warm-up on and is not sent any more: counted, and recorded as having waited.
fn drop_due(due: &Due, from: Instant, (end, until): (Instant, Instant), latency: &mut Histogram) -> u64 {
    let (first, behind) = (due.before(from), due.before(end));
    let count = behind.saturating_sub(first);
    let group = count.div_ceil(GROUPS).max(1);
    let mut next = first;
    while next < behind {
        let size = group.min(behind - next);
        latency.saturating_record_n(us(until, due.after(next)), size);
        next += size;
    }
    count
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
    let latency = us(now, sent.meant);
    *report.codes.entry(code).or_default() += 1;
    report.latency_us.saturating_record(latency);
    report.service_us.saturating_record(us(now, sent.at));
    let (slot, ended) = report.timeline.slot(since)?;
    slot.replies += 1;
    slot.errors += u64::from(&code != b"00");
    slot.latency_us.saturating_record(latency);
    ended
}
