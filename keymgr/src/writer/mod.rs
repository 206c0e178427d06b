//! The one writer: validates in memory, commits states and log of many requests in one transaction, and
//! answers only after the commit.
//!
//! It refuses to know what is decided: that is a [`Machine`]. While a batch is on its way nobody sees the
//! state it leads to: readers wait for the commit, and a refusal that rests on an earlier request of the same
//! batch is answered after it too.

mod batch;
mod driver;
mod idempotency;
mod stream;
#[cfg(test)]
mod tests;

pub use idempotency::{KEPT_MS, Recalled, recall};
pub use keymgr_core::drive::{Decided, Machine};

use crate::log::{CheckpointKey, Entry};
use crate::store::{Change, Error, Store};
use driver::Driver;
use keylink::Instant3;
use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

/// How a writer works, and what it is given from outside.
pub struct Options {
    /// Opens the store to lead on it; called again after a commit whose outcome is unknown.
    pub open: Box<dyn FnMut() -> Result<Store, Error> + Send>,
    /// The checkpoint keys, each time the store is opened: the one that the log names signs, on a new store the first.
    pub keys: Box<dyn FnMut() -> Vec<CheckpointKey> + Send>,
    /// Reads the clocks.
    pub clock: Box<dyn FnMut() -> Instant3 + Send>,
    /// Hears the time of the last entry that was signed, UTC milliseconds, each time a store is taken over.
    pub was: Box<dyn FnMut(u64) + Send>,
    /// The name of this manager in the leader row and the log.
    pub holder: String,
    /// Requests in a batch, at most.
    pub batch: usize,
    /// How long a batch waits for the requests that the one before lets expect, at most.
    pub linger: Duration,
    /// How long the log may be quiet before its end is signed.
    pub quiet: Duration,
    /// How often answers past their time are taken away.
    pub expire_every: Duration,
}

impl Options {
    /// Usual measures: 256 requests, 5 ms, and a checkpoint 50 ms after the last commit.
    pub fn new(
        open: impl FnMut() -> Result<Store, Error> + Send + 'static,
        mut key: impl FnMut() -> CheckpointKey + Send + 'static,
        clock: impl FnMut() -> Instant3 + Send + 'static,
        holder: &str,
    ) -> Self {
        Self::with_keys(open, move || vec![key()], clock, holder)
    }

    /// The same where the key was changed or is being changed.
    pub fn with_keys(
        open: impl FnMut() -> Result<Store, Error> + Send + 'static,
        keys: impl FnMut() -> Vec<CheckpointKey> + Send + 'static,
        clock: impl FnMut() -> Instant3 + Send + 'static,
        holder: &str,
    ) -> Self {
        Self {
            open: Box::new(open),
            keys: Box::new(keys),
            clock: Box::new(clock),
            was: Box::new(|_| ()),
            holder: holder.to_owned(),
            batch: 512,
            linger: Duration::from_millis(5),
            quiet: Duration::from_millis(50),
            expire_every: Duration::from_secs(60),
        }
    }
}

/// Why a request has no outcome.
#[derive(Debug)]
pub enum SubmitError<R> {
    /// The machine refused; nothing changed.
    Refused(R),
    /// The Idempotency-Key was used for another request.
    KeyReused,
    /// There is no room in the store; nothing changed. Reading goes on.
    Full,
    /// This manager does not lead at present; nothing changed.
    NotLeading,
    /// Nobody knows yet whether it is done. Asking again under the same Idempotency-Key tells.
    OutcomeUnknown,
}

impl<R: fmt::Debug> fmt::Display for SubmitError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Self::KeyReused => f.write_str("the idempotency key was used for another request"),
            Self::Full => f.write_str("no room in the store"),
            Self::NotLeading => f.write_str("this manager does not lead"),
            Self::OutcomeUnknown => f.write_str("the outcome is unknown"),
        }
    }
}

impl<R: fmt::Debug> std::error::Error for SubmitError<R> {}

/// What a request comes to.
pub type Answer<M> = Result<<M as Machine>::Outcome, SubmitError<<M as Machine>::Refusal>>;

// What goes to the log, with its changes.
type Decision = (Entry, Vec<Change>);

struct Job<M: Machine> {
    idempotency: Option<String>,
    input: M::Input,
    answer: oneshot::Sender<Answer<M>>,
}

/// How the writer stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether requests are taken.
    pub leading: bool,
    /// Whether the store has no room.
    pub full: bool,
    /// The fencing epoch.
    pub epoch: u64,
    /// Committed log entries.
    pub log_size: u64,
    /// The newest stored checkpoint: size and note. It may be shown to nodes.
    pub checkpoint: Option<(u64, String)>,
    /// The key that signs them.
    pub checkpoint_key: Option<[u8; 32]>,
    /// It was asked to sign last and did not: checkpoints wait for it.
    pub waits_for_key: bool,
    /// Commits since the start.
    pub commits: u64,
    /// What durability rests on, as the writing session has it: name and value.
    pub settings: Vec<(String, String)>,
}

