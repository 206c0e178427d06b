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
    /// Its reply is there already, in [`Batch::ready`].
    Ready(Range<usize>, Code),
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
}

impl Batch {
    /// Keeps a reply that needs no engine; `None` when `write` could not make it.
    pub(crate) fn reply(&mut self, code: Code, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        let start = self.ready.len();
        write(&mut self.ready)?;
        self.items.push(Item::Ready(start..self.ready.len(), code));
        Some(())
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
