//! What the passing of time does to a campaign.

use super::{advance, deliveries};
use crate::alarm::AlarmKind;
use crate::campaign::{Campaign, Delivery, Mark, Phase};
use crate::centre::Centre;
use crate::ids::CampaignId;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::table::Change;

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
        && now > from.saturating_add(limits.switch_grace_ms)
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
    if now <= since.saturating_add(answer_ms) {
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
