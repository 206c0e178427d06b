//! Signature keys in a token, on a thread of their own: what is asked of the token is waited for a bounded time, and
//! while it hangs others hear so at once. A signature is looked at before anybody has it, since a module may answer
//! with something else. Which token it is, and how one talks with it, is unknown here.

use crate::vault::busy::Busy;
use keylink::succession::CentreKey;
use keylink::{KmcId, NotSigned, PublicKey, TrySign};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;

/// A token that is not used is asked so often, and one that was away.
const WELL: Duration = Duration::from_secs(5);
const AWAY: Duration = Duration::from_secs(1);

/// What a token said when it did not do something; holds no secret.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct KeyTokenError(pub String);

/// A token in which Ed25519 keys are made, which sign there and never leave it. Used from one thread.
pub trait KeyToken: Send {
    /// Makes a key that signs; it is lost with this process if it is not kept.
    fn make(&mut self) -> Result<PublicKey, KeyTokenError>;
    /// Keeps a key that was made, under a label that nothing else has.
    fn keep(&mut self, key: &PublicKey, label: &str) -> Result<(), KeyTokenError>;
    /// The label of a key that is kept; none if it is not there.
    fn label(&mut self, key: &PublicKey) -> Result<Option<String>, KeyTokenError>;
    /// Signs.
    fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], KeyTokenError>;
    /// Destroys a key; one that is not there is no failure.
    fn destroy(&mut self, key: &PublicKey) -> Result<(), KeyTokenError>;
}

/// Why a token did not do what it was asked.
#[derive(Debug, Error)]
pub enum CustodyError {
    /// Nothing came back in time.
    #[error("the token does not answer")]
    Silent,
    /// It said so.
    #[error("token: {0}")]
    Token(#[from] KeyTokenError),
}

type Job = Box<dyn FnOnce(&mut dyn KeyToken) + Send>;

/// Label of a key of the centre in a token.
pub fn label_of(kmc: KmcId, key: CentreKey, public: &PublicKey) -> String {
    let short = |bytes: &[u8]| hex::encode(bytes.get(..8).unwrap_or(bytes));
    format!("payhsm/kmc/{}/{key}/{}", short(&kmc.0), short(&public.0))
}

// The way to the thread. Whoever drops it waits until the token is closed: a module that is still at work while the
// process ends may bring it down, and what was done well would end with a signal.
struct Line {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    closed: Mutex<mpsc::Receiver<()>>,
    patience: Duration,
}

impl Line {
    fn send(&self, job: Job) -> Result<(), CustodyError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or(CustodyError::Silent)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        let closed = self.closed.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = closed.recv_timeout(self.patience);
    }
}

/// The token at work; clones share it. Its thread ends with the last.
#[derive(Clone)]
pub struct Custody {
    line: Arc<Line>,
    busy: Arc<Busy>,
    away: Arc<AtomicBool>,
    asked: Arc<Mutex<Instant>>,
    patience: Duration,
}

impl core::fmt::Debug for Custody {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Custody")
    }
}

