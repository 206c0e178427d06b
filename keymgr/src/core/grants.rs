//! What an action allows nodes to do, in the words that nodes judge.

use super::action::{Act, KeyRef};
use super::campaign::{Campaign, RotateTarget};
use super::key::{Key, KeySet};
use super::lifecycle::KeyState;
use super::refusal::Refusal;
use super::table::Change;
use keylink::NodeId;
use keylink::action::Grant;

/// The grants of an act, as things stand.
pub fn of(act: &Act, tx: &Change<'_>) -> Result<Vec<Grant>, Refusal> {
    Ok(match act {
        Act::EnrolNodes(nodes) => nodes
            .iter()
            .flat_map(|new| {
                let node = NodeId::of(&new.key);
                let kcv_only = new.kcv_only.then_some(Grant::KcvOnly(node));
                // Whoever is let in may agree on its first root KEK.
                let let_in = [Grant::EnrolNode { node, csr: new.csr }, Grant::RootKek { node, number: 1 }];
                let_in.into_iter().chain(kcv_only)
            })
            .collect(),
        Act::AddMembers { zone, nodes } => {
            nodes.iter().map(|&node| Grant::JoinZone { zone: *zone, node }).collect()
        }
        Act::RemoveMembers { zone, nodes } => {
            nodes.iter().map(|&node| Grant::LeaveZone { zone: *zone, node }).collect()
        }
        Act::CreateKeySet { definition, .. } => vec![Grant::KeySet(definition.clone())],
        Act::Rotate(targets) => targets.iter().map(generation).collect(),
        Act::RotateAtOnce { targets, .. } => {
            let mut grants: Vec<_> = targets.iter().map(generation).collect();
            for target in targets {
                let set = tx.get::<KeySet>(&target.key_set)?;
                if let Some(generation) = set.protecting {
                    grants.extend(if_suspended(tx, &KeyRef { key_set: target.key_set, generation }));
                }
            }
            grants
        }
        Act::RollBack { campaign } => {
            let campaign = tx.get::<Campaign>(campaign)?;
            let old = campaign.old.ok_or(Refusal::Phase)?;
            vec![Grant::Rollback { key_set: campaign.plan.key_set, from: campaign.new_generation(), to: old }]
        }
        Act::AbortCampaign { campaign } => {
            let plan = &tx.get::<Campaign>(campaign)?.plan;
            vec![Grant::Destroy { key_set: plan.key_set, generation: plan.generation }]
        }
        Act::DestroyKey(key) | Act::RevokeKey { key, .. } | Act::DeactivateKey(key) => {
            [destroy(key)].into_iter().chain(if_suspended(tx, key)).collect()
        }
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

// The end of a suspended key ends the suspension of its set as well.
fn if_suspended(tx: &Change<'_>, key: &KeyRef) -> Option<Grant> {
    let suspended = tx.find::<Key>(key).is_some_and(|key| key.state() == KeyState::Suspended);
    suspended.then_some(Grant::ResumeKeySet(key.key_set))
}

fn destroy(key: &KeyRef) -> Grant {
    Grant::Destroy { key_set: key.key_set, generation: key.generation }
}
