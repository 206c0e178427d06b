//! The hand that writes while the head decides: what the first requests of a batch came to goes into its transaction
//! while the last ones are decided. Nothing is durable, seen or told before all of it is.

use super::Decision;
use crate::failpoint::failpoint;
use crate::log::Ledger;
use crate::store::Error;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Entries from which on a thread of its own is worth while.
const FEW: usize = 8;

type Committed = (Ledger, Result<(), Error>);

/// A transaction to be. What it is given goes to the log in that order.
pub(super) struct Stream<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    utc_ms: u64,
    sign: bool,
    stage: Stage<'scope>,
}

enum Stage<'scope> {
    /// So few that they are written when all are there.
    Few(Box<Ledger>, Vec<Decision>),
    /// They go to a thread that writes.
    Many(Sender<Option<Decision>>, ScopedJoinHandle<'scope, Committed>),
}

impl<'scope, 'env> Stream<'scope, 'env> {
    pub fn new(scope: &'scope Scope<'scope, 'env>, ledger: Ledger, utc_ms: u64, sign: bool) -> Self {
        Self { scope, utc_ms, sign, stage: Stage::Few(Box::new(ledger), Vec::new()) }
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        matches!(&self.stage, Stage::Few(_, entries) if entries.is_empty())
    }

    /// Takes what one request came to.
    pub fn give(self, decision: Decision) -> Self {
        let Self { scope, utc_ms, sign, stage } = self;
        let stage = match stage {
            Stage::Few(ledger, mut entries) => {
                entries.push(decision);
                if entries.len() > FEW {
                    start(scope, ledger, entries, (utc_ms, sign))
                } else {
                    Stage::Few(ledger, entries)
                }
            }
            Stage::Many(sender, writing) => {
                // One that has failed says so when it is asked to commit.
                let _ = sender.send(Some(decision));
                Stage::Many(sender, writing)
            }
        };
        Self { scope, utc_ms, sign, stage }
    }

    /// All was given: commits it, if there is anything.
    pub fn commit(self) -> (Ledger, Option<Result<(), Error>>) {
        let (ledger, written) = match self.stage {
            Stage::Few(ledger, entries) if entries.is_empty() => return (*ledger, None),
            Stage::Few(mut ledger, entries) => {
                failpoint!("writer.before_commit");
                let written = ledger.commit(entries, self.utc_ms, self.sign);
                (*ledger, written)
            }
            Stage::Many(sender, writing) => {
                failpoint!("writer.before_commit");
                let _ = sender.send(None);
                writing.join().unwrap_or_else(|panic| resume_unwind(panic))
            }
        };
        (ledger, Some(written))
    }
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut ledger: Box<Ledger>,
    entries: Vec<Decision>,
    (utc_ms, sign): (u64, bool),
) -> Stage<'scope> {
    let (sender, receiver) = channel();
    for entry in entries {
        let _ = sender.send(Some(entry));
    }
    let write = move || {
        let mut given = std::iter::from_fn(|| next(&receiver));
        let written = ledger.commit_each(&mut given, utc_ms, sign);
        (*ledger, written)
    };
    Stage::Many(sender, scope.spawn(write))
}

// The end is said. A sender that goes without it has panicked, and nothing of the batch holds.
fn next(given: &Receiver<Option<Decision>>) -> Option<Result<Decision, Error>> {
    match given.recv() {
        Ok(decision) => decision.map(Ok),
        Err(_) => Some(Err(Error::Log("a batch was given up while it was decided".to_owned()))),
    }
}
