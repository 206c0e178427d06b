//! The queue: handlers of commands are futures that put operations here and wait; whoever owns the thread
//! polls all of them, runs the backend once over everything that waits, and polls again.

use crate::cache::{KeyCache, Meaning};
use crate::error::as_cipher_error;
use crate::{Backend, HsmError, Key, KeyToken, KeyType, LmkId, LmkPurpose, Op, OpBatch, Outcome, SealAs};
use core::cell::{Cell, RefCell};
use core::pin::Pin;
use core::task::{Context, Poll};
use paytypes::{
    Cipher, CipherError, CipherKind, ClearKey, Direction, DukptKey, KeyShape, MacAlgorithm, MacValue,
};
use std::rc::Rc;

/// Bytes that opened keys may take in a cache nobody sized: some 64,000 TDES keys under a variant LMK.
const CACHE_BYTES: usize = 16 << 20;

struct Shared {
    /// Counts runs; nothing waits for as many as would bring it around.
    epoch: Cell<u32>,
    queue: RefCell<Queue>,
}

struct Queue {
    ran: OpBatch,
    next: OpBatch,
    opened: KeyCache,
}

/// The operations of a backend, as handlers use them, and the keys that it has opened for them. Clones share
/// one queue; single-threaded.
#[derive(Clone)]
pub struct Hsm(Rc<Shared>);

impl Default for Hsm {
    fn default() -> Self {
        Self::with_cache(CACHE_BYTES)
    }
}

/// Where an operation waits.
#[derive(Clone, Copy, Debug)]
struct Place {
    before: u32,
    index: u32,
}

/// Bit of the index of a single block. A part of its own would make a place too large for two registers.
const BLOCK: u32 = 1 << 31;

impl Place {
    #[inline]
    fn index(self) -> usize {
        usize::try_from(self.index & !BLOCK).unwrap_or(usize::MAX)
    }

    #[inline]
    const fn is_block(self) -> bool {
        self.index & BLOCK != 0
    }
}

impl Hsm {
    /// An empty queue with a cache of the usual size.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty queue that keeps opened keys in so many bytes; 0 opens a key anew at every use.
    pub fn with_cache(bytes: usize) -> Self {
        let (ran, next, opened) = (OpBatch::default(), OpBatch::default(), KeyCache::new(bytes));
        Self(Rc::new(Shared { epoch: Cell::new(0), queue: RefCell::new(Queue { ran, next, opened }) }))
    }

    /// Number of operations that wait for [`Hsm::run`].
    pub fn waiting(&self) -> usize {
        self.0.queue.borrow().next.all()
    }

    /// Runs everything that waits, in one batch. Answers that nobody took since the last run are dropped.
    pub fn run(&self, backend: &mut dyn Backend) {
        let mut batch = {
            let mut queue = self.0.queue.borrow_mut();
            let queue = &mut *queue;
            self.0.epoch.set(self.0.epoch.get().wrapping_add(1));
            core::mem::swap(&mut queue.ran, &mut queue.next);
            queue.next.clear();
            core::mem::take(&mut queue.ran)
        };
        if !backend.takes_apart() {
            batch.spread();
        }
        backend.run(&mut batch);
        self.0.queue.borrow_mut().ran = batch;
    }

