//! Policies, zones and their members, key sets.

use super::people::enough_officers;
use crate::ids::{ActionId, NodeId, ZoneId};
use crate::key::{Holders, KeySet};
use crate::kind;
use crate::names;
use crate::node::{Member, Node, Traffic, Zone};
use crate::people::Standing;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::table::Change;
use keylink::message::Scope;
use std::collections::BTreeSet;

pub(super) fn define_policy(tx: &mut Change<'_>, policy: &Policy) -> Result<(), Refusal> {
    policy.check()?;
    let before = tx.find::<Policy>(&policy.id).map_or(0, |old| old.version);
    if policy.version != before + 1 {
        return Err(Refusal::Outdated("the policy has another version now"));
    }
    if tx.find::<Policy>(&policy.id).is_some_and(|old| old.kind != policy.kind) {
        return Err(Refusal::Unfit("a policy stays with its kind of keys"));
    }
    for id in tx.keys_in::<KeySet>(..) {
        let set = tx.get::<KeySet>(&id)?;
        if set.policy == policy.id && !policy.shapes.contains(&set.definition.shape) {
            return Err(Refusal::Unfit("a key set has a shape that the policy no longer allows"));
        }
        // Nodes were told with the key set, and are not told again.
        if set.policy == policy.id && policy.hard_stop != set.definition.hard_stop {
            return Err(Refusal::Unfit("a key set says otherwise about the hard stop"));
        }
    }
    tx.put(policy.clone());
    enough_officers(tx)
}

pub(super) fn create_zone(tx: &mut Change<'_>, id: ZoneId, alias: &str, live: bool) -> Result<(), Refusal> {
    let taken = tx.keys_in::<Zone>(..).iter().any(|id| tx.find::<Zone>(id).is_some_and(|z| z.alias == alias));
    if taken {
        return Err(Refusal::exists::<Zone>(&alias));
    }
    names::check(alias)?;
    tx.add(Zone { id, alias: alias.to_owned(), live, key_sets: BTreeSet::new(), members: 0 })
}

pub(super) fn create_key_set(tx: &mut Change<'_>, set: KeySet) -> Result<(), Refusal> {
    let definition = &set.definition;
    let Scope::Zone(zone) = definition.scope else {
        return Err(Refusal::Unfit("a key set of a zone"));
    };
    names::check(&definition.name)?;
    let policy = tx.get::<Policy>(&set.policy)?;
    if !definition.sound() || !kind::allows(definition.kind, definition.shape) {
        return Err(Refusal::Unfit("the definition is not sound"));
    }
    if policy.kind != definition.kind || !policy.shapes.contains(&definition.shape) {
        return Err(Refusal::Unfit("the policy is for other keys"));
    }
    if policy.hard_stop != definition.hard_stop {
        return Err(Refusal::Unfit("the policy says otherwise about the hard stop"));
    }
    if tx.get::<Zone>(&zone)?.live != set.live {
        return Err(Refusal::TestAndLive);
    }
    let indices = |set: &KeySet| {
        let i = set.definition.indices;
        [i.base, i.odd, i.even]
    };
    for id in tx.keys_in::<KeySet>(..) {
        let other = tx.get::<KeySet>(&id)?;
        if other.definition.name == definition.name {
            return Err(Refusal::exists::<KeySet>(&definition.name));
        }
        if indices(other).iter().any(|index| indices(&set).contains(index)) {
            return Err(Refusal::Unfit("an index belongs to another key set"));
        }
    }
    tx.edit::<Zone>(&zone)?.key_sets.insert(set.id());
    tx.add(set)
}

fn zone_is_free(tx: &Change<'_>, zone: &ZoneId) -> Result<(), Refusal> {
    for set in &tx.get::<Zone>(zone)?.key_sets {
        if tx.get::<KeySet>(set)?.live_campaign.is_some() {
            return Err(Refusal::ZoneLocked);
        }
    }
    Ok(())
}

pub(super) fn add_members(
    tx: &mut Change<'_>,
    action: ActionId,
    zone: ZoneId,
    nodes: &BTreeSet<NodeId>,
    now: u64,
) -> Result<(), Refusal> {
    zone_is_free(tx, &zone)?;
    for &node in nodes {
        let record = tx.edit::<Node>(&node)?;
        if record.standing == Standing::Revoked {
            return Err(Refusal::Suspended);
        }
        if !record.zones.insert(zone) {
            return Err(Refusal::exists::<Member>(&node));
        }
        // It has none of this zone's keys yet, and must not be taken for a node that is ready.
        if record.traffic == Traffic::InTraffic && tx_has_protecting(tx, zone)? {
            return Err(Refusal::InTraffic(node));
        }
        tx.put(Member { zone, node, action, since_utc_ms: now, left: false });
        tx.edit::<Zone>(&zone)?.members += 1;
    }
    Ok(())
}

fn tx_has_protecting(tx: &Change<'_>, zone: ZoneId) -> Result<bool, Refusal> {
    for set in &tx.get::<Zone>(&zone)?.key_sets {
        let set = tx.get::<KeySet>(set)?;
        if set.holders == Holders::Members && set.protecting.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn remove_members(
    tx: &mut Change<'_>,
    action: ActionId,
    zone: ZoneId,
    nodes: &BTreeSet<NodeId>,
) -> Result<(), Refusal> {
    zone_is_free(tx, &zone)?;
    for &node in nodes {
        if tx.get::<Node>(&node)?.is_in_traffic() {
            return Err(Refusal::InTraffic(node));
        }
        let record = tx.edit::<Node>(&node)?;
        if !record.zones.remove(&zone) {
            return Err(Refusal::NotMember);
        }
        // It is shown why it gives up keys that nobody names any more.
        record.rights.push(action);
        tx.edit::<Member>(&(zone, node))?.left = true;
        tx.edit::<Zone>(&zone)?.members -= 1;
    }
    Ok(())
}
