//! The queue: handlers of commands are futures that put operations here and wait; whoever owns the thread
//! polls all of them, runs the backend once over everything that waits, and polls again.

use crate::cache::KeyCache;
use crate::error::as_cipher_error;
use crate::{Backend, HsmError, Key, KeyToken, KeyType, LmkId, LmkPurpose, Op, OpBatch, Outcome, SealAs};
use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll};
use paytypes::{Cipher, CipherError, CipherKind, ClearKey, Direction, KeyShape, MacAlgorithm, MacValue};
use std::rc::Rc;

/// Bytes that opened keys may take in a cache nobody sized.
const CACHE_BYTES: usize = 8 << 20;

struct Queue {
    epoch: u64,
    ran: OpBatch,
    next: OpBatch,
    opened: KeyCache,
    name: Vec<u8>,
}

/// The operations of a backend, as handlers use them, and the keys that it has opened for them. Clones share
/// one queue; single-threaded.
#[derive(Clone)]
pub struct Hsm(Rc<RefCell<Queue>>);

impl Default for Hsm {
    fn default() -> Self {
        Self::with_cache(CACHE_BYTES)
    }
}

impl Hsm {
    /// An empty queue with a cache of the usual size.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty queue that keeps opened keys in so many bytes; 0 opens a key anew at every use.
    pub fn with_cache(bytes: usize) -> Self {
        let (ran, next) = (OpBatch::default(), OpBatch::default());
        let (opened, name) = (KeyCache::new(bytes), Vec::with_capacity(256));
        Self(Rc::new(RefCell::new(Queue { epoch: 0, ran, next, opened, name })))
    }

    /// Number of operations that wait for [`Hsm::run`].
    pub fn waiting(&self) -> usize {
        self.0.borrow().next.len()
    }

    /// Runs everything that waits, in one batch. Answers that nobody took since the last run are dropped.
    pub fn run(&self, backend: &mut dyn Backend) {
        let mut batch = {
            let mut queue = self.0.borrow_mut();
            let queue = &mut *queue;
            queue.epoch = queue.epoch.wrapping_add(1);
            core::mem::swap(&mut queue.ran, &mut queue.next);
            queue.next.clear();
            core::mem::take(&mut queue.ran)
        };
        backend.run(&mut batch);
        self.0.borrow_mut().ran = batch;
    }

    // Puts an operation into the next batch that only reads its data.
    fn ask<T>(&self, op: Op, iv: &[u8], data: &[u8], pick: Pick<T>) -> Call<'_, 'static, T> {
        let (before, index) = self.put(op, iv, data);
        Call { hsm: self, before, index, back: &mut [], pick }
    }

    // One that changes its data.
    fn change<'d>(&self, op: Op, iv: &[u8], data: &'d mut [u8]) -> Call<'_, 'd, ()> {
        let (before, index) = self.put(op, iv, data);
        Call { hsm: self, before, index, back: data, pick: done }
    }

    fn put(&self, op: Op, iv: &[u8], data: &[u8]) -> (u64, usize) {
        let mut queue = self.0.borrow_mut();
        (queue.epoch, queue.next.push(op, iv, data))
    }

    /// Opens a key token under an LMK. `key_type` selects pair and variant under a variant LMK. A key that was
    /// opened before is there at once, and the backend is not asked.
    pub fn open(&self, lmk: LmkId, key_type: KeyType, token: &KeyToken) -> Opening<'_> {
        let op = Op::Open { lmk, key_type, scheme: token.scheme };
        let cached = self.0.borrow_mut().find(&op, token.text());
        match cached {
            Some(key) => Opening::Cached(Some(key)),
            None => Opening::Asked(self.ask(op, &[], token.text(), key)),
        }
    }

    /// Forgets the key that was opened from this token: it is wiped with its last handle.
    pub fn forget(&self, token: &KeyToken) {
        self.0.borrow_mut().opened.forget(token.text());
    }

    /// Wraps a key under an LMK.
    pub fn seal(&self, lmk: LmkId, key: &Key, form: SealAs) -> Call<'_, 'static, KeyToken> {
        self.ask(Op::Seal { lmk, key: key.share(), form: Box::new(form) }, &[], &[], token)
    }

    /// A new random key.
    pub fn generate(&self, shape: KeyShape) -> Call<'_, 'static, Key> {
        self.ask(Op::Generate { shape }, &[], &[], key)
    }

    /// Fills `out` from the backend's random source.
    pub fn random<'d>(&self, out: &'d mut [u8]) -> Call<'_, 'd, ()> {
        self.change(Op::Random, &[], out)
    }

    /// The clear bytes of a key, for an export format that the backend does not make itself.
    pub fn reveal(&self, key: &Key) -> Call<'_, 'static, ClearKey> {
        self.ask(Op::Reveal { key: key.share() }, &[], &[], clear)
    }

    /// A working key of an LMK that wraps other things than keys.
    pub fn lmk_key(&self, lmk: LmkId, purpose: LmkPurpose) -> Call<'_, 'static, Key> {
        self.ask(Op::LmkKey { lmk, purpose }, &[], &[], key)
    }
}

