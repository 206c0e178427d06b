//! Root documents of tests: officers are numbered from 1, and a person and a credential have the number of theirs.

use keylink::envelope::{Sign, SoftSigner};
use keylink::root::{Officer, Recovery, RootDocument, SignedRoot};
use keylink::wire::U64;
use keylink::{CredentialId, PersonId};

/// The first document of a centre.
pub fn first(manager: &SoftSigner, officers: &[SoftSigner]) -> RootDocument {
    let officer = |(number, signer): (u8, &SoftSigner)| Officer {
        person: PersonId([number; 16]),
        credential: CredentialId([number; 16]),
        key: signer.key(),
    };
    RootDocument {
        number: 1,
        kmc: None,
        previous: None,
        created_ms: U64(0),
        name: "centre".into(),
        manifest_keys: vec![manager.key()],
        checkpoint_keys: vec![],
        transport_keys: Vec::new(),
        officers: (1..).zip(officers).map(officer).collect(),
        quorums: vec![],
        recovery: Recovery::default(),
    }
}

/// The document with the signatures of all of these.
pub fn signed(document: &RootDocument, officers: &[SoftSigner]) -> SignedRoot {
    let mut root = SignedRoot::new(document);
    officers.iter().for_each(|officer| root.sign(officer));
    root
}
