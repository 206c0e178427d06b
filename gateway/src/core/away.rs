//! The engine in another process: frames go to workers, replies come back, each connection gets its own in the
//! order of its frames.
//!
//! What one read of a connection brought is a flight: its frames are dealt to the workers, and it is answered when
//! all of them are. Until then the connection is not read, so that its order needs no other book-keeping, and
//! flights of different connections end as they come. A reply that refuses the frame is made beforehand, for the
//! case that its worker is lost.

use super::batch::{Batch, Item};
use super::{Core, FULL};
use crate::metrics::WorkerLoss;
use crate::worker::wire::{Answer, LENGTH, RECORD_MAX, Request, facts, take};
use crate::worker::{Event, Events, write_unit};
use hostcmd::{Code, Judged, Port, Unit, judge};
use paytypes::bytes::grow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use zeroize::Zeroize;

/// How long frames wait for a worker when none is up, before they are refused.
const GRACE: Duration = Duration::from_millis(900);
/// Frames and bytes that may be with the workers; what comes beyond is refused at once.
const FRAMES_MAX: usize = 16 * 1024;
const BYTES_MAX: usize = 16 << 20;
/// Frames in succession that go to one worker: it gathers them, and others are busy as well.
const RUN: usize = 8;

/// Frames on their way to a worker, in the order of their numbers.
#[derive(Default)]
struct Queue {
    out: Vec<u8>,
    waiting: VecDeque<u64>,
}

impl Queue {
    // Takes a number out; false when it is not there. Nearly always it is the first.
    fn take(&mut self, number: u64) -> bool {
        if self.waiting.front() == Some(&number) {
            return self.waiting.pop_front().is_some();
        }
        self.waiting.binary_search(&number).is_ok_and(|at| self.waiting.remove(at).is_some())
    }
}

/// A worker.
struct Link {
    place: usize,
    stream: Rc<UnixStream>,
    queue: Queue,
    sent: usize,
    inbox: Vec<u8>,
    filled: usize,
    /// Which state of the unit it knows.
    unit: u64,
    /// When it last answered or said that it is at work, or got its first frame.
    progress: Instant,
    waker: Option<Waker>,
}

/// The frames of one read of a connection.
struct Flight {
    batch: Batch,
    left: usize,
    sent_at: Instant,
}

#[derive(Default)]
struct State {
    links: Vec<Link>,
    /// Frames for which there is no worker, and since when.
    parked: Queue,
    parked_since: Option<Instant>,
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
    spare: Vec<Batch>,
    /// Flight and item of each number from `first` on that is not answered.
    numbers: VecDeque<Option<(usize, usize)>>,
    first: u64,
    outstanding: usize,
    started: usize,
    done: Vec<usize>,
    busy_since: Option<Instant>,
    dealt: (usize, usize),
}

/// The workers of a core.
pub(crate) struct Away {
    events: Events,
    deadline: Duration,
    state: RefCell<State>,
    unit: RefCell<Unit>,
    version: Cell<u64>,
}

impl Away {
    pub(crate) fn new(events: Events, deadline: Duration, unit: Unit) -> Self {
        let state = RefCell::new(State::default());
        Self { events, deadline, state, unit: RefCell::new(unit), version: Cell::new(1) }
    }

    /// Changes the state of the unit: workers hear of it before their next frame.
    pub(crate) fn update_unit(&self, change: impl FnOnce(&mut Unit)) {
        change(&mut self.unit.borrow_mut());
        self.version.set(self.version.get().wrapping_add(1));
    }

    /// Changes counts of the unit: a worker hears of them before a frame that reads them.
    pub(crate) fn update_counts(&self, change: impl FnOnce(&mut Unit)) {
        change(&mut self.unit.borrow_mut());
    }

    /// An empty batch for a flight.
    pub(crate) fn spare(&self) -> Batch {
        self.state.borrow_mut().spare.pop().unwrap_or_default()
    }

    /// Judges a frame and deals it to a worker; with `counts`, behind the counts of the unit.
    pub(crate) fn submit(&self, batch: &mut Batch, port: &Port, frame: &[u8], counts: bool) {
        let from = batch.ready.len();
        let judged = judge(port, frame, Code::DEVICE, &mut batch.ready);
        let refusal = from..batch.ready.len();
        let item = match judged {
            Judged::Admitted(row) => match self.deal(port, frame, counts) {
                Some(number) => Item::Away(number, row, refusal),
                None => Item::Ready(refusal, Some(row), Code::DEVICE),
            },
            Judged::Refused(row) => Item::Ready(refusal, row, Code::DISABLED),
            Judged::Close => Item::Close,
        };
        batch.items.push(item);
    }

