//! What an action allows nodes to do, in the words that nodes judge.

use super::action::{Act, KeyRef, Reaffirmed};
use super::campaign::{Campaign, RotateTarget};
use super::key::{Key, KeySet};
use super::node::NewNode;
use super::refusal::Refusal;
use super::table::Change;
use keylink::NodeId;
use keylink::action::Grant;

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
            tx.members_of(*zone).into_iter().map(|node| Grant::JoinZone { zone: *zone, node }).collect()
        }
        Act::Reaffirm(Reaffirmed::KeySet(set)) => {
            vec![Grant::KeySet(tx.get::<KeySet>(set)?.definition.clone())]
        }
        Act::Reaffirm(Reaffirmed::Key(key)) => {
            let campaign = tx.get::<Key>(key)?.campaign.ok_or(Refusal::Phase)?;
            vec![Grant::Generation { campaign, key_set: key.key_set, generation: key.generation }]
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
            vec![Grant::Rollback { key_set: campaign.plan.key_set, from: campaign.new_generation(), to: old }]
        }
        Act::AbortCampaign { campaign } => {
            let plan = &tx.get::<Campaign>(campaign)?.plan;
            vec![Grant::Destroy { key_set: plan.key_set, generation: plan.generation }]
        }
        Act::DestroyKey(key) | Act::RevokeKey { key, .. } | Act::DeactivateKey(key) => vec![destroy(key)],
        Act::SuspendKey(key) => vec![Grant::SuspendKeySet(key.key_set)],
        Act::ResumeKey(key) => vec![Grant::ResumeKeySet(key.key_set)],
        Act::SuspendNode { node, .. } => vec![Grant::SuspendNode(*node)],
        Act::ResumeNode { node } => vec![Grant::ResumeNode(*node)],
        _ => Vec::new(),
    })
}

fn generation(target: &RotateTarget) -> Grant {
    Grant::Generation { campaign: target.campaign, key_set: target.key_set, generation: target.generation }
}

fn destroy(key: &KeyRef) -> Grant {
    Grant::Destroy { key_set: key.key_set, generation: key.generation }
}
