//! One core: a thread with its own event loop, engine, buffers and counters. Nothing of it is shared with
//! other cores while frames travel.
//!
//! Every connection that is ready reads once and puts its frames into the batch; the flush task, woken by
//! the first of them, stands behind all of them in the run queue, so it runs when each has had its turn.
//! It runs the engine once over everything and writes the replies of each connection with one write.
//! Nothing ever waits for more work.
//!
//! The engine makes a bounded number of rounds in such a turn. Frames that need more go on in the next turn, beside
//! what came meanwhile; their connections are not read until they are answered, which keeps the order of replies.

mod away;
mod batch;
mod carry;
mod connection;
mod handle;
mod outbox;
mod refusal;
mod stream;
mod tally;

pub(crate) use handle::{CoreHandle, CoreSetup, CryptoSetup, Handed, Sender, start};

use crate::Limits;
use crate::clock;
use crate::frame::{Cut, FrameRules, write_frame};
use crate::gateway::Health;
use crate::metrics::{BadFrame, Metrics};
use crate::stats::{CoreStats, Stats};
use away::Away;
use batch::{Batch, Item, Turn};
use connection::Connection;
use hostcmd::table::TABLE;
use hostcmd::wire::from_ebcdic;
use hostcmd::{Code, Engine, Finished, KeyTable, Port, Unit};
use hsm::Hsm;
use paytypes::bytes::grow;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use tally::{Tally, Times};

/// Makes the backend of a core; called on the core's own thread, and again after the backend panicked.
pub type BackendFactory = dyn Fn() -> Box<dyn hsm::Backend> + Send + Sync;

/// Bytes of one read, shared by all connections of the core.
const READ: usize = 64 * 1024;
/// Frames at which a batch runs although connections are still ready: enough to fill every lane, and the
/// bound of the batch's memory.
const FULL: usize = 512;

/// Where the engine is. One for each core, so its size is nobody's concern; a box would cost the path a step.
#[allow(clippy::large_enum_variant)]
enum Crypto {
    /// On this thread.
    Here(RefCell<Engine>, Arc<BackendFactory>),
    /// In worker processes.
    Away(Box<Away>),
}

/// What a turn of the engine left.
enum Ran {
    /// Nothing.
    Done,
    /// Frames that need another turn.
    Later,
    /// The engine and all that it had are gone.
    Lost,
}

pub(crate) struct Core {
    limits: Limits,
    rules: FrameRules,
    echo: Option<usize>,
    metrics: Arc<Metrics>,
    stats: Stats,
    index: usize,
    started: Instant,
    unit: Unit,
    ports: RefCell<Vec<Rc<Port>>>,
    keys: RefCell<Option<Arc<KeyTable>>>,
    crypto: Crypto,
    batch: RefCell<Batch>,
    /// Batches of which frames are with the engine for more than one turn, oldest first.
    held: RefCell<Vec<Batch>>,
    buffer: RefCell<Vec<u8>>,
    tally: RefCell<Tally>,
    connections: RefCell<Vec<Rc<Connection>>>,
    flusher: RefCell<Option<Waker>>,
    /// Milliseconds since the start, as last read.
    now_ms: Cell<u64>,
    /// Second of the unit's clock.
    second: Cell<u64>,
    busy: Cell<Duration>,
    /// Connections that are quiet are ended.
    closing: Cell<bool>,
    /// The backend panicked and could not be made anew.
    lost: Cell<bool>,
    health: Health,
}

// Frames may carry clear PINs (BA, NG). A plain fill is as fast as memory is; `black_box` keeps the compiler
// from dropping it.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

impl Core {
    fn stats(&self) -> Option<&CoreStats> {
        self.stats.core(self.index)
    }

