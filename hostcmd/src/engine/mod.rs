//! The engine: frames in, frames out. It owns a backend, the pools of running commands and the replies,
//! and is driven by whoever owns the thread: submit every frame that is there, run once, collect replies.

mod frame;
mod judge;
mod pool;
mod steps;

pub use judge::{Judged, judge};
pub use pool::{Frame, Runner, runner};
pub use steps::stepped;

use crate::command::Authorised;
use crate::context::{Cx, Port, Shared, Unit};
use crate::table::TABLE;
use crate::{Code, KeyTable, table};
use core::cell::{Cell, RefCell};
use core::panic::AssertUnwindSafe;
use frame::Head;
use hsm::{Backend, Hsm, LmkInfo};
use paytypes::bytes::grow;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;
use zeroize::Zeroize;

/// A frame that was submitted.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(usize);

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// A reply was written.
    Reply {
        /// Row of the command in the table; `None` for an unknown code.
        row: Option<usize>,
        /// Code of the reply.
        code: Code,
    },
    /// No reply can be made of it: close the connection.
    Close,
}

/// A frame on its way: what of it the reply needs, and the reply.
#[derive(Default)]
pub struct Slot {
    reply: Vec<u8>,
    head: Head,
    row: Option<usize>,
    port: Option<Rc<Port>>,
    code: Code,
    close: bool,
    /// Its command has not ended.
    runs: bool,
    /// Its command began with a key table that is not the present one.
    old: bool,
}

/// A reply that shows a PIN, behind the longest header, fits a new slot: its memory does not move while it is written.
const REPLY_ROOM: usize = 512;

impl Slot {
    fn new() -> Self {
        Self { reply: Vec::with_capacity(REPLY_ROOM), ..Self::default() }
    }

    #[inline]
    fn begin(&mut self, port: &Rc<Port>, code: [u8; 2], header: &[u8]) {
        self.reply.clear();
        self.reply.extend_from_slice(header);
        self.row = table::find(code);
        (self.close, self.runs, self.old) = (false, false, false);
        self.head.begin(code);
        // A slot is used again and again, nearly always by the same listener.
        if !self.port.as_ref().is_some_and(|known| Rc::ptr_eq(known, port)) {
            self.port = Some(Rc::clone(port));
        }
    }
}

/// A running command: its slot, its row, and its place in the pool of that row.
#[derive(Clone, Copy)]
struct Active {
    slot: usize,
    row: usize,
    running: usize,
}

/// How far one poll of everything is.
#[derive(Default)]
struct Pass {
    next: usize,
    /// How many of those before `next` still wait.
    waiting: usize,
}

/// Runs commands. Single-threaded: one per core, nothing shared.
pub struct Engine {
    hsm: Hsm,
    backend: Box<dyn Backend>,
    shared: Rc<Shared>,
    runners: Vec<Box<dyn Runner>>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    active: Vec<Active>,
    text: Vec<u8>,
    /// For commands of the listener that brought the last frame.
    cx: Option<Cx>,
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Engine({} running)", self.active.len())
    }
}

impl Engine {
    /// Over a backend, with a cache of opened keys of the usual size.
    pub fn new(backend: Box<dyn Backend>, unit: Unit) -> Self {
        Self::with_queue(backend, unit, Hsm::new())
    }

    /// Over a backend and an empty queue of its own.
    pub fn with_queue(backend: Box<dyn Backend>, unit: Unit, hsm: Hsm) -> Self {
        let shared = Shared {
            lmks: backend.lmks().to_vec(),
            authorised: Cell::new(unit.authorised),
            unit: RefCell::new(unit),
            keys: RefCell::default(),
        };
        Self {
            hsm,
            backend,
            shared: Rc::new(shared),
            runners: TABLE.iter().map(|row| (row.runner)()).collect(),
            slots: Vec::new(),
            free: Vec::new(),
            active: Vec::new(),
            text: Vec::new(),
            cx: None,
        }
    }

    /// The LMKs of the backend.
    pub fn lmks(&self) -> &[LmkInfo] {
        &self.shared.lmks
    }

    /// The backend, between batches.
    pub fn backend(&mut self) -> &mut dyn Backend {
        self.backend.as_mut()
    }

    /// False when the backend says that it cannot serve any more. `answered` is called while that is found out.
    pub fn alive(&mut self, answered: &mut dyn FnMut()) -> bool {
        self.backend.alive(answered)
    }

    /// Changes the state of the unit: time of the batch, counters, what is authorised.
    pub fn update_unit(&mut self, change: impl FnOnce(&mut Unit)) {
        let mut unit = self.shared.unit.borrow_mut();
        change(&mut unit);
        self.shared.authorised.set(unit.authorised);
    }

