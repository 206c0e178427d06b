//! Campaigns: new keys for a key set on all of its nodes, in four gated steps.
//!
//! ```text
//! Generating ─► Staging ─► Accepting ─► Protecting ─► Overlap ─► Retiring ─► Completed
//!     │            │            │            │           │
//!     └── T2 ──────┴► Aborted   └─ T8 ─► Withdrawing     └────► RollingBack ─► RolledBack
//!                                            └► Aborted
//! ```
//!
//! Before `Generating` there is an action that waits for approvals; a campaign exists once it has them. Each
//! arrow to the right but one is taken when every gated node has sent the receipt of the step before; the last
//! (`Overlap` to `Retiring`) also waits for the end of the overlap. Where the key that is to protect is compromised, a
//! campaign ends as `Aborted`, wherever it stands. This module holds the records and the
//! counting; what an arrow does to keys stands in `steps`.

use super::ids::{ActionId, CampaignId, Generation, KeySetId, NodeId, ZoneId};
use keylink::wire::U64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where the new key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Drawn in the backend.
    Generate,
    /// Already there, from a ceremony or an import, and never used.
    Existing,
}

/// What a rotation is to do with one key set: the plan that officers approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateTarget {
    /// Identity of the campaign to be.
    pub campaign: CampaignId,
    /// The key set.
    pub key_set: KeySetId,
    /// Number of the new key.
    pub generation: Generation,
    /// Where it comes from.
    pub source: Source,
    /// Members of the zone when the plan was made; another number voids it.
    pub members: u32,
    /// Nodes out of traffic that the gate does not wait for.
    pub excepted: BTreeSet<NodeId>,
    /// No node protects with the new key before, UTC milliseconds.
    pub protect_not_before: U64,
    /// How long the old key is processed after the switch, milliseconds.
    pub overlap_ms: U64,
    /// Alarm if not completed, UTC milliseconds.
    pub deadline: U64,
}

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for its key.
    Generating,
    /// STAGE is out; waits for proofs.
    Staging,
    /// ACCEPT is out; waits until all process with the new key.
    Accepting,
    /// PROTECT is out; waits until all protect with the new key.
    Protecting,
    /// All protect with the new key; the old one is still processed.
    Overlap,
    /// RETIRE is out; waits until the old key is gone.
    Retiring,
    /// Done.
    Completed,
    /// Done, but for named nodes.
    CompletedWithExceptions,
    /// Given up, or ended because the key was compromised that was to protect.
    Aborted,
    /// Given up after ACCEPT; waits until the new key is gone.
    Withdrawing,
    /// ROLLBACK is out; waits until all protect with the old key again.
    RollingBack,
    /// The old key protects again.
    RolledBack,
}

impl Phase {
    /// Still at work.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Completed | Self::CompletedWithExceptions | Self::Aborted | Self::RolledBack)
    }

    /// The receipt for which the gate of this phase waits.
    pub fn awaits(self) -> Option<Mark> {
        match self {
            Self::Staging => Some(Mark::Proven),
            Self::Accepting => Some(Mark::Accepting),
            Self::Protecting => Some(Mark::Activated),
            Self::Retiring => Some(Mark::Retired),
            Self::Withdrawing => Some(Mark::Withdrawn),
            Self::RollingBack => Some(Mark::Returned),
            _ => None,
        }
    }
}

/// What one node has receipted within one campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The new key is there.
    Proven,
    /// It processes.
    Accepting,
    /// It protects.
    Activated,
    /// The old key is gone.
    Retired,
    /// The new key is gone, after an abort.
    Withdrawn,
    /// The old key protects again.
    Returned,
}

impl Mark {
    const ALL: [Self; 6] =
        [Self::Proven, Self::Accepting, Self::Activated, Self::Retired, Self::Withdrawn, Self::Returned];
}

/// What one node owes one campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The campaign.
    pub campaign: CampaignId,
    /// The node.
    pub node: NodeId,
    /// The gate waits for it.
    pub gated: bool,
    /// What it has receipted.
    pub marks: BTreeSet<Mark>,
    /// What it refused, when it did.
    pub refused: Option<String>,
    /// A later campaign has taken over what is still owed.
    pub superseded: bool,
}

/// How many gated nodes have receipted what. Kept with the campaign, so that a receipt costs the same whatever
/// the number of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Gated nodes.
    pub gated: u32,
    /// Receipts by [`Mark`].
    pub marks: [u32; 6],
    /// Nodes out of the gate that still owe something.
    pub excepted: u32,
}

impl Counts {
    /// Gated nodes that have receipted a mark.
    pub fn of(&self, mark: Mark) -> u32 {
        self.marks[mark as usize]
    }

    /// Whether every gated node has.
    pub fn all(&self, mark: Mark) -> bool {
        let short = u32::from(super::planted::gate_one_short(mark));
        self.of(mark) + short >= self.gated
    }
}

