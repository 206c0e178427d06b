//! Work that goes on for as long as the process does. A panic in it costs what it was at and no more: without it the
//! process would look well, and nothing would ever become due.

use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Between a panic and the next beginning.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1_000 });

/// Does the work, and begins it anew after a panic. What it shares with others must hold whatever it was at: here that
/// is committed state, and memories that can be worked out again.
pub async fn again<F: Future<Output = ()>>(what: &'static str, mut work: impl FnMut() -> F) {
    while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        tracing::error!(what, "panicked; it begins anew");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn what_panics_begins_anew_and_what_ends_has_ended() {
        let begun = Cell::new(0);
        let work = || async {
            begun.set(begun.get() + 1);
            tokio::task::yield_now().await;
            assert!(begun.get() > 2, "not yet");
        };
        again("a test", work).await;
        assert_eq!(begun.get(), 3);
    }
}