    /// Cuts the frames at the front of `bytes` and puts them into the batch: how many bytes were used, and
    /// how many frames.
    fn cut(&self, connection: &Rc<Connection>, bytes: &[u8]) -> (usize, usize) {
        let Some(away) = self.away() else {
            return self.cut_into(&mut self.batch.borrow_mut(), connection, bytes);
        };
        let mut batch = away.spare();
        let cut = self.cut_into(&mut batch, connection, bytes);
        away.take(batch);
        cut
    }

    fn cut_into(&self, batch: &mut Batch, connection: &Rc<Connection>, bytes: &[u8]) -> (usize, usize) {
        let Some(port) = self.ports.borrow().get(connection.listener).cloned() else { return (0, 0) };
        let before = batch.items.len();
        let (mut rest, mut room) = (bytes, connection.room(self));
        while room > 0
            && let Some(cut) = self.rules.cut(&mut rest)
        {
            room = room.saturating_sub(1);
            match cut {
                Cut::Frame(frame) => self.submit(batch, &port, frame),
                Cut::Short => {
                    self.metrics.invalid(BadFrame::Short);
                    batch.items.push(Item::End);
                }
                Cut::Long(head) => {
                    self.metrics.invalid(BadFrame::Long);
                    // A reply when one can be made, and the end in any case.
                    let _ = batch.reply(Code::INPUT, |out| refusal::refuse(&port, head, Code::INPUT, out));
                    batch.items.push(Item::End);
                }
            }
            if matches!(batch.items.last(), Some(Item::End)) {
                connection.end(self);
                rest = &[];
            }
        }
        let frames = batch.close_turn(connection, before);
        connection.taken(frames);
        if before == 0 && frames > 0 {
            batch.begun = Some(Instant::now());
            if let Some(waker) = &*self.flusher.borrow() {
                waker.wake_by_ref();
            }
        }
        (bytes.len().saturating_sub(rest.len()), frames)
    }

    fn submit(&self, batch: &mut Batch, port: &Rc<Port>, frame: &[u8]) {
        if let Some(length) = self.echo {
            let head = frame.get(..port.header_length.saturating_add(2)).unwrap_or_default();
            let made = batch.reply(Code::OK, |out| {
                let start = out.len();
                refusal::refuse(port, head, Code::OK, out)?;
                out.resize(start.saturating_add(length).max(out.len()), b'0');
                Some(())
            });
            if made.is_none() {
                batch.items.push(Item::End);
            }
            return;
        }
        let counts = reads_counts(port, frame);
        match &self.crypto {
            Crypto::Here(engine, _) => {
                // Commands that wait for nothing are judged now, dates of keys included.
                if batch.items.is_empty() {
                    self.tell_time(|change| engine.borrow_mut().update_unit(change));
                }
                batch.counts |= counts;
                batch.items.push(Item::Running(engine.borrow_mut().submit(port, frame)));
            }
            Crypto::Away(away) => {
                self.tell_time(|change| away.update_unit(change));
                if counts {
                    away.update_counts(|unit| self.tell_counts(unit));
                }
                away.submit(batch, port, frame, counts);
            }
        }
    }

    /// Runs the batch at once when it is full.
    fn flush_when_full(&self) {
        let full = match self.away() {
            None => self.batch.borrow().items.len() >= FULL,
            Some(away) => Self::is_away_full(away),
        };
        if full {
            self.flush();
            if self.holds()
                && let Some(waker) = &*self.flusher.borrow()
            {
                waker.wake_by_ref();
            }
        }
    }

    /// True when frames wait for another turn of the engine.
    fn holds(&self) -> bool {
        !self.held.borrow().is_empty()
    }

