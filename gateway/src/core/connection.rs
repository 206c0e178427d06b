//! One connection: reads what is there, cuts frames, gives them to the batch of the core, and takes its
//! replies from it. A state machine that is polled by its task; the batch wakes the task only when there
//! is something to do for it, so a busy connection costs one poll per read.

use super::Core;
use super::carry::Carry;
use super::outbox::Outbox;
use super::stream::Stream;
use crate::accept::Guest;
use crate::admission::Reason;
use crate::metrics::BadFrame;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// How long an ended connection waits for the peer's end, so that the last replies are not destroyed by a
/// reset (RFC 9293 section 3.10.4: closing with unread data resets the connection).
const LINGER_MS: u64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Frames are read.
    Open,
    /// No more frames; what is in flight is answered.
    Ending,
    /// All is answered and our end is closed.
    Lingering,
    /// To be dropped.
    Dead,
}

pub(crate) struct Connection {
    /// Index of its listener.
    pub(crate) listener: usize,
    /// Where the core keeps it.
    pub(crate) place: Cell<usize>,
    stream: RefCell<Stream>,
    carry: RefCell<Carry>,
    outbox: RefCell<Outbox>,
    waker: RefCell<Option<Waker>>,
    state: Cell<State>,
    in_flight: Cell<usize>,
    /// Whole frames wait in `carry` until the batch is answered.
    stalled: Cell<bool>,
    /// No more reads until the batch is answered: others have their turn first.
    resting: Cell<bool>,
    /// A frame of it needs another turn of the engine.
    held: Cell<bool>,
    seen: Cell<bool>,
    partial: Cell<bool>,
    /// Begin of the frame in `carry` when that is `partial`, else of the present quiet; in milliseconds of
    /// the core's clock.
    since_ms: Cell<u64>,
    /// When the peer last took a byte of what waits for it.
    progress_ms: Cell<u64>,
    _guest: Guest,
}

impl Connection {
    pub(crate) fn new(stream: Stream, listener: usize, guest: Guest, now_ms: u64) -> Self {
        Self {
            listener,
            place: Cell::new(0),
            stream: RefCell::new(stream),
            carry: RefCell::default(),
            outbox: RefCell::default(),
            waker: RefCell::new(None),
            state: Cell::new(State::Open),
            in_flight: Cell::new(0),
            stalled: Cell::new(false),
            resting: Cell::new(false),
            held: Cell::new(false),
            seen: Cell::new(false),
            partial: Cell::new(false),
            since_ms: Cell::new(now_ms),
            progress_ms: Cell::new(now_ms),
            _guest: guest,
        }
    }

