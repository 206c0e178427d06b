//! Who could approve what, at every moment of the log: the officers of the root documents, which prove themselves,
//! and what approved actions made of them since. Rows of persons and credentials are believed for one thing only:
//! the keys of those who were founded with another role and became officers later, and reporting lines.

use crate::core::action::Act;
use crate::core::approval::Quorum;
use crate::core::people::{Credential, NewPerson, Person, Role, Standing};
use keylink::action::{ActionClass, Approval};
use keylink::ids::{CredentialId, KeyId, PersonId, PublicKey};
use keylink::root::RootDocument;
use std::collections::{BTreeMap, BTreeSet, HashMap};

struct Held {
    person: PersonId,
    key: PublicKey,
    active: bool,
}

/// The register, played again.
#[derive(Default)]
pub(super) struct Register {
    credentials: HashMap<CredentialId, Held>,
    officers: BTreeSet<PersonId>,
    /// Persons of whom documents or actions say which credentials they have.
    met: BTreeSet<PersonId>,
    quorums: BTreeMap<ActionClass, Quorum>,
    /// Rows as they are at the end.
    persons: BTreeMap<PersonId, Person>,
    rows: BTreeMap<CredentialId, Credential>,
}

impl Register {
    /// Takes in the row of a person.
    pub fn person(&mut self, person: Person) {
        self.persons.insert(person.id, person);
    }

    /// Takes in the row of a credential.
    pub fn credential(&mut self, credential: Credential) {
        self.rows.insert(credential.id, credential);
    }

    /// The first officers, and how many of them decide.
    pub fn found(&mut self, document: &RootDocument) {
        let quorum = |class| u8::try_from(document.persons_needed(class)).ok()?.try_into().ok();
        let classes = document.quorums.iter().map(|quorum| quorum.class);
        self.quorums = classes.filter_map(|class| Some((class, quorum(class)?))).collect();
        self.follow(document);
    }

    /// From here on the officers are those of this document.
    pub fn follow(&mut self, document: &RootDocument) {
        let stay: BTreeSet<PersonId> = document.officers.iter().map(|officer| officer.person).collect();
        let before = std::mem::replace(&mut self.officers, stay.clone());
        for held in self.credentials.values_mut() {
            held.active &= !before.contains(&held.person) && !stay.contains(&held.person);
        }
        for officer in &document.officers {
            self.add(officer.credential, officer.person, officer.key);
        }
    }

    fn add(&mut self, id: CredentialId, person: PersonId, key: PublicKey) {
        self.met.insert(person);
        self.credentials.insert(id, Held { person, key, active: true });
    }

    fn enrol(&mut self, new: &NewPerson) {
        self.add(new.credential.id, new.id, new.credential.key);
        self.roles(new.id, &new.roles);
    }

    fn roles(&mut self, person: PersonId, roles: &BTreeSet<Role>) {
        if roles.contains(&Role::SecurityOfficer) {
            self.officers.insert(person);
        } else {
            self.officers.remove(&person);
        }
    }

    /// What an action that was carried out makes of the register.
    pub fn apply(&mut self, act: &Act) {
        match act {
            Act::EnrolPerson(new) => self.enrol(new),
            Act::RevokePerson { person, replacement } => {
                self.officers.remove(person);
                self.met.insert(*person);
                self.credentials.values_mut().filter(|c| c.person == *person).for_each(|c| c.active = false);
                replacement.iter().for_each(|new| self.enrol(new));
            }
            Act::ChangeRoles { person, roles } => self.roles(*person, roles),
            // Whoever was founded with another role keeps the first credential, which a row alone tells.
            Act::AddCredential { person, credential } => {
                self.credentials
                    .insert(credential.id, Held { person: *person, key: credential.key, active: true });
            }
            Act::RevokeCredential { credential } => {
                let row = self.rows.get(credential).map(|row| (row.person, row.key));
                match (self.credentials.get_mut(credential), row) {
                    (Some(held), _) => held.active = false,
                    (None, Some((person, key))) => {
                        self.credentials.insert(*credential, Held { person, key, active: false });
                    }
                    (None, None) => {}
                }
            }
            Act::SetQuorum { class, quorum } => {
                self.quorums.insert(*class, *quorum);
            }
            _ => {}
        }
    }

    /// Persons besides the requester that a class needs at this moment.
    pub fn quorum(&self, class: ActionClass) -> Quorum {
        Quorum::of_class(class, self.quorums.get(&class).copied())
    }

    // Whose credential that is, and its key, if it counts now.
    fn owner(&self, id: &CredentialId) -> Option<(PersonId, PublicKey)> {
        match (self.credentials.get(id), self.rows.get(id)) {
            (Some(held), _) => held.active.then_some((held.person, held.key)),
            (None, Some(row)) if !self.met.contains(&row.person) => Some((row.person, row.key)),
            (None, _) => None,
        }
    }

    /// Whether an approval under this key is an officer's at this moment.
    pub fn counts(&self, approval: &Approval, key: &KeyId) -> bool {
        let own = self.owner(&approval.credential);
        let is_theirs = own.is_some_and(|(person, own)| person == approval.person && own.id() == *key);
        is_theirs && self.officers.contains(&approval.person)
    }

    /// Whether these persons report to different people, where lines are kept.
    pub fn lines_differ(&self, persons: &BTreeSet<PersonId>) -> bool {
        let line = |id| self.persons.get(id).and_then(|person| person.line.as_deref());
        let lines: BTreeSet<Option<&str>> = persons.iter().map(line).collect();
        lines.len() > 1 || lines.first().copied().flatten().is_none()
    }

    /// Credentials by which somebody could approve now, and which no document and no approved action gave.
    pub fn unexplained(&self) -> impl Iterator<Item = &CredentialId> {
        let officer = |id| {
            self.persons
                .get(id)
                .is_some_and(|p| p.standing == Standing::Active && p.roles.contains(&Role::SecurityOfficer))
        };
        let explained = |row: &Credential| {
            self.officers.contains(&row.person) && self.owner(&row.id) == Some((row.person, row.key))
        };
        let rows =
            self.rows.values().filter(move |row| row.standing == Standing::Active && officer(&row.person));
        rows.filter(move |row| !explained(row)).map(|row| &row.id)
    }
}