impl Custody {
    /// Starts the thread. Nobody waits longer than `patience`.
    pub fn start(patience: Duration, mut token: Box<dyn KeyToken>) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let busy = Arc::new(Busy::new());
        let at = Arc::clone(&busy);
        let (open, closed) = mpsc::channel::<()>();
        std::thread::Builder::new().name("signature-keys".to_owned()).spawn(move || {
            for job in waiting {
                // Whoever asked hears nothing; what others ask is done.
                if at.at(|| catch_unwind(AssertUnwindSafe(|| job(token.as_mut())))).is_err() {
                    tracing::error!("the token with the signature keys panicked; it goes on with the next");
                }
            }
            drop(token);
            drop(open);
        })?;
        let line = Line { jobs: Mutex::new(Some(jobs)), closed: Mutex::new(closed), patience };
        let (line, asked) = (Arc::new(line), Arc::new(Mutex::new(Instant::now())));
        Ok(Self { line, busy, away: Arc::new(AtomicBool::new(false)), asked, patience })
    }

    /// True when the token did what it was asked last, and does not keep its thread waiting.
    pub fn answers(&self) -> bool {
        !self.away.load(Ordering::Relaxed) && !self.busy.for_at_least(self.patience)
    }

    /// True when nobody has asked it for a while, or it was away and does not hang.
    pub(super) fn wants_a_look(&self) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        asked >= WELL || (asked >= AWAY && self.away.load(Ordering::Relaxed))
    }

    fn is(&self, answers: bool, why: &dyn core::fmt::Display) {
        match (self.away.swap(!answers, Ordering::Relaxed), answers) {
            (false, false) => tracing::error!(
                error = %why,
                "the token with the signature keys does not sign: manifests and checkpoints wait, the log goes on"
            ),
            (true, true) => tracing::info!("the token with the signature keys signs again"),
            _ => {}
        }
    }

    /// Does something with the token, and waits for it as long as `within` says and no longer than anybody may.
    pub(super) fn call<T: Send + 'static>(
        &self,
        within: Duration,
        job: impl FnOnce(&mut dyn KeyToken) -> Result<T, KeyTokenError> + Send + 'static,
    ) -> Result<T, CustodyError> {
        let within = within.min(self.patience);
        // Behind a piece of work that lasts, nobody waits again.
        if self.busy.for_at_least(within) {
            self.is(false, &CustodyError::Silent);
            return Err(CustodyError::Silent);
        }
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let (answer, waiting) = mpsc::sync_channel(1);
        let gone = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&gone);
        let job: Job = Box::new(move |token| {
            // Whoever has asked may have gone.
            if !left.load(Ordering::Relaxed) {
                let _ = answer.send(job(token));
            }
        });
        self.line.send(job)?;
        let answer = waiting.recv_timeout(within).map_err(|_| CustodyError::Silent);
        gone.store(true, Ordering::Relaxed);
        let answer = answer.and_then(|answer| Ok(answer?));
        match &answer {
            Ok(_) => self.is(true, &""),
            // A thread that goes on with the work of others is slow and no more.
            Err(CustodyError::Silent) if !self.busy.for_at_least(within / 2) => {}
            Err(error) => self.is(false, error),
        }
        answer
    }

    /// The longest that anybody waits.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }
}

/// Signs with a key in the token.
pub(super) struct TokenKey {
    pub custody: Custody,
    pub public: PublicKey,
    pub within: Duration,
}

