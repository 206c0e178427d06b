//! The root document: by it nodes know who speaks for the centre. Officers of the register and of the document
//! are the same people, or an alarm says that they are not.

use super::acts;
use super::alarm::AlarmKind;
use super::approval::Registry;
use super::centre::Centre;
use super::ids::{CredentialId, KmcId, PersonId, PublicKey};
use super::input::Founding;
use super::people::{Credential, CredentialKind, NewCredential, NewPerson, Person, Role, Standing};
use super::refusal::Refusal;
use super::table::Change;
use keylink::action::ActionClass;
use keylink::root::{Officer, RECOVERY_DELAY_MS, RootDocument, SignedRoot, Succession};
use std::collections::{BTreeMap, BTreeSet};

/// The first officers of a centre: three, so that one may ask and two approve.
const FOUNDERS_MIN: usize = 3;

/// Founds a centre.
pub fn found(tx: &mut Change<'_>, founding: &Founding, now: u64) -> Result<(), Refusal> {
    if tx.find::<Centre>(&()).is_some() {
        return Err(Refusal::Founded);
    }
    let document = founding.root.open_genesis()?;
    if document.persons() < FOUNDERS_MIN {
        return Err(Refusal::TooFewOfficers);
    }
    tx.put(Centre {
        kmc: KmcId(founding.root.hash().0),
        epoch: 1,
        root: founding.root.clone(),
        former: Vec::new(),
        recovery: None,
        quorums: quorums(&document),
        limits: founding.limits,
    });
    founding.persons.iter().try_for_each(|person| acts::enrol_person(tx, person))?;
    if registered(tx) != named(&document) {
        return Err(Refusal::Value("the officers of the root document are those that are registered"));
    }
    acts::officer_alarms(tx, now);
    Ok(())
}

fn quorums(document: &RootDocument) -> BTreeMap<ActionClass, super::approval::Quorum> {
    let known = |class: &ActionClass| document.quorums.iter().any(|q| q.class == *class);
    let needed = |class: ActionClass| {
        let persons = u8::try_from(document.persons_needed(class)).ok()?;
        Some((class, persons.try_into().ok()?))
    };
    ActionClass::ALL.into_iter().filter(known).filter_map(needed).collect()
}

type Named = (PersonId, CredentialId, PublicKey);

fn named(document: &RootDocument) -> BTreeSet<Named> {
    document.officers.iter().map(|o| (o.person, o.credential, o.key)).collect()
}

/// Credentials that can approve, by the register.
fn registered(tx: &Change<'_>) -> BTreeSet<Named> {
    let ids = tx.keys_in::<Credential>(..);
    let credentials = ids.iter().filter_map(|id| tx.find::<Credential>(id));
    credentials
        .filter(|c| c.standing == Standing::Active)
        .filter(|c| tx.person(&c.person).is_some_and(|p| p.is(Role::SecurityOfficer)))
        .map(|c| (c.person, c.id, c.key))
        .collect()
}

/// Whether the register has other officers or quorums than the root document.
pub fn is_behind(tx: &Change<'_>) -> bool {
    let Some(centre) = tx.find::<Centre>(&()) else { return false };
    centre.root.document().is_ok_and(|document| {
        // A class that one person carries has no quorum.
        let class_differs = |class: &ActionClass| {
            class.minimum() > 1 && centre.quorum(*class).persons() != document.persons_needed(*class)
        };
        named(&document) != registered(tx) || ActionClass::ALL.iter().any(class_differs)
    })
}

/// The next document, to be signed by quorums of the old and the new officers: as the register has them.
pub fn draft(tx: &Change<'_>, now: u64) -> Result<RootDocument, Refusal> {
    let centre = tx.get::<Centre>(&())?;
    let old = centre.root.document()?;
    let officers =
        registered(tx).into_iter().map(|(person, credential, key)| Officer { person, credential, key });
    let quorums = ActionClass::ALL.iter().filter_map(|class| {
        let persons = u8::try_from(centre.quorum(*class).persons()).ok()?;
        (class.minimum() > 1 && persons > class.minimum())
            .then_some(keylink::root::Quorum { class: *class, persons })
    });
    Ok(RootDocument {
        number: old.number + 1,
        kmc: Some(centre.kmc),
        previous: Some(centre.root.hash()),
        created_ms: now.into(),
        officers: officers.collect(),
        quorums: quorums.collect(),
        ..old
    })
}

/// Installs the next root document. Officers' documents must name the officers of the register and hold at once;
/// a document of the recovery keys waits, and officers may be faster.
pub fn install(tx: &mut Change<'_>, root: &SignedRoot, now: u64) -> Result<(), Refusal> {
    let centre = tx.get::<Centre>(&())?;
    let (kmc, old, hash) = (centre.kmc, centre.root.document()?, centre.root.hash());
    let (document, succession) = root.open_next(kmc, &old, hash)?;
    match succession {
        Succession::Officers => {
            if named(&document) != registered(tx) {
                return Err(Refusal::Value(
                    "the officers of the root document are those that are registered",
                ));
            }
            let centre = tx.edit::<Centre>(&())?;
            centre.former.push(std::mem::replace(&mut centre.root, root.clone()));
            centre.recovery = None;
            tx.calm(AlarmKind::Recovery, &"root", now);
        }
        Succession::Recovery => {
            if tx.get::<Centre>(&())?.recovery.is_some() {
                return Err(Refusal::Value("a recovery waits already"));
            }
            let effective = now + RECOVERY_DELAY_MS;
            tx.edit::<Centre>(&())?.recovery = Some((root.clone(), effective));
            let text = format!("recovery keys replace all officers at {effective}");
            tx.alarm(AlarmKind::Recovery, &"root", text, now);
        }
    }
    acts::officer_alarms(tx, now);
    Ok(())
}

/// A document of the recovery keys takes effect once its time has come: its officers are the officers.
pub fn recover(tx: &mut Change<'_>, now: u64) -> Result<(), Refusal> {
    let Some((root, effective)) = tx.find::<Centre>(&()).and_then(|c| c.recovery.clone()) else {
        return Ok(());
    };
    if now < effective {
        return Ok(());
    }
    let document = root.document()?;
    let wanted = named(&document);
    for (_, id, _) in registered(tx).difference(&wanted) {
        tx.edit::<Credential>(id)?.standing = Standing::Revoked;
    }
    for &(person, id, key) in &wanted {
        if tx.find::<Person>(&person).is_none() {
            let credential = NewCredential { id, kind: CredentialKind::File, key };
            let (name, roles) = (format!("recovered {person}"), [Role::SecurityOfficer].into());
            acts::enrol_person(tx, &NewPerson { id: person, name, line: None, roles, credential })?;
        } else if tx.find::<Credential>(&id).is_none() {
            tx.add(NewCredential { id, kind: CredentialKind::File, key }.of(person))?;
        }
    }
    for id in tx.keys_in::<Person>(..) {
        let stays = document.officers.iter().any(|o| o.person == id);
        if tx.get::<Person>(&id)?.is(Role::SecurityOfficer) && !stays {
            tx.edit::<Person>(&id)?.standing = Standing::Revoked;
        }
    }
    let centre = tx.edit::<Centre>(&())?;
    centre.former.push(std::mem::replace(&mut centre.root, root));
    centre.recovery = None;
    acts::drop_void_approvals(tx)?;
    tx.calm(AlarmKind::Recovery, &"root", now);
    acts::officer_alarms(tx, now);
    Ok(())
}
