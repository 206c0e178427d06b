//! When a node side says how it is: every half minute, and soon again when what it said was not taken or was long on its
//! way.
//!
//! The manager takes the time that a beat names for the time at which it comes: one that was held up makes this node's
//! clock look slow, and while a clock looks wrong no campaign tells anybody when to switch.

use super::retry::Retry;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

/// A beat whose answer took longer says little about the clock.
const HELD_UP: Duration = Duration::from_millis(300);

/// The beats of one node side. `T` is what the task of one ends with.
pub(super) struct Beats<T> {
    every: Duration,
    due: Instant,
    again: Retry,
    under_way: Option<(Instant, JoinHandle<T>)>,
}

impl<T> Beats<T> {
    /// The first is due at once.
    pub(super) fn begin(every: Duration, now: Instant) -> Self {
        Self { every, due: now, again: Retry::default(), under_way: None }
    }

    /// When the next is due.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// One was sent, or could not be signed; one before that was not answered yet is not waited for.
    pub(super) fn sent(&mut self, beat: Option<JoinHandle<T>>, now: Instant) {
        self.due = later(now, self.every);
        self.under_way = beat.map(|beat| (now, beat));
    }

    /// Ready when the last one was answered. Given up before that, nothing is lost.
    pub(super) async fn answered(&mut self) -> (Duration, Result<T, JoinError>) {
        let Some((since, beat)) = &mut self.under_way else { return core::future::pending().await };
        let answer = beat.await;
        let took = since.elapsed();
        self.under_way = None;
        (took, answer)
    }

    /// Whether the last one was taken, and after how long.
    pub(super) fn judge(&mut self, taken: bool, took: Duration, now: Instant, random: u64) {
        if taken && took <= HELD_UP {
            self.again.reset();
        } else {
            self.due = self.due.min(later(now, self.again.next(random)));
        }
    }
}

fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(30);

    fn pause(beats: &mut Beats<()>, taken: bool, took_ms: u64) -> Duration {
        let now = beats.due();
        beats.sent(None, now);
        beats.judge(taken, Duration::from_millis(took_ms), now, 0);
        beats.due().saturating_duration_since(now)
    }

    #[test]
    fn a_beat_that_was_held_up_or_lost_is_said_again_soon_and_ever_more_seldom() {
        let mut beats = Beats::begin(EVERY, Instant::now());
        assert_eq!(pause(&mut beats, true, 20), EVERY);
        let pauses =
            [(true, 900), (false, 5), (true, 31_000)].map(|(taken, ms)| pause(&mut beats, taken, ms));
        assert_eq!(pauses, [500, 1_000, 2_000].map(Duration::from_millis));
        let pauses: Vec<_> = (0..9).map(|_| pause(&mut beats, false, 5)).collect();
        assert!(pauses.is_sorted() && pauses.last() == Some(&EVERY), "{pauses:?}");
        assert_eq!(pause(&mut beats, true, 20), EVERY);
        assert_eq!(pause(&mut beats, false, 20), Duration::from_millis(500));
    }

    #[tokio::test]
    async fn an_answer_is_heard_once() {
        let mut beats = Beats::begin(EVERY, Instant::now());
        beats.sent(Some(tokio::spawn(async { 7 })), Instant::now());
        assert_eq!(beats.answered().await.1.expect("it ended"), 7);
        tokio::select! {
            biased;
            _ = beats.answered() => panic!("there is no other"),
            () = core::future::ready(()) => {}
        }
    }
}