    /// Runs the batch and gives the replies.
    fn flush(&self) {
        if let Some(away) = self.away() {
            return self.flush_away(away);
        }
        let mut batch = self.batch.borrow_mut();
        let holds = self.holds();
        let run_at = Instant::now();
        let begun = match batch.begun.take() {
            Some(begun) => begun,
            None if holds => run_at,
            None => return,
        };
        let frames = u64::try_from(batch.items.len()).unwrap_or(u64::MAX);
        if let Some(stats) = self.stats() {
            stats.in_flight.set(frames);
        }
        let ran = self.run(core::mem::take(&mut batch.counts));
        let ran_at = Instant::now();
        self.set_clock(ran_at);
        match ran {
            Ran::Done if !holds => self.answer(&mut batch),
            Ran::Done | Ran::Later => {
                (batch.begun, batch.sent) = (Some(begun), Some(run_at));
                return self.answer_some(&mut batch, frames, begun, ran_at);
            }
            Ran::Lost => {
                let held = self.held.take().into_iter().flat_map(|mut held| core::mem::take(&mut held.turns));
                batch.turns.drain(..).chain(held).for_each(|turn| turn.connection.kill());
            }
        }
        batch.items.clear();
        wipe(&mut batch.ready);
        batch.ready.clear();
        let done_at = Instant::now();
        self.busy.set(self.busy.get().saturating_add(done_at.saturating_duration_since(begun)));
        if let Some(stats) = self.stats() {
            stats.in_flight.set(0);
            stats.batches.record(frames, frames, 1);
            let times = Times {
                queue: run_at.saturating_duration_since(begun),
                backend: ran_at.saturating_duration_since(run_at),
                total: done_at.saturating_duration_since(begun),
            };
            self.tally.borrow_mut().settle(stats, times);
        }
    }

    // After a turn behind which frames are left, or were before: answers what is done, oldest first.
    #[cold]
    #[inline(never)]
    fn answer_some(&self, batch: &mut Batch, frames: u64, begun: Instant, ran_at: Instant) {
        let mut held = self.held.take();
        if frames > 0 {
            held.push(core::mem::take(batch));
            if let Some(stats) = self.stats() {
                stats.batches.record(frames, frames, 1);
            }
        }
        batch.reset();
        held.retain_mut(|held| {
            self.answer_done(held);
            if let (Some(begun), Some(sent)) = (held.begun, held.sent) {
                self.settle_flight(begun, sent, ran_at);
            }
            if held.turns.is_empty() {
                held.reset();
            }
            !held.turns.is_empty()
        });
        let left = held.iter().map(|held| held.items.len()).sum::<usize>();
        *self.held.borrow_mut() = held;
        let busy = Instant::now().saturating_duration_since(begun);
        self.busy.set(self.busy.get().saturating_add(busy));
        if let Some(stats) = self.stats() {
            stats.in_flight.set(u64::try_from(left).unwrap_or(u64::MAX));
        }
    }

    // Answers the turns of which every frame is done, but none ahead of an earlier one of its connection.
    fn answer_done(&self, batch: &mut Batch) {
        let Crypto::Here(engine, _) = &self.crypto else { return };
        let Batch { turns, items, ready, out, .. } = batch;
        let (mut kept_turns, mut kept_items) = (Vec::new(), Vec::new());
        let mut rest = items.drain(..);
        let mut from = 0_usize;
        turns.iter().for_each(|turn| turn.connection.release());
        for turn in turns.drain(..) {
            let frames = turn.end.saturating_sub(from);
            from = turn.end;
            let of_turn: Vec<Item> = rest.by_ref().take(frames).collect();
            let done =
                |item: &Item| !matches!(item, Item::Running(ticket) if !engine.borrow().is_done(ticket));
            if !turn.connection.is_held() && of_turn.iter().all(done) {
                self.answer_turn(&turn.connection, of_turn.into_iter(), frames, ready, out);
            } else {
                turn.connection.hold();
                kept_items.extend(of_turn);
                kept_turns.push(Turn { connection: turn.connection, end: kept_items.len() });
            }
        }
        drop(rest);
        (*turns, *items) = (kept_turns, kept_items);
    }

    /// Counts a flight that is answered.
    fn settle_flight(&self, begun: Instant, sent: Instant, done: Instant) {
        if let Some(stats) = self.stats() {
            let times = Times {
                queue: sent.saturating_duration_since(begun),
                backend: done.saturating_duration_since(sent),
                total: done.saturating_duration_since(begun),
            };
            self.tally.borrow_mut().settle(stats, times);
        }
    }

