//! Persons with their keys, as the simulation plays them.

use super::rng::Rng;
use crate::ids::{CredentialId, Digest, KmcId, PersonId, PublicKey};
use crate::input::Caller;
use crate::people::{CredentialKind, NewCredential, NewPerson, Role};
use keylink::action::Approval;
use keylink::root::Officer;
use keylink::wire::{Hex, U64};
use keylink::{Sign, Signed, SoftSigner};
use std::sync::Arc;

#[derive(Clone)]
pub struct Human {
    pub name: String,
    pub role: Role,
    pub by: Caller,
    pub signer: Arc<SoftSigner>,
}

impl Human {
    pub fn new(rng: &mut Rng, name: &str, role: Role) -> Self {
        let by =
            Caller { person: PersonId::new(1, rng.bytes()), credential: CredentialId::new(1, rng.bytes()) };
        Self { name: name.to_owned(), role, by, signer: Arc::new(SoftSigner::new(&rng.bytes())) }
    }

    pub fn key(&self) -> PublicKey {
        self.signer.key()
    }

    pub fn officer(&self) -> Officer {
        Officer { person: self.by.person, credential: self.by.credential, key: self.key() }
    }

    pub fn registration(&self) -> NewPerson {
        NewPerson {
            id: self.by.person,
            name: self.name.clone(),
            line: None,
            roles: [self.role].into(),
            credential: NewCredential { id: self.by.credential, kind: CredentialKind::File, key: self.key() },
        }
    }

    pub fn approve(&self, kmc: KmcId, action: Digest, nonce: Hex<16>, now: u64) -> Signed {
        let approval = Approval {
            kmc,
            action,
            nonce,
            person: self.by.person,
            credential: self.by.credential,
            signed_ms: U64(now),
            not_after: U64(now + 3_600_000),
        };
        Signed::seal(&approval, self.signer.as_ref())
    }
}