    // Puts an operation into the next batch that only reads its data.
    fn ask<T>(&self, op: Op, iv: &[u8], data: &[u8], pick: Pick<T>) -> Call<'_, T> {
        Call { hsm: self, place: self.put(op, iv, data), pick }
    }

    // One that changes its data.
    #[inline]
    fn change<'d>(&self, op: Op, iv: &[u8], data: &'d mut [u8]) -> Change<'_, 'd> {
        Change { hsm: self, place: self.put(op, iv, data), back: data }
    }

    fn put(&self, op: Op, iv: &[u8], data: &[u8]) -> Place {
        let index = self.0.queue.borrow_mut().next.push(op, iv, data);
        self.place(index, 0)
    }

    // Electronic code book. One block of DES, which most operations are, is kept apart.
    #[inline(always)]
    fn put_ecb(&self, key: Key, way: Direction, data: &[u8]) -> Place {
        match <[u8; 8]>::try_from(data) {
            Ok(block) => self.place(self.0.queue.borrow_mut().next.push_block(key, way, block), BLOCK),
            Err(_) => self.put(Op::Ecb { key, way }, &[], data),
        }
    }

    #[inline]
    fn place(&self, index: usize, kind: u32) -> Place {
        // A batch of so many operations does not exist; were it there, the last would have no answer.
        Place { before: self.0.epoch.get(), index: u32::try_from(index).unwrap_or(!BLOCK) | kind }
    }

    /// Electronic code book over whole blocks, for whoever waits without a future: [`Hsm::answer`] gives the
    /// result.
    #[inline(always)]
    pub fn ask_ecb(&self, key: Key, way: Direction, data: &[u8]) -> Asked {
        Asked(self.put_ecb(key, way, data))
    }

    /// A working key of TDES DUKPT, in the same manner; [`Hsm::answer_key`] gives it.
    #[inline]
    pub fn ask_dukpt(&self, base: Key, which: &DukptKey) -> Asked {
        let DukptKey { ksn, mask, enciphered } = *which;
        Asked(self.put(Op::Dukpt { base, enciphered }, &ksn, &mask))
    }

    /// A key that was asked for; otherwise as [`Hsm::answer`].
    pub fn answer_key(&self, asked: &Asked) -> Poll<Result<Key, HsmError>> {
        let place = asked.0;
        self.answered(place, |queue| key(queue.ran.take(place.index())?).ok_or(HsmError::Backend))
    }

    /// So many random bytes, in the same manner.
    pub fn ask_random<const N: usize>(&self) -> Asked {
        Asked(self.put(Op::Random, &[], &[0; N]))
    }

    /// Writes the result of an operation to `out`, which is as long as its data; pending until the batch has
    /// run. Who asks later than before the next batch gets an error, as with [`Call`].
    #[inline]
    pub fn answer(&self, asked: &Asked, out: &mut [u8]) -> Poll<Result<(), HsmError>> {
        let place = asked.0;
        self.answered(place, |queue| queue.take_data(place, out))
    }

    // What an operation became, when the batch that it waits for has run.
    #[inline]
    fn answered<T>(
        &self,
        place: Place,
        take: impl FnOnce(&mut Queue) -> Result<T, HsmError>,
    ) -> Poll<Result<T, HsmError>> {
        match self.0.epoch.get().wrapping_sub(place.before) {
            0 => Poll::Pending,
            1 => Poll::Ready(take(&mut self.0.queue.borrow_mut())),
            _ => Poll::Ready(Err(HsmError::Backend)),
        }
    }

    /// Opens a key token under an LMK. `key_type` selects pair and variant under a variant LMK. A key that was
    /// opened before is there at once, and the backend is not asked. The token is not needed any longer when
    /// this returns, and the answer does not borrow anything.
    pub fn open(&self, lmk: LmkId, key_type: KeyType, token: &KeyToken) -> Opening {
        Opening(match self.look(lmk, key_type, token) {
            Found::Seen(key) => State::Cached(key),
            Found::Asked(asked) => State::Asked(self.clone(), asked),
        })
    }

    /// A key that was opened before; the backend is not asked.
    #[inline(always)]
    pub fn seen(&self, lmk: LmkId, key_type: KeyType, token: &KeyToken) -> Option<Key> {
        let opened = &mut self.0.queue.borrow_mut().opened;
        let name = opened.name(Meaning::new(lmk, token.scheme, key_type), token.text());
        opened.get(&name)
    }

    /// As [`Hsm::open`], for whoever waits without a future: [`Hsm::answer_opened`] gives a key that was asked for.
    #[inline(always)]
    pub fn look(&self, lmk: LmkId, key_type: KeyType, token: &KeyToken) -> Found {
        let queue = &mut *self.0.queue.borrow_mut();
        let name = queue.opened.name(Meaning::new(lmk, token.scheme, key_type), token.text());
        match queue.opened.get(&name) {
            Some(key) => Found::Seen(key),
            None => {
                let index = queue.next.push_token(lmk, key_type, token.scheme, &name);
                Found::Asked(AskedKey(self.place(index, 0)))
            }
        }
    }

    /// A key that was looked for in vain and opened then; otherwise as [`Hsm::answer`].
    #[inline]
    pub fn answer_opened(&self, asked: &AskedKey) -> Poll<Result<Key, HsmError>> {
        let place = asked.0;
        self.answered(place, |queue| queue.opened(place.index()))
    }

    /// Forgets the key that was opened from this token: it is wiped with its last handle.
    pub fn forget(&self, token: &KeyToken) {
        self.0.queue.borrow_mut().opened.forget(token.text());
    }

    /// Wraps a key under an LMK.
    pub fn seal(&self, lmk: LmkId, key: &Key, form: SealAs) -> Call<'_, KeyToken> {
        self.ask(Op::Seal { lmk, key: key.share(), form: Box::new(form) }, &[], &[], token)
    }

    /// A new random key.
    pub fn generate(&self, shape: KeyShape) -> Call<'_, Key> {
        self.ask(Op::Generate { shape }, &[], &[], key)
    }

    /// Fills `out` from the backend's random source.
    pub fn random<'d>(&self, out: &'d mut [u8]) -> Change<'_, 'd> {
        self.change(Op::Random, &[], out)
    }

    /// The clear bytes of a key, for an export format that the backend does not make itself.
    pub fn reveal(&self, key: &Key) -> Call<'_, Box<ClearKey>> {
        self.ask(Op::Reveal { key: key.share() }, &[], &[], clear)
    }

    /// A working key of an LMK that wraps other things than keys.
    pub fn lmk_key(&self, lmk: LmkId, purpose: LmkPurpose) -> Call<'_, Key> {
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

