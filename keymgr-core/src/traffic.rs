//! When a node may serve hosts: it has every key that may have protected something on its way to it.

use crate::action::KeyRef;
use crate::alarm::AlarmKind;
use crate::campaign::{Campaign, Delivery, Phase};
use crate::ids::{Generation, NodeId, ZoneId};
use crate::key::{Holders, Key, KeySet};
use crate::lifecycle::KeyState;
use crate::node::{Copy, Node, Progress, Traffic, Zone};
use crate::refusal::Refusal;
use crate::table::{Change, keys_of};
use crate::{planted, steps};

/// A node goes out of traffic, or wants back.
pub fn traffic(tx: &mut Change<'_>, id: &NodeId, to: Traffic, now: u64) -> Result<(), Refusal> {
    if to == Traffic::InTraffic {
        ready_for_traffic(tx, id)?;
        let zones = tx.get::<Node>(id)?.zones.clone();
        for zone in zones {
            back_into_gates(tx, id, &zone, now)?;
        }
        tx.calm(AlarmKind::Undeclared, id, now);
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
    // A key before the old one is known to nobody else any more.
    let known = |copy: &Copy| campaign.is_none_or(|c| c.in_flight().any(|g| g == copy.generation));
    let of_set = keys_of(set.id());
    let copies = tx.keys_in::<Copy>((*node, *of_set.start())..=(*node, *of_set.end()));
    let behind =
        |name| tx.find::<Copy>(name).is_some_and(|copy| copy.progress == Progress::Activated && !known(copy));
    let protects = protects && !(switches && copies.iter().any(behind));
    if processes && protects { Ok(()) } else { Err(Refusal::NotReady) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Phase::{self, Accepting, Overlap, Protecting, Retiring, RollingBack, Staging};
    use crate::ids::Digest;
    use crate::key::Origin;
    use crate::refusals::house::{House, key, material, zpk};

    /// Copy of a key at the first node.
    fn copy(house: &House, generation: u32, progress: Progress) -> Copy {
        Copy {
            node: house.node(0),
            key_set: zpk(),
            generation: Generation(generation),
            block: "B".into(),
            earlier: vec![],
            throw_away: None,
            root_kek: 1,
            kcv: "A1B2C3".into(),
            progress,
            refused: None,
            used: None,
        }
    }

    /// Generation 1 is the old key, 2 the new one. A node that is back serves when it can process all that others
    /// may have protected a moment ago, and protects as they do.
    #[test]
    fn a_node_comes_back_with_every_key_that_blocks_on_their_way_need() {
        let mut house = House::founded();
        house.zone_key();
        let campaign = house.emergency(2);
        let (none, proven) = (None, Some(Progress::Proven));
        let (processes, protects) = (Some(Progress::Accepting), Some(Progress::Activated));
        type Case = (Phase, u32, Option<Progress>, Option<Progress>, bool);
        let cases: [Case; 15] = [
            (Staging, 1, protects, none, true),
            (Staging, 1, processes, none, false),
            (Accepting, 1, protects, processes, true),
            (Accepting, 1, protects, proven, false),
            (Protecting, 2, processes, processes, true),
            (Protecting, 2, none, processes, false),
            (Protecting, 2, protects, none, false),
            (Overlap, 2, processes, protects, true),
            (Overlap, 2, none, protects, false),
            (Overlap, 2, processes, processes, false),
            (Retiring, 2, none, protects, true),
            (RollingBack, 1, protects, processes, true),
            (RollingBack, 1, protects, none, false),
            (RollingBack, 1, protects, proven, false),
            (RollingBack, 1, processes, processes, false),
        ];
        for (phase, protecting, old, new, ready) in cases {
            let mut tx = Change::new(house.core.state());
            tx.edit::<Campaign>(&campaign).unwrap().phase = phase;
            tx.edit::<KeySet>(&zpk()).unwrap().protecting = Some(Generation(protecting));
            for (generation, progress) in [(1, old), (2, new)] {
                progress.into_iter().for_each(|progress| tx.put(copy(&house, generation, progress)));
            }
            let found = ready_for_traffic(&tx, &house.node(0));
            let expected = if ready { Ok(()) } else { Err(Refusal::NotReady) };
            assert_eq!(found, expected, "{phase:?}, old {old:?}, new {new:?}");
        }
    }

    /// Generation 1 is a key that was followed while the node was away; 2 is the old one, 3 the new one.
    #[test]
    fn a_node_that_protects_with_a_key_nobody_else_has_does_not_come_back() {
        let mut house = House::founded();
        house.zone_key();
        let campaign = house.emergency(2);
        for (first, second, ready) in [
            (Progress::Activated, Progress::Accepting, false),
            (Progress::Accepting, Progress::Activated, true),
            (Progress::Retired, Progress::Accepting, true),
        ] {
            let mut tx = Change::new(house.core.state());
            let record = tx.edit::<Campaign>(&campaign).unwrap();
            (record.phase, record.old) = (Protecting, Some(Generation(2)));
            record.plan.generation = Generation(3);
            let set = tx.edit::<KeySet>(&zpk()).unwrap();
            set.protecting = Some(Generation(3));
            let set = set.clone();
            for generation in [2, 3].map(Generation) {
                let (origin, nonce) = (Origin::Generated, Digest::default());
                tx.put(Key::born(&set, generation, origin, material(), nonce, house.now));
            }
            for (generation, progress) in [(1, first), (2, second), (3, Progress::Accepting)] {
                tx.put(copy(&house, generation, progress));
            }
            let expected = if ready { Ok(()) } else { Err(Refusal::NotReady) };
            assert_eq!(ready_for_traffic(&tx, &house.node(0)), expected, "{first:?} {second:?}");
        }
    }

    #[test]
    fn nobody_waits_for_a_key_that_was_revoked() {
        let mut house = House::founded();
        house.zone_key();
        let campaign = house.emergency(2);
        house.carry(crate::action::Act::RevokeKey { key: key(zpk(), 1), reason: "seen".into() });
        let mut tx = Change::new(house.core.state());
        tx.edit::<Campaign>(&campaign).unwrap().phase = Overlap;
        tx.put(copy(&house, 2, Progress::Activated));
        assert_eq!(ready_for_traffic(&tx, &house.node(0)), Ok(()));
    }
}