    fn away(&self) -> Option<&Away> {
        match &self.crypto {
            Crypto::Here(..) => None,
            Crypto::Away(away) => Some(away.as_ref()),
        }
    }

    /// True when a connection of which frames are with workers is not read until they are answered.
    fn is_away(&self) -> bool {
        self.away().is_some()
    }

    /// Changes the state of the unit.
    fn update_unit(&self, change: impl FnOnce(&mut Unit)) {
        match &self.crypto {
            Crypto::Here(engine, _) => engine.borrow_mut().update_unit(change),
            Crypto::Away(away) => away.update_unit(change),
        }
    }

    // One turn. When the backend panics, the engine is made anew, and nothing that it had is answered.
    // A backend that cannot be made anew leaves a core that closes every connection at its first frame.
    fn run(&self, counts: bool) -> Ran {
        if self.lost.get() {
            return Ran::Lost;
        }
        let Crypto::Here(engine, backend) = &self.crypto else { return Ran::Lost };
        self.tell_time(|change| engine.borrow_mut().update_unit(change));
        let mut engine = engine.borrow_mut();
        if counts {
            engine.update_unit(|unit| self.tell_counts(unit));
        }
        match catch_unwind(AssertUnwindSafe(|| engine.turn())) {
            Ok(false) => return Ran::Done,
            Ok(true) => return Ran::Later,
            Err(_) => {}
        }
        tracing::error!("the backend panicked: its engine is made anew");
        let mut unit = self.unit.clone();
        engine.update_unit(|old| unit = old.clone());
        let queue = Hsm::with_cache(self.limits.key_cache);
        match catch_unwind(AssertUnwindSafe(|| Engine::with_queue(backend(), unit, queue))) {
            Ok(mut fresh) => {
                if let Some(keys) = &*self.keys.borrow() {
                    fresh.set_key_table(Arc::clone(keys), self.index);
                }
                *engine = fresh;
            }
            Err(_) => {
                self.lost.set(true);
                self.health.core_lost();
            }
        }
        Ran::Lost
    }

    // False when the engine is in workers, which are not handed key tables.
    fn set_keys(&self, table: Arc<KeyTable>) -> bool {
        let Crypto::Here(engine, _) = &self.crypto else { return false };
        engine.borrow_mut().set_key_table(Arc::clone(&table), self.index);
        *self.keys.borrow_mut() = Some(table);
        true
    }

    // Once a second.
    fn tell_time(&self, update_unit: impl FnOnce(&dyn Fn(&mut Unit))) {
        let second = clock::unix_seconds();
        if self.second.replace(second) == second {
            return;
        }
        update_unit(&|unit: &mut Unit| {
            unit.now = clock::moment(second);
            unit.uptime_s = self.started.elapsed().as_secs();
        });
    }

    // Ahead of whoever reports them only.
    fn tell_counts(&self, unit: &mut Unit) {
        unit.uptime_s = self.started.elapsed().as_secs();
        self.stats.volumes(&mut unit.volumes);
        unit.load = self.stats.load();
    }

    fn answer(&self, batch: &mut Batch) {
        let Batch { turns, items, ready, out, .. } = batch;
        let mut items = items.drain(..);
        let mut from = 0_usize;
        for turn in turns.drain(..) {
            let frames = turn.end.saturating_sub(from);
            from = turn.end;
            self.answer_turn(&turn.connection, items.by_ref().take(frames), frames, ready, out);
        }
    }

