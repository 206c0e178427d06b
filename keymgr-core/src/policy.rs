//! Policies of key sets: algorithms, cryptoperiod, overlap, quorum, change windows. A policy is a numbered
//! version; a change is a new version that officers approve.

use super::approval::Quorum;
use super::ids::PolicyId;
use super::kind::{self, KeyKind, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One minute in milliseconds.
pub const MINUTE_MS: u64 = 60_000;
/// One hour in milliseconds.
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
/// One day in milliseconds.
pub const DAY_MS: u64 = 24 * HOUR_MS;
/// Ten years: no span of a policy or a plan is longer. Periods of three years and the life of a card fit; what is
/// meant to be for ever is a mistake in a unit more often than a wish.
pub const SPAN_MAX_MS: u64 = 3_653 * DAY_MS;
/// Shortest destroy hold.
pub const HOLD_MIN_MS: u64 = DAY_MS;

/// Days before the end of the originator period at which a warning is due, in falling order.
const WARN_DAYS: [u32; 4] = [90, 30, 7, 1];

/// The warnings of a period, in falling order of days: none is longer than a quarter of it, so that a key does not
/// begin its life with one.
pub fn warnings(period_ms: u64) -> impl DoubleEndedIterator<Item = u32> {
    WARN_DAYS.into_iter().filter(move |days| u64::from(*days) * DAY_MS <= period_ms / 4)
}

/// One version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Identity through all versions.
    pub id: PolicyId,
    /// Grows by one with every approved change.
    pub version: u32,
    /// What people call it.
    pub name: String,
    /// Kind of keys it is for.
    pub kind: KeyKind,
    /// Algorithms and lengths it allows.
    pub shapes: BTreeSet<Shape>,
    /// How long a generation may protect, from its activation.
    pub originator_period_ms: u64,
    /// How long it may process after that; never less than the overlap.
    pub recipient_extra_ms: u64,
    /// How long the old generation is processed after the switch.
    pub overlap_ms: u64,
    /// Nodes stop by themselves at the end of the originator period. Off for zone keys by default: an
    /// expired key in live traffic alarms, and people decide.
    pub hard_stop: bool,
    /// Uses at all nodes after which a change is due: people are told.
    pub operations_max: Option<u64>,
    /// Approving persons besides the requester for a planned rotation.
    pub quorum: Quorum,
    /// Time between the order to protect and the moment of it.
    pub protect_lead_ms: u64,
    /// Time a planned campaign may take to complete before it alarms.
    pub campaign_deadline_ms: u64,
    /// Length of a destroy hold.
    pub destroy_hold_ms: u64,
    /// Planned switches fall into one of these; none means any time.
    pub change_windows: Vec<ChangeWindow>,
    /// Planned switches never fall into one of these.
    pub freezes: Vec<Freeze>,
}

/// A weekly span in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeWindow {
    /// 0 = Monday … 6 = Sunday.
    pub weekday: u8,
    /// First minute of the day.
    pub from_minute: u16,
    /// Minute of the day at which it ends, up to 1440.
    pub until_minute: u16,
}

/// A span without planned changes, UTC milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Begin.
    pub from_utc_ms: u64,
    /// End.
    pub until_utc_ms: u64,
}

/// What is wrong with a policy, or with a time under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Allows no shape, or one that the kind does not have.
    #[error("shapes do not fit the kind of key")]
    Shapes,
    /// A period is zero or shorter than it must be.
    #[error("a period is too short")]
    Period,
    /// A period is longer than ten years.
    #[error("a period is longer than ten years")]
    Endless,
    /// A change window that is empty or outside of its day.
    #[error("a change window is not within a day")]
    Window,
    /// Planned changes are not made at this time.
    #[error("outside of the change windows, or within a freeze")]
    NotNow,
}

impl Policy {
    /// How long a key may process after it has protected.
    pub fn extra_ms(&self) -> u64 {
        self.recipient_extra_ms.max(self.overlap_ms)
    }

