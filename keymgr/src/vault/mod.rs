//! The manager's keys inside its backend: every key is a key block under the master key, with a label in the
//! block that says which generation it is; the label is compared at every opening, so a block that was moved
//! to another row is refused however well it fits there.
//!
//! Clear key bytes live only in here, for the moment of a wrap or an exchange (class B and C; see
//! docs/security.md). This module refuses to know rows, campaigns and people.

mod agree;
pub(crate) mod busy;
mod components;
mod deliver;
mod error;
mod exchange;
mod sealed;
mod spec;
mod thread;

pub use agree::{ROOT_KEK, root_kek_label};
pub use components::{ComponentBox, ComponentKey, ComponentKeys, combine, seal_component};
pub use deliver::Receiver;
pub use error::VaultError;
pub use sealed::SealedKey;
pub use spec::KeySpec;
pub use thread::{MasterFacts, PATIENCE, VaultThread};

use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use hsm::{Backend, BackendClass, Hsm, LmkId, LmkInfo, LmkScheme};
use zeroize::Zeroize;

/// A backend with the manager's master key in it. Not shared between threads; see [`VaultThread`].
pub struct Vault {
    hsm: Hsm,
    backend: Box<dyn Backend>,
    master: LmkInfo,
    offers: agree::Offers,
    ceremonies: ComponentKeys,
}

impl Vault {
    /// Over a backend whose LMK `master` is an AES key-block LMK; refuses another scheme and an LMK that is
    /// not loaded.
    pub fn new(backend: Box<dyn Backend>, master: LmkId) -> Result<Self, VaultError> {
        let info = backend.lmks().iter().find(|lmk| lmk.id == master).cloned();
        match info {
            Some(info) if info.scheme == LmkScheme::AesBlock => {
                // No cache: a manager opens a key to wrap it once, and then it should be gone.
                Ok(Self {
                    hsm: Hsm::with_cache(0),
                    backend,
                    master: info,
                    offers: agree::Offers::default(),
                    ceremonies: ComponentKeys::default(),
                })
            }
            _ => Err(VaultError::NoMasterKey),
        }
    }

    /// What the backend may claim.
    pub fn class(&self) -> BackendClass {
        self.backend.class()
    }

    /// The master key: identifier, check value, whether it is a public test key.
    pub const fn master(&self) -> &LmkInfo {
        &self.master
    }

    /// True when the backend does what it is asked, and the master key is where it was.
    pub fn answers(&mut self) -> bool {
        let drawn = self.run(|hsm| async move { hsm.random(&mut [0; 8]).await });
        drawn.is_ok() && self.backend.alive(&mut || {})
    }

    /// Private keys of open ceremonies.
    pub const fn ceremonies(&mut self) -> &mut ComponentKeys {
        &mut self.ceremonies
    }

    /// Work that needs those keys and the backend.
    pub fn with_ceremonies<T>(&mut self, work: impl FnOnce(&mut Self, &ComponentKeys) -> T) -> T {
        let keys = std::mem::take(&mut self.ceremonies);
        let done = work(self, &keys);
        self.ceremonies = keys;
        done
    }

    /// Runs work over the seam to its end. The backend is synchronous, so this needs no runtime.
    pub fn run<T, F: Future<Output = T>>(&mut self, work: impl FnOnce(Hsm) -> F) -> T {
        let mut work = pin!(work(self.hsm.clone()));
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let done = work.as_mut().poll(&mut cx);
            // Also after the last: the queue keeps a batch, and with it the keys of its operations, until the next runs.
            self.hsm.run(self.backend.as_mut());
            wipe_stack::<{ (64 << 10) / 8 }>();
            if let Poll::Ready(done) = done {
                return done;
            }
        }
    }
}

// A key that is moved is wiped where it ends, not where it was: the backend's calls leave such places on the stack, and a
// value of ours that is made there later takes them along, in the bytes that it does not use, to the heap. Writes that no
// compiler leaves out, eight bytes at a time.
#[inline(never)]
fn wipe_stack<const WORDS: usize>() {
    let mut area = [0_u64; WORDS];
    area.zeroize();
    black_box(&area);
}

impl core::fmt::Debug for Vault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Vault({:?}, master {})", self.class(), self.master.id)
    }
}
