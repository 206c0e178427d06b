//! Whether the manager is reached: told when it is lost and when it is back, not at every try.

use std::time::Duration;
use tokio::time::Instant;

/// Since when it is as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    heard: Instant,
    lost: bool,
}

impl Contact {
    /// Nothing was heard yet, and nothing is lost.
    pub(super) fn begin(now: Instant) -> Self {
        Self { heard: now, lost: false }
    }

    /// The manager was not reached. When it is news: how long nothing was heard.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let news = !std::mem::replace(&mut self.lost, true);
        news.then(|| now.saturating_duration_since(self.heard))
    }

    /// Lost, and not back yet.
    #[cfg(test)]
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// The manager has answered. When it is news: how long it was away.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Duration> {
        let away = now.saturating_duration_since(std::mem::replace(&mut self.heard, now));
        std::mem::replace(&mut self.lost, false).then_some(away)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_once_and_so_is_its_end() {
        let began = Instant::now();
        let at = |s: u64| began.checked_add(Duration::from_secs(s)).unwrap();
        let mut contact = Contact::begin(began);
        assert_eq!(contact.answered(at(5)), None);
        assert_eq!(contact.failed(at(30)), Some(Duration::from_secs(25)));
        assert!((31..90).all(|s| contact.failed(at(s)).is_none()));
        assert_eq!(contact.answered(at(95)), Some(Duration::from_secs(90)));
        assert_eq!(contact.answered(at(96)), None);
        // And again.
        assert_eq!(contact.failed(at(98)), Some(Duration::from_secs(2)));
    }
}