struct Shared<M> {
    machine: RwLock<M>,
    standing: Mutex<Standing>,
    /// Signs checkpoints from the next moment on at which nothing is on its way.
    next_key: Mutex<Option<CheckpointKey>>,
}

/// The handle of the one writer. Clones share it; it ends when the last one goes.
pub struct Writer<M: Machine> {
    queue: Option<SyncSender<Job<M>>>,
    shared: Arc<Shared<M>>,
    thread: Option<Arc<JoinOnDrop>>,
}

impl<M: Machine> Clone for Writer<M> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), shared: self.shared.clone(), thread: self.thread.clone() }
    }
}

// The last handle waits until what it sent is on disk.
struct JoinOnDrop(Option<JoinHandle<()>>);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A writer that panicked has said so on its own thread.
            let _ = thread.join();
        }
    }
}

impl<M: Machine> Drop for Writer<M> {
    fn drop(&mut self) {
        // The queue closes before the thread is awaited.
        self.queue = None;
        self.thread = None;
    }
}

// Readers wait for a commit, which takes as long as a disk: other tasks of their thread need not.
fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

// Requests that wait while a batch is on its way; more wait at the sender.
const QUEUE: usize = 4096;

impl<M: Machine> Writer<M> {
    /// Opens the store, takes over, loads the machine and starts the writer's thread.
    pub fn start(mut options: Options) -> Result<Self, Error> {
        let (ledger, machine) = driver::open::<M>(&mut options)?;
        let shared = Arc::new(Shared {
            machine: RwLock::new(machine),
            standing: Mutex::new(Standing::default()),
            next_key: Mutex::new(None),
        });
        let (queue, jobs): (SyncSender<Job<M>>, Receiver<Job<M>>) = sync_channel(QUEUE);
        let mut driver = Driver::new(options, ledger, shared.clone());
        driver.show();
        let thread =
            std::thread::Builder::new().name("writer".to_owned()).spawn(move || driver.run(&jobs))?;
        Ok(Self { queue: Some(queue), shared, thread: Some(Arc::new(JoinOnDrop(Some(thread)))) })
    }

    /// Hands a request in; the answer comes after the commit. A key makes asking again harmless; callers put
    /// the person's id in front of it. Inside an asynchronous task use [`Writer::submit`].
    pub fn submit_blocking(&self, idempotency: Option<String>, input: M::Input) -> Answer<M> {
        let Some(answer) = self.send(idempotency, input) else { return Err(SubmitError::NotLeading) };
        answer.blocking_recv().unwrap_or(Err(SubmitError::OutcomeUnknown))
    }

    /// As [`Writer::submit_blocking`], for asynchronous callers.
    pub async fn submit(&self, idempotency: Option<String>, input: M::Input) -> Answer<M> {
        let (answer, receiver) = oneshot::channel();
        let Some(queue) = &self.queue else { return Err(SubmitError::NotLeading) };
        match queue.try_send(Job { idempotency, input, answer }) {
            Ok(()) => {}
            Err(TrySendError::Disconnected(_)) => return Err(SubmitError::NotLeading),
            // A full queue makes the caller wait on a thread that may.
            Err(TrySendError::Full(job)) => {
                let queue = queue.clone();
                if !tokio::task::spawn_blocking(move || queue.send(job).is_ok()).await.unwrap_or(false) {
                    return Err(SubmitError::NotLeading);
                }
            }
        }
        receiver.await.unwrap_or(Err(SubmitError::OutcomeUnknown))
    }

    /// Hands a request in and gives the place where the answer will be; none if the writer is gone.
    pub fn send(&self, idempotency: Option<String>, input: M::Input) -> Option<oneshot::Receiver<Answer<M>>> {
        let (answer, receiver) = oneshot::channel();
        self.queue.as_ref()?.send(Job { idempotency, input, answer }).ok()?;
        Some(receiver)
    }

    /// Looks at committed state.
    pub fn view<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.still())
    }

    // Of their own, so that waiting is compiled once and not with each look.
    fn still(&self) -> RwLockReadGuard<'_, M> {
        match self.shared.machine.try_read() {
            Ok(machine) => machine,
            Err(_) => waiting(|| self.shared.machine.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn held(&self) -> RwLockWriteGuard<'_, M> {
        match self.shared.machine.try_write() {
            Ok(machine) => machine,
            // Only memories may have changed in the look that panicked.
            Err(TryLockError::Poisoned(poisoned)) => {
                self.shared.machine.clear_poison();
                poisoned.into_inner()
            }
            Err(TryLockError::WouldBlock) => {
                waiting(|| self.shared.machine.write().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    /// Looks at committed state with what the machine has worked out from it at hand. Only such memories may
    /// change here, never what rows say.
    pub fn look_aside<T>(&self, look: impl FnOnce(&mut M) -> T) -> T {
        look(&mut self.held())
    }

    /// Lets checkpoints be signed by another key from soon on: [`Standing::checkpoint_key`] says when. What was asked
    /// and is not done when the writer ends is to be asked again.
    pub fn sign_with(&self, next: CheckpointKey) {
        *self.shared.next_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }

    /// How the writer stands.
    pub fn standing(&self) -> Standing {
        self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