/// A campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Identity.
    pub id: CampaignId,
    /// The action by whose right it runs.
    pub action: ActionId,
    /// The zone.
    pub zone: ZoneId,
    /// The plan as approved.
    pub plan: RotateTarget,
    /// Why it does not wait for a gate; none for a planned one.
    pub emergency: Option<String>,
    /// The generation that protected before; none for a first key.
    pub old: Option<Generation>,
    /// The generation that nodes give up at the end; none when all of them stay.
    pub retiring: Option<Generation>,
    /// How long the old generation would have protected, to be given back by a roll-back.
    pub old_until: Option<u64>,
    /// Where it stands.
    pub phase: Phase,
    /// No further step is taken.
    pub paused: bool,
    /// How far the nodes are.
    pub counts: Counts,
    /// Nodes protect with the new key from then, UTC milliseconds.
    pub protect_from: Option<u64>,
    /// The old key is processed until then, UTC milliseconds.
    pub overlap_until: Option<u64>,
    /// Began, UTC milliseconds.
    pub began: u64,
    /// Ended, UTC milliseconds.
    pub ended: Option<u64>,
    /// The action by whose right it was rolled back.
    pub rolled_back_by: Option<ActionId>,
}

impl Campaign {
    /// The new generation.
    pub fn new_generation(&self) -> Generation {
        self.plan.generation
    }

    /// Adds a node.
    pub fn enlist(&mut self, node: NodeId, gated: bool) -> Delivery {
        if gated {
            self.counts.gated += 1;
        } else {
            self.counts.excepted += 1;
        }
        Delivery { campaign: self.id, node, gated, marks: BTreeSet::new(), refused: None, superseded: false }
    }

    /// Counts a receipt. False when it was counted before.
    pub fn mark(&mut self, delivery: &mut Delivery, mark: Mark) -> bool {
        if !delivery.marks.insert(mark) && !super::planted::duplicate_counts() {
            return false;
        }
        if delivery.gated {
            self.counts.marks[mark as usize] += 1;
        } else if self.is_settled_by(delivery) && self.phase == Phase::CompletedWithExceptions {
            self.counts.excepted = self.counts.excepted.saturating_sub(1);
        }
        true
    }

    /// Whether a node owes nothing any more.
    pub fn is_settled_by(&self, delivery: &Delivery) -> bool {
        let last = if self.retiring.is_some() { Mark::Retired } else { Mark::Activated };
        delivery.marks.contains(&last)
    }

    /// Takes a node out of the gate, or back into it.
    pub fn set_gated(&mut self, delivery: &mut Delivery, gated: bool) {
        if delivery.gated == gated {
            return;
        }
        delivery.gated = gated;
        let step = |count: &mut u32, up: bool| *count = if up { *count + 1 } else { count.saturating_sub(1) };
        step(&mut self.counts.gated, gated);
        step(&mut self.counts.excepted, !gated);
        for mark in Mark::ALL.iter().filter(|mark| delivery.marks.contains(mark)) {
            step(&mut self.counts.marks[*mark as usize], gated);
        }
    }

    /// Generations that blocks on their way may be under: what serves hosts processes all of them. Until the order
    /// to protect is out, only the old key protects, and that is known from the key set; from RETIRE on nothing
    /// under the old key is on its way any more.
    pub fn in_flight(&self) -> impl Iterator<Item = Generation> + use<> {
        let new = matches!(
            self.phase,
            Phase::Accepting | Phase::Protecting | Phase::Overlap | Phase::Retiring | Phase::RollingBack
        );
        let old = matches!(self.phase, Phase::Protecting | Phase::Overlap | Phase::RollingBack);
        [self.old.filter(|_| old), Some(self.new_generation()).filter(|_| new)].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn campaign() -> Campaign {
        Campaign {
            id: CampaignId::default(),
            action: ActionId::default(),
            zone: ZoneId::default(),
            plan: RotateTarget {
                campaign: CampaignId::default(),
                key_set: KeySetId::default(),
                generation: Generation(2),
                source: Source::Generate,
                members: 0,
                excepted: BTreeSet::new(),
                protect_not_before: U64(0),
                overlap_ms: U64(1),
                deadline: U64(1),
            },
            emergency: None,
            old: Some(Generation(1)),
            retiring: Some(Generation(1)),
            old_until: None,
            phase: Phase::Staging,
            paused: false,
            counts: Counts::default(),
            protect_from: None,
            overlap_until: None,
            began: 0,
            ended: None,
            rolled_back_by: None,
        }
    }

    proptest! {
        /// Counts are what counting the deliveries gives, in whatever order nodes report, report again, are
        /// excepted and come back.
        #[test]
        fn counts_equal_the_deliveries(steps in proptest::collection::vec((0_usize..5, 0_usize..8), 0..60)) {
            let mut campaign = campaign();
            let mut deliveries: Vec<_> =
                (0..5).map(|n| campaign.enlist(NodeId([n; 32]), n != 4)).collect();
            for (node, what) in steps {
                let delivery = &mut deliveries[node];
                match Mark::ALL.get(what) {
                    Some(&mark) => { campaign.mark(delivery, mark); }
                    None => campaign.set_gated(delivery, what == 6),
                }
                let gated: Vec<_> = deliveries.iter().filter(|d| d.gated).collect();
                prop_assert_eq!(campaign.counts.gated as usize, gated.len());
                prop_assert_eq!(campaign.counts.excepted as usize, 5 - gated.len());
                for mark in Mark::ALL {
                    let having = gated.iter().filter(|d| d.marks.contains(&mark)).count();
                    prop_assert_eq!(campaign.counts.of(mark) as usize, having);
                }
            }
        }
    }
}