    // The number of the frame; none when there is no room, or no worker for too long.
    fn deal(&self, port: &Port, frame: &[u8], counts: bool) -> Option<u64> {
        let unit = self.unit.borrow();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let index = state.pick();
        let fresh =
            index.and_then(|at| state.links.get(at)).is_some_and(|link| link.queue.waiting.is_empty());
        let number = state.first.wrapping_add(u64::try_from(state.numbers.len()).unwrap_or_default());
        let queue = match index.and_then(|at| state.links.get_mut(at)) {
            Some(link) => {
                if fresh {
                    link.progress = Instant::now();
                }
                if counts || link.unit != self.version.get() {
                    link.unit = self.version.get();
                    write_unit_record(&unit, &mut link.queue.out);
                }
                &mut link.queue
            }
            None => {
                let since = *state.parked_since.get_or_insert_with(Instant::now);
                if since.elapsed() > GRACE {
                    return None;
                }
                &mut state.parked
            }
        };
        if state.outstanding >= FRAMES_MAX || queue.out.len() >= BYTES_MAX {
            return None;
        }
        Request::Frame(number, facts(port, unit.authorised), frame).write(&mut queue.out);
        queue.waiting.push_back(number);
        state.numbers.push_back(None);
        if state.outstanding == 0 {
            state.busy_since = Some(Instant::now());
        }
        state.outstanding = state.outstanding.saturating_add(1);
        Some(number)
    }

    /// Takes the batch of a connection's turn as a flight, to be sent by the next flush.
    pub(crate) fn take(&self, batch: Batch) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let index = state.free.pop().unwrap_or_else(|| {
            state.flights.push(None);
            state.flights.len().saturating_sub(1)
        });
        let mut left = 0_usize;
        for (at, item) in batch.items.iter().enumerate() {
            let Item::Away(number, ..) = item else { continue };
            left = left.saturating_add(1);
            if let Some(place) = state.place(*number) {
                *place = Some((index, at));
            }
        }
        state.started = state.started.saturating_add(batch.items.len());
        if left == 0 {
            state.done.push(index);
        }
        if let Some(flight) = state.flights.get_mut(index) {
            *flight = Some(Flight { batch, left, sent_at: Instant::now() });
        }
    }

    /// Time of the core that workers were at work, since it was last asked.
    pub(crate) fn take_busy(&self, now: Instant) -> Duration {
        let mut state = self.state.borrow_mut();
        let Some(since) = state.busy_since else { return Duration::ZERO };
        state.busy_since = Some(now);
        now.saturating_duration_since(since)
    }
}

impl State {
    // The worker with the least to do; the same one for a few frames in succession.
    fn pick(&mut self) -> Option<usize> {
        let (last, run) = self.dealt;
        if run < RUN && last < self.links.len() {
            self.dealt = (last, run.saturating_add(1));
            return Some(last);
        }
        let links = self.links.iter().enumerate();
        let (best, _) = links.min_by_key(|(_, link)| link.queue.waiting.len())?;
        self.dealt = (best, 1);
        Some(best)
    }

    fn place(&mut self, number: u64) -> Option<&mut Option<(usize, usize)>> {
        let at = usize::try_from(number.wrapping_sub(self.first)).ok()?;
        self.numbers.get_mut(at)
    }

