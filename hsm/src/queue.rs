//! The queue: handlers of commands are futures that put operations here and wait; whoever owns the thread
//! polls all of them, runs the backend once over everything that waits, and polls again.

use crate::error::as_cipher_error;
use crate::{Backend, HsmError, Key, KeyToken, KeyType, LmkId, LmkPurpose, Op, OpBatch, Outcome, SealAs};
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use paytypes::{Cipher, CipherError, CipherKind, ClearKey, Direction, KeyShape, MacAlgorithm, MacValue};
use std::rc::Rc;

#[derive(Default)]
struct Queue {
    epoch: u64,
    ran: OpBatch,
    next: OpBatch,
}

/// The operations of a backend, as handlers use them. Clones share one queue; single-threaded.
#[derive(Clone, Default)]
pub struct Hsm(Rc<RefCell<Queue>>);

impl Hsm {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
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

    // Puts an operation into the next batch and waits until that batch has run. A handler that was not
    // polled right after its batch has lost its answer, and must not read another command's.
    async fn wait(&self, op: Op, iv: &[u8], data: &[u8]) -> Result<usize, HsmError> {
        let (before, index) = {
            let mut queue = self.0.borrow_mut();
            (queue.epoch, queue.next.push(op, iv, data))
        };
        poll_fn(|_| if self.0.borrow().epoch == before { Poll::Pending } else { Poll::Ready(()) }).await;
        if self.0.borrow().epoch == before.wrapping_add(1) { Ok(index) } else { Err(HsmError::Backend) }
    }

    // An operation that changes its data.
    async fn call(&self, op: Op, iv: &[u8], data: &mut [u8]) -> Result<Outcome, HsmError> {
        let index = self.wait(op, iv, data).await?;
        self.0.borrow_mut().ran.take(index, data)
    }

    // An operation that only reads its data.
    async fn ask(&self, op: Op, iv: &[u8], data: &[u8]) -> Result<Outcome, HsmError> {
        let index = self.wait(op, iv, data).await?;
        self.0.borrow_mut().ran.take(index, &mut [])
    }

    async fn for_key(&self, op: Op, data: &[u8]) -> Result<Key, HsmError> {
        match self.ask(op, &[], data).await? {
            Outcome::Key(key) => Ok(key),
            _ => Err(HsmError::Backend),
        }
    }

    /// Opens a key token under an LMK. `key_type` selects pair and variant under a variant LMK.
    pub async fn open(&self, lmk: LmkId, key_type: KeyType, token: &KeyToken) -> Result<Key, HsmError> {
        self.for_key(Op::Open { lmk, key_type, scheme: token.scheme }, token.text()).await
    }

    /// Wraps a key under an LMK.
    pub async fn seal(&self, lmk: LmkId, key: &Key, form: SealAs) -> Result<KeyToken, HsmError> {
        match self.ask(Op::Seal { lmk, key: key.share(), form }, &[], &[]).await? {
            Outcome::Token(token) => Ok(token),
            _ => Err(HsmError::Backend),
        }
    }

    /// A new random key.
    pub async fn generate(&self, shape: KeyShape) -> Result<Key, HsmError> {
        self.for_key(Op::Generate { shape }, &[]).await
    }

    /// Fills `out` from the backend's random source.
    pub async fn random(&self, out: &mut [u8]) -> Result<(), HsmError> {
        self.call(Op::Random, &[], out).await.map(|_| ())
    }

    /// The clear bytes of a key, for an export format that the backend does not make itself.
    pub async fn reveal(&self, key: &Key) -> Result<ClearKey, HsmError> {
        match self.ask(Op::Reveal { key: key.share() }, &[], &[]).await? {
            Outcome::Clear(clear) => Ok(clear),
            _ => Err(HsmError::Backend),
        }
    }

    /// A working key of an LMK that wraps other things than keys.
    pub async fn lmk_key(&self, lmk: LmkId, purpose: LmkPurpose) -> Result<Key, HsmError> {
        self.for_key(Op::LmkKey { lmk, purpose }, &[]).await
    }
}

impl Cipher for Hsm {
    type Key = Key;

    fn shape(&self, key: &Key) -> KeyShape {
        key.attributes().shape
    }

    async fn load(&self, kind: CipherKind, clear: &[u8]) -> Result<Key, CipherError> {
        self.for_key(Op::Load { kind }, clear).await.map_err(as_cipher_error)
    }

    async fn variant(&self, key: &Key, mask: &[u8]) -> Result<Key, CipherError> {
        self.for_key(Op::Variant { key: key.share() }, mask).await.map_err(as_cipher_error)
    }

    async fn ecb(&self, key: &Key, way: Direction, data: &mut [u8]) -> Result<(), CipherError> {
        let op = Op::Ecb { key: key.share(), way };
        self.call(op, &[], data).await.map(|_| ()).map_err(as_cipher_error)
    }

    async fn cbc(&self, key: &Key, way: Direction, iv: &[u8], data: &mut [u8]) -> Result<(), CipherError> {
        let op = Op::Cbc { key: key.share(), way };
        self.call(op, iv, data).await.map(|_| ()).map_err(as_cipher_error)
    }

    async fn mac(
        &self,
        key: &Key,
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> Result<MacValue, CipherError> {
        let op = Op::Mac { key: key.share(), algorithm };
        match self.ask(op, iv, data).await.map_err(as_cipher_error)? {
            Outcome::Mac(mac) => Ok(mac),
            _ => Err(CipherError::Backend),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackendClass, Binding, Hygiene, KeyAttributes, LmkInfo, join};
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Waker};

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
