//! A node's signature key in a token, on a thread of its own: what is asked of the token is waited for a bounded time.
//! A token that did not sign is left alone for a pause that grows, and meanwhile nobody waits for it. A signature is
//! looked at before anybody has it, since a module may answer with something else. How one talks with a token is
//! unknown here.

use keylink::{NodeId, NotSigned, PublicKey, TrySign};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long a signature is waited for, and a key that is made.
const PATIENCE: Duration = Duration::from_secs(2);
const MAKING: Duration = Duration::from_secs(30);

/// The pause after a failure, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What a token said when it did not do something; holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("token: {0}")]
pub struct TokenFault(pub String);

/// A token in which Ed25519 keys are made, which sign there and never leave it. Used from one thread.
pub trait KeyToken: Send {
    /// Makes a key that signs; it is lost with this process if it is not kept.
    fn make(&mut self) -> Result<PublicKey, TokenFault>;
    /// Keeps a key that was made, under a label that nothing else has.
    fn keep(&mut self, key: &PublicKey, label: &str) -> Result<(), TokenFault>;
    /// True when the token holds both halves of a key.
    fn holds(&mut self, key: &PublicKey) -> Result<bool, TokenFault>;
    /// Signs.
    fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], TokenFault>;
    /// Destroys what is there of a key; one that is not there is no failure.
    fn destroy(&mut self, key: &PublicKey) -> Result<(), TokenFault>;
}

/// Label of a node's key in a token.
pub fn label_of(public: &PublicKey) -> String {
    let node = NodeId::of(public).to_string();
    format!("payhsm/node/{}", node.get(..16).unwrap_or(&node))
}

type Job = Box<dyn FnOnce(&mut dyn KeyToken) + Send>;

#[derive(Default)]
struct Mood {
    failures: u32,
    not_before: Option<Instant>,
}

// The way to the thread. Whoever drops it waits until the token is closed: a module that is still at work while the
// process ends may bring it down.
struct Line {
    jobs: Option<mpsc::Sender<Job>>,
    closed: Mutex<mpsc::Receiver<()>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let closed = self.closed.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = closed.recv_timeout(PATIENCE);
    }
}

/// The token at work; clones share it. Its thread ends with the last.
#[derive(Clone)]
pub struct Custody {
    line: Arc<Line>,
    busy: Arc<AtomicBool>,
    mood: Arc<Mutex<Mood>>,
    patience: Duration,
}

impl std::fmt::Debug for Custody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Custody")
    }
}

impl Custody {
    /// Starts the thread.
    pub fn start(token: Box<dyn KeyToken>) -> std::io::Result<Self> {
        Self::patient(token, PATIENCE)
    }