impl TrySign for TokenKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        let (key, text) = (self.public, message.to_vec());
        let sign = move |token: &mut dyn KeyToken| {
            let signature = token.sign(&key, &text)?;
            match key.verify(&text, &signature) {
                Ok(()) => Ok(signature),
                Err(_) => Err(KeyTokenError("what it gave is no signature by this key".to_owned())),
            }
        };
        self.custody.call(self.within, sign).map_err(|_| NotSigned)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use keylink::{Sign, SoftSigner};
    use std::collections::HashMap;
    use std::sync::MutexGuard;

    /// A token in memory that does what a test says.
    #[derive(Clone, Default)]
    pub struct Soft(Arc<Mutex<State>>);

    #[derive(Default)]
    pub struct State {
        next: u8,
        made: HashMap<PublicKey, u8>,
        pub kept: HashMap<PublicKey, (u8, String)>,
        pub hang: Duration,
        pub hang_to_keep: Duration,
        /// So many keys it still takes.
        pub keeps_left: Option<u8>,
        /// It destroys nothing.
        pub lasting: bool,
        pub fails: bool,
        pub lies: bool,
    }

    impl Soft {
        pub fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().expect("no panic")
        }

        fn now(&self) -> Result<MutexGuard<'_, State>, KeyTokenError> {
            let hang = std::mem::take(&mut self.state().hang);
            std::thread::sleep(hang);
            let state = self.state();
            if state.fails { Err(KeyTokenError("CKR_DEVICE_REMOVED".to_owned())) } else { Ok(state) }
        }
    }

    impl KeyToken for Soft {
        fn make(&mut self) -> Result<PublicKey, KeyTokenError> {
            let mut state = self.now()?;
            state.next += 1;
            let seed = state.next;
            let key = SoftSigner::new(&[seed; 32]).key();
            state.made.insert(key, seed);
            Ok(key)
        }

        fn keep(&mut self, key: &PublicKey, label: &str) -> Result<(), KeyTokenError> {
            let hang = std::mem::take(&mut self.state().hang_to_keep);
            std::thread::sleep(hang);
            let mut state = self.now()?;
            state.keeps_left = match state.keeps_left {
                Some(0) => return Err(KeyTokenError("CKR_DEVICE_MEMORY".to_owned())),
                left => left.map(|left| left - 1),
            };
            let seed = state.made.remove(key).ok_or_else(|| KeyTokenError("no such key".to_owned()))?;
            state.kept.insert(*key, (seed, label.to_owned()));
            Ok(())
        }

        fn label(&mut self, key: &PublicKey) -> Result<Option<String>, KeyTokenError> {
            Ok(self.now()?.kept.get(key).map(|(_, label)| label.clone()))
        }

        fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], KeyTokenError> {
            let state = self.now()?;
            let seed = state.made.get(key).or_else(|| state.kept.get(key).map(|(seed, _)| seed));
            let seed = seed.ok_or_else(|| KeyTokenError("no such key".to_owned()))?;
            let mut signature = SoftSigner::new(&[*seed; 32]).sign(message);
            signature[0] ^= u8::from(state.lies);
            Ok(signature)
        }

        fn destroy(&mut self, key: &PublicKey) -> Result<(), KeyTokenError> {
            let mut state = self.now()?;
            if state.lasting {
                return Err(KeyTokenError("CKR_ACTION_PROHIBITED".to_owned()));
            }
            state.made.remove(key);
            state.kept.remove(key);
            Ok(())
        }
    }

    fn begin(patience: u64) -> (Soft, TokenKey) {
        let token = Soft::default();
        let custody =
            Custody::start(Duration::from_millis(patience), Box::new(token.clone())).expect("a thread");
        let public = custody.call(custody.patience(), |token| token.make()).expect("made");
        let within = custody.patience();
        (token, TokenKey { custody, public, within })
    }

    #[test]
    fn a_token_that_fails_or_lies_is_away_until_it_signs() {
        let (token, key) = begin(5000);
        assert!(key.try_sign(b"text").is_ok() && key.custody.answers());
        token.state().fails = true;
        assert!(key.try_sign(b"text").is_err() && !key.custody.answers());
        token.state().fails = false;
        assert!(key.try_sign(b"text").is_ok() && key.custody.answers());
        token.state().lies = true;
        assert!(key.try_sign(b"text").is_err() && !key.custody.answers());
    }

    #[test]
    fn a_call_that_hangs_is_waited_for_once() {
        let (token, key) = begin(300);
        token.state().hang = Duration::from_millis(1500);
        let began = Instant::now();
        assert!(key.try_sign(b"text").is_err());
        assert!(began.elapsed() >= Duration::from_millis(300) && !key.custody.answers());
        // The thread may have begun with it later than the caller.
        std::thread::sleep(Duration::from_millis(50));
        let again = Instant::now();
        assert!(key.try_sign(b"text").is_err());
        assert!(again.elapsed() < Duration::from_millis(200), "at once: {:?}", again.elapsed());
        std::thread::sleep(Duration::from_millis(1500));
        assert!(key.try_sign(b"text").is_ok() && key.custody.answers(), "it is used again");
    }

    #[test]
    fn a_job_that_panics_is_one_that_was_not_done() {
        let (_token, key) = begin(5000);
        let lost = key.custody.call(key.within, |_| -> Result<(), _> { panic!("as a driver might") });
        assert!(matches!(lost, Err(CustodyError::Silent)));
        assert!(key.try_sign(b"text").is_ok() && key.custody.answers(), "others go on");
    }

    #[test]
    fn whoever_drops_it_last_waits_until_the_token_is_closed() {
        struct Slow(Soft, Arc<AtomicBool>);
        impl KeyToken for Slow {
            fn make(&mut self) -> Result<PublicKey, KeyTokenError> {
                self.0.make()
            }
            fn keep(&mut self, key: &PublicKey, label: &str) -> Result<(), KeyTokenError> {
                self.0.keep(key, label)
            }
            fn label(&mut self, key: &PublicKey) -> Result<Option<String>, KeyTokenError> {
                self.0.label(key)
            }
            fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], KeyTokenError> {
                self.0.sign(key, message)
            }
            fn destroy(&mut self, key: &PublicKey) -> Result<(), KeyTokenError> {
                self.0.destroy(key)
            }
        }
        impl Drop for Slow {
            fn drop(&mut self) {
                std::thread::sleep(Duration::from_millis(100));
                self.1.store(true, Ordering::Relaxed);
            }
        }
        let closed = Arc::new(AtomicBool::new(false));
        let token = Slow(Soft::default(), Arc::clone(&closed));
        let custody = Custody::start(Duration::from_secs(5), Box::new(token)).expect("a thread");
        drop(custody.clone());
        assert!(!closed.load(Ordering::Relaxed));
        drop(custody);
        assert!(closed.load(Ordering::Relaxed));
    }

    #[test]
    fn a_label_names_centre_kind_and_key() {
        let label = label_of(KmcId([0xAB; 32]), CentreKey::Checkpoint, &PublicKey([0xCD; 32]));
        assert_eq!(label, "payhsm/kmc/abababababababab/checkpoint/cdcdcdcdcdcdcdcd");
        assert!(label.len() <= 64);
    }
}
