//! The writer's thread: gathers, commits, answers; steps down and comes back.

use super::Machine;
use super::batch::Batch;
use super::stream::Stream;
use super::{Job, Options, Shared, Standing, SubmitError, idempotency};
use crate::failpoint::failpoint;
use crate::log::{Each, Entry, Ledger, Opening};
use crate::store::{Error, Packed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

// Under steady traffic the log's end is signed at least this often.
const SIGN_EVERY: Duration = Duration::from_secs(1);
// How long to wait before the store is tried again.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Driver<M: Machine> {
    options: Options,
    ledger: Option<Ledger>,
    shared: Arc<Shared<M>>,
    full: bool,
    commits: u64,
    settings: Vec<(String, String)>,
    expected: usize,
    signed: Instant,
    expired: Instant,
    tried: Instant,
}

/// Leads on the store, once the machine is loaded from rows that are what the log says.
pub(super) fn open<M: Machine>(options: &mut Options) -> Result<(Ledger, M), Error> {
    let opening = Opening::of_one((options.open)()?, (options.keys)())?;
    if let Some(utc_ms) = opening.signed_utc_ms() {
        (options.was)(utc_ms);
    }
    let (proven, machine) = load(|each| opening.read(each))?;
    let ledger = proven.lead(&options.holder, (options.clock)().utc_ms)?;
    Ok((ledger, machine))
}

