//! The vault on a thread of its own: its backend is not shared, and its work never runs where requests wait. A
//! backend that can go away, a token, is asked from time to time whether it is there.
//!
//! A call into a token cannot be taken back. So callers wait for a bounded time, and get the error of a backend that
//! does not answer; while the thread hangs, others get it at once. When the thread comes back, what nobody waits for any
//! more is not done.

use super::busy::Busy;
use super::{Vault, VaultError, wipe_stack};
use hsm::{BackendClass, LmkInfo};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Vault) + Send>;

// Deeper than any job goes.
const SCRUBBED_WORDS: usize = (512 << 10) / 8;
// Pauses between questions to a backend that answered last, and to one that did not.
const WELL: Duration = Duration::from_secs(5);
const AWAY: Duration = Duration::from_secs(1);
/// How long callers wait for the backend when nobody says: longer than a round of wraps on a slow token.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The master key and where it is: known from the start, whatever became of the backend.
#[derive(Clone, Debug)]
pub struct MasterFacts {
    /// What the backend may claim.
    pub class: BackendClass,
    /// Identifier, check value, whether it is a public test key.
    pub lmk: LmkInfo,
}

// Whether the backend answers, told once for each change.
#[derive(Debug)]
struct Pulse(AtomicBool);

impl Pulse {
    fn is(&self, answers: bool) {
        match (self.0.swap(answers, Ordering::Relaxed), answers) {
            (true, false) => tracing::error!(
                "the backend does not answer: what needs keys waits; log, state and reports go on"
            ),
            (false, true) => tracing::info!("the backend answers again"),
            _ => {}
        }
    }
}

// Job after job; before the thread rests, what they have left on its stack is overwritten: values that were moved
// leave copies behind that nothing else wipes.
fn work(vault: &mut Vault, waiting: &mpsc::Receiver<Job>, pulse: &Pulse, busy: &Busy) {
    let mut asked = Instant::now();
    loop {
        let pause = if pulse.0.load(Ordering::Relaxed) { WELL } else { AWAY };
        let left = pause.saturating_sub(asked.elapsed());
        if left.is_zero() {
            pulse.is(busy.at(|| run(vault, Vault::answers)) == Some(true));
            asked = Instant::now();
            continue;
        }
        let job = waiting.try_recv().or_else(|_| {
            wipe_stack::<SCRUBBED_WORDS>();
            waiting.recv_timeout(left)
        });
        match job {
            Ok(job) => {
                if busy.at(|| run(vault, job)).is_none() {
                    pulse.is(false);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

// Whoever asked hears that the backend did not answer, and it is asked again soon: a panic ends neither the thread nor
// anything that is not this job's.
#[inline(never)]
fn run<T>(vault: &mut Vault, job: impl FnOnce(&mut Vault) -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(|| job(vault)));
    done.inspect_err(|_| tracing::error!("the backend for keys panicked; it goes on with the next")).ok()
}

/// Handle of a vault that runs on its own thread; clones share it. The thread ends when the last is dropped.
#[derive(Clone)]
pub struct VaultThread {
    jobs: mpsc::Sender<Job>,
    facts: Arc<MasterFacts>,
    pulse: Arc<Pulse>,
    busy: Arc<Busy>,
    patience: Duration,
}

impl core::fmt::Debug for VaultThread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VaultThread")
    }
}

impl VaultThread {
    /// Starts the thread; `open` makes the vault there, since a backend stays on its thread. Callers wait for
    /// [`PATIENCE`].
    pub fn start(
        open: impl FnOnce() -> Result<Vault, VaultError> + Send + 'static,
    ) -> Result<Self, VaultError> {
        Self::start_with(PATIENCE, open)
    }

    /// The same with another bound on the time for which callers wait.
    pub fn start_with(
        patience: Duration,
        open: impl FnOnce() -> Result<Vault, VaultError> + Send + 'static,
    ) -> Result<Self, VaultError> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (told, opened) = mpsc::channel();
        let (pulse, busy) = (Arc::new(Pulse(AtomicBool::new(true))), Arc::new(Busy::new()));
        let (own, at) = (pulse.clone(), busy.clone());
        std::thread::Builder::new()
            .name("vault".to_owned())
            .spawn(move || match open() {
                Ok(mut vault) => {
                    let _ = told.send(Ok(MasterFacts { class: vault.class(), lmk: vault.master().clone() }));
                    work(&mut vault, &waiting, &own, &at);
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                }
            })
            .map_err(|_| VaultError::Backend)?;
        let facts = Arc::new(opened.recv().map_err(|_| VaultError::Backend)??);
        Ok(Self { jobs, facts, pulse, busy, patience })
    }

    /// The master key, and what its backend may claim.
    pub fn master(&self) -> &MasterFacts {
        &self.facts
    }

    /// True when the backend answered last, and does not keep its thread waiting.
    pub fn answers(&self) -> bool {
        !self.hangs() && self.pulse.0.load(Ordering::Relaxed)
    }

    // A piece of work has lasted for as long as anybody waits; or for half of that, if somebody has waited for it in
    // vain: it began a little later than they, and nobody else is to find out anew.
    fn hangs(&self) -> bool {
        let known = !self.pulse.0.load(Ordering::Relaxed);
        let hangs = self.busy.for_at_least(if known { self.patience / 2 } else { self.patience });
        if hangs {
            self.pulse.is(false);
        }
        hangs
    }

    // Nobody answered in time. A thread that goes on with the work of others is slow and no more.
    fn waited(&self) -> VaultError {
        if self.busy.for_at_least(self.patience / 2) {
            self.pulse.is(false);
        }
        VaultError::Backend
    }

    // What a job has found out about the backend is known before the next question.
    fn noted<T>(&self, answer: Result<T, VaultError>) -> Result<T, VaultError> {
        if matches!(answer, Err(VaultError::Backend)) {
            self.pulse.is(false);
        }
        answer
    }

    // Takes a job in, unless the thread hangs.
    fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, VaultError>>, VaultError> {
        if self.hangs() {
            return Err(VaultError::Backend);
        }
        let (answer, waiting) = oneshot::channel();
        let job: Job = Box::new(move |vault| {
            // Whoever has asked may have gone.
            if !answer.is_closed() {
                let _ = answer.send(job(vault));
            }
        });
        self.jobs.send(job).map_err(|_| VaultError::Backend)?;
        Ok(waiting)
    }

    /// Runs `job` on the vault's thread and gives its answer, or the error of a backend that does not answer when that
    /// takes too long.
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let waiting = self.begin(job)?;
        match tokio::time::timeout(self.patience, waiting).await {
            Ok(answer) => self.noted(answer.unwrap_or(Err(VaultError::Backend))),
            Err(_) => Err(self.waited()),
        }
    }

    /// The same for a caller that may block.
    pub fn call_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.map_err(|_| VaultError::Backend)?.block_on(self.call(job))
    }
}
