//! Moves of keys that officers ask for, besides those of campaigns.

use crate::action::KeyRef;
use crate::alarm::AlarmKind;
use crate::campaign::Campaign;
use crate::ids::ActionId;
use crate::key::{Holders, Key, KeySet, Material, Storage, Wrapper};
use crate::lifecycle::{KeyState, Transition, transition_between};
use crate::policy::{Policy, SPAN_MAX_MS};
use crate::refusal::Refusal;
use crate::table::Change;
use crate::{steps, tick};

/// Moves a key to a state, by the one edge that leads there.
pub(super) fn shift(
    tx: &mut Change<'_>,
    action: ActionId,
    key: &KeyRef,
    to: KeyState,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Key>(key)?;
    let from = record.state();
    let transition = transition_between(Some(from), to).unwrap_or(match to {
        KeyState::Suspended => Transition::T7,
        KeyState::Deactivated => Transition::T8,
        KeyState::Compromised => Transition::T6,
        _ => Transition::T4,
    });
    record.apply(transition, now)?;
    record.by_right(action);
    Ok(())
}

pub(super) fn not_in_campaign(tx: &Change<'_>, key: &KeyRef) -> Result<(), Refusal> {
    let live = tx.get::<KeySet>(&key.key_set)?.live_campaign;
    let Some(campaign) = live else { return Ok(()) };
    let campaign = tx.get::<Campaign>(&campaign)?;
    if campaign.new_generation() == key.generation || campaign.old == Some(key.generation) {
        return Err(Refusal::CampaignLives);
    }
    Ok(())
}

// A suspended key is the one that protected, and does not.
pub(super) fn not_protecting(tx: &Change<'_>, key: &KeyRef) -> Result<(), Refusal> {
    let protects = tx.get::<KeySet>(&key.key_set)?.protecting == Some(key.generation);
    if protects && tx.get::<Key>(key)?.state() == KeyState::Active {
        return Err(Refusal::InUse("it protects"));
    }
    Ok(())
}

/// A key that has ended protects no more.
pub fn forget_protecting(tx: &mut Change<'_>, key: &KeyRef, now: u64) -> Result<(), Refusal> {
    if tx.get::<KeySet>(&key.key_set)?.protecting == Some(key.generation) {
        tx.edit::<KeySet>(&key.key_set)?.protecting = None;
        tick::protects_no_more(tx, key, now)?;
    }
    Ok(())
}

pub(super) fn activate_at_centre(
    tx: &mut Change<'_>,
    action: ActionId,
    key: &KeyRef,
    now: u64,
) -> Result<(), Refusal> {
    let set = tx.get::<KeySet>(&key.key_set)?;
    if set.holders != Holders::Centre {
        return Err(Refusal::Unfit("keys of nodes are activated by a campaign"));
    }
    let (policy, before) = (tx.get::<Policy>(&set.policy)?, set.protecting);
    let (period, extra) = (policy.originator_period_ms, policy.extra_ms());
    let record = tx.edit::<Key>(key)?;
    record.apply(Transition::T4, now)?;
    record.by_right(action);
    record.windows.originator_from = Some(now);
    record.windows.recipient_from = Some(now);
    record.windows.originator_until = Some(now.saturating_add(period));
    record.windows.recipient_until = Some(now.saturating_add(period).saturating_add(extra));
    tx.edit::<KeySet>(&key.key_set)?.protecting = Some(key.generation);
    if let Some(generation) = before {
        let old = KeyRef { key_set: key.key_set, generation };
        let windows = &mut tx.edit::<Key>(&old)?.windows;
        windows.originator_until = Some(now);
        windows.recipient_until = Some(now.saturating_add(extra));
        tick::protects_no_more(tx, &old, now)?;
    }
    Ok(())
}

pub(super) fn resume_key(
    tx: &mut Change<'_>,
    action: ActionId,
    key: &KeyRef,
    now: u64,
) -> Result<(), Refusal> {
    // A set that was suspended may have another key by now: then the set alone resumes.
    let set = tx.edit::<KeySet>(&key.key_set)?;
    let other = set.suspended && set.protecting == Some(key.generation);
    set.suspended &= set.protecting != Some(key.generation);
    set.stilled_by = Some(action);
    let record = tx.edit::<Key>(key)?;
    record.by_right(action);
    if other && record.state() == KeyState::Active {
        return Ok(());
    }
    Ok(record.apply(Transition::T10, now)?)
}