    // The replies of one connection, with one write.
    #[inline]
    fn answer_turn(
        &self,
        connection: &Connection,
        items: impl Iterator<Item = Item>,
        frames: usize,
        ready: &[u8],
        out: &mut Vec<u8>,
    ) {
        let mut open = true;
        for item in items {
            let kept = out.len();
            open &= self.answer_one(connection.listener, item, ready, out, open);
            if !open {
                // Nothing may follow the point where the connection ends.
                connection.end(self);
                let tail = out.get_mut(kept..).unwrap_or_default();
                wipe(tail);
                out.truncate(kept);
            }
        }
        connection.deliver(self, out, frames);
        wipe(out);
        out.clear();
    }

    // Appends the reply to an item; false when the connection ends here.
    fn answer_one(&self, listener: usize, item: Item, ready: &[u8], out: &mut Vec<u8>, count: bool) -> bool {
        let finished = match item {
            Item::Running(ticket) => {
                let Crypto::Here(engine, _) = &self.crypto else { return false };
                let mut engine = engine.borrow_mut();
                let (finished, length) = write_frame(out, |out| engine.finish(ticket, out));
                if length.is_none() {
                    tracing::error!("a reply is longer than a frame can be");
                    return false;
                }
                finished
            }
            Item::Ready(range, row, code) => {
                let reply = ready.get(range).unwrap_or_default();
                write_frame(out, |out| {
                    grow(out, reply.len());
                    out.extend_from_slice(reply);
                });
                Finished::Reply { row, code }
            }
            Item::Close => Finished::Close,
            Item::End | Item::Away(..) => return false,
        };
        match finished {
            Finished::Reply { row, code } if count => {
                let mut tally = self.tally.borrow_mut();
                tally.count(listener, row, code);
                if code != Code::OK {
                    trace_refusal(row, code, tally.name(listener));
                }
                true
            }
            Finished::Reply { .. } => true,
            Finished::Close => {
                self.metrics.invalid(BadFrame::Code);
                false
            }
        }
    }

    fn set_clock(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.started);
        self.now_ms.set(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
    }

    /// Milliseconds since the start. The frame of a busy connection takes the time of its batch instead.
    fn read_clock(&self) -> u64 {
        self.set_clock(Instant::now());
        self.now_ms.get()
    }

    /// Looks at every connection; called once per tick.
    fn check_all(&self) {
        self.read_clock();
        for connection in self.connections.borrow().iter() {
            connection.check(self);
        }
    }

    /// Counts the load of a second.
    fn count_load(&self, period: Duration) {
        if let Some(stats) = self.stats() {
            let away = self.away().map_or(Duration::ZERO, |away| away.take_busy(Instant::now()));
            stats.count_load(self.busy.take().saturating_add(away), period);
        }
    }

    fn enlist(&self, connection: &Rc<Connection>) {
        let mut all = self.connections.borrow_mut();
        connection.place.set(all.len());
        all.push(Rc::clone(connection));
    }

    fn forget(&self, connection: &Rc<Connection>) {
        let mut all = self.connections.borrow_mut();
        let place = connection.place.get();
        if all.get(place).is_some_and(|at| Rc::ptr_eq(at, connection)) {
            all.swap_remove(place);
            if let Some(moved) = all.get(place) {
                moved.place.set(place);
            }
        }
    }

    /// Ends connections as soon as they are quiet.
    fn close_all(&self) {
        self.closing.set(true);
        self.connections.borrow().iter().for_each(|connection| connection.wake());
    }
}

// By command code, response code and listener: nothing of the frame.
fn trace_refusal(row: Option<usize>, code: Code, listener: &str) {
    let command = row.and_then(|row| TABLE.get(row)).map_or("unknown", |row| row.about.code_text());
    tracing::debug!(command, %code, listener, "refused");
}

fn reads_counts(port: &Port, frame: &[u8]) -> bool {
    let code = frame.get(port.header_length..).and_then(|rest| rest.first_chunk::<2>());
    let code = code.map(|code| if port.ebcdic { code.map(from_ebcdic) } else { *code });
    let row = code.and_then(hostcmd::table::find).and_then(|row| TABLE.get(row));
    row.is_some_and(|row| row.reads_counts)
}
