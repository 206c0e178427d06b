//! What people do to a campaign under way, and what a lost key does to it.

use super::{advance, end, extra, keys};
use crate::action::KeyRef;
use crate::alarm::AlarmKind;
use crate::campaign::{Campaign, Delivery, Phase};
use crate::centre::Centre;
use crate::ids::{ActionId, CampaignId, NodeId};
use crate::key::{Key, KeySet};
use crate::lifecycle::{KeyState, Transition};
use crate::node::Node;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::table::Change;
use crate::{acts, planted, tick};
use std::collections::BTreeSet;

/// Takes nodes out of the gate. They must be out of traffic, and are named by the action.
pub fn except(
    tx: &mut Change<'_>,
    id: &CampaignId,
    nodes: &BTreeSet<NodeId>,
    now: u64,
) -> Result<(), Refusal> {
    let mut campaign = live(tx, id)?.clone();
    let silent_after_ms = tx.get::<Centre>(&())?.limits.silent_after_ms;
    for &node in nodes {
        if !tx.get::<Node>(&node)?.is_out_of_traffic(now, silent_after_ms) {
            return Err(Refusal::InTraffic(node));
        }
        campaign.set_gated(tx.edit::<Delivery>(&(*id, node))?, false);
        campaign.plan.excepted.insert(node);
    }
    if campaign.counts.gated == 0 {
        return Err(Refusal::Unfit("no node for which the gate would wait"));
    }
    tx.put(campaign);
    advance(tx, *id, now)
}

fn live<'t>(tx: &'t Change<'_>, id: &CampaignId) -> Result<&'t Campaign, Refusal> {
    let campaign = tx.get::<Campaign>(id)?;
    if campaign.phase.is_live() { Ok(campaign) } else { Err(Refusal::Phase) }
}

/// Stops a campaign from taking steps.
pub fn pause(tx: &mut Change<'_>, id: &CampaignId) -> Result<(), Refusal> {
    if live(tx, id)?.paused {
        return Err(Refusal::Phase);
    }
    tx.edit::<Campaign>(id)?.paused = true;
    Ok(())
}

/// Lets it go on.
pub fn resume(tx: &mut Change<'_>, id: &CampaignId, now: u64) -> Result<(), Refusal> {
    if !live(tx, id)?.paused {
        return Err(Refusal::Phase);
    }
    tx.edit::<Campaign>(id)?.paused = false;
    advance(tx, *id, now)
}

/// Gives a campaign up before any node was told to protect.
pub fn abort(tx: &mut Change<'_>, action: ActionId, id: &CampaignId, now: u64) -> Result<(), Refusal> {
    let phase = live(tx, id)?.phase;
    let (new, _) = keys(tx, *id)?;
    match phase {
        Phase::Generating | Phase::Staging => {
            if tx.find::<Key>(&new).is_none() {
                let set = tx.get::<KeySet>(&new.key_set)?.clone();
                tx.put(Key::never_born(&set, new.generation, now));
            } else {
                tx.edit::<Key>(&new)?.apply(Transition::T2, now)?;
            }
            if planted::generation_reused() {
                tx.edit::<KeySet>(&new.key_set)?.next_generation = new.generation;
            }
            end(tx, *id, Phase::Aborted, now)?;
        }
        Phase::Accepting => {
            give_up(tx, &new, now)?;
            tx.edit::<Key>(&new)?.retired_by = Some(*id);
            tx.edit::<Campaign>(id)?.phase = Phase::Withdrawing;
        }
        _ => return Err(Refusal::Phase),
    }
    let key = tx.edit::<Key>(&new)?;
    key.aborted = true;
    key.by_right(action);
    Ok(())
}

// A key that was active and never protected, or does so no more: T8, then destruction through a hold.
fn give_up(tx: &mut Change<'_>, key: &KeyRef, now: u64) -> Result<(), Refusal> {
    let hold = acts::hold_ms(tx, key)?;
    let record = tx.edit::<Key>(key)?;
    match record.state() {
        KeyState::Active => record.apply(Transition::T8, now)?,
        KeyState::Suspended => record.apply(Transition::T12, now)?,
        _ => {}
    }
    record.windows.recipient_until = Some(now);
    record.destroy_hold_until = Some(now.saturating_add(hold));
    Ok(())
}

/// Gives protection back to the old generation, as long as that is still active.
pub fn roll_back(tx: &mut Change<'_>, action: ActionId, id: &CampaignId, now: u64) -> Result<(), Refusal> {
    let campaign = live(tx, id)?;
    let (phase, emergency, until) = (campaign.phase, campaign.emergency.is_some(), campaign.old_until);
    let (new, old) = keys(tx, *id)?;
    let old = old.ok_or(Refusal::Phase)?;
    if emergency || !matches!(phase, Phase::Protecting | Phase::Overlap) {
        return Err(Refusal::Phase);
    }
    if tx.get::<Key>(&old)?.state() != KeyState::Active || tx.get::<Key>(&new)?.state() != KeyState::Active {
        return Err(Refusal::Phase);
    }
    let set = tx.get::<KeySet>(&old.key_set)?;
    let (extra, hard_stop) = (extra(tx.get::<Policy>(&set.policy)?, campaign), set.definition.hard_stop);
    let record = tx.edit::<Key>(&old)?;
    record.windows.originator_until = until;
    record.windows.recipient_until = until.map(|until| until.saturating_add(extra));
    record.by_right(action);
    let record = tx.edit::<Key>(&new)?;
    record.windows.originator_until = Some(now);
    // Where nodes stop by themselves the end is told when the last one has come back.
    record.windows.recipient_until = (!hard_stop).then(|| now.saturating_add(extra));
    record.by_right(action);
    tx.edit::<KeySet>(&old.key_set)?.protecting = Some(old.generation);
    tick::protects_anew(tx, &old, now)?;
    tick::protects_no_more(tx, &new, now)?;
    let campaign = tx.edit::<Campaign>(id)?;
    campaign.phase = Phase::RollingBack;
    campaign.overlap_until = None;
    campaign.paused = false;
    campaign.rolled_back_by = Some(action);
    Ok(())
}

pub(super) fn rolled_back(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let (new, _) = keys(tx, id)?;
    give_up(tx, &new, now)?;
    tx.edit::<Key>(&new)?.retired_by = Some(id);
    end(tx, id, Phase::RolledBack, now)
}

/// A key was declared compromised: a campaign that was bringing it, or going back to it, ends; one that takes it away
/// goes on.
pub fn key_lost(tx: &mut Change<'_>, key: &KeyRef, now: u64) -> Result<(), Refusal> {
    let set = tx.get::<KeySet>(&key.key_set)?;
    let protects = set.protecting == Some(key.generation);
    if let Some(id) = set.live_campaign {
        let campaign = tx.get::<Campaign>(&id)?;
        let ends = match campaign.phase {
            Phase::Withdrawing => false,
            Phase::RollingBack => campaign.old == Some(key.generation),
            _ => campaign.new_generation() == key.generation,
        };
        if ends {
            tx.edit::<Key>(key)?.aborted |= !protects;
            end(tx, id, Phase::Aborted, now)?;
        }
    }
    if protects {
        let text = "it was compromised, and no other follows by itself; rotate at once";
        tx.alarm(AlarmKind::KeyLost, key, text.to_owned(), now);
    }
    Ok(())
}
