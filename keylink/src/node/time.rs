//! Time: switches that are due, periods that end, clocks that disagree, a recovery whose delay is over; and the root
//! documents that such a recovery waits with.

use super::clock::Guard;
use super::effects::Effects;
use super::machine::Machine;
use super::state::GenerationRecord;
use super::table;
use crate::message::{Alarm, Reason, Step};
use crate::root::{RECOVERY_DELAY_MS, RootError, SignedRoot, Succession};
use crate::time::Instant3;
use crate::wire::U64;

impl Machine {
    /// The process started: the clocks are compared anew, deadlines judged, the table published.
    pub fn boot(&mut self, now: Instant3) -> Effects {
        self.guard = Guard::new(now, self.rules.skew_max_ms);
        self.installing = None;
        (self.resync, self.resynced) = (None, None);
        self.offered = None;
        self.said = 0;
        self.told.clear();
        let mut effects = Effects::default();
        if now.utc_ms.saturating_add(self.rules.skew_max_ms) < self.state.clock_ms.0 {
            effects.alarms.push(Alarm::Clock);
            self.told.push(Alarm::Clock);
        }
        self.published = self.standing(now);
        self.published_before = self.published;
        self.pass(now, &mut effects);
        effects.publish = Some(self.table(now));
        effects
    }

    /// Time passes: switches that are due, periods that end, a recovery whose delay is over.
    pub fn tick(&mut self, now: Instant3) -> Effects {
        self.guard.look(now);
        let mut effects = Effects::default();
        self.pass(now, &mut effects);
        effects
    }

    /// Milliseconds until a switch is due; `None` when none is armed.
    pub fn next_deadline_ms(&self, now: Instant3) -> Option<u64> {
        let armed =
            self.state.key_sets.iter().flat_map(|set| &set.generations).filter_map(|g| g.protect_from);
        armed.map(|at| self.guard.deadline(at.0).saturating_sub(now.mono_ms)).min()
    }

    fn pass(&mut self, now: Instant3, effects: &mut Effects) {
        self.recover(now, effects);
        if self.guard.agrees(now) && self.switch(now) {
            self.publish(now, effects);
        }
        let standing = self.alarms(now);
        effects.alarms.extend(standing.iter().filter(|alarm| !self.told.contains(alarm)));
        if self.published != self.standing(now) && effects.publish.is_none() {
            self.publish(now, effects);
        }
        self.told = standing;
    }

    // Armed generations whose time has come protect, and those before them accept; true when there was one.
    fn switch(&mut self, now: Instant3) -> bool {
        let guard = self.guard;
        let due = |at: U64| guard.deadline(at.0) <= now.mono_ms;
        let mut any = false;
        for set in &mut self.state.key_sets {
            let armed = set.generations.iter().find(|g| g.protect_from.is_some_and(due));
            let Some(to) = armed.map(|g| g.generation) else { continue };
            any = true;
            for record in &mut set.generations {
                if record.generation == to {
                    record.step = Step::Protect;
                    record.protect_from = None;
                } else if record.step == Step::Protect {
                    record.step = Step::Accept;
                }
            }
        }
        any
    }

    /// What is wrong now.
    pub fn alarms(&self, now: Instant3) -> Vec<Alarm> {
        let sets = &self.state.key_sets;
        let is_over = |until| self.guard.is_over(until, now);
        let past = |g: &GenerationRecord| table::is_past(g, &is_over);
        let back = now.utc_ms.saturating_add(self.rules.skew_max_ms) < self.state.clock_ms.0;
        [
            (Alarm::Clock, !self.guard.agrees(now) || back),
            (Alarm::OriginatorPeriod, sets.iter().any(|set| table::is_overdue(set, &is_over))),
            (Alarm::RecipientPeriod, sets.iter().flat_map(|set| &set.generations).any(past)),
            (Alarm::Stale, sets.iter().any(|set| table::is_stale(set, &is_over))),
            (Alarm::Recovery, self.state.recovery.is_some()),
            (Alarm::LogDiffers, self.state.disputed),
        ]
        .into_iter()
        .filter_map(|(alarm, stands)| stands.then_some(alarm))
        .collect()
    }

    /// A root document came.
    pub fn root(&mut self, now: Instant3, root: &SignedRoot) -> Effects {
        let mut effects = Effects::default();
        if root.hash() == self.state.root.hash() {
            return effects;
        }
        match root.open_next(self.state.kmc, &self.document, self.state.root.hash()) {
            Ok((document, Succession::Officers)) => {
                self.document = document;
                self.state.root = root.clone();
                self.state.recovery = None;
                effects.persist = true;
            }
            Ok((_, Succession::Recovery)) => {
                if self.state.recovery.as_ref().is_none_or(|(waiting, _)| waiting.hash() != root.hash()) {
                    self.state.recovery = Some((root.clone(), U64(now.utc_ms)));
                    effects.persist = true;
                    effects.alarms.push(Alarm::Recovery);
                    self.told.push(Alarm::Recovery);
                }
            }
            // An older document of ours, sent again.
            Err(RootError::Order) if root.document().is_ok_and(|old| old.number <= self.document.number) => {}
            Err(_) => {
                effects.alarms.push(Alarm::Intrusion);
                effects.send.extend(self.refused(now, root.hash(), 0, Reason::RootChange.into()));
            }
        }
        effects
    }

    // A document of the recovery keys is obeyed once it has been here for its time, unless officers were faster.
    fn recover(&mut self, now: Instant3, effects: &mut Effects) {
        let Some((root, since)) = self.state.recovery.clone() else { return };
        if !self.guard.agrees(now) || now.utc_ms < since.0.saturating_add(RECOVERY_DELAY_MS) {
            return;
        }
        if let Ok((document, _)) = root.open_next(self.state.kmc, &self.document, self.state.root.hash()) {
            self.document = document;
            self.state.root = root;
        }
        self.state.recovery = None;
        effects.persist = true;
    }
}
