//! The root document: by it nodes know who speaks for the centre. Officers of the register and of the document
//! are the same people, or an alarm says that they are not.

use super::acts;
use super::alarm::AlarmKind;
use super::approval::Registry;
use super::centre::Centre;
use super::ids::{CredentialId, KmcId, PersonId, PublicKey};
use super::input::Founding;
use super::people::{
    Credential, CredentialKind, NewCredential, NewPerson, Person, Role, Standing, check_roles,
};
use super::refusal::Refusal;
use super::signing::{self, SigningKeys};
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
        signing: SigningKeys::default(),
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
        named(&document) != registered(tx)
            || ActionClass::ALL.iter().any(class_differs)
            || signing::is_behind(tx, centre)
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
    let mut next = RootDocument {
        number: old.number + 1,
        kmc: Some(centre.kmc),
        previous: Some(centre.root.hash()),
        created_ms: now.into(),
        officers: officers.collect(),
        quorums: quorums.collect(),
        ..old
    };
    signing::name(centre, &mut next);
    Ok(next)
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
            signing::judge(tx.get::<Centre>(&())?, &old, &document)?;
            follow(tx, root, now)?;
        }
        Succession::Recovery => {
            if tx.get::<Centre>(&())?.recovery.is_some() {
                return Err(Refusal::Value("a recovery waits already"));
            }
            // Nodes will obey it when its time has come, and so must the register.
            try_out(tx, &document)?;
            let effective = now + RECOVERY_DELAY_MS;
            tx.edit::<Centre>(&())?.recovery = Some((root.clone(), effective));
            let text = format!("recovery keys replace all officers at {effective}");
            tx.alarm(AlarmKind::Recovery, &"root", text, now);
        }
    }
    acts::officer_alarms(tx, now);
    Ok(())
}

/// A document that officers have signed takes effect.
pub(super) fn follow(tx: &mut Change<'_>, root: &SignedRoot, now: u64) -> Result<(), Refusal> {
    let document = root.document()?;
    let centre = tx.edit::<Centre>(&())?;
    centre.former.push(std::mem::replace(&mut centre.root, root.clone()));
    centre.recovery = None;
    tx.calm(AlarmKind::Recovery, &"root", now);
    signing::followed(tx, &document, now)
}

/// A document of the recovery keys takes effect once its time has come: its officers are the officers. Nodes obey it
/// by themselves, so nothing that happened while it waited stands in its way: what could has been refused.
pub fn recover(tx: &mut Change<'_>, now: u64) -> Result<(), Refusal> {
    let Some((root, effective)) = tx.find::<Centre>(&()).and_then(|c| c.recovery.clone()) else {
        return Ok(());
    };
    if now < effective {
        return Ok(());
    }
    replace_officers(tx, &root.document()?)?;
    let centre = tx.edit::<Centre>(&())?;
    centre.former.push(std::mem::replace(&mut centre.root, root));
    centre.recovery = None;
    acts::drop_void_approvals(tx)?;
    tx.calm(AlarmKind::Recovery, &"root", now);
    acts::officer_alarms(tx, now);
    Ok(())
}

// Whether a recovery could take effect now: who is known is named as in the register, and enough officers come.
fn try_out(tx: &mut Change<'_>, document: &RootDocument) -> Result<(), Refusal> {
    let before = tx.mark();
    let fits = document.officers.iter().try_for_each(|officer| may_come(tx, officer));
    let done = fits.and_then(|()| replace_officers(tx, document)).and_then(|()| acts::enough_officers(tx));
    tx.back_to(before);
    done
}

fn may_come(tx: &Change<'_>, officer: &Officer) -> Result<(), Refusal> {
    const GONE: Refusal = Refusal::Value("who was revoked does not come back: name another key");
    let ids = tx.keys_in::<Credential>(..);
    let mut all = ids.iter().filter_map(|id| tx.find::<Credential>(id));
    if let Some(known) = all.find(|c| c.id == officer.credential || c.key == officer.key) {
        if (known.person, known.id, known.key) != (officer.person, officer.credential, officer.key) {
            return Err(Refusal::exists::<Credential>(&officer.key));
        }
        if known.standing == Standing::Revoked {
            return Err(GONE);
        }
    }
    if let Some(person) = tx.find::<Person>(&officer.person) {
        if person.standing == Standing::Revoked {
            return Err(GONE);
        }
        let roles = person.roles.iter().copied().chain([Role::SecurityOfficer]).collect();
        person.clone().change_roles(&roles)?;
    }
    Ok(())
}

