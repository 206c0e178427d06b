//! How a centre begins: a root document with the first officers, who sign it themselves, and the requests of
//! everybody who is registered with it. The draft goes from officer to officer as one file.

use crate::core::centre::Limits;
use crate::core::input::Founding;
use crate::core::people::{NewCredential, NewPerson, Role};
use crate::person::{PersonRequest, RequestError};
use keylink::action::ActionClass;
use keylink::envelope::{EnvelopeError, Sign, bytes_of, strict};
use keylink::root::{Officer, Recovery, RootDocument, RootError, SignedRoot};
use keylink::{CredentialId, KmcId, PersonId, PublicKey, Signed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

/// Why a centre does not begin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// Not a draft, or not sound.
    #[error("not a draft of a centre: {0}")]
    Draft(#[from] EnvelopeError),
    /// The root document is not sound: fewer than three officers, a key twice.
    #[error("{0}: a centre begins with at least three officers, each with an own key")]
    Root(#[from] RootError),
    /// A person's request does not hold.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Persons and root document do not name the same officers.
    #[error("the draft names other officers than its root document")]
    Officers,
    /// Whoever signs is not in it.
    #[error("your key is not among the officers of this draft")]
    NotYours,
    /// Signatures are missing.
    #[error("not signed by {}", .0.join(", "))]
    Unsigned(Vec<String>),
    /// No randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// Somebody who is registered from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founder {
    /// Identity to be.
    pub person: PersonId,
    /// Identity of the credential to be.
    pub credential: CredentialId,
    /// Roles.
    pub roles: BTreeSet<Role>,
    /// What the person asked to be registered with.
    pub request: Signed,
}

/// The draft of a centre, and its record once it is founded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The root document with the signatures so far.
    pub root: SignedRoot,
    /// Officers and further persons.
    pub founders: Vec<Founder>,
}

/// What a centre begins with.
pub struct Beginning<'a> {
    /// Name for people.
    pub name: &'a str,
    /// Key that signs manifests.
    pub manifest: PublicKey,
    /// Key that signs checkpoints.
    pub checkpoint: PublicKey,
    /// Key of the transport authority.
    pub transport: PublicKey,
    /// Requests, and which roles they shall have.
    pub persons: &'a [(Signed, BTreeSet<Role>)],
    /// Recovery keys and how many of them must sign.
    pub recovery: Recovery,
    /// Now, UTC milliseconds.
    pub utc_ms: u64,
}

impl Genesis {
    /// A draft without signatures.
    pub fn draft(beginning: &Beginning<'_>) -> Result<Self, GenesisError> {
        let founders = beginning
            .persons
            .iter()
            .map(|(request, roles)| {
                PersonRequest::read(&request.to_bytes())?;
                Ok(Founder {
                    person: PersonId::new(beginning.utc_ms, random()?),
                    credential: CredentialId::new(beginning.utc_ms, random()?),
                    roles: roles.clone(),
                    request: request.clone(),
                })
            })
            .collect::<Result<Vec<_>, GenesisError>>()?;
        let officers = officers(&founders)?;
        let document = RootDocument {
            number: 1,
            kmc: None,
            previous: None,
            created_ms: beginning.utc_ms.into(),
            name: beginning.name.to_owned(),
            manifest_keys: vec![beginning.manifest],
            checkpoint_keys: vec![beginning.checkpoint],
            transport_keys: vec![beginning.transport],
            officers,
            quorums: Vec::new(),
            recovery: beginning.recovery.clone(),
        };
        let root = SignedRoot::new(&document);
        root.document()?;
        Ok(Self { root, founders })
    }

    /// Reads a draft and judges everything but the signatures of the root document.
    pub fn read(text: &[u8]) -> Result<Self, GenesisError> {
        let genesis: Self = strict(text)?;
        let document = genesis.root.document()?;
        if officers(&genesis.founders)? != document.officers {
            return Err(GenesisError::Officers);
        }
        Ok(genesis)
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes_of(self)
    }

    /// Who the centre will be.
    pub fn kmc(&self) -> KmcId {
        KmcId(self.root.hash().0)
    }

    /// Name and key of everybody, with their roles.
    pub fn persons(&self) -> Result<Vec<(PersonRequest, BTreeSet<Role>)>, GenesisError> {
        let one = |f: &Founder| Ok((PersonRequest::read(&f.request.to_bytes())?, f.roles.clone()));
        self.founders.iter().map(one).collect()
    }

    /// Adds an officer's signature; one that is there already stays alone.
    pub fn sign(&mut self, officer: &impl Sign) -> Result<(), GenesisError> {
        let id = officer.key().id();
        let document = self.root.document()?;
        document.officer(&id).ok_or(GenesisError::NotYours)?;
        self.root.signatures.retain(|own| own.key != id);
        self.root.sign(officer);
        Ok(())
    }

    /// Names of the officers whose signatures are missing or do not hold.
    pub fn missing(&self) -> Result<Vec<String>, GenesisError> {
        let pae = self.root.pae();
        let signed = |key: &PublicKey| {
            let own = |s: &&keylink::root::NamedSignature| s.key == key.id();
            self.root.signatures.iter().any(|s| own(&s) && key.verify(&pae, &s.signature.0).is_ok())
        };
        let persons = self.persons()?;
        let officers = persons.iter().filter(|(_, roles)| roles.contains(&Role::SecurityOfficer));
        Ok(officers.filter(|(r, _)| !signed(&r.approval_key)).map(|(r, _)| r.name.clone()).collect())
    }

    /// What founds the centre, once everybody has signed.
    pub fn founding(&self) -> Result<Founding, GenesisError> {
        let missing = self.missing()?;
        if !missing.is_empty() {
            return Err(GenesisError::Unsigned(missing));
        }
        let person = |founder: &Founder| {
            let request = PersonRequest::read(&founder.request.to_bytes())?;
            let kind = request.kind();
            Ok(NewPerson {
                id: founder.person,
                name: request.name,
                line: None,
                roles: founder.roles.clone(),
                credential: NewCredential { id: founder.credential, kind, key: request.approval_key },
            })
        };
        let persons = self.founders.iter().map(person).collect::<Result<_, GenesisError>>()?;
        Ok(Founding { root: self.root.clone(), persons, limits: Limits::default() })
    }
}

fn officers(founders: &[Founder]) -> Result<Vec<Officer>, GenesisError> {
    let officers = founders.iter().filter(|f| f.roles.contains(&Role::SecurityOfficer));
    let found: Vec<Officer> = officers
        .map(|f| {
            let key = PersonRequest::read(&f.request.to_bytes())?.approval_key;
            Ok(Officer { person: f.person, credential: f.credential, key })
        })
        .collect::<Result<_, GenesisError>>()?;
    // One more than approve, so that an officer may also ask.
    if found.len() <= usize::from(ActionClass::Root.minimum()) {
        return Err(RootError::Quorum.into());
    }
    Ok(found)
}

fn random() -> Result<[u8; 10], GenesisError> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|_| GenesisError::Random)?;
    Ok(bytes)
}
