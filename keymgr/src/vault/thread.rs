//! The vault on a thread of its own: its backend is not shared, and its work never runs where requests wait.

use super::{Vault, VaultError};
use std::sync::mpsc;
use tokio::sync::oneshot;
use zeroize::Zeroize;

type Job = Box<dyn FnOnce(&mut Vault) + Send>;

// Deeper than any job goes.
const SCRUBBED: usize = 512 << 10;

// Job after job; before the thread rests, what they have left on its stack is overwritten: values that were moved
// leave copies behind that nothing else wipes.
fn work(vault: &mut Vault, waiting: &mpsc::Receiver<Job>) {
    loop {
        let job = match waiting.try_recv() {
            Ok(job) => job,
            Err(_) => {
                scrub_stack();
                match waiting.recv() {
                    Ok(job) => job,
                    Err(_) => return,
                }
            }
        };
        run(vault, job);
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
pub struct VaultThread(mpsc::Sender<Job>);

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
        std::thread::Builder::new()
            .name("vault".to_owned())
            .spawn(move || match open() {
                Ok(mut vault) => {
                    let _ = told.send(Ok(()));
                    work(&mut vault, &waiting);
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                }
            })
            .map_err(|_| VaultError::Backend)?;
        opened.recv().map_err(|_| VaultError::Backend)??;
        Ok(Self(jobs))
    }

    /// Runs `job` on the vault's thread and gives its answer.
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let (answer, waiting) = oneshot::channel();
        let job: Job = Box::new(move |vault| {
            let _ = answer.send(job(vault));
        });
        self.0.send(job).map_err(|_| VaultError::Backend)?;
        waiting.await.map_err(|_| VaultError::Backend)?
    }

    /// The same for a caller that may block.
    pub fn call_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let (answer, waiting) = oneshot::channel();
        let job: Job = Box::new(move |vault| {
            let _ = answer.send(job(vault));
        });
        self.0.send(job).map_err(|_| VaultError::Backend)?;
        waiting.blocking_recv().map_err(|_| VaultError::Backend)?
    }
}