    /// A policy with the defaults of the house for a kind.
    pub fn defaults(id: PolicyId, name: &str, kind: KeyKind, shapes: &[Shape]) -> Self {
        let originator_period_ms = u64::from(kind::facts(kind).originator_days) * DAY_MS;
        Self {
            id,
            version: 1,
            name: name.into(),
            kind,
            shapes: shapes.iter().copied().collect(),
            originator_period_ms,
            recipient_extra_ms: DAY_MS,
            overlap_ms: HOUR_MS,
            hard_stop: false,
            operations_max: None,
            quorum: Quorum::MIN,
            protect_lead_ms: 10_000,
            campaign_deadline_ms: 2 * DAY_MS,
            destroy_hold_ms: 7 * DAY_MS,
            change_windows: Vec::new(),
            freezes: Vec::new(),
        }
    }

    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.shapes.is_empty() || !self.shapes.iter().all(|&shape| kind::allows(self.kind, shape)) {
            return Err(PolicyError::Shapes);
        }
        let positive = [self.originator_period_ms, self.overlap_ms, self.campaign_deadline_ms];
        if positive.contains(&0) || self.destroy_hold_ms < HOLD_MIN_MS || self.operations_max == Some(0) {
            return Err(PolicyError::Period);
        }
        let spans = [
            self.originator_period_ms,
            self.recipient_extra_ms,
            self.overlap_ms,
            self.protect_lead_ms,
            self.campaign_deadline_ms,
            self.destroy_hold_ms,
        ];
        if spans.iter().any(|&span| span > SPAN_MAX_MS) {
            return Err(PolicyError::Endless);
        }
        let fits =
            |w: &ChangeWindow| w.weekday < 7 && w.from_minute < w.until_minute && w.until_minute <= 1440;
        if !self.change_windows.iter().all(fits)
            || self.freezes.iter().any(|f| f.from_utc_ms >= f.until_utc_ms)
        {
            return Err(PolicyError::Window);
        }
        Ok(())
    }

    /// Whether a planned change may be made at a time.
    pub fn allows_change_at(&self, utc_ms: u64) -> Result<(), PolicyError> {
        let frozen = self.freezes.iter().any(|f| (f.from_utc_ms..f.until_utc_ms).contains(&utc_ms));
        let open = self.change_windows.is_empty() || self.change_windows.iter().any(|w| w.contains(utc_ms));
        if frozen || !open { Err(PolicyError::NotNow) } else { Ok(()) }
    }

    /// The first time at or after `utc_ms` at which a planned change may be made, within five weeks.
    pub fn next_change_at(&self, utc_ms: u64) -> Option<u64> {
        if self.allows_change_at(utc_ms).is_ok() {
            return Some(utc_ms);
        }
        let first_minute = utc_ms.div_ceil(MINUTE_MS);
        (first_minute..first_minute.saturating_add(5 * 7 * 1440))
            .map(|minute| minute.saturating_mul(MINUTE_MS))
            .find(|&at| self.allows_change_at(at).is_ok())
    }
}

impl ChangeWindow {
    fn contains(self, utc_ms: u64) -> bool {
        let day = utc_ms / DAY_MS;
        // The first day of the epoch was a Thursday.
        let weekday = (day + 3) % 7;
        let minute = utc_ms % DAY_MS / MINUTE_MS;
        weekday == u64::from(self.weekday)
            && (u64::from(self.from_minute)..u64::from(self.until_minute)).contains(&minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::defaults(PolicyId::default(), "zpk", KeyKind::Zpk, &[Shape::Tdes2])
    }

    #[test]
    fn defaults_are_sound_for_every_kind() {
        for facts in &kind::KINDS {
            Policy::defaults(PolicyId::default(), "x", facts.kind, &[Shape::Aes128]).check().unwrap();
        }
    }

    #[test]
    fn unsound_policies_are_refused() {
        let refused = |change: fn(&mut Policy), error| {
            let mut policy = policy();
            change(&mut policy);
            assert_eq!(policy.check(), Err(error));
        };
        refused(|p| p.shapes.clear(), PolicyError::Shapes);
        refused(
            |p| {
                p.kind = KeyKind::Zmk;
            },
            PolicyError::Shapes,
        );
        refused(|p| p.overlap_ms = 0, PolicyError::Period);
        refused(|p| p.destroy_hold_ms = HOLD_MIN_MS - 1, PolicyError::Period);
        let spans: [fn(&mut Policy) -> &mut u64; 6] = [
            |p| &mut p.originator_period_ms,
            |p| &mut p.recipient_extra_ms,
            |p| &mut p.overlap_ms,
            |p| &mut p.protect_lead_ms,
            |p| &mut p.campaign_deadline_ms,
            |p| &mut p.destroy_hold_ms,
        ];
        for span in spans {
            let mut policy = policy();
            *span(&mut policy) = SPAN_MAX_MS;
            assert_eq!(policy.check(), Ok(()));
            for endless in [SPAN_MAX_MS + 1, u64::MAX] {
                *span(&mut policy) = endless;
                assert_eq!(policy.check(), Err(PolicyError::Endless));
            }
        }
        refused(
            |p| p.change_windows.push(ChangeWindow { weekday: 7, from_minute: 0, until_minute: 1 }),
            PolicyError::Window,
        );
        refused(|p| p.freezes.push(Freeze { from_utc_ms: 5, until_utc_ms: 5 }), PolicyError::Window);
    }

    #[test]
    fn a_change_waits_for_its_window_and_for_the_end_of_a_freeze() {
        let mut policy = policy();
        // Mondays, two to four in the morning. 1970-01-05 was a Monday.
        policy.change_windows.push(ChangeWindow { weekday: 0, from_minute: 120, until_minute: 240 });
        let monday = 4 * DAY_MS;
        assert_eq!(policy.allows_change_at(monday), Err(PolicyError::NotNow));
        assert_eq!(policy.next_change_at(1), Some(monday + 120 * MINUTE_MS));
        assert!(policy.allows_change_at(monday + 240 * MINUTE_MS - 1).is_ok());
        assert!(policy.allows_change_at(monday + 240 * MINUTE_MS).is_err());
        policy.freezes.push(Freeze { from_utc_ms: 0, until_utc_ms: monday + DAY_MS });
        assert_eq!(policy.next_change_at(1), Some(monday + 7 * DAY_MS + 120 * MINUTE_MS));
    }
}
