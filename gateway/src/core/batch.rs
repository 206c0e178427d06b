//! The frames of all ready connections that run together, in the order in which they came.

use super::connection::Connection;
use hostcmd::{Code, Ticket};
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

/// What one frame became.
pub(crate) enum Item {
    /// It is with the engine.
    Running(Ticket),
    /// It is with a worker under this number. Row of its command, and the reply in [`Batch::ready`] that refuses
    /// it when the worker is lost.
    Away(u64, usize, Range<usize>),
    /// Its reply is there already, in [`Batch::ready`]. Row of its command, when that is known.
    Ready(Range<usize>, Option<usize>, Code),
    /// The engine could make no reply of it: the connection is to be closed.
    Close,
    /// Nothing can be answered, and nothing after it.
    End,
}

/// The items of one connection up to `end`.
pub(crate) struct Turn {
    pub(crate) connection: Rc<Connection>,
    pub(crate) end: usize,
}

/// A batch. Its memory is reused.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) turns: Vec<Turn>,
    pub(crate) items: Vec<Item>,
    pub(crate) ready: Vec<u8>,
    /// Replies of one connection while they are written.
    pub(crate) out: Vec<u8>,
    /// When the first frame was read.
    pub(crate) begun: Option<Instant>,
    /// When the engine first had it, for one that is held.
    pub(crate) sent: Option<Instant>,
    /// A command is among them that reports counts of all cores.
    pub(crate) counts: bool,
}

impl Batch {
    /// Keeps a reply that needs no engine; `None` when `write` could not make it.
    pub(crate) fn reply(&mut self, code: Code, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        let start = self.ready.len();
        write(&mut self.ready)?;
        self.items.push(Item::Ready(start..self.ready.len(), None, code));
        Some(())
    }

    /// Empties it and wipes what it held; keeps the memory.
    pub(crate) fn reset(&mut self) {
        self.turns.clear();
        self.items.clear();
        super::wipe(&mut self.ready);
        self.ready.clear();
        super::wipe(&mut self.out);
        self.out.clear();
        (self.begun, self.sent, self.counts) = (None, None, false);
    }

    /// Closes the turn of a connection when it brought anything.
    pub(crate) fn close_turn(&mut self, connection: &Rc<Connection>, from: usize) -> usize {
        let end = self.items.len();
        if end > from {
            self.turns.push(Turn { connection: Rc::clone(connection), end });
        }
        end.saturating_sub(from)
    }
}
