//! What a node has refused and is brought again: it says so once, and asks less and less often while the same comes.
//! Every request and every refusal is an entry of the manager's log, and nothing gets better by repeating it at once.

use super::retry::Retry;
use keylink::message::{Reason, Refused};
use keylink::{Digest, Signed};
use std::time::Duration;

/// Longest pause: an order that comes instead waits no longer.
const LONGEST: Duration = Duration::from_secs(60);

/// Refusals of the mail before.
#[derive(Debug, Default)]
pub(super) struct Declined {
    told: Vec<(Digest, Reason)>,
    retry: Retry,
}

impl Declined {
    /// Mail was answered with `said`: takes out what was said to the same before. Gives how long not to ask, if something
    /// of it was refused; `random` is drawn anew.
    pub(super) fn judge(&mut self, said: &mut Vec<Signed>, random: u64) -> Option<Duration> {
        let refusals: Vec<_> = said.iter().filter_map(refusal).collect();
        let is_old = |(message, _): &(Digest, Reason)| self.told.iter().any(|(told, _)| told == message);
        if !refusals.iter().any(is_old) {
            self.retry.reset();
        }
        said.retain(|one| refusal(one).is_none_or(|refusal| !self.told.contains(&refusal)));
        self.told = refusals;
        (!self.told.is_empty()).then(|| self.retry.next(random).min(LONGEST))
    }

    /// Whether it was heard is not known: it is said again.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }
}

fn refusal(signed: &Signed) -> Option<(Digest, Reason)> {
    let refused = (signed.kind == "refused").then(|| signed.peek::<Refused>().ok())??;
    Some((refused.message, refused.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylink::message::{Audience, Head};
    use keylink::wire::U64;
    use keylink::{KmcId, NodeId, SoftSigner};

    fn refused(message: u8, reason: Reason) -> Signed {
        let head = Head {
            version: 1,
            kmc: KmcId([1; 32]),
            audience: Audience::Kmc,
            epoch: U64(1),
            seq: U64(1),
            not_after: U64(1),
        };
        let message = Digest([message; 32]);
        let (key_set, generation, utc_ms) = (None, None, U64(1));
        let body = Refused { head, node: NodeId([2; 32]), message, reason, key_set, generation, utc_ms };
        Signed::seal(&body, &SoftSigner::new(&[3; 32]))
    }

    #[test]
    fn the_same_is_told_once_and_asked_for_less_and_less() {
        let mut declined = Declined::default();
        let mut ask = |refusals: &[Signed]| {
            let mut said = refusals.to_vec();
            let wait = declined.judge(&mut said, u64::MAX);
            (said.len(), wait.map_or(0, |wait| wait.as_millis()))
        };
        let clock = [refused(1, Reason::Clock)];
        let (told, first) = ask(&clock);
        assert!(told == 1 && (500..=1_000).contains(&first), "{first}");
        let mut waits = vec![first];
        for _ in 0..10 {
            let (told, wait) = ask(&clock);
            assert_eq!(told, 0);
            waits.push(wait);
        }
        assert!(waits.is_sorted() && waits[10] == 60_000, "{waits:?}");
        // Another reason is news, and the pause is for the message.
        assert_eq!(ask(&[refused(1, Reason::NotApproved)]), (1, 60_000));
        // Another message is asked for at once, as if nothing had been.
        let (told, wait) = ask(&[refused(2, Reason::Clock)]);
        assert!(told == 1 && wait <= 1_000, "{wait}");
        // And mail that is taken ends it.
        assert_eq!(ask(&[]), (0, 0));
        assert_eq!(ask(&clock).0, 1);
    }

    // The shortest pauses that may be drawn.
    #[test]
    fn a_minute_of_the_same_is_few_requests() {
        let (mut declined, mut at, mut requests) = (Declined::default(), Duration::ZERO, 0);
        while at < Duration::from_secs(60) {
            let mut said = vec![refused(1, Reason::NotApproved)];
            let wait = declined.judge(&mut said, 0);
            requests += 1 + said.len();
            at += wait.expect("refused");
        }
        assert!(requests < 10, "{requests}");
    }

    #[test]
    fn what_may_be_lost_is_told_again() {
        let mut declined = Declined::default();
        let clock = vec![refused(1, Reason::Clock)];
        declined.judge(&mut clock.clone(), 0);
        declined.forget();
        let mut said = clock.clone();
        declined.judge(&mut said, 0);
        assert_eq!(said, clock);
    }
}
