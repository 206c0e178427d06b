//! One batch: what its requests came to, waiting for the commit.

use super::Machine;
use super::idempotency::{self, Recalled};
use super::{Answer, Decision, Job, SubmitError};
use crate::log::Entry;
use crate::store::{Error, Hash, Store};
use keylink::Instant3;
use std::collections::HashMap;
use tokio::sync::oneshot;

type Asker<M> = oneshot::Sender<Answer<M>>;

/// A request, and what is known of its key.
pub(super) struct Asked<M: Machine> {
    input: M::Input,
    answer: Asker<M>,
    key: Option<(String, Hash)>,
    known: Recalled<M::Outcome>,
}

/// Answers that wait for a commit.
pub(super) struct Batch<M: Machine> {
    /// The entry of a request that came to nothing.
    pub silent: Option<Entry>,
    waiting: Vec<(Asker<M>, Answer<M>)>,
    keys: HashMap<String, (Hash, M::Outcome)>,
}

impl<M: Machine> Batch<M> {
    pub fn new() -> Self {
        Self { silent: None, waiting: Vec::new(), keys: HashMap::new() }
    }

    /// Looks up the key of a request, before anything of the batch is decided.
    pub fn look(&mut self, store: &mut Store, now: Instant3, job: Job<M>) -> Result<Asked<M>, Error> {
        let Job { idempotency, input, answer } = job;
        let key = idempotency.map(|key| (key, idempotency::request_hash(&input)));
        let known = match &key {
            Some((key, request)) => idempotency::look(store, key, request, now.utc_ms),
            None => Ok(Recalled::No),
        };
        match known {
            Ok(known) => Ok(Asked { input, answer, key, known }),
            Err(error) => {
                self.waiting.push((answer, Err(SubmitError::NotLeading)));
                Err(error)
            }
        }
    }

    /// Takes one request: a known key gives the kept answer, anything else goes to the machine. Gives what goes to the
    /// log.
    pub fn take(&mut self, machine: &mut M, now: Instant3, asked: Asked<M>) -> Option<Decision> {
        let Asked { input, answer, key, known } = asked;
        let (come_to, decision) = match self.known(key.as_ref(), known) {
            Recalled::Answer(outcome) => (Ok(outcome), None),
            Recalled::Other => (Err(SubmitError::KeyReused), None),
            Recalled::No => match self.decide(machine, now, key, input) {
                Ok((outcome, decision)) => (Ok(outcome), decision),
                Err(refusal) => (Err(SubmitError::Refused(refusal)), None),
            },
        };
        self.waiting.push((answer, come_to));
        decision
    }

    // Of this batch before what the store had.
    fn known(&self, key: Option<&(String, Hash)>, stored: Recalled<M::Outcome>) -> Recalled<M::Outcome> {
        match key.and_then(|(key, request)| Some((self.keys.get(key)?, request))) {
            Some(((same, outcome), request)) if same == request => Recalled::Answer(outcome.clone()),
            Some(_) => Recalled::Other,
            None => stored,
        }
    }

    fn decide(
        &mut self,
        machine: &mut M,
        now: Instant3,
        key: Option<(String, Hash)>,
        input: M::Input,
    ) -> Result<(M::Outcome, Option<Decision>), M::Refusal> {
        let mut decided = machine.handle(now, input)?;
        if let Some((key, request)) = key {
            decided.changes.push(idempotency::keep(&key, &request, now.utc_ms, &decided.outcome));
            self.keys.insert(key, (request, decided.outcome.clone()));
        }
        let decision = if decided.silent && decided.changes.is_empty() {
            self.silent = Some(decided.entry);
            None
        } else {
            Some((decided.entry, decided.changes))
        };
        Ok((decided.outcome, decision))
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
