//! From the present state and a manifest to the next state: which keys to install, which steps are legal, what needs
//! approval. Works on a copy; a refusal leaves everything as it was.

use super::effects::InstallOrder;
use super::judge::Rights;
use super::state::{Fact, GenerationRecord, KeySetRecord, NodeState};
use crate::action::Grant;
use crate::envelope::NotSigned;
use crate::ids::{Digest, Generation, KeySetId};
use crate::label::Label;
use crate::message::{GenerationTarget, KeySetTarget, Manifest, Reason, Scope, Step};
use crate::wire::U64;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// A refusal, with what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) about: Option<(KeySetId, Option<Generation>)>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, about: None }
    }
}

/// Why a message is not obeyed.
pub(super) enum Halt {
    /// It may not be.
    Refused(Refusal),
    /// It would be, and what holds the signature key does not answer.
    NotSigned,
}

impl<R: Into<Refusal>> From<R> for Halt {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<NotSigned> for Halt {
    fn from(_: NotSigned) -> Self {
        Self::NotSigned
    }
}

/// What a manifest leads to.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) next: NodeState,
    pub(super) install: Vec<InstallOrder>,
    /// A generation shall protect by the clock, and was not armed for that moment yet.
    pub(super) arms: bool,
    /// Something is suspended, retired or destroyed, or the node leaves a zone.
    pub(super) takes_away: bool,
}

/// Where the plan is made.
pub(super) struct Planner<'a> {
    pub(super) rights: &'a Rights,
    pub(super) asked: (U64, Digest),
    /// The time, ms UTC; `None` when the clocks disagree.
    pub(super) utc_ms: Option<u64>,
}

