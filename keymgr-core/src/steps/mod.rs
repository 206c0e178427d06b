//! The steps of a campaign: what each does to keys, and when it is taken. A step is taken here and nowhere
//! else; what nodes are told follows from the records that it leaves ([`super::target`]).

mod begin;
mod birth;
mod steer;
#[cfg(test)]
mod tests;
mod time;

pub use begin::begin;
pub use birth::{bear, generated};
pub use steer::{abort, except, key_lost, pause, resume, roll_back};
pub use time::tick;

use crate::action::KeyRef;
use crate::alarm::AlarmKind;
use crate::campaign::{Campaign, Delivery, Phase};
use crate::centre::Centre;
use crate::ids::{CampaignId, NodeId};
use crate::key::{Key, KeySet};
use crate::lifecycle::{KeyState, Transition};
use crate::node::Node;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::table::Change;
use crate::{planted, tick};
use birth::number_next;
use steer::rolled_back;

/// Takes every step that may be taken now.
pub fn advance(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    loop {
        let campaign = tx.get::<Campaign>(&id)?;
        let gate = campaign.phase.awaits().is_none_or(|mark| campaign.counts.all(mark));
        if !gate {
            return Ok(());
        }
        let goes_on = !campaign.paused;
        match campaign.phase {
            Phase::Staging if goes_on => accept(tx, id, now)?,
            Phase::Accepting if goes_on && clocks_agree(tx, id)? => protect(tx, id, now)?,
            Phase::Protecting => overlap(tx, id, now)?,
            Phase::Overlap if goes_on && is_over(campaign, now) => retire(tx, id, now)?,
            Phase::Retiring => complete(tx, id, now)?,
            Phase::Withdrawing => end(tx, id, Phase::Aborted, now)?,
            Phase::RollingBack if campaign.overlap_until.is_none() => returned(tx, id, now)?,
            Phase::RollingBack if is_over(campaign, now) => rolled_back(tx, id, now)?,
            _ => return Ok(()),
        }
    }
}

fn is_over(campaign: &Campaign, now: u64) -> bool {
    campaign.overlap_until.is_some_and(|until| now >= until) || planted::overlap_ignored()
}

// Nobody is told a time while somebody's clock is wrong.
fn clocks_agree(tx: &Change<'_>, id: CampaignId) -> Result<bool, Refusal> {
    let limit = tx.get::<Centre>(&())?.limits.skew_max_ms;
    let off = |node: &NodeId| tx.find::<Node>(node).is_some_and(|n| n.skew_ms.unsigned_abs() > limit);
    let gated = |key: &(CampaignId, NodeId)| tx.find::<Delivery>(key).is_some_and(|d| d.gated);
    Ok(!deliveries(tx, id).iter().filter(|key| gated(key)).any(|(_, node)| off(node)))
}

fn keys(tx: &Change<'_>, id: CampaignId) -> Result<(KeyRef, Option<KeyRef>), Refusal> {
    let campaign = tx.get::<Campaign>(&id)?;
    let of = |generation| KeyRef { key_set: campaign.plan.key_set, generation };
    Ok((of(campaign.new_generation()), campaign.old.map(of)))
}

// ACCEPT: all gated nodes have proved the key (T4).
fn accept(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let (new, _) = keys(tx, id)?;
    let key = tx.edit::<Key>(&new)?;
    key.apply(Transition::T4, now)?;
    key.windows.recipient_from = Some(now);
    tx.edit::<Campaign>(&id)?.phase = Phase::Accepting;
    Ok(())
}

// PROTECT: all gated nodes process with it. The one step that nodes take by the clock.
fn protect(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let (new, old) = keys(tx, id)?;
    let campaign = tx.get::<Campaign>(&id)?;
    let (planned, not_before) = (campaign.emergency.is_none(), campaign.plan.protect_not_before.0);
    let set = tx.get::<KeySet>(&new.key_set)?;
    let (policy, hard_stop) = (tx.get::<Policy>(&set.policy)?, set.definition.hard_stop);
    let (lead, period) = (policy.protect_lead_ms, policy.originator_period_ms);
    let extra = extra(policy, campaign);
    let earliest = now.saturating_add(lead);
    let from = if planned { policy.next_change_at(earliest.max(not_before)) } else { Some(earliest) };
    let Some(from) = from else {
        tx.alarm(AlarmKind::Deadline, &id, "no change window opens within five weeks".to_owned(), now);
        tx.edit::<Campaign>(&id)?.paused = true;
        return Ok(());
    };
    let windows = &mut tx.edit::<Key>(&new)?.windows;
    windows.originator_from = Some(from);
    windows.originator_until = Some(from.saturating_add(period));
    windows.recipient_until = Some(from.saturating_add(period).saturating_add(extra));
    if let Some(old) = old {
        let windows = &mut tx.edit::<Key>(&old)?.windows;
        let until = windows.originator_until.replace(from);
        // A key that others may know is processed until it is retired and no longer: that follows at once. And where
        // nodes stop by themselves the end is told when no node protects with it any more.
        windows.recipient_until = (planned && !hard_stop).then(|| from.saturating_add(extra));
        tx.edit::<Campaign>(&id)?.old_until = until;
        tick::protects_no_more(tx, &old, now)?;
    }
    tx.edit::<KeySet>(&new.key_set)?.protecting = Some(new.generation);
    let campaign = tx.edit::<Campaign>(&id)?;
    campaign.protect_from = Some(from);
    campaign.phase = Phase::Protecting;
    Ok(())
}

// How long keys of a campaign are processed after they have protected.
fn extra(policy: &Policy, campaign: &Campaign) -> u64 {
    policy.extra_ms().max(campaign.plan.overlap_ms.0)
}