// Rows are read on a thread of their own: the database works while the machine takes in what came before.
fn load<M: Machine, T: Send>(
    read: impl FnOnce(Each<'_>) -> Result<T, Error> + Send,
) -> Result<(T, M), Error> {
    const AHEAD: usize = 16;
    let (pieces, rows) = sync_channel::<Packed>(AHEAD);
    std::thread::scope(|scope| {
        // A machine that gave up takes no more; whether the rows are what the log says is found out all the same.
        let give = move |piece| {
            let _ = pieces.send(piece);
            Ok(())
        };
        let reading = scope.spawn(move || read(&mut { give }));
        let machine = M::load(&mut rows.into_iter());
        let read =
            reading.join().unwrap_or_else(|_| Err(Error::Log("the reading thread panicked".to_owned())));
        match (read, machine) {
            // A row that is not what the log says explains why a machine gives up, and not the other way round.
            (Err(error @ Error::Edited { .. }), _) => Err(error),
            // A machine that gave up has stopped the reading.
            (_, Err(why)) => Err(Error::Log(why)),
            (read, Ok(machine)) => read.map(|read| (read, machine)),
        }
    })
}

impl<M: Machine> Driver<M> {
    pub fn new(options: Options, ledger: Ledger, shared: Arc<Shared<M>>) -> Self {
        let now = Instant::now();
        Self {
            options,
            ledger: Some(ledger),
            shared,
            full: false,
            commits: 0,
            settings: Vec::new(),
            expected: 1,
            signed: now,
            expired: now,
            tried: now,
        }
    }

    /// Tells everybody how the writer stands.
    pub fn show(&mut self) {
        if self.settings.is_empty()
            && let Some(ledger) = &mut self.ledger
        {
            self.settings = ledger.store().settings().unwrap_or_default();
        }
        let mut standing = self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = self.ledger.as_ref();
        *standing = Standing {
            leading: ledger.is_some(),
            full: self.full,
            commits: self.commits,
            settings: self.settings.clone(),
            epoch: ledger.map_or(standing.epoch, Ledger::epoch),
            log_size: ledger.map_or(standing.log_size, Ledger::size),
            waits_for_key: ledger.map_or(standing.waits_for_key, Ledger::waits_for_key),
            checkpoint_key: ledger.map_or(standing.checkpoint_key, |ledger| Some(ledger.key())),
            checkpoint: ledger
                .map_or_else(|| standing.checkpoint.clone(), |ledger| ledger.newest_checkpoint().cloned()),
        };
    }

    pub fn run(&mut self, jobs: &Receiver<Job<M>>) {
        loop {
            match jobs.recv_timeout(self.options.quiet) {
                Ok(first) => {
                    let jobs = self.gather(first, jobs);
                    self.guarded(|own| own.serve(jobs));
                }
                Err(RecvTimeoutError::Timeout) => self.guarded(Self::rest),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.guarded(Self::change_key);
            self.show();
        }
        if let Some(mut ledger) = self.ledger.take() {
            // What stays unsigned is signed by the next leader, which says so in the log.
            let _ = ledger.checkpoint();
        }
    }

    // As many as the last batch had are expected again: callers that were just answered come back at once, and
    // a caller that is alone never waits.
    fn gather(&mut self, first: Job<M>, queue: &Receiver<Job<M>>) -> Vec<Job<M>> {
        let until = Instant::now() + self.options.linger;
        let mut jobs = vec![first];
        while jobs.len() < self.options.batch {
            let next = if jobs.len() < self.expected {
                queue.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
            } else {
                queue.try_recv().ok()
            };
            let Some(job) = next else { break };
            jobs.push(job);
        }
        self.expected = jobs.len();
        jobs
    }

    // A request that makes the machine panic costs its batch, whose callers hear that the outcome is unknown, and
    // nothing else: what is in memory may be half done and is read anew.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            tracing::error!("the writer has panicked: the state is read anew from the store");
            self.ledger = None;
            let shared = self.shared.clone();
            shared.machine.clear_poison();
            let mut machine = shared.machine.write().unwrap_or_else(PoisonError::into_inner);
            self.reload(&mut machine);
        }
    }

    fn serve(&mut self, jobs: Vec<Job<M>>) {
        let Some(mut ledger) = self.leading() else {
            let full = self.full;
            let mut batch = Batch::<M>::new();
            jobs.into_iter().for_each(|job| batch.refuse(job));
            return batch.failed(|| if full { SubmitError::Full } else { SubmitError::NotLeading });
        };
        let now = (self.options.clock)();
        let shared = self.shared.clone();
        let mut guard = shared.machine.write().unwrap_or_else(PoisonError::into_inner);
        let machine: &mut M = &mut guard;
        let mut batch = Batch::new();
        failpoint!("writer.before_validate");
        let looked = jobs.into_iter().map(|job| batch.look(ledger.store(), now, job)).collect();
        let asked: Vec<_> = match looked {
            Ok(asked) => asked,
            Err(error) => return self.step_down(ledger, machine, batch, &error),
        };
        let sign = self.signed.elapsed() >= SIGN_EVERY;
        let (mut ledger, written) = std::thread::scope(|scope| {
            let mut stream = Stream::new(scope, ledger, now.utc_ms, sign);
            for one in asked {
                if let Some(decision) = batch.take(machine, now, one) {
                    stream = stream.give(decision);
                }
            }
            // Whether a full store has room again is only found out by writing.
            if self.full
                && stream.is_empty()
                && let Some(entry) = batch.silent.take()
            {
                stream = stream.give((entry, Vec::new()));
            }
            stream.commit()
        });
        let Some(written) = written else {
            // An idle manager still finds out that it does not lead any more.
            if batch.silent.is_some()
                && let Err(error) = ledger.leads()
            {
                return self.step_down(ledger, machine, batch, &error);
            }
            self.ledger = Some(ledger);
            return batch.committed();
        };
        if let Err(error) = written {
            return self.step_down(ledger, machine, batch, &error);
        }
        failpoint!("writer.after_commit");
        if sign {
            self.signed = Instant::now();
        }
        (self.full, self.commits) = (false, self.commits + 1);
        self.ledger = Some(ledger);
        self.show();
        drop(guard);
        batch.committed();
    }

    // The ledger, if this manager leads or leads again.
    fn leading(&mut self) -> Option<Ledger> {
        if self.full && self.tried.elapsed() < RETRY {
            return None;
        }
        self.tried = Instant::now();
        if self.ledger.is_none() {
            self.come_back();
        }
        self.ledger.take()
    }

    fn come_back(&mut self) {
        match open::<M>(&mut self.options) {
            Ok((ledger, machine)) => {
                *self.shared.machine.write().unwrap_or_else(PoisonError::into_inner) = machine;
                tracing::warn!(epoch = ledger.epoch(), "leading again");
                self.settings.clear();
                self.ledger = Some(ledger);
            }
            Err(error) => tracing::error!(%error, "the store cannot be led"),
        }
    }

    // The state in memory is ahead of the store, by how much nobody knows: it is thrown away.
    fn step_down(&mut self, mut ledger: Ledger, machine: &mut M, batch: Batch<M>, error: &Error) {
        tracing::error!(%error, "the store did not take a batch: stepping down");
        let why: fn() -> SubmitError<M::Refusal> = match error {
            Error::Full => || SubmitError::Full,
            Error::OutcomeUnknown(_) | Error::Sqlite(_) | Error::Postgres(_) => {
                || SubmitError::OutcomeUnknown
            }
            _ => || SubmitError::NotLeading,
        };
        if matches!(error, Error::Full) {
            (self.full, self.tried) = (true, Instant::now());
            match load(|each| ledger.read_again(each)) {
                Ok(((), loaded)) => (*machine, self.ledger) = (loaded, Some(ledger)),
                Err(error) => tracing::error!(%error, "the store cannot be read"),
            }
        } else {
            drop(ledger);
            self.reload(machine);
        }
        self.show();
        batch.failed(why);
    }

    // If the store cannot be opened now, readers see nothing rather than what may not be so, and the next
    // request tries again.
    fn reload(&mut self, machine: &mut M) {
        self.settings.clear();
        match open::<M>(&mut self.options) {
            Ok((ledger, loaded)) => (*machine, self.ledger) = (loaded, Some(ledger)),
            Err(error) => {
                tracing::error!(%error, "the store cannot be led");
                if let Ok(empty) = M::load(&mut std::iter::empty()) {
                    *machine = empty;
                }
            }
        }
    }

    // Between two batches. What of it is in the store is found there when it is opened again.
    fn change_key(&mut self) {
        let slot = || self.shared.next_key.lock().unwrap_or_else(PoisonError::into_inner);
        if self.full || self.ledger.is_none() || slot().is_none() {
            return;
        }
        let (Some(next), Some(mut ledger)) = (slot().take(), self.ledger.take()) else { return };
        if next.public_bytes() == ledger.key() {
            self.ledger = Some(ledger);
            return;
        }
        let now = (self.options.clock)();
        failpoint!("writer.before_key");
        match ledger.change_key(next, "manager", now.utc_ms) {
            Ok(true) => self.ledger = Some(ledger),
            Ok(false) => {
                self.ledger = Some(ledger);
                tracing::error!("the checkpoint key is not changed: a key has not signed");
            }
            Err(error) => tracing::error!(%error, "the checkpoint key is not changed"),
        }
        failpoint!("writer.after_key");
    }

    // Nothing to do: sign the end of the log, take old answers away.
    fn rest(&mut self) {
        let Some(mut ledger) = self.ledger.take() else { return };
        let now = (self.options.clock)();
        let done = ledger.checkpoint().and_then(|()| {
            if self.expired.elapsed() < self.options.expire_every {
                return Ok(());
            }
            self.expired = Instant::now();
            expire(&mut ledger, now.utc_ms)
        });
        match done {
            Ok(()) => {
                self.signed = Instant::now();
                self.ledger = Some(ledger);
            }
            // Memory holds committed state only, so it stays; the next request opens the store again.
            Err(Error::Full) => (self.ledger, self.full) = (Some(ledger), true),
            Err(error) => tracing::error!(%error, "the end of the log is not signed"),
        }
    }
}

fn expire(ledger: &mut Ledger, utc_ms: u64) -> Result<(), Error> {
    let changes = idempotency::expired(ledger.store(), utc_ms)?;
    if changes.is_empty() {
        return Ok(());
    }
    let entry = Entry {
        actor: "manager".to_owned(),
        action: "idempotency.expire".to_owned(),
        decision: "allowed".to_owned(),
        ..Entry::default()
    };
    ledger.commit(vec![(entry, changes)], utc_ms, false)
}
