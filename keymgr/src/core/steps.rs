//! The steps of a campaign: what each does to keys, and when it is taken. A step is taken here and nowhere
//! else; what nodes are told follows from the records that it leaves ([`super::target`]).

use super::action::KeyRef;
use super::acts;
use super::alarm::AlarmKind;
use super::campaign::{Campaign, Delivery, Mark, Phase, RotateTarget, Source};
use super::centre::Centre;
use super::ids::{ActionId, CampaignId, Digest, Generation, KeySetId, NodeId};
use super::key::{Holders, Key, KeySet, Material, Origin};
use super::kind;
use super::lifecycle::{KeyState, Transition};
use super::node::{Node, Zone};
use super::people::Standing;
use super::planted;
use super::policy::Policy;
use super::refusal::Refusal;
use super::table::{Change, keys_of};
use keylink::message::{Overlap, Scope};
use std::collections::BTreeSet;

/// Begins a campaign by right of an approved action.
pub fn begin(
    tx: &mut Change<'_>,
    action: ActionId,
    plan: &RotateTarget,
    emergency: Option<&String>,
    now: u64,
) -> Result<(), Refusal> {
    let set = tx.get::<KeySet>(&plan.key_set)?.clone();
    let Scope::Zone(zone) = set.definition.scope else { return Err(Refusal::Unfit("a key set of a zone")) };
    if set.holders != Holders::Members {
        return Err(Refusal::Unfit("keys of the centre are not distributed"));
    }
    if set.live_campaign.is_some() {
        return Err(Refusal::CampaignLives);
    }
    check_plan(tx, plan, &set, emergency.is_some(), now)?;
    if !set.tells_apart(plan.generation) {
        return Err(Refusal::Unfit("its number is odd or even like that of the key that protects"));
    }
    if tx.get::<Zone>(&zone)?.members != plan.members {
        return Err(Refusal::Outdated("the zone has other members now"));
    }
    let mut campaign = Campaign {
        id: plan.campaign,
        action,
        zone,
        plan: plan.clone(),
        emergency: emergency.cloned(),
        old: set.protecting,
        retiring: retiring(tx, &set),
        old_until: None,
        phase: Phase::Generating,
        paused: false,
        counts: super::campaign::Counts::default(),
        protect_from: None,
        overlap_until: None,
        began: now,
        ended: None,
        rolled_back_by: None,
    };
    enlist(tx, &mut campaign)?;
    supersede(tx, &set, now)?;
    if let Some(generation) = campaign.retiring {
        tx.edit::<Key>(&KeyRef { key_set: plan.key_set, generation })?.retired_by = Some(plan.campaign);
    }
    let record = tx.edit::<KeySet>(&plan.key_set)?;
    record.live_campaign = Some(plan.campaign);
    if plan.source == Source::Generate {
        record.next_generation = Generation(plan.generation.0 + 1);
    }
    tx.add(campaign)?;
    if plan.source == Source::Existing {
        let key = tx.edit::<Key>(&KeyRef { key_set: plan.key_set, generation: plan.generation })?;
        key.campaign = Some(plan.campaign);
        key.by_right(action);
        has_key(tx, plan.campaign, now)?;
    }
    Ok(())
}

fn check_plan(
    tx: &Change<'_>,
    plan: &RotateTarget,
    set: &KeySet,
    emergency: bool,
    now: u64,
) -> Result<(), Refusal> {
    match plan.source {
        Source::Generate if plan.generation != set.next_generation => {
            return Err(Refusal::Outdated("the number of the next key is another now"));
        }
        Source::Existing => {
            let key = tx.get::<Key>(&KeyRef { key_set: plan.key_set, generation: plan.generation })?;
            if key.state() != KeyState::PreActivation || set.protecting >= Some(plan.generation) {
                return Err(Refusal::Unfit("only a key that was never used is brought to nodes"));
            }
        }
        Source::Generate => {}
    }
    let policy = tx.get::<Policy>(&set.policy)?;
    if plan.deadline.0 <= now {
        return Err(Refusal::Value("a deadline lies ahead"));
    }
    if !emergency {
        if set.suspended {
            return Err(Refusal::InUse("it is suspended; resume it, or rotate at once"));
        }
        let skew = tx.get::<Centre>(&())?.limits.skew_max_ms;
        if plan.overlap_ms.0 < 2 * skew {
            return Err(Refusal::Value("an overlap is at least twice the clocks' difference"));
        }
        policy
            .next_change_at(plan.protect_not_before.0.max(now))
            .ok_or(super::policy::PolicyError::NotNow)?;
    }
    Ok(())
}

