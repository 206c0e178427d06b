//! What is authorised, and until when. Time is given, on a clock that no one can set.

use hostcmd::{Activity, Authorised};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    At(Instant),
    // From the start of a server under test LMKs, as its command line said.
    WithProcess,
}

/// The grants of a server.
#[derive(Debug, Default)]
pub struct Grants(Vec<(Activity, End)>);

impl Grants {
    /// What stands from the start.
    pub fn from_start(authorised: Authorised) -> Self {
        let stands = Activity::ALL.into_iter().filter(|activity| authorised.allows(*activity));
        Self(stands.map(|activity| (activity, End::WithProcess)).collect())
    }

    /// Authorises until a moment; what was said of these activities before no longer counts.
    pub fn grant(&mut self, activities: &[Activity], until: Instant) {
        self.revoke(activities);
        self.0.extend(activities.iter().map(|activity| (*activity, End::At(until))));
    }

    /// Ends them.
    pub fn revoke(&mut self, activities: &[Activity]) {
        self.0.retain(|(activity, _)| !activities.contains(activity));
    }

    /// Ends what is over, and gives it.
    pub fn expire(&mut self, now: Instant) -> Vec<Activity> {
        let over = |end: &End| matches!(end, End::At(until) if *until <= now);
        let ended = self.0.iter().filter(|(_, end)| over(end)).map(|(activity, _)| *activity).collect();
        self.0.retain(|(_, end)| !over(end));
        ended
    }

    /// For the cores.
    pub fn authorised(&self) -> Authorised {
        self.0.iter().fold(Authorised::NONE, |all, (activity, _)| all.with(*activity))
    }

    /// When the next one ends.
    pub fn next_end(&self) -> Option<Instant> {
        let ends = self.0.iter().filter_map(|(_, end)| match end {
            End::At(until) => Some(*until),
            End::WithProcess => None,
        });
        ends.min()
    }

    /// Each activity with the time that is left; `None` until the end of the process.
    pub fn standing(&self, now: Instant) -> Vec<(Activity, Option<Duration>)> {
        let left = |end: &End| match end {
            End::At(until) => Some(until.saturating_duration_since(now)),
            End::WithProcess => None,
        };
        let alive = self.0.iter().filter(|(_, end)| left(end) != Some(Duration::ZERO));
        alive.map(|(activity, end)| (*activity, left(end))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_ends_at_its_moment_and_a_later_one_replaces_it() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut grants = Grants::default();
        grants.grant(&[Activity::ClearPin, Activity::Components], at(10));
        grants.grant(&[Activity::ClearPin], at(5));
        assert_eq!(grants.next_end(), Some(at(5)));
        assert!(grants.expire(at(4)).is_empty());
        assert_eq!(grants.expire(at(5)), [Activity::ClearPin]);
        assert_eq!(grants.authorised(), Authorised::NONE.with(Activity::Components));
        assert_eq!(grants.standing(at(7)), [(Activity::Components, Some(Duration::from_secs(3)))]);
        assert!(grants.standing(at(10)).is_empty());
        assert_eq!(grants.expire(at(99)), [Activity::Components]);
        assert_eq!((grants.authorised(), grants.next_end()), (Authorised::NONE, None));
    }

    #[test]
    fn what_stands_from_the_start_ends_by_revocation_only() {
        let mut grants = Grants::from_start(Authorised::ALL);
        let far = Instant::now() + Duration::from_secs(1 << 20);
        assert!(grants.expire(far).is_empty());
        grants.revoke(&[Activity::WeakExport]);
        assert!(!grants.authorised().allows(Activity::WeakExport));
        grants.revoke(&Activity::ALL);
        assert_eq!(grants.authorised(), Authorised::NONE);
    }
}