// T3, T6, T11, T14; after destruction only a remark. What it ever wrapped becomes suspect.
pub(super) fn revoke_key(
    tx: &mut Change<'_>,
    action: ActionId,
    key: &KeyRef,
    reason: &str,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Key>(key)?;
    if record.state() == KeyState::Destroyed {
        record.suspect = Some(reason.to_owned());
        record.by_right(action);
    } else {
        shift(tx, action, key, KeyState::Compromised, now)?;
        tx.edit::<Key>(key)?.suspect = Some(reason.to_owned());
        steps::key_lost(tx, key, now)?;
    }
    for dependant in wrapped_by(tx, key) {
        let record = tx.edit::<Key>(&dependant)?;
        if record.suspect.is_none() {
            record.suspect = Some(format!("{key} was compromised: {reason}"));
        }
        tx.alarm(AlarmKind::KeySuspect, &dependant, format!("wrapped by {key}, which was compromised"), now);
    }
    Ok(())
}

/// Keys whose material was ever wrapped by `kek`.
fn wrapped_by(tx: &Change<'_>, kek: &KeyRef) -> Vec<KeyRef> {
    let (set, generation) = (kek.key_set, kek.generation);
    let by_it = |material: &Material| {
        material.wrapped_by == Wrapper::Key { key_set: set, generation }
            || material.arrived_under == Some((set, generation))
    };
    let all = tx.keys_in::<Key>(..);
    let depends = |key: &&KeyRef| {
        tx.find::<Key>(key)
            .is_some_and(|key| key.material.as_ref().is_some_and(by_it) || key.left_under.contains(kek))
    };
    all.iter().filter(depends).copied().collect()
}

pub(super) fn destroy_key(
    tx: &mut Change<'_>,
    action: ActionId,
    key: &KeyRef,
    now: u64,
) -> Result<(), Refusal> {
    not_in_campaign(tx, key)?;
    not_protecting(tx, key)?;
    for dependant in wrapped_by(tx, key) {
        let alone = tx.get::<Key>(&dependant)?.material.as_ref().is_some_and(|m| {
            m.wrapped_by == Wrapper::Key { key_set: key.key_set, generation: key.generation }
        });
        if alone {
            return Err(Refusal::InUse("a block depends on it alone"));
        }
    }
    let hold = hold_ms(tx, key)?;
    let record = tx.edit::<Key>(key)?;
    record.by_right(action);
    match record.state() {
        KeyState::PreActivation => Ok(record.apply(Transition::T2, now)?),
        KeyState::Destroyed => Err(Refusal::Value("it is destroyed already")),
        _ if record.destroy_hold_until.is_some() => Err(Refusal::Value("a destroy hold runs already")),
        _ => {
            record.destroy_hold_until = Some(now.saturating_add(hold));
            Ok(())
        }
    }
}

/// The destroy hold of a key's policy.
pub fn hold_ms(tx: &Change<'_>, key: &KeyRef) -> Result<u64, Refusal> {
    let policy = tx.get::<KeySet>(&key.key_set)?.policy;
    Ok(tx.get::<Policy>(&policy)?.destroy_hold_ms)
}

pub(super) fn store_as(tx: &mut Change<'_>, key: &KeyRef, storage: Storage) -> Result<(), Refusal> {
    let record = tx.edit::<Key>(key)?;
    if !matches!(record.state(), KeyState::Deactivated | KeyState::Compromised) || record.storage == storage {
        return Err(Refusal::Value("only a key out of use is archived, and only an archived one restored"));
    }
    record.storage = storage;
    Ok(())
}

pub(super) fn extend(
    tx: &mut Change<'_>,
    action: ActionId,
    key: &KeyRef,
    until: u64,
    now: u64,
) -> Result<(), Refusal> {
    let extra = tx.get::<Policy>(&tx.get::<KeySet>(&key.key_set)?.policy)?.extra_ms();
    let record = tx.edit::<Key>(key)?;
    let before = record.windows.originator_until.ok_or(Refusal::Value("the key has no period yet"))?;
    if before <= now || record.state() != KeyState::Active {
        return Err(Refusal::Value("a period is extended before its end"));
    }
    if until <= before {
        return Err(Refusal::Value("an extension ends later"));
    }
    if until > now.saturating_add(SPAN_MAX_MS) {
        return Err(Refusal::Value("a period ends within ten years"));
    }
    record.windows.originator_until = Some(until);
    // A plan may have promised more than the policy: an extension takes nothing back.
    let told = record.windows.recipient_until.unwrap_or_default();
    record.windows.recipient_until = Some(until.saturating_add(extra).max(told));
    record.by_right(action);
    tick::protects_anew(tx, key, now)
}
