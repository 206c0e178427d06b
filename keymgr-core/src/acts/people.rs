//! Persons, their roles and credentials, and how many of them decide.

use crate::alarm::AlarmKind;
use crate::approval::{Action, ActionState, Quorum};
use crate::centre::Centre;
use crate::ids::{CredentialId, PersonId};
use crate::names;
use crate::people::{Credential, NewPerson, Person, Role, Standing};
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::root;
use crate::table::Change;
use keylink::action::ActionClass;
use std::collections::BTreeSet;

/// Registers a person with a first credential.
pub fn enrol_person(tx: &mut Change<'_>, new: &NewPerson) -> Result<(), Refusal> {
    let taken =
        tx.keys_in::<Person>(..).iter().any(|id| tx.find::<Person>(id).is_some_and(|p| p.name == new.name));
    if taken {
        return Err(Refusal::exists::<Person>(&new.name));
    }
    names::check(&new.name)?;
    let (person, credential) = Person::register(new)?;
    tx.add(person)?;
    add_credential(tx, credential)
}

// One key, one credential, one person: the same key under two names would count twice.
pub(super) fn add_credential(tx: &mut Change<'_>, credential: Credential) -> Result<(), Refusal> {
    let same = |id: &CredentialId| tx.find::<Credential>(id).is_some_and(|c| c.key == credential.key);
    if tx.keys_in::<Credential>(..).iter().any(same) {
        return Err(Refusal::exists::<Credential>(&credential.key));
    }
    if root::is_awaited(tx, &credential) {
        return Err(Refusal::Value("a recovery that waits names this key"));
    }
    tx.add(credential)
}

pub(super) fn revoke_person(
    tx: &mut Change<'_>,
    person: &PersonId,
    replacement: Option<&NewPerson>,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Person>(person)?;
    if record.standing == Standing::Revoked {
        return Err(Refusal::Value("the person is revoked already"));
    }
    record.standing = Standing::Revoked;
    if let Some(new) = replacement {
        enrol_person(tx, new)?;
    }
    for id in tx.keys_in::<Credential>(..) {
        if tx.get::<Credential>(&id)?.person == *person {
            tx.edit::<Credential>(&id)?.standing = Standing::Revoked;
        }
    }
    after_people(tx, now)
}

pub(super) fn change_roles(
    tx: &mut Change<'_>,
    person: &PersonId,
    roles: &BTreeSet<Role>,
    now: u64,
) -> Result<(), Refusal> {
    tx.edit::<Person>(person)?.change_roles(roles)?;
    after_people(tx, now)
}

pub(super) fn revoke_credential(
    tx: &mut Change<'_>,
    credential: &CredentialId,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Credential>(credential)?;
    if record.standing == Standing::Revoked {
        return Err(Refusal::Value("the credential is revoked already"));
    }
    record.standing = Standing::Revoked;
    after_people(tx, now)
}

pub(super) fn set_quorum(tx: &mut Change<'_>, class: ActionClass, quorum: Quorum) -> Result<(), Refusal> {
    if usize::from(class.minimum()) > quorum.persons() {
        return Err(Refusal::Value("below the minimum of the class"));
    }
    tx.edit::<Centre>(&())?.quorums.insert(class, quorum);
    enough_officers(tx)
}

// Enough officers stay, approvals of those who went are void, and the alarms tell.
fn after_people(tx: &mut Change<'_>, now: u64) -> Result<(), Refusal> {
    enough_officers(tx)?;
    drop_void_approvals(tx)?;
    officer_alarms(tx, now);
    Ok(())
}

/// Persons who can approve: officers with a credential that counts.
fn officers(tx: &Change<'_>) -> BTreeSet<PersonId> {
    let ids = tx.keys_in::<Credential>(..);
    let credentials = ids.iter().filter_map(|id| tx.find::<Credential>(id));
    credentials
        .filter(|c| c.standing == Standing::Active)
        .filter(|c| tx.find::<Person>(&c.person).is_some_and(|p| p.is(Role::SecurityOfficer)))
        .map(|c| c.person)
        .collect()
}

// With m of every planned class there is one more, so that an officer may also ask.
pub fn enough_officers(tx: &Change<'_>) -> Result<(), Refusal> {
    let centre = tx.get::<Centre>(&())?;
    let planned = ActionClass::ALL.iter().filter(|class| **class != ActionClass::Emergency);
    let of_classes = planned.map(|class| centre.quorum(*class).persons()).max().unwrap_or_default();
    let policies = tx.keys_in::<Policy>(..);
    let of_policies = policies
        .iter()
        .filter_map(|id| tx.find::<Policy>(id))
        .map(|p| p.quorum.persons())
        .max()
        .unwrap_or_default();
    if officers(tx).len() > of_classes.max(of_policies) { Ok(()) } else { Err(Refusal::TooFewOfficers) }
}

/// Takes away pending approvals of people who no longer count.
pub fn drop_void_approvals(tx: &mut Change<'_>) -> Result<(), Refusal> {
    for id in tx.keys_in::<Action>(..) {
        let mut action = tx.get::<Action>(&id)?.clone();
        if action.state == ActionState::Pending && action.drop_void(tx) {
            tx.put(action);
        }
    }
    Ok(())
}

/// Alarms about the number of officers and the root document that names them.
pub fn officer_alarms(tx: &mut Change<'_>, now: u64) {
    let count = officers(tx).len();
    if count < 4 {
        let text = format!("{count} officers: an emergency needs three besides the requester");
        tx.alarm(AlarmKind::FewOfficers, &"officers", text, now);
    } else {
        tx.calm(AlarmKind::FewOfficers, &"officers", now);
    }
    if root::is_behind(tx) {
        let text = "officers have changed; sign and install the next root document".to_owned();
        tx.alarm(AlarmKind::RootBehind, &"root", text, now);
    } else {
        tx.calm(AlarmKind::RootBehind, &"root", now);
    }
}