/// What an operation must have given.
type Pick<T> = fn(Outcome) -> Option<T>;

fn key(outcome: Outcome) -> Option<Key> {
    if let Outcome::Key(key) = outcome { Some(key) } else { None }
}

fn token(outcome: Outcome) -> Option<KeyToken> {
    if let Outcome::Token(token) = outcome { Some(*token) } else { None }
}

fn clear(outcome: Outcome) -> Option<ClearKey> {
    if let Outcome::Clear(clear) = outcome { Some(clear) } else { None }
}

fn mac(outcome: Outcome) -> Option<MacValue> {
    if let Outcome::Mac(mac) = outcome { Some(mac) } else { None }
}

fn done(outcome: Outcome) -> Option<()> {
    matches!(outcome, Outcome::Done).then_some(())
}

/// An operation that waits in the queue. It was put there when this was made, and is answered by the run that
/// follows; whoever is not polled between that run and the next has lost the answer, and gets an error
/// instead of another command's.
#[must_use = "the answer is there when this is awaited"]
pub struct Call<'h, 'd, T> {
    hsm: &'h Hsm,
    before: u64,
    index: usize,
    back: &'d mut [u8],
    pick: Pick<T>,
}

impl<T> Future for Call<'_, '_, T> {
    type Output = Result<T, HsmError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let call = &mut *self;
        let mut queue = call.hsm.0.borrow_mut();
        if queue.epoch == call.before {
            return Poll::Pending;
        }
        if queue.epoch != call.before.wrapping_add(1) {
            return Poll::Ready(Err(HsmError::Backend));
        }
        let taken = queue.ran.take(call.index, call.back);
        Poll::Ready(taken.and_then(|outcome| (call.pick)(outcome).ok_or(HsmError::Backend)))
    }
}

/// A key that is being opened.
#[must_use = "the key is there when this is awaited"]
pub enum Opening<'h> {
    /// It was opened before.
    Cached(Option<Key>),
    /// The backend was asked.
    Asked(Call<'h, 'static, Key>),
}

impl Future for Opening<'_> {
    type Output = Result<Key, HsmError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Cached(key) => Poll::Ready(key.take().ok_or(HsmError::Backend)),
            Self::Asked(call) => {
                let answer = Pin::new(&mut *call).poll(cx);
                if let Poll::Ready(Ok(key)) = &answer {
                    call.hsm.0.borrow_mut().keep(call.index, key);
                }
                answer
            }
        }
    }
}

impl Queue {
    fn find(&mut self, op: &Op, text: &[u8]) -> Option<Key> {
        write_name(&mut self.name, op, text);
        self.opened.get(&self.name)
    }

    // Keeps a key under the name by which it was asked for.
    fn keep(&mut self, index: usize, key: &Key) {
        if let Some(view) = self.ran.view(index) {
            write_name(&mut self.name, view.op, view.data);
            self.opened.put(&self.name, key);
        }
    }
}

// LMK, scheme, type and text: what a token means depends on all of them.
fn write_name(name: &mut Vec<u8>, op: &Op, text: &[u8]) {
    name.clear();
    if let Op::Open { lmk, key_type, scheme } = op {
        name.extend_from_slice(&[lmk.0, scheme.tag().unwrap_or_default()]);
        name.extend_from_slice(&key_type.0);
    }
    name.extend_from_slice(text);
}

// Formulas over the trait know cipher errors only.
struct ForFormula<'h, 'd, T>(Call<'h, 'd, T>);

impl<T> Future for ForFormula<'_, '_, T> {
    type Output = Result<T, CipherError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.map_err(as_cipher_error))
    }
}

impl Cipher for Hsm {
    type Key = Key;

    fn shape(&self, key: &Key) -> KeyShape {
        key.attributes().shape
    }

    fn load(&self, kind: CipherKind, clear: &[u8]) -> impl Future<Output = Result<Key, CipherError>> {
        ForFormula(self.ask(Op::Load { kind }, &[], clear, key))
    }