    /// What is authorised now.
    pub fn set_authorised(&mut self, authorised: Authorised) {
        self.update_unit(|unit| unit.authorised = authorised);
    }

    /// Commands that are submitted from now on find key references in `table`. `core` says which cells count their
    /// uses. The table before is dropped when the last command that began with it has ended, and keys that are in it
    /// alone are forgotten.
    pub fn set_key_table(&mut self, table: Arc<KeyTable>, core: usize) {
        self.shared.keys.borrow_mut().set(table, core);
        for active in &self.active {
            if let Some(slot) = self.slots.get_mut(active.slot) {
                slot.old = true;
            }
        }
        self.drop_old_tables();
    }

    fn drop_old_tables(&mut self) {
        let is_old = |active: &Active| self.slots.get(active.slot).is_some_and(|slot| slot.old);
        if !self.active.iter().any(is_old) {
            self.shared.keys.borrow_mut().drop_old(|token| self.hsm.forget(token));
        }
    }

    /// Number of commands that have not ended.
    pub fn running(&self) -> usize {
        self.active.len()
    }

    /// Takes a whole frame, without its length field. The frame is read now; nothing of it is kept.
    pub fn submit(&mut self, port: &Rc<Port>, frame: &[u8]) -> Ticket {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::new());
            self.slots.len().saturating_sub(1)
        });
        if port.ebcdic {
            self.submit_ebcdic(port, frame, index);
        } else {
            self.start(port, Frame { raw: frame, text: frame }, index);
        }
        Ticket(index)
    }

    #[cold]
    #[inline(never)]
    fn submit_ebcdic(&mut self, port: &Rc<Port>, frame: &[u8], index: usize) {
        let mut text = core::mem::take(&mut self.text);
        frame::to_text(port, frame, &mut text);
        self.start(port, Frame { raw: frame, text: &text }, index);
        text.as_mut_slice().zeroize();
        text.clear();
        self.text = text;
    }

    #[inline(always)]
    fn start(&mut self, port: &Rc<Port>, frame: Frame<'_>, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Some(code) = Head::code_of(port, frame.text) else {
            (slot.close, slot.runs) = (true, false);
            return;
        };
        slot.begin(port, code, frame.raw.get(..port.header_length).unwrap_or_default());
        let found = slot.row.and_then(|row| Some((row, self.runners.get_mut(row)?, TABLE.get(row)?)));
        match found.filter(|(_, _, row)| row.about.audience.admits(port.role)) {
            Some((row, runner, _)) => {
                let cx = match &mut self.cx {
                    Some(cx) if Rc::ptr_eq(&cx.port, port) => cx,
                    other => other.insert(Cx::new(&self.hsm, &self.shared, port)),
                };
                cx.lmk = port.lmk;
                if let Some(running) = runner.start(cx, frame, slot) {
                    slot.runs = true;
                    self.active.push(Active { slot: index, row, running });
                }
            }
            None => {
                slot.head.search_trailer(port, frame);
                frame::refuse(port, slot, Code::DISABLED);
            }
        }
    }

    /// Runs everything that was submitted to its end. Operations of all commands go to the backend together;
    /// nothing is waited for but them.
    pub fn run(&mut self) {
        while self.round() {}
    }

    /// Rounds of one turn. A command may need one for each byte of its frame (M0 in CFB8), and whoever owns the thread
    /// hears nobody meanwhile: this bounds how long. Nearly all others end within it.
    pub const ROUNDS: usize = 16;

    /// As [`Engine::run`], but no more than [`Engine::ROUNDS`]: what has not ended then goes on in the next turn,
    /// beside whatever is submitted meanwhile. True when there is such.
    pub fn turn(&mut self) -> bool {
        let mut left = Self::ROUNDS;
        while left > 0 && self.round() {
            left = left.wrapping_sub(1);
        }
        !self.active.is_empty()
    }

    /// One run of the backend over everything that waits, and what commands make of it. True when there is more to do.
    #[inline]
    pub fn round(&mut self) -> bool {
        if self.active.is_empty() {
            return false;
        }
        if self.hsm.waiting() > 0 {
            self.hsm.run(self.backend.as_mut());
        }
        self.poll_all();
        if self.shared.keys.borrow().has_old() {
            self.drop_old_tables();
        }
        !self.active.is_empty()
    }

    /// True when the command of a frame has ended, so that [`Engine::finish`] has its reply.
    pub fn is_done(&self, ticket: &Ticket) -> bool {
        self.slots.get(ticket.0).is_none_or(|slot| !slot.runs)
    }

    fn poll_all(&mut self) {
        let mut pass = Pass::default();
        while pass.next < self.active.len() {
            if catch_unwind(AssertUnwindSafe(|| self.poll_from(&mut pass))).is_err() {
                self.abandon(&mut pass);
            }
        }
        self.active.truncate(pass.waiting);
    }

    // Polls what this pass has not come to, and moves to the front what still waits.
    fn poll_from(&mut self, pass: &mut Pass) {
        while let Some(active) = self.active.get(pass.next).copied() {
            if self.poll(active) {
                if let Some(place) = self.active.get_mut(pass.waiting) {
                    *place = active;
                }
                pass.waiting = pass.waiting.wrapping_add(1);
            }
            pass.next = pass.next.wrapping_add(1);
        }
    }

    // True when it still waits.
    #[inline]
    fn poll(&mut self, active: Active) -> bool {
        let Some(slot) = self.slots.get_mut(active.slot) else { return false };
        let (Some(port), Some(runner)) = (&slot.port, self.runners.get_mut(active.row)) else { return false };
        match runner.poll(active.running, &self.hsm, port, &mut slot.reply) {
            Some(code) => {
                (slot.code, slot.runs) = (code, false);
                false
            }
            None => true,
        }
    }

    // A handler that panics costs its own command an error code and nothing else.
    #[cold]
    fn abandon(&mut self, pass: &mut Pass) {
        if let Some(active) = self.active.get(pass.next)
            && let (Some(slot), Some(runner)) =
                (self.slots.get_mut(active.slot), self.runners.get_mut(active.row))
        {
            runner.abandon(active.running);
            slot.runs = false;
            if let Some(port) = slot.port.clone() {
                frame::refuse(&port, slot, Code::INTERNAL);
            }
        }
        pass.next = pass.next.wrapping_add(1);
    }

    /// Appends the reply of a frame, whose command has ended, to `out` and gives its place free. Memory that `out`
    /// grows out of is wiped: there may be replies with clear PINs in it.
    pub fn finish(&mut self, ticket: Ticket, out: &mut Vec<u8>) -> Finished {
        let Some(slot) = self.slots.get_mut(ticket.0) else { return Finished::Close };
        self.free.push(ticket.0);
        if slot.close {
            return Finished::Close;
        }
        grow(out, slot.reply.len().saturating_add(slot.head.trailer().len()));
        out.extend_from_slice(&slot.reply);
        out.extend_from_slice(slot.head.trailer());
        slot.reply.as_mut_slice().zeroize();
        Finished::Reply { row: slot.row, code: slot.code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use hsm::{BackendClass, LmkId, OpBatch};

    struct Idle;

    impl Backend for Idle {
        fn run(&mut self, _: &mut OpBatch) {}
        fn lmks(&self) -> &[LmkInfo] {
            &[]
        }
        fn class(&self) -> BackendClass {
            BackendClass::C
        }
    }

    // Panics in the second of three commands, with half a reply written.
    #[derive(Default)]
    struct Shaky {
        started: usize,
        abandoned: Rc<Cell<Option<usize>>>,
    }

    impl Runner for Shaky {
        fn start(&mut self, _: &mut Cx, _: Frame<'_>, _: &mut Slot) -> Option<usize> {
            self.started += 1;
            Some(self.started)
        }
        fn poll(&mut self, running: usize, _: &Hsm, _: &Port, out: &mut Vec<u8>) -> Option<Code> {
            out.extend_from_slice(b"NDxx");
            assert!(running != 2, "a handler that panics");
            Some(Code::OK)
        }
        fn abandon(&mut self, running: usize) {
            self.abandoned.set(Some(running));
        }
    }

    #[test]
    fn a_handler_that_panics_costs_its_own_command_only() {
        let mut engine = Engine::new(Box::new(Idle), Unit::default());
        let abandoned = Rc::default();
        let row = table::find(*b"NC").unwrap();
        engine.runners[row] = Box::new(Shaky { started: 0, abandoned: Rc::clone(&abandoned) });
        let port = Rc::new(Port::new(LmkId(0), Settings::STRICT));
        let frames: [&[u8]; 3] = [b"0001NC", b"0002NC", b"0003NC"];
        let tickets = frames.map(|frame| engine.submit(&port, frame));
        engine.run();
        let replies = tickets.map(|ticket| {
            let mut out = Vec::new();
            engine.finish(ticket, &mut out);
            out
        });
        assert_eq!(replies, [&b"0001NDxx"[..], b"0002ND41", b"0003NDxx"]);
        assert_eq!((abandoned.get(), engine.running()), (Some(2), 0));
    }
}
