//! Watching the campaigns: by the public interface, patiently, since a manager may be gone for a moment.

use super::people::{People, called};
use super::report::Stage;
use crate::exit::Failure;
use keylink::CampaignId;
use keymgr::api::NodeView;
use keymgr::client::ClientProblem;
use keymgr::core::campaign::{Campaign, Delivery, Mark, Phase};
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

/// Clocks of the nodes that a gate waits for minus the manager's, as the manager has measured them, milliseconds.
pub async fn skews_ms(people: &People) -> Result<Vec<i64>, Failure> {
    let all: Vec<NodeView> = people.operator.all("/nodes").await.map_err(called)?;
    Ok(all.iter().filter(|node| node.gated).map(|node| node.skew_ms).collect())
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
