//! Keys that come from components or from others, and keys that leave.

use crate::action::{Act, KeyRef};
use crate::centre::Centre;
use crate::ceremony::ComponentMessage;
use crate::ids::{ActionId, Digest, KeySetId, PersonId};
use crate::input::Arrived;
use crate::key::{Key, KeySet, Origin};
use crate::lifecycle::KeyState;
use crate::people::{Credential, Person, Role, Standing};
use crate::refusal::Refusal;
use crate::table::Change;
use crate::verified::Verified;
use crate::{kind, steps};
use std::collections::BTreeSet;

fn free_set<'t>(tx: &'t Change<'_>, key_set: &KeySetId) -> Result<&'t KeySet, Refusal> {
    let set = tx.get::<KeySet>(key_set)?;
    if set.live_campaign.is_some() { Err(Refusal::CampaignLives) } else { Ok(set) }
}

pub(super) fn may_form(tx: &Change<'_>, key_set: &KeySetId, custodians: &[PersonId]) -> Result<(), Refusal> {
    free_set(tx, key_set)?;
    let distinct: BTreeSet<_> = custodians.iter().collect();
    if custodians.len() < 2 || distinct.len() != custodians.len() {
        return Err(Refusal::Value("components lie with two persons or more"));
    }
    for (index, person) in custodians.iter().enumerate() {
        let record = tx.get::<Person>(person)?;
        let mut trial = record.clone();
        trial.entrust(*key_set, u8::try_from(index + 1).unwrap_or(u8::MAX))?;
    }
    Ok(())
}

fn exchange_key<'t>(tx: &'t Change<'_>, under: &KeyRef) -> Result<&'t Key, Refusal> {
    let kek = tx.get::<Key>(under)?;
    if !kind::facts(kek.attributes().kind).wraps {
        return Err(Refusal::Unfit("that key does not wrap others"));
    }
    if kek.state() != KeyState::Active || kek.suspect.is_some() {
        return Err(Refusal::Unfit("the wrapping key is not in use"));
    }
    Ok(kek)
}

pub(super) fn may_import(tx: &Change<'_>, key_set: &KeySetId, under: &KeyRef) -> Result<(), Refusal> {
    let (set, kek) = (free_set(tx, key_set)?, exchange_key(tx, under)?);
    fits_under(set.definition.shape, set.live, kek)
}

pub(super) fn may_export(tx: &Change<'_>, key: &KeyRef, under: &KeyRef) -> Result<(), Refusal> {
    let (record, kek) = (tx.get::<Key>(key)?, exchange_key(tx, under)?);
    if !record.attributes().exportable || key == under {
        return Err(Refusal::NotExportable);
    }
    if !matches!(record.state(), KeyState::PreActivation | KeyState::Active) {
        return Err(Refusal::NotExportable);
    }
    fits_under(record.attributes().shape, record.attributes().live, kek)
}

fn fits_under(shape: kind::Shape, live: bool, kek: &Key) -> Result<(), Refusal> {
    if kek.attributes().live != live {
        return Err(Refusal::TestAndLive);
    }
    if kind::strength_bits(kek.attributes().shape) < kind::strength_bits(shape) {
        return Err(Refusal::Strength);
    }
    Ok(())
}

/// A custodian's own component of a ceremony, signed with an own credential.
pub fn component(tx: &Change<'_>, act: &Act, message: &Verified<ComponentMessage>) -> Result<(), Refusal> {
    let said = message.body();
    let (Act::FormKey { custodians, .. } | Act::FormRootKek { custodians, .. }) = act else {
        return Err(Refusal::Unfit("the action is for something else"));
    };
    let entrusted = usize::from(said.number).checked_sub(1).and_then(|at| custodians.get(at));
    let own = |c: &&Credential| {
        c.person == said.person && c.key == *message.key() && c.standing == Standing::Active
    };
    let signed = tx.find::<Credential>(&said.credential).filter(own).is_some();
    let custodian = tx.find::<Person>(&said.person).is_some_and(|person| person.is(Role::Custodian));
    if entrusted != Some(&said.person) || !signed || !custodian {
        return Err(Refusal::Forbidden);
    }
    if said.kmc != tx.get::<Centre>(&())?.kmc {
        return Err(Refusal::Unfit("a component for another centre"));
    }
    Ok(())
}

/// A key that was formed or imported by right of an action comes to life (T1).
pub fn formed(tx: &mut Change<'_>, act: &Act, key: Arrived, nonce: Digest, now: u64) -> Result<(), Refusal> {
    let Arrived { action, origin, generation, mut material } = key;
    let key_set = match (act, origin) {
        (Act::FormKey { key_set, custodians }, Origin::Components) => {
            may_form(tx, key_set, custodians)?;
            for (index, person) in custodians.iter().enumerate() {
                tx.edit::<Person>(person)?.entrust(*key_set, u8::try_from(index + 1).unwrap_or(u8::MAX))?;
            }
            *key_set
        }
        (Act::ImportKey { key_set, under, kcv, .. }, Origin::Imported) => {
            may_import(tx, key_set, under)?;
            if !states(kcv, &material.kcv) {
                return Err(Refusal::Value("the check value is not the one that was approved"));
            }
            material.arrived_under = Some((under.key_set, under.generation));
            *key_set
        }
        _ => return Err(Refusal::Unfit("the action is for something else")),
    };
    // Another key may have taken the number since: the block has the wrong one under its MAC then.
    if tx.get::<KeySet>(&key_set)?.next_generation != generation {
        return Err(Refusal::NotNext);
    }
    steps::bear(tx, key_set, origin, material, nonce, action, now)
}

// Partners state six digits or more of a check value, also where ours has ten.
fn states(stated: &str, own: &str) -> bool {
    stated.len() >= 6 && own.get(..stated.len()).is_some_and(|own| own.eq_ignore_ascii_case(stated))
}

/// A key that has left by right of an action.
pub fn exported(tx: &mut Change<'_>, action: ActionId, act: &Act) -> Result<(), Refusal> {
    let Act::ExportKey { key, under } = act else {
        return Err(Refusal::Unfit("the action is for something else"));
    };
    may_export(tx, key, under)?;
    let record = tx.edit::<Key>(key)?;
    record.left_under.insert(*under);
    record.by_right(action);
    Ok(())
}
