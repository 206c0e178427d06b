//! How often a token may be asked to take a PIN that it refused. Tokens lock after a few failures, so a worker
//! that could not log in must not be started over and over.

use std::time::{Duration, Instant};

/// A refused login is not followed by another try for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// Refused logins in succession, after which nobody tries any more until the program is started anew.
const FAILURES_MAX: u32 = 2;

/// The logins of all workers of one token.
#[derive(Debug, Default)]
pub(super) struct Logins {
    failures: u32,
    last: Option<Instant>,
}

impl Logins {
    /// A worker is logged in.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The token refused the PIN.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
    }

    /// How many refusals may follow.
    pub(super) fn left(&self) -> usize {
        usize::try_from(FAILURES_MAX.saturating_sub(self.failures)).unwrap_or_default()
    }

    /// True when nobody may try any more.
    pub(super) const fn is_closed(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// How long nobody may try.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| PAUSE.saturating_sub(now.saturating_duration_since(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_in_succession_and_five_seconds_between() {
        let start = Instant::now();
        let mut logins = Logins::default();
        assert_eq!((logins.is_closed(), logins.wait(start)), (false, Duration::ZERO));
        assert_eq!(logins.left(), 2);
        logins.failed(start);
        assert_eq!((logins.is_closed(), logins.wait(start), logins.left()), (false, PAUSE, 1));
        assert_eq!(logins.wait(start + PAUSE), Duration::ZERO);
        logins.succeeded();
        assert_eq!(logins.wait(start), Duration::ZERO);
        logins.failed(start);
        logins.failed(start + PAUSE);
        assert_eq!((logins.is_closed(), logins.left()), (true, 0));
    }
}
