//! What a rotation would mean, before anybody is asked: which nodes, how reachable, when what happens. Nothing
//! is changed by looking.

use super::action::Act;
use super::campaign::{RotateTarget, Source};
use super::ids::{CampaignId, Generation, KeySetId, NodeId};
use super::key::{Holders, Key, KeySet};
use super::kind;
use super::lifecycle::KeyState;
use super::machine::Core;
use super::node::{BackendClass, Traffic};
use super::policy::{Policy, SPAN_MAX_MS};
use super::refusal::Refusal;
use super::table::{Change, keys_of};
use keylink::message::Scope;
use keylink::wire::U64;
use serde::Serialize;

/// A node in a preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewNode {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Backend.
    pub class: BackendClass,
    /// As declared.
    pub traffic: Traffic,
    /// The gate would wait for it.
    pub gated: bool,
    /// It may be named as an exception.
    pub may_be_excepted: bool,
    /// It has spoken lately.
    pub reachable: bool,
    /// Its clock minus ours, milliseconds.
    pub skew_ms: i64,
    /// Why the rotation would not get past it; empty if it would.
    pub obstacles: Vec<&'static str>,
}

/// A preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// What would be asked for, as the plan of [`super::action::Act::Rotate`].
    pub plan: RotateTarget,
    /// The generation that protects now.
    pub old: Option<Generation>,
    /// Approving persons needed besides the requester.
    pub quorum: super::approval::Quorum,
    /// Every member of the zone.
    pub nodes: Vec<PreviewNode>,
    /// Earliest time at which nodes would protect with the new key, UTC milliseconds.
    pub protect_from: u64,
    /// Earliest end of the overlap, UTC milliseconds.
    pub overlap_until: u64,
}

impl Core {
    /// The plan of a rotation as it would be made now: the key is the next, or one that was formed or imported and
    /// never used; nodes that are switched off, or were stopped by people, are named as exceptions.
    /// An emergency waits for nobody, and keeps to no window.
    pub fn preview(
        &self,
        campaign: CampaignId,
        key_set: &KeySetId,
        not_before_utc_ms: u64,
        emergency: bool,
        now_utc_ms: u64,
    ) -> Result<Preview, Refusal> {
        let tx = Change::new(&self.state);
        let set = tx.get::<KeySet>(key_set)?;
        let policy = tx.get::<Policy>(&set.policy)?;
        let Scope::Zone(zone) = set.definition.scope else {
            return Err(Refusal::Unfit("a key set of a zone"));
        };
        if set.holders != Holders::Members {
            return Err(Refusal::Unfit("keys of the centre are not distributed"));
        }
        if not_before_utc_ms > now_utc_ms.saturating_add(SPAN_MAX_MS) {
            return Err(Refusal::Value("a change is planned within ten years"));
        }
        let mut nodes = Vec::new();
        for id in tx.members_of(zone) {
            nodes.push(self.preview_node(&tx, id, set, now_utc_ms)?);
        }
        let excepted = nodes.iter().filter(|node| !node.gated && !emergency).map(|node| node.node).collect();
        nodes.iter_mut().for_each(|node| node.gated &= !emergency);
        let existing = unused(&tx, set);
        let earliest = now_utc_ms.saturating_add(policy.protect_lead_ms).max(not_before_utc_ms);
        let protect_from = match emergency {
            true => now_utc_ms.saturating_add(policy.protect_lead_ms),
            false => policy.next_change_at(earliest).ok_or(super::policy::PolicyError::NotNow)?,
        };
        let plan = RotateTarget {
            campaign,
            key_set: *key_set,
            generation: existing.unwrap_or(set.next_generation),
            source: if existing.is_some() { Source::Existing } else { Source::Generate },
            members: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
            excepted,
            protect_not_before: U64(not_before_utc_ms),
            overlap_ms: U64(policy.overlap_ms),
            deadline: U64(protect_from.saturating_add(policy.campaign_deadline_ms)),
        };
        let targets = vec![plan.clone()];
        let act = match emergency {
            true => Act::RotateAtOnce { targets, reason: String::new() },
            false => Act::Rotate(targets),
        };
        Ok(Preview {
            old: set.protecting,
            quorum: super::machine::quorum(&tx, &act)?,
            nodes,
            protect_from,
            overlap_until: protect_from.saturating_add(policy.overlap_ms),
            plan,
        })
    }

    fn preview_node(
        &self,
        tx: &Change<'_>,
        id: NodeId,
        set: &KeySet,
        now: u64,
    ) -> Result<PreviewNode, Refusal> {
        let limits = tx.get::<super::centre::Centre>(&())?.limits;
        let node = tx.get::<super::node::Node>(&id)?;
        let reachable =
            node.seen_utc_ms > 0 && now.saturating_sub(node.seen_utc_ms) <= limits.silent_after_ms;
        let strong = |bits: u16| bits >= kind::strength_bits(set.definition.shape);
        let gated = node.is_waited_for(now, limits.silent_after_ms);
        let found = [
            (gated && !reachable, "no sign of life"),
            (node.skew_ms.unsigned_abs() > limits.skew_max_ms, "its clock is wrong"),
            (node.root_kek.is_none(), "no root KEK"),
            (node.root_kek.is_some() && node.kek_in_use().is_none(), "its root KEK is being changed"),
            (
                node.root_kek.as_ref().is_some_and(|kek| !strong(kek.strength_bits)),
                "root KEK weaker than the key",
            ),
            (!node.is_served(), "suspended"),
        ];
        Ok(PreviewNode {
            node: id,
            name: node.name.clone(),
            class: node.class,
            traffic: node.traffic,
            gated,
            may_be_excepted: node.is_out_of_traffic(now, limits.silent_after_ms),
            reachable,
            skew_ms: node.skew_ms,
            obstacles: found.into_iter().filter_map(|(is, what)| is.then_some(what)).collect(),
        })
    }
}

// A key from a ceremony or an import that waits to be brought to nodes.
fn unused(tx: &Change<'_>, set: &KeySet) -> Option<Generation> {
    let keys = tx.keys_in::<Key>(keys_of(set.id()));
    let waits = |name: &&super::action::KeyRef| {
        let key = tx.find::<Key>(name);
        key.is_some_and(|k| k.state() == KeyState::PreActivation)
            && set.protecting < Some(name.generation)
            && set.tells_apart(name.generation)
    };
    if set.live_campaign.is_some() {
        return None;
    }
    keys.iter().rev().find(waits).map(|name| name.generation)
}