impl Planner<'_> {
    pub(super) fn plan(&self, state: &NodeState, manifest: &Manifest) -> Result<Plan, Refusal> {
        let mut plan = Plan { next: state.clone(), install: Vec::new(), arms: false, takes_away: false };
        self.membership(&mut plan.next);
        self.suspension(&mut plan.next, manifest)?;
        plan.next.kcv_only |= self.rights.holds(&Grant::KcvOnly(state.node));
        let mut named = BTreeSet::new();
        for target in &manifest.key_sets {
            let id = target.definition.key_set;
            let about = |reason| Refusal { reason, about: Some((id, None)) };
            if !named.insert(id) {
                return Err(about(Reason::Malformed));
            }
            self.key_set(&mut plan, target).map_err(|mut refusal| {
                refusal.about.get_or_insert((id, None));
                refusal
            })?;
        }
        self.leave_unnamed(&mut plan.next, &named)?;
        indices_differ(&plan.next)?;
        plan.takes_away = self.takes_away(state, &plan.next);
        Ok(plan)
    }

    fn takes_away(&self, before: &NodeState, next: &NodeState) -> bool {
        let stilled = |set: &KeySetRecord| {
            let was = before.key_set(set.definition.key_set).is_some_and(|old| old.suspended);
            let gone = |g: &GenerationRecord| g.step >= Step::Retire && g.asked == self.asked;
            (set.suspended && !was) || set.generations.iter().any(gone)
        };
        (next.suspended && !before.suspended) || next.key_sets.iter().any(stilled)
    }

    fn membership(&self, next: &mut NodeState) {
        for (zone, (decision, joins)) in self.rights.zones(next.node) {
            if !next.decide(Fact::Zone(zone), Some(decision)) {
                continue;
            }
            if joins {
                next.zones.insert(zone);
            } else {
                next.zones.remove(&zone);
            }
        }
    }

    fn suspension(&self, next: &mut NodeState, manifest: &Manifest) -> Result<(), Reason> {
        let node = next.node;
        let needed = if manifest.suspended { Grant::SuspendNode(node) } else { Grant::ResumeNode(node) };
        let approved = next.decide(Fact::Suspension, self.rights.newest(&needed));
        if manifest.suspended != next.suspended && !approved {
            return Err(Reason::NotApproved);
        }
        next.suspended = manifest.suspended;
        Ok(())
    }

    // A manifest is the full target state. What it does not name any more must be gone already, unless this node has
    // left the zone by approval.
    fn leave_unnamed(&self, next: &mut NodeState, named: &BTreeSet<KeySetId>) -> Result<(), Refusal> {
        let (zones, asked) = (next.zones.clone(), self.asked);
        for set in next.key_sets.iter_mut().filter(|set| !named.contains(&set.definition.key_set)) {
            let left = matches!(set.definition.scope, Scope::Zone(zone) if !zones.contains(&zone));
            for record in set.generations.iter_mut().filter(|g| g.step < Step::Retire) {
                if !left {
                    let about = Some((set.definition.key_set, Some(record.generation)));
                    return Err(Refusal { reason: Reason::Step, about });
                }
                record.move_to(Step::Destroy, asked);
            }
        }
        Ok(())
    }

    fn key_set(&self, plan: &mut Plan, target: &KeySetTarget) -> Result<(), Refusal> {
        let definition = &target.definition;
        let member = match definition.scope {
            Scope::Zone(zone) => plan.next.zones.contains(&zone),
            Scope::Node(node) => node == plan.next.node,
        };
        if !member {
            return Err(Reason::NotMember.into());
        }
        let mut set = match plan.next.key_set(definition.key_set) {
            Some(known) if known.definition == *definition => known.clone(),
            Some(_) => return Err(Reason::Definition.into()),
            None if !definition.sound() => return Err(Reason::Definition.into()),
            None if !self.rights.defines(definition) => return Err(Reason::NotApproved.into()),
            None => KeySetRecord {
                definition: definition.clone(),
                suspended: false,
                highest: Generation(0),
                generations: Vec::new(),
            },
        };
        self.suspend_set(&mut plan.next, &mut set, target)?;
        let protected = set.protecting().map(|g| g.generation);
        let mut last = Generation(0);
        for one in &target.generations {
            let about = |reason| Refusal { reason, about: Some((definition.key_set, Some(one.generation))) };
            if one.generation <= last {
                return Err(about(Reason::Malformed));
            }
            last = one.generation;
            let rises = set.generation(one.generation).is_none_or(|held| rises(held, one));
            plan.arms |= one.step == Step::Protect && one.protect_from.is_some() && rises;
            self.generation(plan, &mut set, one).map_err(about)?;
        }
        self.protects(&mut set, target, protected)?;
        match plan.next.key_sets.iter_mut().find(|known| known.definition.key_set == definition.key_set) {
            Some(known) => *known = set,
            None => plan.next.key_sets.push(set),
        }
        Ok(())
    }

    fn suspend_set(
        &self,
        next: &mut NodeState,
        set: &mut KeySetRecord,
        target: &KeySetTarget,
    ) -> Result<(), Reason> {
        let id = set.definition.key_set;
        let needed = if target.suspended { Grant::SuspendKeySet(id) } else { Grant::ResumeKeySet(id) };
        let approved = next.decide(Fact::KeySet(id), self.rights.newest(&needed));
        if set.suspended != target.suspended && !approved {
            return Err(Reason::NotApproved);
        }
        set.suspended = target.suspended;
        Ok(())
    }

    fn generation(
        &self,
        plan: &mut Plan,
        set: &mut KeySetRecord,
        target: &GenerationTarget,
    ) -> Result<(), Reason> {
        let id = set.definition.key_set;
        // Whether an older one may protect again is judged with the whole set.
        let back = set.protecting().is_some_and(|g| g.generation > target.generation);
        let back = back && target.step == Step::Protect;
        let Some(record) = set.generations.iter_mut().find(|g| g.generation == target.generation) else {
            if target.step >= Step::Retire {
                // It came and went while this node was away, or was given up. Its number stays used.
                set.highest = set.highest.max(target.generation);
                return Ok(());
            }
            if plan.next.suspended && target.block.is_none() {
                // A suspended node is told of a key, and gets it when it is resumed.
                return Ok(());
            }
            return self.install(plan, set, target);
        };
        record.originator_until = target.originator_until;
        record.recipient_until = target.recipient_until;
        if !record.kcv.eq_ignore_ascii_case(&target.kcv) {
            return Err(Reason::CheckValue);
        }
        if rises(record, target) && !back && !self.rights.lifts(id, target.generation, target.step) {
            return Err(Reason::NotApproved);
        }
        match (record.step, target.step) {
            // A switch that was armed and is not asked for any more does not happen.
            (from, to) if from == to => record.protect_from = None,
            (Step::Destroy, _) => return Err(Reason::Generation),
            // Whether it may stop protecting is judged with the whole set.
            (Step::Stage | Step::Accept, Step::Accept | Step::Protect)
            | (Step::Protect, Step::Accept)
            | (Step::Stage | Step::Accept, Step::Retire) => record.move_to(target.step, self.asked),
            // What never was active may be given up without more ado (SP 800-57 transition 2).
            (Step::Stage, Step::Destroy) => record.move_to(Step::Destroy, self.asked),
            (Step::Protect, Step::Retire) | (_, Step::Destroy)
                if self.rights.holds(&Grant::Destroy { key_set: id, generation: target.generation }) =>
            {
                record.move_to(target.step, self.asked);
            }
            (_, Step::Destroy) => return Err(Reason::NotApproved),
            (Step::Protect, Step::Retire) => return Err(Reason::Protect),
            _ => return Err(Reason::Step),
        }
        Ok(())
    }

    fn install(
        &self,
        plan: &mut Plan,
        set: &mut KeySetRecord,
        target: &GenerationTarget,
    ) -> Result<(), Reason> {
        let id = set.definition.key_set;
        if target.generation <= set.highest {
            return Err(Reason::Generation);
        }
        if !self.rights.brings(id, target.generation) {
            return Err(Reason::NotApproved);
        }
        let kek = plan.next.kek.as_ref().ok_or(Reason::NoKek)?;
        let block = target.block.as_ref().ok_or(Reason::Block)?;
        let nonce = target.nonce.ok_or(Reason::Challenge)?;
        let label = Label {
            kmc: plan.next.kmc,
            key_set: id,
            generation: target.generation,
            node: Some(plan.next.node),
        };
        plan.install.push(InstallOrder {
            kek: kek.token.clone(),
            definition: set.definition.clone(),
            label,
            block: block.clone(),
            kcv: target.kcv.clone(),
            challenge: challenge(&label, plan.next.node, target),
            throw_away: target.throw_away.clone(),
            nonce,
            kcv_only: plan.next.kcv_only,
        });
        set.highest = target.generation;
        set.generations.push(GenerationRecord {
            generation: target.generation,
            campaign: target.campaign,
            step: target.step,
            announced: Step::Stage,
            rolled_back: false,
            token: String::new(),
            kcv: target.kcv.clone(),
            block: Digest::of(block.as_bytes()),
            possession: None,
            protect_from: None,
            originator_until: target.originator_until,
            recipient_until: target.recipient_until,
            asked: self.asked,
        });
        Ok(())
    }

    // At most one generation protects, and one goes on protecting; an older one only by an approved roll-back; a
    // generation retires only when another is known to protect on every core.
    fn protects(
        &self,
        set: &mut KeySetRecord,
        target: &KeySetTarget,
        before: Option<Generation>,
    ) -> Result<(), Refusal> {
        let id = set.definition.key_set;
        let refuse = |reason, g: Option<Generation>| Refusal { reason, about: Some((id, g)) };
        let wanted: Vec<Generation> =
            set.generations.iter().filter(|g| g.step == Step::Protect).map(|g| g.generation).collect();
        let after = match wanted.as_slice() {
            [] => None,
            [one] => Some(*one),
            [.., last] => return Err(refuse(Reason::Protect, Some(*last))),
        };
        match (before, after) {
            (Some(from), Some(to)) if to < from => self.roll_back(set, from, to)?,
            (Some(from), Some(to)) if to > from => self.succeed(set, target, from, to),
            (Some(from), None) if set.generation(from).is_some_and(|g| g.step < Step::Retire) => {
                return Err(refuse(Reason::Protect, Some(from)));
            }
            // A node that comes in the middle of a switch begins with the generation that still protects.
            (None, Some(to)) => {
                let older =
                    set.generations.iter().rev().find(|g| g.generation < to && g.step == Step::Accept);
                let from = older.map_or(to, |g| g.generation);
                self.succeed(set, target, from, to);
            }
            _ => {}
        }
        for record in &set.generations {
            let used = matches!(record.announced, Step::Accept | Step::Protect);
            let leaves = record.step >= Step::Retire && used && record.asked == self.asked;
            if leaves && before.is_some() && !self.may_leave(set, record) {
                return Err(refuse(Reason::Protect, Some(record.generation)));
            }
        }
        let previous =
            set.generations.iter().filter(|g| g.step == Step::Accept && Some(g.generation) < after);
        if previous.count() > set.definition.overlap.previous_max() {
            return Err(refuse(Reason::Step, after));
        }
        Ok(())
    }

    // A used generation leaves when a later one is known to protect, or by its own approval; one that was merely accepted,
    // at a node that was away, also when the right of a later one is shown.
    fn may_leave(&self, set: &KeySetRecord, record: &GenerationRecord) -> bool {
        let (id, generation) = (set.definition.key_set, record.generation);
        let protects = |g: &&GenerationRecord| g.step == Step::Protect && g.announced == Step::Protect;
        let told = set.generations.iter().find(protects).map(|g| g.generation);
        let passed_by = record.announced == Step::Accept && self.rights.brings_after(id, generation);
        told.is_some_and(|told| told > generation || passed_by)
            || self.rights.holds(&Grant::Destroy { key_set: id, generation })
    }

    fn roll_back(&self, set: &mut KeySetRecord, from: Generation, to: Generation) -> Result<(), Refusal> {
        let id = set.definition.key_set;
        if !self.rights.holds(&Grant::Rollback { key_set: id, from, to }) {
            return Err(Refusal { reason: Reason::Rollback, about: Some((id, Some(to))) });
        }
        if let Some(record) = set.generations.iter_mut().find(|g| g.generation == to) {
            record.rolled_back = true;
        }
        Ok(())
    }

    // The switch happens at once, or by the clock: until then both stay where they are.
    fn succeed(&self, set: &mut KeySetRecord, target: &KeySetTarget, from: Generation, to: Generation) {
        let at = target.generations.iter().find(|g| g.generation == to).and_then(|g| g.protect_from);
        let Some(at) = at.filter(|at| self.utc_ms.is_none_or(|now| at.0 > now)) else { return };
        for record in &mut set.generations {
            if record.generation == to {
                record.step = Step::Accept;
                record.protect_from = Some(at);
            } else if record.generation == from && record.step == Step::Accept {
                record.step = Step::Protect;
            }
        }
    }
}

