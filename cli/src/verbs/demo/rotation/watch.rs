//! Watching the campaigns: by the public interface, patiently, since a manager may be gone for a moment.

use super::people::{People, called};
use super::report::Stage;
use crate::exit::Failure;
use keylink::{CampaignId, NodeId};
use keymgr::api::NodeView;
use keymgr::client::ClientProblem;
use keymgr::core::campaign::{Campaign, Delivery, Mark, Phase};
use std::collections::BTreeMap;
use std::time::Duration;

fn stage_of(phase: Phase) -> Stage {
    match phase {
        Phase::Generating | Phase::Staging => Stage::Staging,
        Phase::Accepting => Stage::Accepting,
        Phase::Protecting => Stage::Protecting,
        Phase::Overlap => Stage::Overlap,
        _ => Stage::Retiring,
    }
}

/// Where the slowest is.
pub fn stage(campaigns: &[Campaign]) -> Stage {
    campaigns.iter().map(|campaign| stage_of(campaign.phase)).min().unwrap_or(Stage::Before)
}

/// Receipts of gated nodes, over all campaigns.
pub fn counted(campaigns: &[Campaign], mark: Mark) -> u32 {
    campaigns.iter().map(|campaign| campaign.counts.of(mark)).sum()
}

/// The campaigns as they are now, if the manager answers.
pub async fn look_once(people: &People, ids: &[CampaignId]) -> Result<Vec<Campaign>, ClientProblem> {
    let mut all = Vec::new();
    for id in ids {
        all.push(people.operator.get(&format!("/campaigns/{id}")).await?);
    }
    Ok(all)
}

/// The campaigns as they are now.
pub async fn look(people: &People, ids: &[CampaignId]) -> Result<Vec<Campaign>, Failure> {
    for _ in 0..100 {
        if let Ok(all) = look_once(people, ids).await {
            return Ok(all);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    look_once(people, ids).await.map_err(called)
}

/// Clocks of the nodes that a gate waits for minus the manager's, as the manager has measured them, milliseconds. A beat
/// that was late on its way makes a clock look slower, never faster: the greatest that was `seen` of a node counts.
pub async fn skews_ms(people: &People, seen: &mut BTreeMap<NodeId, i64>) -> Result<(), ClientProblem> {
    let mut all: Vec<NodeView> = people.operator.all("/nodes").await?;
    all.retain(|node| node.gated);
    let greatest = |node: &NodeView| seen.get(&node.id).map_or(node.skew_ms, |skew| node.skew_ms.max(*skew));
    *seen = all.iter().map(|node| (node.id, greatest(node))).collect();
    Ok(())
}

/// What every node owes and has receipted, if the manager answers.
pub async fn deliveries_once(people: &People, ids: &[CampaignId]) -> Result<Vec<Delivery>, ClientProblem> {
    let mut all = Vec::new();
    for id in ids {
        all.extend(people.operator.all::<Delivery>(&format!("/campaigns/{id}/deliveries")).await?);
    }
    Ok(all)
}

/// What every node owes and has receipted.
pub async fn deliveries(people: &People, ids: &[CampaignId]) -> Result<Vec<Delivery>, Failure> {
    for _ in 0..100 {
        if let Ok(all) = deliveries_once(people, ids).await {
            return Ok(all);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    deliveries_once(people, ids).await.map_err(called)
}
