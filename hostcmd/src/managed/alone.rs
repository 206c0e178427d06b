//! Running one piece of work outside of an engine.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use hsm::{Backend, Hsm};

/// Polls `work` to its end; the backend runs whenever it waits. `None` when it waits for something else than the
/// backend, which nothing here does.
pub fn run_alone<T>(hsm: &Hsm, backend: &mut dyn Backend, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return Some(done);
        }
        if hsm.waiting() == 0 {
            return None;
        }
        hsm.run(backend);
    }
}
