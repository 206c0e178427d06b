//! When a node may serve hosts: it has every key that may have protected something on its way to it.

use crate::core::action::KeyRef;
use crate::core::alarm::AlarmKind;
use crate::core::campaign::{Campaign, Delivery, Phase};
use crate::core::ids::{Generation, NodeId, ZoneId};
use crate::core::key::{Holders, Key, KeySet};
use crate::core::lifecycle::KeyState;
use crate::core::node::{Copy, Node, Progress, Traffic, Zone};
use crate::core::refusal::Refusal;
use crate::core::table::Change;
use crate::core::{planted, steps};

/// A node goes out of traffic, or wants back.
pub fn traffic(tx: &mut Change<'_>, id: &NodeId, to: Traffic, now: u64) -> Result<(), Refusal> {
    if to == Traffic::InTraffic {
        ready_for_traffic(tx, id)?;
        let zones = tx.get::<Node>(id)?.zones.clone();
        for zone in zones {
            back_into_gates(tx, id, &zone, now)?;
        }
    }
    tx.edit::<Node>(id)?.traffic = to;
    if to == Traffic::Offline {
        tx.calm(AlarmKind::NodeSilent, id, now);
    }
    Ok(())
}

// What serves hosts is waited for.
fn back_into_gates(tx: &mut Change<'_>, id: &NodeId, zone: &ZoneId, now: u64) -> Result<(), Refusal> {
    for set in tx.get::<Zone>(zone)?.key_sets.clone() {
        let Some(campaign) = tx.get::<KeySet>(&set)?.live_campaign else { continue };
        let name = (campaign, *id);
        if tx.find::<Delivery>(&name).is_none() {
            continue;
        }
        let mut record = tx.get::<Campaign>(&campaign)?.clone();
        record.set_gated(tx.edit::<Delivery>(&name)?, true);
        tx.put(record);
        steps::advance(tx, campaign, now)?;
    }
    Ok(())
}

/// Whether a node has every key that serving hosts needs.
fn ready_for_traffic(tx: &Change<'_>, node: &NodeId) -> Result<(), Refusal> {
    let record = tx.get::<Node>(node)?;
    if !record.is_served() {
        return Err(Refusal::Suspended);
    }
    for zone in &record.zones {
        for set in &tx.get::<Zone>(zone)?.key_sets {
            let set = tx.get::<KeySet>(set)?;
            if set.holders == Holders::Members && !planted::return_unready() {
                has_keys(tx, node, set)?;
            }
        }
    }
    Ok(())
}

// Every key that somebody may protect with now, or may have protected with a moment ago, and the one that protects.
fn has_keys(tx: &Change<'_>, node: &NodeId, set: &KeySet) -> Result<(), Refusal> {
    let campaign = set.live_campaign.map(|id| tx.get::<Campaign>(&id)).transpose()?;
    let reached = |generation, needed| {
        let key = KeyRef { key_set: set.id(), generation };
        tx.find::<Copy>(&(*node, key)).is_some_and(|c| c.progress >= needed && c.progress < Progress::Retired)
    };
    // What was revoked meanwhile is taken from all.
    let lives = |generation: &Generation| {
        let key = tx.find::<Key>(&KeyRef { key_set: set.id(), generation: *generation });
        key.is_some_and(|key| !matches!(key.state(), KeyState::Compromised | KeyState::Destroyed))
    };
    let processes = campaign
        .into_iter()
        .flat_map(Campaign::in_flight)
        .filter(lives)
        .all(|generation| reached(generation, Progress::Accepting));
    // While the order to protect is on its way the old key protects until its time, and the new one is known.
    let switches = campaign.is_some_and(|campaign| campaign.phase == Phase::Protecting);
    let needed = if switches { Progress::Accepting } else { Progress::Activated };
    let protects = set.protecting.is_none_or(|generation| reached(generation, needed));
    if processes && protects { Ok(()) } else { Err(Refusal::NotReady) }
}