    /// Serves until the connection is to be dropped.
    pub(crate) async fn serve(self: &Rc<Self>, core: &Core) {
        core::future::poll_fn(|cx| {
            if self.waker.borrow().as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
            }
            self.poll(core, cx)
        })
        .await;
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn poll(self: &Rc<Self>, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.state.get() {
                State::Dead => return Poll::Ready(()),
                State::Lingering => ready!(self.discard(core, cx)),
                State::Open | State::Ending => {
                    ready!(self.push_out(core, cx));
                    match self.state.get() {
                        State::Open => ready!(self.take_in(core, cx)),
                        State::Ending if self.in_flight.get() > 0 => return Poll::Pending,
                        State::Ending => self.finish(core, cx),
                        _ => {}
                    }
                }
            }
        }
    }

    fn enter(&self, state: State, core: &Core) {
        self.state.set(state);
        self.since_ms.set(core.read_clock());
    }

    // Sends what the peer did not take at once.
    fn push_out(&self, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            return Poll::Ready(());
        }
        let before = outbox.waiting();
        let polled = outbox.poll(&mut self.stream.borrow_mut(), cx);
        if outbox.waiting() < before {
            self.progress_ms.set(core.read_clock());
        }
        match polled {
            Poll::Ready(Err(_)) => self.state.set(State::Dead),
            Poll::Ready(Ok(())) => self.since_ms.set(core.read_clock()),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    // One read, or the frames that waited for the last batch.
    fn take_in(self: &Rc<Self>, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
        if self.resting.get() {
            return Poll::Pending;
        }
        if self.stalled.get() {
            self.cut_carry(core);
        } else {
            match self.read(core, cx) {
                Poll::Pending => {
                    let quiet = self.in_flight.get() == 0 && self.carry.borrow().is_empty();
                    if !(core.closing.get() && quiet) {
                        return Poll::Pending;
                    }
                    self.enter(State::Ending, core);
                }
                Poll::Ready(Ok(0)) => {
                    if !self.carry.borrow().is_empty() {
                        core.metrics.invalid(BadFrame::Cut);
                    }
                    self.enter(State::Ending, core);
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => self.state.set(State::Dead),
            }
        }
        core.flush_when_full();
        Poll::Ready(())
    }

    // Reads behind what is kept, so that all frames lie in one piece.
    fn read(self: &Rc<Self>, core: &Core, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = core.buffer.borrow_mut();
        let mut carry = self.carry.borrow_mut();
        let kept = carry.bytes().len();
        let Some((front, room)) = buffer.split_at_mut_checked(kept) else {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        };
        let read = ready!(self.stream.borrow_mut().poll_fill(cx, room))?;
        if read == 0 {
            return Poll::Ready(Ok(0));
        }
        let filled = read == room.len();
        let total = kept.saturating_add(read);
        self.seen.set(true);
        let fresh = room.get(..read).unwrap_or_default();
        if kept >= crate::frame::LENGTH_FIELD && core.rules.wanted(carry.bytes()) > total {
            carry.append(fresh);
        } else {
            front.copy_from_slice(carry.bytes());
            let bytes = buffer.get(..total).unwrap_or_default();
            let (used, frames) = core.cut(self, bytes);
            self.keep(core, &mut carry, bytes.get(used..).unwrap_or_default(), used > 0 || kept == 0);
            if filled && frames > 0 {
                self.resting.set(true);
            }
        }
        if let Some(bytes) = buffer.get_mut(..total) {
            super::wipe(bytes);
        }
        Poll::Ready(Ok(read))
    }

    fn cut_carry(self: &Rc<Self>, core: &Core) {
        let mut carry = self.carry.borrow_mut();
        let (used, _) = core.cut(self, carry.bytes());
        let rest = zeroize::Zeroizing::new(carry.bytes().get(used..).unwrap_or_default().to_vec());
        self.keep(core, &mut carry, &rest, used > 0);
    }

    // Keeps what was not used; `fresh` when it begins with another frame than before.
    fn keep(&self, core: &Core, carry: &mut Carry, rest: &[u8], fresh: bool) {
        let rest = if self.state.get() == State::Open { rest } else { &[] };
        carry.replace(rest);
        let stalled = self.in_flight.get() >= core.limits.depth && core.rules.wanted(rest) <= rest.len();
        self.stalled.set(stalled);
        // Frames that are with workers are answered before more are read, which keeps their order.
        self.resting.set(stalled || core.is_away() && self.in_flight.get() > 0);
        self.partial.set(!rest.is_empty() && !stalled);
        if fresh && self.partial.get() {
            self.since_ms.set(core.read_clock());
        }
    }

    /// Frames that may be taken before the batch is answered.
    pub(crate) fn room(&self, core: &Core) -> usize {
        core.limits.depth.saturating_sub(self.in_flight.get())
    }

    /// Frames were taken.
    pub(crate) fn taken(&self, frames: usize) {
        self.in_flight.set(self.in_flight.get().saturating_add(frames));
    }

    /// Frames of it wait for another turn of the engine: no more are read until all are answered, and none behind
    /// them is answered before they are.
    pub(crate) fn hold(&self) {
        self.held.set(true);
        self.resting.set(true);
    }

    /// A turn of the engine is over: what is held now is to be seen.
    pub(crate) fn release(&self) {
        self.held.set(false);
    }

    /// True when a frame of it waits for another turn.
    pub(crate) fn is_held(&self) -> bool {
        self.held.get()
    }

    /// Takes no more frames; those in flight are answered.
    pub(crate) fn end(&self, core: &Core) {
        if self.state.get() == State::Open {
            self.enter(State::Ending, core);
        }
    }

    /// Nothing can be answered any more.
    pub(crate) fn kill(&self) {
        self.state.set(State::Dead);
        self.wake();
    }

    /// The replies of `frames` frames, in one piece.
    pub(crate) fn deliver(&self, core: &Core, replies: &[u8], frames: usize) {
        self.in_flight.set(self.in_flight.get().saturating_sub(frames));
        if matches!(self.state.get(), State::Lingering | State::Dead) {
            return;
        }
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            self.progress_ms.set(core.now_ms.get());
        }
        // Whoever waits for the peer is this connection's own task, not the one that runs the batch.
        let mut cx = Context::from_waker(Waker::noop());
        let sent = outbox.send(&mut self.stream.borrow_mut(), &mut cx, replies);
        if sent.is_err() {
            self.state.set(State::Dead);
        }
        let rested = self.in_flight.get() == 0 && self.resting.replace(false);
        // The peer's time does not run while it is not read.
        if !self.partial.get() || rested {
            self.since_ms.set(core.now_ms.get());
        }
        if rested || !outbox.is_empty() || self.state.get() != State::Open || core.closing.get() {
            self.wake();
        }
    }

    fn finish(&self, core: &Core, cx: &mut Context<'_>) {
        // A TLS farewell that does not fit into the socket is not worth waiting for.
        match self.stream.borrow_mut().poll_finish(cx) {
            Poll::Ready(Err(_)) => self.state.set(State::Dead),
            _ => self.enter(State::Lingering, core),
        }
    }

    fn discard(&self, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = core.buffer.borrow_mut();
        let read = ready!(self.stream.borrow_mut().poll_fill(cx, &mut buffer));
        match read {
            Ok(n) if n > 0 => super::wipe(buffer.get_mut(..n).unwrap_or_default()),
            _ => self.state.set(State::Dead),
        }
        Poll::Ready(())
    }

    /// Ends the connection when it broke a limit. Both times are cut to milliseconds, so only what is more
    /// than the limit is certainly over it: nobody is cut before the time.
    pub(crate) fn check(&self, core: &Core) {
        let now_ms = core.now_ms.get();
        let over = |since_ms: u64, limit: std::time::Duration| {
            u128::from(now_ms.saturating_sub(since_ms)) > limit.as_millis()
        };
        let (limits, since_ms) = (&core.limits, self.since_ms.get());
        let broken = match self.state.get() {
            State::Dead => return,
            State::Lingering => {
                if now_ms.saturating_sub(since_ms) >= LINGER_MS {
                    self.kill();
                }
                return;
            }
            _ if !self.outbox.borrow().is_empty() => {
                over(self.progress_ms.get(), limits.write_stall).then_some(Reason::WriteStall)
            }
            State::Ending => None,
            // The peer is not to blame for what workers and long commands take.
            State::Open if self.in_flight.get() > 0 => None,
            State::Open if !self.seen.get() => over(since_ms, limits.first_byte).then_some(Reason::FirstByte),
            State::Open if self.partial.get() => {
                over(since_ms, limits.whole_frame).then_some(Reason::WholeFrame)
            }
            State::Open => over(since_ms, limits.idle).then_some(Reason::Idle),
        };
        if let Some(reason) = broken {
            core.metrics.rejected(reason);
            let tally = core.tally.borrow();
            tracing::debug!(reason = reason.name(), listener = tally.name(self.listener), "connection ended");
            self.kill();
        }
    }
}
