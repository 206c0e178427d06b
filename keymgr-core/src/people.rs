//! Persons, their credentials and roles, and which roles exclude each other. Separation is code, not
//! configuration.

use super::ids::{CredentialId, KeySetId, NodeId, PersonId, PublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Approves.
    SecurityOfficer,
    /// Enters an own component in ceremonies of the key sets entrusted to the person.
    Custodian,
    /// Proposes and runs.
    Operator,
    /// Reads and verifies.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: &[Self] = &[Self::SecurityOfficer, Self::Custodian, Self::Operator, Self::Auditor];
}

/// Whether somebody or something still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Counts.
    Active,
    /// Does not, and never will again.
    Revoked,
}

/// A person. One natural person is one record, whatever number of credentials belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Identity.
    pub id: PersonId,
    /// Name; unique among persons, active or not.
    pub name: String,
    /// Reporting line, where the house keeps them apart.
    pub line: Option<String>,
    /// Roles.
    pub roles: BTreeSet<Role>,
    /// Key sets of which the person is custodian, with the number of the component entrusted. A component
    /// number once held is the only one the person will ever hold of that key set.
    pub components: BTreeMap<KeySetId, u8>,
    /// The same for root KEKs of nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_components: BTreeMap<NodeId, u8>,
    /// Counts or not.
    pub standing: Standing,
}

/// How the secret half of a credential is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// Encrypted file.
    File,
    /// Token behind PKCS#11.
    Token,
}

/// A verifying key of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Identity.
    pub id: CredentialId,
    /// Whose it is.
    pub person: PersonId,
    /// How it is kept.
    pub kind: CredentialKind,
    /// Ed25519 verifying key.
    pub key: PublicKey,
    /// Counts or not.
    pub standing: Standing,
}

/// A person about to be registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// Identity.
    pub id: PersonId,
    /// Name.
    pub name: String,
    /// Reporting line.
    pub line: Option<String>,
    /// Roles.
    pub roles: BTreeSet<Role>,
    /// First credential.
    pub credential: NewCredential,
}

/// A credential about to be registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// Identity.
    pub id: CredentialId,
    /// How it is kept.
    pub kind: CredentialKind,
    /// Ed25519 verifying key.
    pub key: PublicKey,
}

/// Two rights that one person must not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// An auditor judges the others.
    #[error("an auditor holds no other role")]
    Auditor,
    /// An officer approves what a custodian of the same key set would have entered.
    #[error("a security officer is no custodian of a key set")]
    OfficerAndCustodian,
    /// Components of a key lie with different persons, over all of its generations.
    #[error("the person has held another component of this key set or node")]
    SecondComponent,
    /// Components are entrusted to custodians.
    #[error("the person is no custodian")]
    NotCustodian,
    /// A person without a role.
    #[error("a person needs a role")]
    NoRole,
}

/// Which sets of roles one person may hold. Security officers are officers of every key set, so the rule
/// "not of the same set" is here "not at all".
pub fn check_roles(roles: &BTreeSet<Role>) -> Result<(), Conflict> {
    if roles.is_empty() {
        Err(Conflict::NoRole)
    } else if roles.contains(&Role::Auditor) && roles.len() > 1 {
        Err(Conflict::Auditor)
    } else if roles.contains(&Role::SecurityOfficer) && roles.contains(&Role::Custodian) {
        Err(Conflict::OfficerAndCustodian)
    } else {
        Ok(())
    }
}

impl Person {
    /// A new person with its first credential, if the roles go together.
    pub fn register(new: &NewPerson) -> Result<(Self, Credential), Conflict> {
        check_roles(&new.roles)?;
        let person = Self {
            id: new.id,
            name: new.name.clone(),
            line: new.line.clone(),
            roles: new.roles.clone(),
            components: BTreeMap::new(),
            node_components: BTreeMap::new(),
            standing: Standing::Active,
        };
        Ok((person, new.credential.of(new.id)))
    }

    /// Holds a role and still counts.
    pub fn is(&self, role: Role) -> bool {
        self.standing == Standing::Active && self.roles.contains(&role)
    }

