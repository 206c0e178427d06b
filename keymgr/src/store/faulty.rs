//! A store that fails on command, for the tests of the writer.

use super::engine::{Dialect, Each, Engine, Fence, Statement, Statements};
use super::error::Error;
use super::{Location, Store};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no room.
    Full,
    /// The connection is lost before the commit reaches the store.
    LostBeforeCommit,
    /// The connection is lost before the answer to the commit arrives.
    LostAfterCommit,
}

/// Faults to come, shared with every store that is opened through it.
#[derive(Clone, Default)]
pub struct Faults(Arc<(Mutex<Plan>, Condvar)>);

#[derive(Default)]
struct Plan {
    next: VecDeque<Option<Fault>>,
    closed: bool,
    held: bool,
}

impl Faults {
    /// Opens a store to lead on it, if it is not said to be gone.
    pub fn lead(&self, location: &Location) -> Result<Store, Error> {
        if self.plan().closed {
            return Err(Error::Location("the store is gone".into()));
        }
        let inner = Store::lead(location)?.engine;
        Ok(Store { engine: Box::new(Faulty { inner, faults: self.clone() }) })
    }

    /// The next write comes to this.
    pub fn next(&self, fault: Fault) {
        self.plan().next.push_back(Some(fault));
    }

    /// The next write is as any, the one after it comes to this.
    pub fn second(&self, fault: Fault) {
        self.plan().next.extend([None, Some(fault)]);
    }

    /// Whether the store can be opened.
    pub fn closed(&self, closed: bool) {
        self.plan().closed = closed;
    }

    /// Writes wait from here on.
    pub fn hold(&self) {
        self.plan().held = true;
    }

    /// Writes go on.
    pub fn release(&self) {
        self.plan().held = false;
        self.0.1.notify_all();
    }

    // The fault of this write, once it may happen.
    fn take(&self) -> Option<Fault> {
        let mut plan = self.0.1.wait_while(self.plan(), |plan| plan.held).unwrap();
        plan.next.pop_front().flatten()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.0.lock().unwrap()
    }
}

struct Faulty {
    inner: Box<dyn Engine>,
    faults: Faults,
}

fn lost() -> Error {
    Error::OutcomeUnknown(Box::new(Error::Location("connection lost".into())))
}

impl Engine for Faulty {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn query(&mut self, statement: &Statement, each: Each<'_>) -> Result<(), Error> {
        self.inner.query(statement, each)
    }

    fn write(&mut self, fence: Fence, statements: Statements<'_>) -> Result<(), Error> {
        match self.faults.take() {
            None => self.inner.write(fence, statements),
            Some(Fault::Full) => Err(Error::Full),
            Some(Fault::LostBeforeCommit) => Err(lost()),
            Some(Fault::LostAfterCommit) => self.inner.write(fence, statements).and(Err(lost())),
        }
    }

    fn begin_snapshot(&mut self) -> Result<(), Error> {
        self.inner.begin_snapshot()
    }

    fn end_snapshot(&mut self) -> Result<(), Error> {
        self.inner.end_snapshot()
    }

    fn has_table(&mut self, name: &str) -> Result<bool, Error> {
        self.inner.has_table(name)
    }

    fn self_check(&mut self) -> Result<Vec<String>, Error> {
        self.inner.self_check()
    }

    fn settings(&mut self) -> Result<Vec<(String, String)>, Error> {
        self.inner.settings()
    }
}