// With overlap in time the old key goes; where a selector tells the generation, the oldest beyond the limit.
fn retiring(tx: &Change<'_>, set: &KeySet) -> Option<Generation> {
    match set.definition.overlap {
        // A key that was revoked before is gone from nodes already; one whose period is over waits in its place.
        Overlap::Time => set.protecting.filter(|&generation| {
            let key = tx.find::<Key>(&KeyRef { key_set: set.id(), generation });
            key.is_some_and(|key| !matches!(key.state(), KeyState::Compromised | KeyState::Destroyed))
        }),
        Overlap::Selector => {
            let keys = tx.keys_in::<Key>(keys_of(set.id()));
            let mut active =
                keys.iter().filter(|key| tx.find::<Key>(key).is_some_and(|k| k.state() == KeyState::Active));
            let oldest = active.next()?.generation;
            (active.count() + 1 > set.definition.overlap.previous_max()).then_some(oldest)
        }
    }
}

fn enlist(tx: &mut Change<'_>, campaign: &mut Campaign) -> Result<(), Refusal> {
    let mut named = campaign.plan.excepted.clone();
    for node in tx.members_of(campaign.zone) {
        let record = tx.get::<Node>(&node)?;
        let excepted = named.remove(&node);
        if record.standing == Standing::Revoked {
            continue;
        }
        if excepted && !record.is_out_of_traffic() {
            return Err(Refusal::InTraffic(node));
        }
        let delivery = campaign.enlist(node, !excepted);
        tx.put(delivery);
    }
    if let Some(stranger) = named.first() {
        return Err(Refusal::unknown::<Node>(stranger));
    }
    if campaign.counts.gated == 0 {
        return Err(Refusal::Unfit("no node for which the gate would wait"));
    }
    Ok(())
}

// What nodes still owe earlier campaigns of this key set, they owe this one now.
fn supersede(tx: &mut Change<'_>, set: &KeySet, now: u64) -> Result<(), Refusal> {
    for id in tx.keys_in::<Campaign>(..) {
        let campaign = tx.get::<Campaign>(&id)?;
        if campaign.plan.key_set != set.id() || campaign.phase != Phase::CompletedWithExceptions {
            continue;
        }
        let campaign = campaign.clone();
        for key in deliveries(tx, id) {
            let delivery = tx.get::<Delivery>(&key)?;
            if !delivery.gated && !delivery.superseded && !campaign.is_settled_by(delivery) {
                tx.edit::<Delivery>(&key)?.superseded = true;
            }
        }
        tx.calm(AlarmKind::Exceptions, &id, now);
    }
    Ok(())
}

fn deliveries(tx: &Change<'_>, id: CampaignId) -> Vec<(CampaignId, NodeId)> {
    tx.keys_in::<Delivery>((id, NodeId([0; 32]))..=(id, NodeId([0xFF; 32])))
}

/// A key comes to life (T1), by its number reserved before or the next one.
pub fn bear(
    tx: &mut Change<'_>,
    key_set: KeySetId,
    origin: Origin,
    material: Material,
    nonce: Digest,
    action: ActionId,
    now: u64,
) -> Result<(), Refusal> {
    let set = tx.get::<KeySet>(&key_set)?.clone();
    let generation = match set.live_campaign {
        Some(campaign) => tx.get::<Campaign>(&campaign)?.new_generation(),
        None => {
            tx.edit::<KeySet>(&key_set)?.next_generation = Generation(set.next_generation.0 + 1);
            number_next(tx, key_set, now)?;
            set.next_generation
        }
    };
    if material.wrapper_strength_bits < kind::strength_bits(set.definition.shape) {
        return Err(Refusal::Strength);
    }
    let mut key = Key::born(&set, generation, origin, material, nonce, now);
    key.by_right(action);
    if planted::generation_reused() {
        tx.put(key);
        return Ok(());
    }
    tx.add(key)
}