    fn variant(&self, of: &Key, mask: &[u8]) -> impl Future<Output = Result<Key, CipherError>> {
        ForFormula(self.ask(Op::Variant { key: of.share() }, &[], mask, key))
    }

    fn ecb(
        &self,
        key: &Key,
        way: Direction,
        data: &mut [u8],
    ) -> impl Future<Output = Result<(), CipherError>> {
        ForFormula(self.change(Op::Ecb { key: key.share(), way }, &[], data))
    }

    fn cbc(
        &self,
        key: &Key,
        way: Direction,
        iv: &[u8],
        data: &mut [u8],
    ) -> impl Future<Output = Result<(), CipherError>> {
        ForFormula(self.change(Op::Cbc { key: key.share(), way }, iv, data))
    }

    fn mac(
        &self,
        key: &Key,
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> impl Future<Output = Result<MacValue, CipherError>> {
        ForFormula(self.ask(Op::Mac { key: key.share(), algorithm }, iv, data, mac))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackendClass, Binding, Hygiene, KeyAttributes, LmkInfo, join};
    use core::pin::pin;
    use core::task::Waker;

    // Counts batches; "encrypts" by adding one to every byte.
    #[derive(Default)]
    struct Toy {
        batches: Vec<usize>,
    }

    impl Backend for Toy {
        fn run(&mut self, ops: &mut OpBatch) {
            self.batches.push(ops.len());
            ops.for_each(|op, _, data| match op {
                Op::Ecb { .. } => {
                    data.iter_mut().for_each(|b| *b += 1);
                    Ok(Outcome::Done)
                }
                Op::Load { kind } => {
                    let attributes = KeyAttributes {
                        shape: KeyShape { kind: *kind, length: data.len() },
                        binding: Binding::Session,
                        hygiene: Hygiene::GOOD,
                    };
                    Ok(Outcome::Key(Key::new(attributes, ())))
                }
                _ => Err(HsmError::Backend),
            });
        }
        fn lmks(&self) -> &[LmkInfo] {
            &[]
        }
        fn class(&self) -> BackendClass {
            BackendClass::C
        }
    }

    async fn twice(hsm: Hsm, start: u8) -> [u8; 8] {
        let key = hsm.load(CipherKind::Tdes, &[1; 16]).await.unwrap();
        let (mut a, mut b) = ([start; 8], [start; 8]);
        let (x, y) =
            join(hsm.ecb(&key, Direction::Encrypt, &mut a), hsm.ecb(&key, Direction::Encrypt, &mut b)).await;
        x.unwrap();
        y.unwrap();
        hsm.ecb(&key, Direction::Encrypt, &mut a).await.unwrap();
        a
    }

    #[test]
    fn operations_of_all_handlers_share_batches() {
        let hsm = Hsm::new();
        let mut toy = Toy::default();
        let (mut one, mut two) = (pin!(twice(hsm.clone(), 1)), pin!(twice(hsm.clone(), 10)));
        let mut cx = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (Poll::Pending, Poll::Pending);
        while first.is_pending() || second.is_pending() {
            if first.is_pending() {
                first = one.as_mut().poll(&mut cx);
            }
            if second.is_pending() {
                second = two.as_mut().poll(&mut cx);
            }
            if hsm.waiting() > 0 {
                hsm.run(&mut toy);
            }
        }
        assert_eq!(first, Poll::Ready([3; 8]));
        assert_eq!(second, Poll::Ready([12; 8]));
        assert_eq!(toy.batches, [2, 4, 2]);
    }

    #[test]
    fn a_handler_that_missed_its_batch_gets_an_error_not_another_answer() {
        let hsm = Hsm::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut late = pin!(hsm.load(CipherKind::Tdes, &[1; 16]));
        assert!(late.as_mut().poll(&mut cx).is_pending());
        hsm.run(&mut Toy::default());
        hsm.run(&mut Toy::default());
        assert!(matches!(late.as_mut().poll(&mut cx), Poll::Ready(Err(CipherError::Backend))));
    }

    #[test]
    fn abandoned_operations_harm_nobody() {
        let hsm = Hsm::new();
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut dropped = pin!(hsm.load(CipherKind::Tdes, &[1; 16]));
            assert!(dropped.as_mut().poll(&mut cx).is_pending());
        }
        let mut kept = pin!(hsm.load(CipherKind::Aes, &[1; 16]));
        assert!(kept.as_mut().poll(&mut cx).is_pending());
        hsm.run(&mut Toy::default());
        match kept.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(key)) => assert_eq!(key.attributes().shape.kind, CipherKind::Aes),
            _ => unreachable!("one run answers it"),
        }
    }
}
