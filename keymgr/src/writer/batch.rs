//! One batch: what its requests came to, waiting for the commit.

use super::idempotency::{self, Recalled};
use super::machine::Machine;
use super::{Answer, Job, SubmitError};
use crate::log::Entry;
use crate::store::{Change, Error, Hash, Store};
use keylink::Instant3;
use std::collections::HashMap;
use tokio::sync::oneshot;

type Asker<M> = oneshot::Sender<Answer<M>>;

/// Entries to commit, and answers that wait for it.
pub(super) struct Batch<M: Machine> {
    /// What goes to the log, with its changes.
    pub entries: Vec<(Entry, Vec<Change>)>,
    /// What came of nothing: an entry that is written only to see whether the store takes one.
    passed: Option<Entry>,
    waiting: Vec<(Asker<M>, Answer<M>)>,
    keys: HashMap<String, (Hash, M::Outcome)>,
}

impl<M: Machine> Batch<M> {
    pub fn new() -> Self {
        Self { entries: Vec::new(), passed: None, waiting: Vec::new(), keys: HashMap::new() }
    }

    /// Takes one request: a known key gives the kept answer, anything else goes to the machine.
    pub fn take(
        &mut self,
        machine: &mut M,
        store: &mut Store,
        now: Instant3,
        job: Job<M>,
    ) -> Result<(), Error> {
        let Job { idempotency, input, answer } = job;
        let key = idempotency.map(|key| (key, idempotency::request_hash(&input)));
        let known = match &key {
            Some((key, request)) => self.known(store, key, request, now),
            None => Ok(Recalled::No),
        };
        let come_to = match known {
            Ok(Recalled::Answer(outcome)) => Ok(outcome),
            Ok(Recalled::Other) => Err(SubmitError::KeyReused),
            Ok(Recalled::No) => self.decide(machine, now, key, input),
            Err(error) => {
                self.waiting.push((answer, Err(SubmitError::NotLeading)));
                return Err(error);
            }
        };
        self.waiting.push((answer, come_to));
        Ok(())
    }

    fn known(
        &self,
        store: &mut Store,
        key: &str,
        request: &Hash,
        now: Instant3,
    ) -> Result<Recalled<M::Outcome>, Error> {
        match self.keys.get(key) {
            Some((same, outcome)) if same == request => Ok(Recalled::Answer(outcome.clone())),
            Some(_) => Ok(Recalled::Other),
            None => idempotency::look(store, key, request, now.utc_ms),
        }
    }

    fn decide(
        &mut self,
        machine: &mut M,
        now: Instant3,
        key: Option<(String, Hash)>,
        input: M::Input,
    ) -> Answer<M> {
        let mut decided = machine.handle(now, input).map_err(SubmitError::Refused)?;
        if let Some((key, request)) = key {
            decided.changes.push(idempotency::keep(&key, &request, now.utc_ms, &decided.outcome));
            self.keys.insert(key, (request, decided.outcome.clone()));
        }
        if decided.passing && decided.changes.is_empty() {
            self.passed = Some(decided.entry);
        } else {
            self.entries.push((decided.entry, decided.changes));
        }
        Ok(decided.outcome)
    }

    /// Something was accepted that came to nothing.
    pub const fn has_passed(&self) -> bool {
        self.passed.is_some()
    }

    /// Writes it all the same.
    pub fn write_passed(&mut self) {
        self.entries.extend(self.passed.take().map(|entry| (entry, Vec::new())));
    }

    /// Takes a request that nothing will be done about.
    pub fn refuse(&mut self, job: Job<M>) {
        self.waiting.push((job.answer, Err(SubmitError::NotLeading)));
    }

    /// It is durable: everybody gets what the request came to.
    pub fn committed(self) {
        let half = self.waiting.len() / 2;
        for (n, (asker, come_to)) in self.waiting.into_iter().enumerate() {
            if n == half {
                crate::failpoint::failpoint!("writer.half_answered");
            }
            // One who does not wait any more can ask again by key.
            let _ = asker.send(come_to);
        }
    }

    /// It is not, or nobody knows: nothing it came to is told, refusals neither, for they may rest on requests
    /// that are not done.
    pub fn failed(self, why: impl Fn() -> SubmitError<M::Refusal>) {
        for (asker, _) in self.waiting {
            let _ = asker.send(Err(why()));
        }
    }
}
