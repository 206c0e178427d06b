//! Keys that come to life, and the numbers they get.

use super::{accept, protect};
use crate::alarm::AlarmKind;
use crate::campaign::{Campaign, Phase, Source};
use crate::ids::{ActionId, CampaignId, Digest, Generation, KeySetId};
use crate::key::{Key, KeySet, Material, Origin};
use crate::refusal::Refusal;
use crate::table::Change;
use crate::{kind, planted};

/// A key comes to life (T1), by its number reserved before or the next one.
pub fn bear(
    tx: &mut Change<'_>,
    key_set: KeySetId,
    origin: Origin,
    material: Material,
    nonce: Digest,
    action: ActionId,
    now: u64,
) -> Result<(), Refusal> {
    let set = tx.get::<KeySet>(&key_set)?.clone();
    let generation = match set.live_campaign {
        Some(campaign) => tx.get::<Campaign>(&campaign)?.new_generation(),
        None => {
            tx.edit::<KeySet>(&key_set)?.next_generation = Generation(set.next_generation.0 + 1);
            number_next(tx, key_set, now)?;
            set.next_generation
        }
    };
    if material.wrapper_strength_bits < kind::strength_bits(set.definition.shape) {
        return Err(Refusal::Strength);
    }
    let mut key = Key::born(&set, generation, origin, material, nonce, now);
    key.by_right(action);
    if planted::generation_reused() {
        tx.put(key);
        return Ok(());
    }
    tx.add(key)
}

// After an abort or a roll-back the next number may be odd or even like that of the key that protects. It is passed
// over, and its row says that no key had it.
pub(super) fn number_next(tx: &mut Change<'_>, key_set: KeySetId, now: u64) -> Result<(), Refusal> {
    let set = tx.get::<KeySet>(&key_set)?.clone();
    if !set.tells_apart(set.next_generation) {
        tx.put(Key::never_born(&set, set.next_generation, now));
        tx.edit::<KeySet>(&key_set)?.next_generation = Generation(set.next_generation.0 + 1);
    }
    Ok(())
}

/// The backend has made the key of a campaign.
pub fn generated(
    tx: &mut Change<'_>,
    id: CampaignId,
    material: Material,
    nonce: Digest,
    now: u64,
) -> Result<(), Refusal> {
    let campaign = tx.get::<Campaign>(&id)?;
    if campaign.phase != Phase::Generating || campaign.plan.source != Source::Generate {
        return Err(Refusal::Phase);
    }
    let (key_set, action) = (campaign.plan.key_set, campaign.action);
    bear(tx, key_set, Origin::Generated, material, nonce, action, now)?;
    tx.calm(AlarmKind::Backend, &id, now);
    has_key(tx, id, now)
}

pub(super) fn has_key(tx: &mut Change<'_>, id: CampaignId, now: u64) -> Result<(), Refusal> {
    let campaign = tx.edit::<Campaign>(&id)?;
    campaign.phase = Phase::Staging;
    if campaign.emergency.is_some() {
        accept(tx, id, now)?;
        return protect(tx, id, now);
    }
    Ok(())
}