    // What became of a frame.
    fn settle(&mut self, number: u64, outcome: Outcome<'_>, busy: &mut Duration) {
        let Some((flight_at, item_at)) = self.place(number).and_then(Option::take) else { return };
        while matches!(self.numbers.front(), Some(None)) {
            self.numbers.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        if self.outstanding == 0
            && let Some(since) = self.busy_since.take()
        {
            *busy = busy.saturating_add(since.elapsed());
        }
        let Some(Some(flight)) = self.flights.get_mut(flight_at) else { return };
        let Batch { items, ready, .. } = &mut flight.batch;
        let Some(item) = items.get_mut(item_at) else { return };
        let Item::Away(_, row, refusal) = item else { return };
        let row = Some(*row);
        *item = match outcome {
            Outcome::Reply(code, reply) => {
                let from = ready.len();
                grow(ready, reply.len());
                ready.extend_from_slice(reply);
                Item::Ready(from..ready.len(), row, code)
            }
            Outcome::Lost => Item::Ready(refusal.clone(), row, Code::DEVICE),
            Outcome::Close => Item::Close,
        };
        flight.left = flight.left.saturating_sub(1);
        if flight.left == 0 {
            self.done.push(flight_at);
        }
    }
}

enum Outcome<'a> {
    Reply(Code, &'a [u8]),
    Close,
    Lost,
}

fn write_unit_record(unit: &Unit, out: &mut Vec<u8>) {
    let mut fields = Vec::new();
    write_unit(unit, &mut fields);
    Request::Unit(&fields).write(out);
}

impl Link {
    // Sends what is there. Ready when nothing is left.
    fn push(&mut self, cx: Option<&mut Context<'_>>) -> io::Result<()> {
        let mut cx = cx;
        while let Some(rest) = self.queue.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => self.sent = self.sent.saturating_add(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Some(cx) = &mut cx else {
                        // Its task waits for room.
                        if let Some(waker) = &self.waker {
                            waker.wake_by_ref();
                        }
                        return Ok(());
                    };
                    if self.stream.poll_write_ready(cx)?.is_pending() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        super::wipe(&mut self.queue.out);
        self.queue.out.clear();
        self.sent = 0;
        Ok(())
    }

    // Reads what is there; false when there was nothing.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let room = self.inbox.get_mut(self.filled..).unwrap_or_default();
            match self.stream.try_read(room) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => {
                    self.filled = self.filled.saturating_add(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Core {
    /// Takes a worker, with the frames that waited for one.
    pub(super) fn attach(self: &Rc<Self>, place: usize, stream: std::os::unix::net::UnixStream) {
        let Some(away) = self.away() else { return };
        let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
        let Ok(stream) = stream else {
            let _ = away.events.send(Event::Lost(place, WorkerLoss::Socket));
            return;
        };
        let stream = Rc::new(stream);
        {
            let mut state = away.state.borrow_mut();
            let parked = std::mem::take(&mut state.parked);
            state.parked_since = None;
            let mut queue = Queue { waiting: parked.waiting, ..Queue::default() };
            write_unit_record(&away.unit.borrow(), &mut queue.out);
            grow(&mut queue.out, parked.out.len());
            queue.out.extend_from_slice(&parked.out);
            let mut out = parked.out;
            super::wipe(&mut out);
            state.links.push(Link {
                place,
                stream: Rc::clone(&stream),
                queue,
                sent: 0,
                inbox: vec![0; RECORD_MAX.saturating_add(LENGTH).saturating_mul(2)],
                filled: 0,
                unit: away.version.get(),
                progress: Instant::now(),
                waker: None,
            });
        }
        tokio::task::spawn_local(tokio::task::unconstrained(serve_link(Rc::clone(self), stream)));
    }

    /// Sends the frames of all flights that were taken.
    pub(super) fn flush_away(&self, away: &Away) {
        let started = {
            let mut state = away.state.borrow_mut();
            let started = std::mem::take(&mut state.started);
            let mut broken = Vec::new();
            for link in &mut state.links {
                if !link.queue.out.is_empty() && link.push(None).is_err() {
                    broken.push(Rc::clone(&link.stream));
                }
            }
            drop(state);
            broken.iter().for_each(|stream| self.lose(away, stream, WorkerLoss::Ended));
            started
        };
        if let Some(stats) = self.stats().filter(|_| started > 0) {
            let frames = u64::try_from(started).unwrap_or(u64::MAX);
            stats.batches.record(frames, frames, 1);
        }
        self.complete(away);
    }

    /// True when so many frames were taken that they should not wait for more.
    pub(super) fn is_away_full(away: &Away) -> bool {
        away.state.borrow().started >= FULL
    }

    // One turn of a worker's task. Ready when the worker is lost; without a reason when that is known.
    fn poll_link(
        &self,
        away: &Away,
        stream: &Rc<UnixStream>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<WorkerLoss>> {
        loop {
            let mut busy = Duration::ZERO;
            let polled = {
                let mut state = away.state.borrow_mut();
                let Some(at) = state.links.iter().position(|link| Rc::ptr_eq(&link.stream, stream)) else {
                    return Poll::Ready(None);
                };
                state.poll_at(at, cx, &mut busy)
            };
            self.busy.set(self.busy.get().saturating_add(busy));
            self.complete(away);
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(why)) => return Poll::Ready(Some(why)),
            }
        }
    }

    fn lose(&self, away: &Away, stream: &Rc<UnixStream>, why: WorkerLoss) {
        let mut busy = Duration::ZERO;
        {
            let mut state = away.state.borrow_mut();
            let at = state.links.iter().position(|link| Rc::ptr_eq(&link.stream, stream));
            let Some(mut link) = at.map(|at| state.links.swap_remove(at)) else { return };
            link.queue.out.zeroize();
            link.inbox.zeroize();
            for number in link.queue.waiting {
                state.settle(number, Outcome::Lost, &mut busy);
            }
            if let Some(waker) = link.waker {
                waker.wake();
            }
            // Nobody listens when the gateway ends.
            let _ = away.events.send(Event::Lost(link.place, why));
        }
        self.busy.set(self.busy.get().saturating_add(busy));
        self.complete(away);
    }

    // Answers the flights of which everything is there.
    fn complete(&self, away: &Away) {
        loop {
            let flight = {
                let mut state = away.state.borrow_mut();
                let Some(index) = state.done.pop() else { break };
                state.free.push(index);
                state.flights.get_mut(index).and_then(Option::take)
            };
            let Some(mut flight) = flight else { continue };
            let now = Instant::now();
            self.set_clock(now);
            let begun = flight.batch.begun.take().unwrap_or(flight.sent_at);
            self.answer(&mut flight.batch);
            self.settle_flight(begun, flight.sent_at, Instant::now());
            let mut batch = flight.batch;
            batch.reset();
            away.state.borrow_mut().spare.push(batch);
        }
        if let Some(stats) = self.stats() {
            let outstanding = away.state.borrow().outstanding;
            stats.in_flight.set(u64::try_from(outstanding).unwrap_or(u64::MAX));
        }
    }

    /// Ends workers that are hung, and refuses frames that waited too long for one; called once per tick.
    pub(super) fn check_workers(&self) {
        let Some(away) = self.away() else { return };
        let now = Instant::now();
        let hung: Vec<_> = {
            let state = away.state.borrow();
            let is_hung = |link: &&Link| {
                !link.queue.waiting.is_empty() && now.saturating_duration_since(link.progress) > away.deadline
            };
            state.links.iter().filter(is_hung).map(|link| Rc::clone(&link.stream)).collect()
        };
        hung.iter().for_each(|stream| self.lose(away, stream, WorkerLoss::Hung));
        let mut busy = Duration::ZERO;
        {
            let mut state = away.state.borrow_mut();
            if state.parked_since.is_some_and(|since| now.saturating_duration_since(since) > GRACE) {
                let mut parked = std::mem::take(&mut state.parked);
                parked.out.zeroize();
                parked.waiting.into_iter().for_each(|number| state.settle(number, Outcome::Lost, &mut busy));
            }
        }
        self.busy.set(self.busy.get().saturating_add(busy));
        self.complete(away);
    }
}

impl State {
    fn poll_at(
        &mut self,
        at: usize,
        cx: &mut Context<'_>,
        busy: &mut Duration,
    ) -> Poll<Result<(), WorkerLoss>> {
        let Some(link) = self.links.get_mut(at) else { return Poll::Ready(Err(WorkerLoss::Ended)) };
        if link.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            link.waker = Some(cx.waker().clone());
        }
        if link.push(Some(cx)).is_err() {
            return Poll::Ready(Err(WorkerLoss::Ended));
        }
        if ready!(link.pull(cx)).is_err() {
            return Poll::Ready(Err(WorkerLoss::Ended));
        }
        link.progress = Instant::now();
        let inbox = std::mem::take(&mut link.inbox);
        let filled = link.filled;
        let mut rest = inbox.get(..filled).unwrap_or_default();
        let heard = self.hear(at, &mut rest, busy);
        let kept = rest.len();
        let mut inbox = inbox;
        inbox.copy_within(filled.saturating_sub(kept)..filled, 0);
        // Replies may carry a clear PIN.
        super::wipe(inbox.get_mut(kept..filled).unwrap_or_default());
        if let Some(link) = self.links.get_mut(at) {
            link.inbox = inbox;
            link.filled = kept;
        }
        Poll::Ready(heard)
    }

    // Each frame is answered once; whatever else comes is no worker of ours.
    fn hear(&mut self, at: usize, rest: &mut &[u8], busy: &mut Duration) -> Result<(), WorkerLoss> {
        while let Some(record) = take(rest).map_err(|_| WorkerLoss::Protocol)? {
            let (number, outcome) = match Answer::read(record).map_err(|_| WorkerLoss::Protocol)? {
                Answer::Reply(number, code, reply) => (number, Outcome::Reply(code, reply)),
                Answer::Close(number) => (number, Outcome::Close),
                Answer::Busy => continue,
                _ => return Err(WorkerLoss::Protocol),
            };
            let link = self.links.get_mut(at).ok_or(WorkerLoss::Protocol)?;
            if !link.queue.take(number) {
                return Err(WorkerLoss::Protocol);
            }
            self.settle(number, outcome, busy);
        }
        Ok(())
    }
}

async fn serve_link(core: Rc<Core>, stream: Rc<UnixStream>) {
    let Some(away) = core.away() else { return };
    let why = core::future::poll_fn(|cx| core.poll_link(away, &stream, cx)).await;
    if let Some(why) = why {
        core.lose(away, &stream, why);
    }
}