// After an abort or a roll-back the next number may be odd or even like that of the key that protects. It is passed
// over, and its row says that no key had it.
fn number_next(tx: &mut Change<'_>, key_set: KeySetId, now: u64) -> Result<(), Refusal> {
    let set = tx.get::<KeySet>(&key_set)?.clone();
    if !set.tells_apart(set.next_generation) {
        tx.put(Key::never_born(&set, set.next_generation, now));
        tx.edit::<KeySet>(&key_set)?.next_generation = Generation(set.next_generation.0 + 1);
    }
    Ok(())
}

/// The backend has made the key of a campaign.
pub fn generated(
    tx: &mut Change<'_>,
    id: CampaignId,
    material: Material,
    nonce: Digest,
    now: u64,
) -> Result<(), Refusal> {
    let campaign = tx.get::<Campaign>(&id)?;
    if campaign.phase != Phase::Generating || campaign.plan.source != Source::Generate {
        return Err(Refusal::Phase);
    }
    let (key_set, action) = (campaign.plan.key_set, campaign.action);
    bear(tx, key_set, Origin::Generated, material, nonce, action, now)?;
    tx.calm(AlarmKind::Backend, &id, now);
    has_key(tx, id, now)
}

fn has_key(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let campaign = tx.edit::<Campaign>(&id)?;
    campaign.phase = Phase::Staging;
    if campaign.emergency.is_some() {
        accept(tx, id, now)?;
        return protect(tx, id, now);
    }
    Ok(())
}

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
            Phase::RollingBack if campaign.overlap_until.is_none() => {
                // What was protected with the new key may still be on its way.
                let until = now + campaign.plan.overlap_ms.0;
                tx.edit::<Campaign>(&id)?.overlap_until = Some(until);
            }
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
    let policy = tx.get::<Policy>(&tx.get::<KeySet>(&new.key_set)?.policy)?;
    let (lead, period) = (policy.protect_lead_ms, policy.originator_period_ms);
    let earliest = now + lead;
    let from = if planned { policy.next_change_at(earliest.max(not_before)) } else { Some(earliest) };
    let Some(from) = from else {
        tx.alarm(AlarmKind::Deadline, &id, "no change window opens within five weeks".to_owned(), now);
        tx.edit::<Campaign>(&id)?.paused = true;
        return Ok(());
    };
    let windows = &mut tx.edit::<Key>(&new)?.windows;
    windows.originator_from = Some(from);
    windows.originator_until = Some(from + period);
    if let Some(old) = old {
        let windows = &mut tx.edit::<Key>(&old)?.windows;
        let until = windows.originator_until.replace(from);
        tx.edit::<Campaign>(&id)?.old_until = until;
    }
    tx.edit::<KeySet>(&new.key_set)?.protecting = Some(new.generation);
    let campaign = tx.edit::<Campaign>(&id)?;
    campaign.protect_from = Some(from);
    campaign.phase = Phase::Protecting;
    Ok(())
}

// All gated nodes protect with it. What was protected with the old key before may still be on its way.
fn overlap(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let skew = tx.get::<Centre>(&())?.limits.skew_max_ms;
    let campaign = tx.edit::<Campaign>(&id)?;
    let planned = campaign.protect_from.unwrap_or(now) + campaign.plan.overlap_ms.0;
    let least = if campaign.emergency.is_some() { now } else { now + 2 * skew };
    campaign.overlap_until = Some(planned.max(least));
    campaign.phase = Phase::Overlap;
    tx.calm(AlarmKind::SwitchLate, &id, now);
    Ok(())
}