fn clear(outcome: Outcome) -> Option<Box<ClearKey>> {
    if let Outcome::Clear(clear) = outcome { Some(clear) } else { None }
}

fn mac(outcome: Outcome) -> Option<MacValue> {
    if let Outcome::Mac(mac) = outcome { Some(mac) } else { None }
}

/// An operation that waits in the queue, without anything borrowed.
#[must_use = "the answer has to be fetched"]
#[derive(Debug)]
pub struct Asked(Place);

/// A key that was looked for.
#[must_use = "a key that was asked for has to be fetched"]
#[derive(Debug)]
pub enum Found {
    /// It was opened before.
    Seen(Key),
    /// The backend was asked.
    Asked(AskedKey),
}

/// A key that waits in the queue to be opened, without anything borrowed.
#[must_use = "the key has to be fetched"]
#[derive(Debug)]
pub struct AskedKey(Place);

/// An operation that waits in the queue. It was put there when this was made, and is answered by the run that
/// follows; whoever is not polled between that run and the next has lost the answer, and gets an error
/// instead of another command's.
#[must_use = "the answer is there when this is awaited"]
pub struct Call<'h, T> {
    hsm: &'h Hsm,
    place: Place,
    pick: Pick<T>,
}

impl<T> Future for Call<'_, T> {
    type Output = Result<T, HsmError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let (place, pick) = (self.place, self.pick);
        self.hsm.answered(place, |queue| pick(queue.ran.take(place.index())?).ok_or(HsmError::Backend))
    }
}

/// An operation that changes its data, which is written back when the answer is taken. Waits as [`Call`] does.
#[must_use = "the data has changed when this is awaited"]
pub struct Change<'h, 'd> {
    hsm: &'h Hsm,
    place: Place,
    back: &'d mut [u8],
}

impl Future for Change<'_, '_> {
    type Output = Result<(), HsmError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { hsm, place, back } = &mut *self;
        hsm.answered(*place, |queue| queue.take_data(*place, back))
    }
}

/// A key that is being opened.
#[must_use = "the key is there when this is awaited"]
pub struct Opening(State);

enum State {
    /// It was opened before.
    Cached(Key),
    /// The backend was asked.
    Asked(Hsm, AskedKey),
    /// It was given.
    Given,
}

impl Future for Opening {
    type Output = Result<Key, HsmError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Asked(hsm, asked) = &self.0 {
            return hsm.answer_opened(asked);
        }
        match core::mem::replace(&mut self.0, State::Given) {
            State::Cached(key) => Poll::Ready(Ok(key)),
            _ => Poll::Ready(Err(HsmError::Backend)),
        }
    }
}

impl Queue {
    #[inline(always)]
    fn take_data(&mut self, place: Place, out: &mut [u8]) -> Result<(), HsmError> {
        if place.is_block() {
            self.ran.take_block(place.index(), out)
        } else {
            self.ran.take_data(place.index(), out)
        }
    }

    // Takes a key that was opened, and keeps it under the name by which it was asked for.
    #[inline]
    fn opened(&mut self, index: usize) -> Result<Key, HsmError> {
        let (key, name) = self.ran.take_key(index)?;
        self.opened.put(&name, &key);
        Ok(key)
    }
}

// Formulas over the trait know cipher errors only.
struct ForFormula<F>(F);

impl<T, F: Future<Output = Result<T, HsmError>> + Unpin> Future for ForFormula<F> {
    type Output = Result<T, CipherError>;

    #[inline]
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

    fn dukpt(&self, base: &Key, which: &DukptKey) -> impl Future<Output = Result<Key, CipherError>> {
        ForFormula(Call { hsm: self, place: self.ask_dukpt(base.share(), which).0, pick: key })
    }

    fn ecb(
        &self,
        key: &Key,
        way: Direction,
        data: &mut [u8],
    ) -> impl Future<Output = Result<(), CipherError>> {
        ForFormula(Change { hsm: self, place: self.put_ecb(key.share(), way, data), back: data })
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

    #[inline]
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