// The officers of the register become those of the document.
fn replace_officers(tx: &mut Change<'_>, document: &RootDocument) -> Result<(), Refusal> {
    let wanted = named(document);
    for (_, id, _) in registered(tx).difference(&wanted) {
        tx.edit::<Credential>(id)?.standing = Standing::Revoked;
    }
    for id in tx.keys_in::<Person>(..) {
        let stays = document.officers.iter().any(|o| o.person == id);
        if tx.get::<Person>(&id)?.is(Role::SecurityOfficer) && !stays {
            tx.edit::<Person>(&id)?.standing = Standing::Revoked;
        }
    }
    for &(person, id, key) in &wanted {
        let kind = tx.find::<Credential>(&id).map_or(CredentialKind::File, |known| known.kind);
        let credential = NewCredential { id, kind, key };
        tx.put(credential.of(person));
        match tx.find::<Person>(&person).cloned() {
            None => {
                let (name, roles) = (format!("recovered {person}"), [Role::SecurityOfficer].into());
                let new = NewPerson { id: person, name, line: None, roles, credential };
                tx.put(Person::register(&new)?.0);
            }
            Some(mut known) => {
                known.standing = Standing::Active;
                known.roles.insert(Role::SecurityOfficer);
                if check_roles(&known.roles).is_err() {
                    known.roles = [Role::SecurityOfficer].into();
                }
                tx.put(known);
            }
        }
    }
    Ok(())
}

/// Whether a recovery that waits brings this key, or one of this name.
pub fn is_awaited(tx: &Change<'_>, credential: &Credential) -> bool {
    let waiting = tx.find::<Centre>(&()).and_then(|centre| centre.recovery.as_ref());
    let document = waiting.and_then(|(root, _)| root.document().ok());
    let same = |officer: &Officer| officer.key == credential.key || officer.credential == credential.id;
    document.is_some_and(|document| document.officers.iter().any(same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Act;
    use crate::approval::ActionState;
    use crate::input::Input;
    use crate::refusals::house::{House, OPERATOR};
    use crate::simulation::people::Human;

    fn standing(house: &House, human: &Human) -> Option<(Standing, Standing)> {
        let state = house.core.state();
        let person = state.person(&human.by.person)?;
        Some((person.standing, state.credential(&human.by.credential)?.standing))
    }

    // One of four stays as registered, one who was an operator becomes an officer too, and two come with new keys.
    #[test]
    fn a_recovery_takes_effect_with_officers_who_stay() {
        let mut house = House::founded();
        let [dora, emil] = house.newcomers();
        let stays = |house: &House, n: usize| house.people[n].officer();
        let officers = vec![stays(&house, 0), stays(&house, OPERATOR), dora, emil];
        house.must(house.recovery(officers));
        let before = house.core.roots().len();
        house.now += RECOVERY_DELAY_MS - 1;
        house.must(Input::Tick);
        assert_eq!(house.core.roots().len(), before, "not before its time");
        assert_eq!(standing(&house, &house.people[3].clone()), Some((Standing::Active, Standing::Active)));
        house.now += 1;
        house.must(Input::Tick);
        assert_eq!(house.core.roots().len(), before + 1);
        assert!(house.core.recovery().is_none());
        let lasting: Vec<AlarmKind> = house.core.alarms().map(|alarm| alarm.kind).collect();
        let bad = [AlarmKind::Recovery, AlarmKind::RootBehind, AlarmKind::Stuck, AlarmKind::FewOfficers];
        assert!(bad.iter().all(|kind| !lasting.contains(kind)), "{lasting:?}");
        let people = house.people.clone();
        for n in [0, OPERATOR, people.len() - 2, people.len() - 1] {
            assert_eq!(standing(&house, &people[n]), Some((Standing::Active, Standing::Active)), "{n}");
        }
        for gone in [1, 2, 3] {
            assert_eq!(standing(&house, &people[gone]), Some((Standing::Revoked, Standing::Revoked)));
        }
        let operator = house.core.state().person(&people[OPERATOR].by.person).expect("there");
        assert_eq!(operator.roles, [Role::SecurityOfficer, Role::Operator].into());
        // Time goes on, and the new ones decide.
        house.now += 1_000;
        house.must(Input::Tick);
        let asked = house.propose_by(0, Act::RevokeNode { node: house.node(0) }).expect("asked");
        assert_eq!(house.refused(house.approval(2, asked, |_| ())).code(), "approval_credential");
        for officer in [OPERATOR, people.len() - 2] {
            house.must(house.approval(officer, asked, |_| ()));
        }
        assert_eq!(house.core.state().action(&asked.0).map(|a| &a.state), Some(&ActionState::Done));
    }

    // What happens while it waits does not stop it: nodes have it, and obey it.
    #[test]
    fn a_recovery_takes_effect_whatever_happened_while_it_waited() {
        let mut house = House::founded();
        let [dora, emil] = house.newcomers();
        house.must(house.recovery(vec![house.people[0].officer(), dora, emil]));
        house.carry(Act::RevokeCredential { credential: house.by(0).credential });
        let root = house.core.state().centre().expect("there").root.hash();
        house.now += RECOVERY_DELAY_MS;
        house.must(Input::Tick);
        assert_ne!(house.core.state().centre().expect("there").root.hash(), root);
        let ada = house.people[0].clone();
        assert_eq!(
            standing(&house, &ada),
            Some((Standing::Active, Standing::Active)),
            "the document says so"
        );
    }
}
