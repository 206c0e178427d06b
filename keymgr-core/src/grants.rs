//! What an action allows nodes to do, in the words that nodes judge.

use super::action::{Act, KeyRef, Reaffirmed};
use super::approval::Action;
use super::campaign::{Campaign, RotateTarget};
use super::key::{Key, KeySet};
use super::lifecycle::KeyState;
use super::node::{Copy, Member, NewNode, Progress};
use super::refusal::Refusal;
use super::table::Change;
use keylink::action::Grant;
use keylink::message::Scope;
use keylink::{NodeId, ZoneId};

/// The grants of an act, as things stand.
pub fn of(act: &Act, tx: &Change<'_>) -> Result<Vec<Grant>, Refusal> {
    Ok(match act {
        Act::EnrolNodes(nodes) => {
            let of = |new: &NewNode| {
                let node = NodeId::of(&new.key);
                // Whoever is let in may agree on its first root KEK.
                [Grant::EnrolNode { node, csr: new.csr }, Grant::RootKek { node, number: 1 }]
            };
            nodes.iter().flat_map(of).collect()
        }
        Act::AllowKcvOnly(nodes) => nodes.iter().map(|&node| Grant::KcvOnly(node)).collect(),
        Act::Reaffirm(Reaffirmed::Zone(zone)) => {
            let of = |(zone, node): &(ZoneId, NodeId)| {
                let (zone, node) = (*zone, *node);
                let left = tx.find::<Member>(&(zone, node))?.left;
                Some(if left { Grant::LeaveZone { zone, node } } else { Grant::JoinZone { zone, node } })
            };
            tx.keys_in::<Member>(members_ever(*zone)).iter().filter_map(of).collect()
        }
        Act::Reaffirm(Reaffirmed::KeySet(set)) => {
            vec![Grant::KeySet(tx.get::<KeySet>(set)?.definition.clone())]
        }
        Act::Reaffirm(
            Reaffirmed::Key(key)
            | Reaffirmed::End(key)
            | Reaffirmed::RollBack(key)
            | Reaffirmed::Suspension(key)
            | Reaffirmed::Resumption(key),
        ) => {
            let class = act.class();
            let mut grants = still_right(tx, key)?;
            grants.retain(|grant| grant.belongs_to(class));
            // A key that ended when another took its place needed no approval for that. A node that was away then, and
            // whose next key has ended too, does not give it up without.
            let is_end = matches!(act, Act::Reaffirm(Reaffirmed::End(_)));
            if is_end && grants.is_empty() && is_used_after_its_end(tx, key)? {
                grants.push(destroy(key));
            }
            grants
        }
        Act::AddMembers { zone, nodes } => {
            nodes.iter().map(|&node| Grant::JoinZone { zone: *zone, node }).collect()
        }
        Act::RemoveMembers { zone, nodes } => {
            nodes.iter().map(|&node| Grant::LeaveZone { zone: *zone, node }).collect()
        }
        Act::CreateKeySet { definition, .. } => vec![Grant::KeySet(definition.clone())],
        Act::Rotate(targets) | Act::RotateAtOnce { targets, .. } => targets.iter().map(generation).collect(),
        Act::RollBack { campaign } => {
            let campaign = tx.get::<Campaign>(campaign)?;
            let old = campaign.old.ok_or(Refusal::Phase)?;
            let (key_set, from) = (campaign.plan.key_set, campaign.new_generation());
            // In the end the new key is destroyed.
            vec![Grant::Rollback { key_set, from, to: old }, Grant::Destroy { key_set, generation: from }]
        }
        Act::AbortCampaign { campaign } => {
            let plan = &tx.get::<Campaign>(campaign)?.plan;
            vec![Grant::Destroy { key_set: plan.key_set, generation: plan.generation }]
        }
        Act::DestroyKey(key) | Act::RevokeKey { key, .. } | Act::DeactivateKey(key) => vec![destroy(key)],
        Act::SuspendKey(key) => vec![Grant::SuspendKeySet(key.key_set)],
        Act::ResumeKey(key) => vec![Grant::ResumeKeySet(key.key_set)],
        // What is formed from components at the node is not offered to it.
        Act::RekeyNodes(targets) | Act::RekeySuspect { targets, .. } => {
            targets.iter().map(|one| Grant::RootKek { node: one.node, number: one.number }).collect()
        }
        Act::SuspendNode { node, .. } => vec![Grant::SuspendNode(*node)],
        Act::ResumeNode { node } => vec![Grant::ResumeNode(*node)],
        // Whoever has no rights any more shall have no keys either.
        Act::RevokeNode { node } => vec![Grant::ZeroiseNode(*node)],
        _ => Vec::new(),
    })
}

// What was approved about a key, as far as it is still meant: that it is brought, taken away, given back its place.
fn still_right(tx: &Change<'_>, key: &KeyRef) -> Result<Vec<Grant>, Refusal> {
    let (record, set) = (tx.get::<Key>(key)?, tx.get::<KeySet>(&key.key_set)?);
    // Its period is over, and no key follows yet: nodes keep it in its place, and one that lost it gets it again.
    let stays = record.state() == KeyState::Deactivated
        && set.protecting == Some(key.generation)
        && record.suspect.is_none();
    let holds = |grant: &&Grant| match grant {
        Grant::Generation { key_set, generation, .. } => {
            (*key_set, *generation) == (key.key_set, key.generation) && (record.is_live() || stays)
        }
        Grant::Destroy { key_set, generation } => {
            (*key_set, *generation) == (key.key_set, key.generation) && !record.is_live()
        }
        Grant::Rollback { key_set, to, .. } => *key_set == key.key_set && set.protecting == Some(*to),
        Grant::SuspendKeySet(key_set) => *key_set == key.key_set && set.suspended,
        Grant::ResumeKeySet(key_set) => *key_set == key.key_set && !set.suspended,
        _ => false,
    };
    let mut grants: Vec<Grant> = Vec::new();
    for action in record.rights.iter().filter_map(|id| tx.find::<Action>(id)) {
        for grant in action.grants.iter().filter(holds) {
            if !grants.contains(grant) {
                grants.push(grant.clone());
            }
        }
    }
    Ok(grants)
}

// By its receipts, a node still uses a key that has ended.
fn is_used_after_its_end(tx: &Change<'_>, key: &KeyRef) -> Result<bool, Refusal> {
    let Scope::Zone(zone) = tx.get::<KeySet>(&key.key_set)?.definition.scope else { return Ok(false) };
    let uses = |(_, node): &(ZoneId, NodeId)| {
        let copy = tx.find::<Copy>(&(*node, *key));
        copy.is_some_and(|copy| matches!(copy.progress, Progress::Accepting | Progress::Activated))
    };
    Ok(!tx.get::<Key>(key)?.is_live() && tx.keys_in::<Member>(members_ever(zone)).iter().any(uses))
}

fn generation(target: &RotateTarget) -> Grant {
    Grant::Generation { campaign: target.campaign, key_set: target.key_set, generation: target.generation }
}

/// Who is a member of a zone, or was.
pub fn members_ever(zone: ZoneId) -> std::ops::RangeInclusive<(ZoneId, NodeId)> {
    (zone, NodeId([0; 32]))..=(zone, NodeId([0xFF; 32]))
}

fn destroy(key: &KeyRef) -> Grant {
    Grant::Destroy { key_set: key.key_set, generation: key.generation }
}