// RETIRE: the overlap is over (T8, or T6 when the key was the reason).
fn retire(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let campaign = tx.get::<Campaign>(&id)?;
    let (key_set, emergency) = (campaign.plan.key_set, campaign.emergency.is_some());
    let Some(generation) = campaign.retiring else { return complete(tx, id, now) };
    let key = tx.edit::<Key>(&KeyRef { key_set, generation })?;
    key.windows.recipient_until = Some(now);
    match key.state() {
        KeyState::Active if emergency => key.apply(Transition::T6, now)?,
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

/// Takes nodes out of the gate. They must be out of traffic, and are named by the action.
pub fn except(
    tx: &mut Change<'_>,
    id: &CampaignId,
    nodes: &BTreeSet<NodeId>,
    now: u64,
) -> Result<(), Refusal> {
    let mut campaign = live(tx, id)?.clone();
    for &node in nodes {
        if !tx.get::<Node>(&node)?.is_out_of_traffic() {
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
    record.destroy_hold_until = Some(now + hold);
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
    let record = tx.edit::<Key>(&old)?;
    record.windows.originator_until = until;
    record.by_right(action);
    let record = tx.edit::<Key>(&new)?;
    record.windows.originator_until = Some(now);
    record.by_right(action);
    tx.edit::<KeySet>(&old.key_set)?.protecting = Some(old.generation);
    let campaign = tx.edit::<Campaign>(id)?;
    campaign.phase = Phase::RollingBack;
    campaign.overlap_until = None;
    campaign.paused = false;
    campaign.rolled_back_by = Some(action);
    Ok(())
}

fn rolled_back(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let (new, _) = keys(tx, id)?;
    give_up(tx, &new, now)?;
    tx.edit::<Key>(&new)?.retired_by = Some(id);
    end(tx, id, Phase::RolledBack, now)
}

/// A key was declared compromised: a campaign that was bringing it ends, one that takes it away goes on.
pub fn key_lost(tx: &mut Change<'_>, key: &KeyRef, now: u64) -> Result<(), Refusal> {
    let Some(id) = tx.get::<KeySet>(&key.key_set)?.live_campaign else { return Ok(()) };
    let campaign = tx.get::<Campaign>(&id)?;
    if campaign.new_generation() != key.generation {
        return Ok(());
    }
    if matches!(campaign.phase, Phase::Generating | Phase::Staging | Phase::Accepting) {
        tx.edit::<Key>(key)?.aborted = true;
        return end(tx, id, Phase::Aborted, now);
    }
    let text = "the new key itself was compromised; rotate again at once".to_owned();
    tx.alarm(AlarmKind::Deadline, &id, text, now);
    end(tx, id, Phase::CompletedWithExceptions, now)
}

/// What the passing of time does to a campaign.
pub fn tick(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let limits = tx.get::<Centre>(&())?.limits;
    let campaign = tx.get::<Campaign>(&id)?.clone();
    if !campaign.phase.is_live() {
        return Ok(());
    }
    if now > campaign.plan.deadline.0 {
        let phase = campaign.phase;
        let text = format!("not completed in time; stands at {phase:?} with {:?}", campaign.counts);
        tx.alarm(AlarmKind::Deadline, &id, text, now);
    }
    if let (Phase::Protecting, Some(from)) = (campaign.phase, campaign.protect_from)
        && now > from + limits.switch_grace_ms
    {
        let late = campaign.counts.gated - campaign.counts.of(Mark::Activated).min(campaign.counts.gated);
        tx.alarm(AlarmKind::SwitchLate, &id, format!("{late} nodes do not protect with the new key"), now);
    }
    if campaign.emergency.is_some() {
        quarantine_silent(tx, &campaign, limits.emergency_answer_ms, now)?;
    }
    advance(tx, id, now)
}

// In an emergency nobody waits for a node that does not answer.
fn quarantine_silent(
    tx: &mut Change<'_>,
    campaign: &Campaign,
    answer_ms: u64,
    now: u64,
) -> Result<(), Refusal> {
    let since = match campaign.phase {
        Phase::Protecting => campaign.protect_from,
        Phase::Retiring => campaign.overlap_until,
        _ => None,
    };
    let (Some(since), Some(mark)) = (since, campaign.phase.awaits()) else { return Ok(()) };
    if now <= since + answer_ms {
        return Ok(());
    }
    let mut campaign = campaign.clone();
    for key in deliveries(tx, campaign.id) {
        let delivery = tx.get::<Delivery>(&key)?;
        if !delivery.gated || delivery.marks.contains(&mark) {
            continue;
        }
        campaign.set_gated(tx.edit::<Delivery>(&key)?, false);
        let reason = "did not answer in an emergency".to_owned();
        tx.edit::<Node>(&key.1)?.quarantined = Some(reason.clone());
        tx.alarm(AlarmKind::Quarantined, &key.1, reason, now);
    }
    tx.put(campaign);
    Ok(())
}