    /// Entrusts a component of a key set.
    pub fn entrust(&mut self, set: KeySetId, component: u8) -> Result<(), Conflict> {
        if !self.is(Role::Custodian) {
            return Err(Conflict::NotCustodian);
        }
        match self.components.get(&set) {
            Some(&held) if held != component => Err(Conflict::SecondComponent),
            _ => {
                self.components.insert(set, component);
                Ok(())
            }
        }
    }

    /// Entrusts a component of a node's root KEK.
    pub fn entrust_at_node(&mut self, node: NodeId, component: u8) -> Result<(), Conflict> {
        if !self.is(Role::Custodian) {
            return Err(Conflict::NotCustodian);
        }
        match self.node_components.get(&node) {
            Some(&held) if held != component => Err(Conflict::SecondComponent),
            _ => {
                self.node_components.insert(node, component);
                Ok(())
            }
        }
    }

    /// Changes roles. What was entrusted before stays on record, so that nobody becomes the officer of a key
    /// of which a component is known to them.
    pub fn change_roles(&mut self, roles: &BTreeSet<Role>) -> Result<(), Conflict> {
        check_roles(roles)?;
        if roles.contains(&Role::SecurityOfficer)
            && !(self.components.is_empty() && self.node_components.is_empty())
        {
            return Err(Conflict::OfficerAndCustodian);
        }
        self.roles = roles.clone();
        Ok(())
    }
}

impl NewCredential {
    /// The credential of a person.
    pub fn of(&self, person: PersonId) -> Credential {
        Credential { id: self.id, person, kind: self.kind, key: self.key, standing: Standing::Active }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Auditor, Custodian, Operator, SecurityOfficer};

    fn set(n: u64) -> KeySetId {
        KeySetId::new(n, [0; 10])
    }

    fn person(roles: &[Role]) -> Person {
        Person::register(&NewPerson {
            id: PersonId::new(1, [0; 10]),
            name: "A".into(),
            line: None,
            roles: roles.iter().copied().collect(),
            credential: NewCredential {
                id: CredentialId::default(),
                kind: CredentialKind::File,
                key: PublicKey([0; 32]),
            },
        })
        .unwrap()
        .0
    }

    #[test]
    fn roles_that_exclude_each_other() {
        let check = |roles: &[Role]| check_roles(&roles.iter().copied().collect());
        assert_eq!(check(&[]), Err(Conflict::NoRole));
        for other in [SecurityOfficer, Custodian, Operator] {
            assert_eq!(check(&[Auditor, other]), Err(Conflict::Auditor));
        }
        assert_eq!(check(&[SecurityOfficer, Custodian]), Err(Conflict::OfficerAndCustodian));
        assert_eq!(check(&[SecurityOfficer, Operator]), Ok(()));
        assert_eq!(check(&[Custodian, Operator]), Ok(()));
    }

    #[test]
    fn one_component_of_a_key_set_for_a_person_for_ever() {
        let mut custodian = person(&[Custodian]);
        let (first, second) = (set(10), set(11));
        custodian.entrust(first, 1).unwrap();
        custodian.entrust(first, 1).unwrap();
        assert_eq!(custodian.entrust(first, 2), Err(Conflict::SecondComponent));
        custodian.entrust(second, 2).unwrap();
        let officer = [SecurityOfficer].into();
        assert_eq!(custodian.change_roles(&officer), Err(Conflict::OfficerAndCustodian));
        custodian.change_roles(&[Operator].into()).unwrap();
        assert_eq!(custodian.change_roles(&officer), Err(Conflict::OfficerAndCustodian));
        assert_eq!(person(&[Operator]).entrust(first, 1), Err(Conflict::NotCustodian));
    }

    #[test]
    fn a_revoked_person_holds_nothing() {
        let mut officer = person(&[SecurityOfficer]);
        assert!(officer.is(SecurityOfficer));
        officer.standing = Standing::Revoked;
        assert!(!officer.is(SecurityOfficer));
    }
}