// All gated nodes protect with it. What was protected with the old key before may still be on its way.
fn overlap(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let skew = tx.get::<Centre>(&())?.limits.skew_max_ms;
    let campaign = tx.edit::<Campaign>(&id)?;
    let planned = campaign.protect_from.unwrap_or(now).saturating_add(campaign.plan.overlap_ms.0);
    let (emergency, retiring) = (campaign.emergency.is_some(), campaign.retiring);
    let least = if emergency { now } else { now.saturating_add(skew.saturating_mul(2)) };
    let until = planned.max(least);
    campaign.overlap_until = Some(until);
    campaign.phase = Phase::Overlap;
    let (new, old) = keys(tx, id)?;
    // Nodes switched later than was thought: what they protected at last is processed by all.
    let retiring = retiring.map(|generation| KeyRef { generation, ..new });
    for key in [old, retiring.filter(|key| Some(*key) != old)].into_iter().flatten() {
        processed_until(tx, id, &key, until)?;
    }
    tx.calm(AlarmKind::SwitchLate, &id, now);
    Ok(())
}

// All gated nodes protect with the old key again. What was protected with the new one may still be on its way.
fn returned(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let campaign = tx.edit::<Campaign>(&id)?;
    let until = now.saturating_add(campaign.plan.overlap_ms.0);
    campaign.overlap_until = Some(until);
    let (new, _) = keys(tx, id)?;
    processed_until(tx, id, &new, until)
}

// No node protects with a key any more: it is processed for as long as was planned, and no shorter than until then. An
// end that is not told yet is told now; in an emergency there is none.
fn processed_until(tx: &mut Change<'_>, id: CampaignId, key: &KeyRef, until: u64) -> Result<(), Refusal> {
    let campaign = tx.get::<Campaign>(&id)?;
    let emergency = campaign.emergency.is_some();
    let extra = extra(tx.get::<Policy>(&tx.get::<KeySet>(&key.key_set)?.policy)?, campaign);
    // Of one that was revoked meanwhile the window says when.
    let Some(windows) = tx.find::<Key>(key).filter(|key| key.is_live()).map(|key| key.windows) else {
        return Ok(());
    };
    let protected = windows.originator_until.unwrap_or(until);
    let end = match windows.recipient_until {
        None if emergency => return Ok(()),
        None => protected.saturating_add(extra).max(until),
        Some(told) => told.max(until),
    };
    if windows.recipient_until != Some(end) {
        tx.edit::<Key>(key)?.windows.recipient_until = Some(end);
    }
    Ok(())
}

// RETIRE: the overlap is over (T8, or T6 when the key was the reason of an emergency).
fn retire(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let campaign = tx.get::<Campaign>(&id)?;
    let key_set = campaign.plan.key_set;
    let Some(generation) = campaign.retiring else { return complete(tx, id, now) };
    let known = campaign.emergency.is_some() && campaign.old == Some(generation);
    let key = tx.edit::<Key>(&KeyRef { key_set, generation })?;
    key.windows.recipient_until = Some(now);
    match key.state() {
        KeyState::Active if known => key.apply(Transition::T6, now)?,
        KeyState::Active => key.apply(Transition::T8, now)?,
        KeyState::Suspended => key.apply(Transition::T12, now)?,
        // Revoked meanwhile: nodes were told already.
        _ => {}
    }
    tx.edit::<Campaign>(&id)?.phase = Phase::Retiring;
    Ok(())
}

fn complete(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let campaign = tx.get::<Campaign>(&id)?.clone();
    let owing = |key: &(CampaignId, NodeId)| {
        tx.find::<Delivery>(key).is_some_and(|d| !d.gated && !campaign.is_settled_by(d))
    };
    let named: Vec<_> = deliveries(tx, id).into_iter().filter(owing).map(|(_, node)| node).collect();
    tx.edit::<Campaign>(&id)?.counts.excepted = u32::try_from(named.len()).unwrap_or(u32::MAX);
    if named.is_empty() {
        return end(tx, id, Phase::Completed, now);
    }
    let names: Vec<_> =
        named.iter().take(20).filter_map(|node| tx.find::<Node>(node)).map(|n| n.name.clone()).collect();
    let text = format!("{} nodes have not caught up: {}", named.len(), names.join(", "));
    tx.alarm(AlarmKind::Exceptions, &id, text, now);
    end(tx, id, Phase::CompletedWithExceptions, now)
}

fn end(tx: &mut Change<'_>, id: CampaignId, phase: Phase, now: u64) -> Result<(), Refusal> {
    let campaign = tx.edit::<Campaign>(&id)?;
    campaign.phase = phase;
    campaign.ended = Some(now);
    let key_set = campaign.plan.key_set;
    tx.edit::<KeySet>(&key_set)?.live_campaign = None;
    number_next(tx, key_set, now)?;
    for kind in [AlarmKind::Deadline, AlarmKind::SwitchLate, AlarmKind::Backend] {
        tx.calm(kind, &id, now);
    }
    Ok(())
}

/// A node that was excepted has caught up with a campaign that has ended.
pub fn settle(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let campaign = tx.get::<Campaign>(&id)?;
    if campaign.phase == Phase::CompletedWithExceptions && campaign.counts.excepted == 0 {
        tx.edit::<Campaign>(&id)?.phase = Phase::Completed;
        tx.calm(AlarmKind::Exceptions, &id, now);
    }
    Ok(())
}

fn deliveries(tx: &Change<'_>, id: CampaignId) -> Vec<(CampaignId, NodeId)> {
    tx.keys_in::<Delivery>((id, NodeId([0; 32]))..=(id, NodeId([0xFF; 32])))
}
