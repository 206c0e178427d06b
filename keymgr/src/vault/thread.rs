//! The vault on a thread of its own: its backend is not shared, and its work never runs where requests wait. A
//! backend that can go away, a token, is asked from time to time whether it is there.

use super::{Vault, VaultError};
use hsm::{BackendClass, LmkInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use zeroize::Zeroize;

type Job = Box<dyn FnOnce(&mut Vault) + Send>;

// Deeper than any job goes.
const SCRUBBED: usize = 512 << 10;
// Pauses between questions to a backend that answered last, and to one that did not.
const WELL: Duration = Duration::from_secs(5);
const AWAY: Duration = Duration::from_secs(1);

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
fn work(vault: &mut Vault, waiting: &mpsc::Receiver<Job>, pulse: &Pulse) {
    let mut asked = Instant::now();
    loop {
        // The simulator is in this process: there is nobody to ask.
        let pause = match (vault.class(), pulse.0.load(Ordering::Relaxed)) {
            (BackendClass::C, true) => Duration::MAX,
            (_, true) => WELL,
            (_, false) => AWAY,
        };
        let left = pause.saturating_sub(asked.elapsed());
        if left.is_zero() {
            pulse.is(vault.answers());
            asked = Instant::now();
            continue;
        }
        let job = waiting.try_recv().or_else(|_| {
            scrub_stack();
            waiting.recv_timeout(left)
        });
        match job {
            Ok(job) => run(vault, job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[inline(never)]
fn run(vault: &mut Vault, job: Job) {
    job(vault);
}

#[inline(never)]
fn scrub_stack() {
    let mut area = [0_u8; SCRUBBED];
    area.zeroize();
    std::hint::black_box(&area);
}

/// Handle of a vault that runs on its own thread; clones share it. The thread ends when the last is dropped.
#[derive(Clone)]
pub struct VaultThread {
    jobs: mpsc::Sender<Job>,
    facts: Arc<MasterFacts>,
    pulse: Arc<Pulse>,
}

impl core::fmt::Debug for VaultThread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VaultThread")
    }
}

impl VaultThread {
    /// Starts the thread; `open` makes the vault there, since a backend stays on its thread.
    pub fn start(
        open: impl FnOnce() -> Result<Vault, VaultError> + Send + 'static,
    ) -> Result<Self, VaultError> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (told, opened) = mpsc::channel();
        let pulse = Arc::new(Pulse(AtomicBool::new(true)));
        let own = pulse.clone();
        std::thread::Builder::new()
            .name("vault".to_owned())
            .spawn(move || match open() {
                Ok(mut vault) => {
                    let _ = told.send(Ok(MasterFacts { class: vault.class(), lmk: vault.master().clone() }));
                    work(&mut vault, &waiting, &own);
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                }
            })
            .map_err(|_| VaultError::Backend)?;
        let facts = Arc::new(opened.recv().map_err(|_| VaultError::Backend)??);
        Ok(Self { jobs, facts, pulse })
    }

    /// The master key, and what its backend may claim.
    pub fn master(&self) -> &MasterFacts {
        &self.facts
    }

    /// True when the backend answered last.
    pub fn answers(&self) -> bool {
        self.pulse.0.load(Ordering::Relaxed)
    }

    // What a job has found out about the backend is known before the next question.
    fn noted<T>(&self, answer: Result<T, VaultError>) -> Result<T, VaultError> {
        if matches!(answer, Err(VaultError::Backend)) {
            self.pulse.is(false);
        }
        answer
    }

    /// Runs `job` on the vault's thread and gives its answer.
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let waiting = self.begin(job)?;
        self.noted(waiting.await.map_err(|_| VaultError::Backend)?)
    }

    /// The same for a caller that may block.
    pub fn call_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let waiting = self.begin(job)?;
        self.noted(waiting.blocking_recv().map_err(|_| VaultError::Backend)?)
    }

    fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, VaultError>>, VaultError> {
        let (answer, waiting) = oneshot::channel();
        let job: Job = Box::new(move |vault| {
            let _ = answer.send(job(vault));
        });
        self.jobs.send(job).map_err(|_| VaultError::Backend)?;
        Ok(waiting)
    }
}