    fn patient(mut token: Box<dyn KeyToken>, patience: Duration) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (open, closed) = mpsc::channel::<()>();
        let work = move || {
            waiting.iter().for_each(|job| job(token.as_mut()));
            drop(token);
            drop(open);
        };
        std::thread::Builder::new().name("node-token".to_owned()).spawn(work)?;
        let line = Arc::new(Line { jobs: Some(jobs), closed: Mutex::new(closed) });
        Ok(Self { line, busy: Arc::default(), mood: Arc::default(), patience })
    }

    // One thing at a time: behind what hangs nobody waits.
    fn call<T: Send + 'static>(
        &self,
        within: Duration,
        job: impl FnOnce(&mut dyn KeyToken) -> Result<T, TokenFault> + Send + 'static,
    ) -> Result<T, TokenFault> {
        let silent = || TokenFault("it does not answer".to_owned());
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(silent());
        }
        let (answer, waiting) = mpsc::sync_channel(1);
        let busy = Arc::clone(&self.busy);
        let job: Job = Box::new(move |token| {
            let done = job(token);
            // Before the answer, behind which the next question may come.
            busy.store(false, Ordering::Release);
            let _ = answer.send(done);
        });
        let jobs = self.line.jobs.as_ref().ok_or_else(silent)?;
        jobs.send(job).map_err(|_| silent())?;
        waiting.recv_timeout(within).unwrap_or_else(|_| Err(silent()))
    }

    /// True when the token holds a key.
    pub(super) fn holds(&self, key: PublicKey) -> Result<bool, TokenFault> {
        self.call(MAKING, move |token| token.holds(&key))
    }

    /// Makes a key. The caller writes down which one before the token keeps it.
    pub(super) fn make(&self) -> Result<PublicKey, TokenFault> {
        self.call(MAKING, |token| token.make())
    }

    /// Has the token keep a key that was made.
    pub(super) fn keep(&self, key: PublicKey) -> Result<(), TokenFault> {
        self.call(MAKING, move |token| token.keep(&key, &label_of(&key)))
    }

    /// Destroys what is there of a key that nobody was told of.
    pub(super) fn destroy(&self, key: PublicKey) -> Result<(), TokenFault> {
        self.call(MAKING, move |token| token.destroy(&key))
    }

    /// What signs with a key of the token.
    pub(super) fn signer(&self, public: PublicKey) -> Arc<dyn TrySign> {
        Arc::new(TokenKey { custody: self.clone(), public })
    }

    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_left_alone(&self) -> bool {
        self.mood().not_before.is_some_and(|until| Instant::now() < until)
    }

    fn signed(&self) {
        if std::mem::take(&mut *self.mood()).failures > 0 {
            tracing::info!("the token with this node's signature key signs again");
        }
    }

    fn failed(&self, fault: &TokenFault) {
        let mut mood = self.mood();
        if mood.failures == 0 {
            tracing::error!(
                %fault,
                "this node's signature key does not sign: it says and takes nothing, traffic goes on"
            );
        }
        let pause = PAUSE.0.saturating_mul(1 << mood.failures.min(16)).min(PAUSE.1);
        mood.failures = mood.failures.saturating_add(1);
        mood.not_before = Instant::now().checked_add(pause);
    }
}

struct TokenKey {
    custody: Custody,
    public: PublicKey,
}

