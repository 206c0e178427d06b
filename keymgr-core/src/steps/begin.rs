//! The begin of a campaign, by the plan that officers approved.

use super::birth::has_key;
use super::deliveries;
use crate::action::KeyRef;
use crate::alarm::AlarmKind;
use crate::campaign::{Campaign, Counts, Delivery, Phase, RotateTarget, Source};
use crate::centre::Centre;
use crate::ids::{ActionId, Generation};
use crate::key::{Holders, Key, KeySet};
use crate::lifecycle::KeyState;
use crate::node::{Node, Zone};
use crate::people::Standing;
use crate::policy::{Policy, PolicyError, SPAN_MAX_MS};
use crate::refusal::Refusal;
use crate::table::{Change, keys_of};
use keylink::message::{Overlap, Scope};

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
        counts: Counts::default(),
        protect_from: None,
        overlap_until: None,
        began: now,
        ended: None,
        rolled_back_by: None,
    };
    enlist(tx, &mut campaign, now)?;
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
    let latest = now.saturating_add(SPAN_MAX_MS);
    if plan.overlap_ms.0 > SPAN_MAX_MS || plan.deadline.0 > latest || plan.protect_not_before.0 > latest {
        return Err(Refusal::Value("no time of a plan lies more than ten years ahead"));
    }
    if !emergency {
        if set.suspended {
            return Err(Refusal::InUse("it is suspended; resume it, or rotate at once"));
        }
        let skew = tx.get::<Centre>(&())?.limits.skew_max_ms;
        if plan.overlap_ms.0 < skew.saturating_mul(2) {
            return Err(Refusal::Value("an overlap is at least twice the clocks' difference"));
        }
        policy.next_change_at(plan.protect_not_before.0.max(now)).ok_or(PolicyError::NotNow)?;
    }
    Ok(())
}

// With overlap in time the old key goes; where a selector tells the generation, the oldest beyond the limit.
fn retiring(tx: &Change<'_>, set: &KeySet) -> Option<Generation> {
    let state = |key: &KeyRef| tx.find::<Key>(key).map(Key::state);
    let keys = tx.keys_in::<Key>(keys_of(set.id()));
    match set.definition.overlap {
        // One whose period is over waits in its place. One that was revoked is gone from nodes already: then it is the
        // key that a campaign left behind, which ended because of that.
        Overlap::Time => {
            let gone =
                |key: &KeyRef| matches!(state(key), None | Some(KeyState::Compromised | KeyState::Destroyed));
            let used = |key: &KeyRef| matches!(state(key), Some(KeyState::Active | KeyState::Suspended));
            let protecting = set.protecting.map(|generation| KeyRef { key_set: set.id(), generation });
            let left = || keys.iter().rfind(|key| used(key)).copied();
            protecting.filter(|key| !gone(key)).or_else(left).map(|key| key.generation)
        }
        Overlap::Selector => {
            let mut active = keys.iter().filter(|key| state(key) == Some(KeyState::Active));
            let oldest = active.next()?.generation;
            (active.count() + 1 > set.definition.overlap.previous_max()).then_some(oldest)
        }
    }
}

fn enlist(tx: &mut Change<'_>, campaign: &mut Campaign, now: u64) -> Result<(), Refusal> {
    let mut named = campaign.plan.excepted.clone();
    let silent_after_ms = tx.get::<Centre>(&())?.limits.silent_after_ms;
    for node in tx.members_of(campaign.zone) {
        let record = tx.get::<Node>(&node)?;
        let excepted = named.remove(&node);
        if record.standing == Standing::Revoked {
            continue;
        }
        if excepted && !record.is_out_of_traffic(now, silent_after_ms) {
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