impl GenerationRecord {
    pub(super) fn move_to(&mut self, step: Step, asked: (U64, Digest)) {
        self.step = step;
        self.asked = asked;
        self.protect_from = None;
        self.rolled_back = false;
    }
}

// Whether a held generation shall do more than it does. A switch that is armed already does nothing new.
fn rises(record: &GenerationRecord, target: &GenerationTarget) -> bool {
    let armed = record.protect_from.is_some() && record.protect_from == target.protect_from;
    record.step < target.step && target.step <= Step::Protect && !armed
}

fn indices_differ(next: &NodeState) -> Result<(), Refusal> {
    let mut taken = BTreeSet::new();
    for set in &next.key_sets {
        if set.generations.iter().all(|g| g.step == Step::Destroy) && !set.generations.is_empty() {
            continue;
        }
        let indices = set.definition.indices;
        for index in [indices.base, indices.odd, indices.even] {
            if !taken.insert(index) {
                return Err(Refusal { reason: Reason::Index, about: Some((set.definition.key_set, None)) });
            }
        }
    }
    Ok(())
}

/// Input of the proof of possession (key-management decision 16): one for each node, key and nonce.
pub(crate) fn challenge(label: &Label, node: crate::NodeId, target: &GenerationTarget) -> [u8; 32] {
    challenge_of(label, node, target.campaign, &target.nonce.unwrap_or_default().0)
}

/// The same, for the manager that checks the answer.
pub fn challenge_of(
    label: &Label,
    node: crate::NodeId,
    campaign: crate::CampaignId,
    nonce: &[u8; 32],
) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"payhsm/pop/v1")
        .chain_update(label.kmc.0)
        .chain_update(node.0)
        .chain_update(campaign.0)
        .chain_update(label.key_set.0)
        .chain_update(label.generation.0.to_be_bytes())
        .chain_update(nonce)
        .finalize()
        .into()
}