impl TrySign for TokenKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        if self.custody.is_left_alone() {
            return Err(NotSigned);
        }
        let (key, text) = (self.public, message.to_vec());
        let signed = self.custody.call(self.custody.patience, move |token| {
            let signature = token.sign(&key, &text)?;
            match key.verify(&text, &signature) {
                Ok(()) => Ok(signature),
                Err(_) => Err(TokenFault("what it gave is no signature by this key".to_owned())),
            }
        });
        match &signed {
            Ok(_) => self.custody.signed(),
            Err(fault) => self.custody.failed(fault),
        }
        signed.map_err(|_| NotSigned)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use keylink::{Sign, SoftSigner};
    use std::collections::HashMap;

    /// A token in memory that does what a test says.
    #[derive(Clone, Default)]
    pub struct Soft(pub Arc<Mutex<State>>);

    #[derive(Default)]
    pub struct State {
        next: u8,
        made: HashMap<PublicKey, u8>,
        pub kept: HashMap<PublicKey, u8>,
        pub hang: Duration,
        pub fails: bool,
        pub fails_to_keep: bool,
        pub lies: bool,
        pub calls: usize,
    }

    impl Soft {
        fn now(&self) -> Result<MutexGuard<'_, State>, TokenFault> {
            let hang = std::mem::take(&mut self.0.lock().expect("no panic").hang);
            std::thread::sleep(hang);
            let mut state = self.0.lock().expect("no panic");
            state.calls += 1;
            if state.fails { Err(TokenFault("CKR_DEVICE_REMOVED".to_owned())) } else { Ok(state) }
        }
    }

    impl KeyToken for Soft {
        fn make(&mut self) -> Result<PublicKey, TokenFault> {
            let mut state = self.now()?;
            state.next += 1;
            let seed = state.next;
            let key = SoftSigner::new(&[seed; 32]).key();
            state.made.insert(key, seed);
            Ok(key)
        }

        fn keep(&mut self, key: &PublicKey, _: &str) -> Result<(), TokenFault> {
            let mut state = self.now()?;
            if state.fails_to_keep {
                return Err(TokenFault("CKR_DEVICE_MEMORY".to_owned()));
            }
            let seed = state.made.remove(key).ok_or_else(|| TokenFault("no such key".to_owned()))?;
            state.kept.insert(*key, seed);
            Ok(())
        }

        fn holds(&mut self, key: &PublicKey) -> Result<bool, TokenFault> {
            Ok(self.now()?.kept.contains_key(key))
        }

        fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], TokenFault> {
            let state = self.now()?;
            let seed = state.kept.get(key).ok_or_else(|| TokenFault("no such key".to_owned()))?;
            let mut signature = SoftSigner::new(&[*seed; 32]).sign(message);
            signature[0] ^= u8::from(state.lies);
            Ok(signature)
        }

        fn destroy(&mut self, key: &PublicKey) -> Result<(), TokenFault> {
            self.now()?.kept.remove(key);
            Ok(())
        }
    }

    fn begin(patience_ms: u64) -> (Soft, Custody, Arc<dyn TrySign>) {
        let token = Soft::default();
        let patience = Duration::from_millis(patience_ms);
        let custody = Custody::patient(Box::new(token.clone()), patience).expect("a thread");
        let key = custody.make().expect("made");
        custody.keep(key).expect("kept");
        let signer = custody.signer(key);
        (token, custody, signer)
    }

    #[test]
    fn a_token_that_fails_or_lies_is_left_alone_for_a_pause_that_grows() {
        let (token, custody, signer) = begin(5_000);
        assert!(signer.try_sign(b"text").is_ok());
        for lies in [false, true] {
            {
                let mut state = token.0.lock().expect("no panic");
                (state.fails, state.lies) = (!lies, lies);
            }
            for failures in 1..=8 {
                assert!(signer.try_sign(b"text").is_err());
                let calls = token.0.lock().expect("no panic").calls;
                assert!(signer.try_sign(b"text").is_err());
                assert_eq!(token.0.lock().expect("no panic").calls, calls, "not asked in its pause");
                let until = custody.mood().not_before.take().expect("a pause");
                let pause = until.saturating_duration_since(Instant::now());
                let most = Duration::from_secs((1 << (failures - 1)).min(30));
                assert!(pause <= most && pause + Duration::from_secs(1) > most, "{failures}: {pause:?}");
            }
            {
                let mut state = token.0.lock().expect("no panic");
                (state.fails, state.lies) = (false, false);
            }
            assert!(signer.try_sign(b"text").is_ok(), "it is used again");
            assert_eq!(custody.mood().failures, 0);
        }
    }

    #[test]
    fn a_call_that_hangs_is_waited_for_once() {
        let (token, custody, signer) = begin(200);
        token.0.lock().expect("no panic").hang = Duration::from_millis(1_500);
        let began = Instant::now();
        assert!(signer.try_sign(b"text").is_err());
        assert!(began.elapsed() >= Duration::from_millis(200));
        custody.mood().not_before = None;
        let again = Instant::now();
        assert!(signer.try_sign(b"text").is_err());
        assert!(again.elapsed() < Duration::from_millis(150), "at once: {:?}", again.elapsed());
        std::thread::sleep(Duration::from_millis(1_600));
        custody.mood().not_before = None;
        assert!(signer.try_sign(b"text").is_ok(), "it is used again");
    }

    #[test]
    fn a_label_names_the_node() {
        let key = PublicKey([0xCD; 32]);
        let label = label_of(&key);
        assert!(label.starts_with("payhsm/node/") && label.len() == 28, "{label}");
        assert!(NodeId::of(&key).to_string().starts_with(&label[12..]));
    }
}
