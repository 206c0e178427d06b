//! A manager with three officers, and what they sign.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod fleet;

use keylink::action::{Action, ActionClass, Approval, Evidence, Grant, action_hash, grant_bytes};
use keylink::envelope::bytes_of;
use keylink::merkle;
use keylink::root::{Officer, Recovery, RootDocument, SignedRoot};
use keylink::wire::{Hex, U64};
use keylink::{ActionId, CredentialId, Digest, KmcId, PersonId, Sign, Signed, SoftSigner};

pub struct Person {
    pub person: PersonId,
    pub credential: CredentialId,
    pub signer: SoftSigner,
}

pub fn person(n: u8) -> Person {
    Person {
        person: PersonId::new(1, [n; 10]),
        credential: CredentialId::new(2, [n; 10]),
        signer: SoftSigner::new(&[n; 32]),
    }
}

pub struct Centre {
    pub kmc: KmcId,
    pub root: SignedRoot,
    pub document: RootDocument,
    pub manifest: SoftSigner,
    pub officers: Vec<Person>,
}

pub fn officers_of(people: &[Person]) -> Vec<Officer> {
    people
        .iter()
        .map(|p| Officer { person: p.person, credential: p.credential, key: p.signer.key() })
        .collect()
}

pub fn centre() -> Centre {
    let officers: Vec<Person> = (1..=4).map(person).collect();
    let manifest = SoftSigner::new(&[100; 32]);
    let document = RootDocument {
        number: 1,
        kmc: None,
        previous: None,
        created_ms: U64(1),
        name: "test centre".into(),
        manifest_keys: vec![manifest.key()],
        checkpoint_keys: vec![SoftSigner::new(&[101; 32]).key()],
        transport_keys: vec![SoftSigner::new(&[102; 32]).key()],
        officers: officers_of(&officers),
        quorums: Vec::new(),
        recovery: Recovery { keys: (200..203).map(|n| SoftSigner::new(&[n; 32]).key()).collect(), needed: 2 },
    };
    let mut root = SignedRoot::new(&document);
    officers.iter().for_each(|officer| root.sign(&officer.signer));
    Centre { kmc: root.kmc().unwrap(), root, document, manifest, officers }
}

pub fn action(centre: &Centre, class: ActionClass, requester: PersonId, grants: &[Grant]) -> Action {
    let leaves = grant_bytes(grants);
    Action {
        kmc: centre.kmc,
        action: ActionId::new(5, [class as u8; 10]),
        class,
        requester,
        created_ms: U64(1),
        not_after: U64(9_000_000_000_000),
        grants: leaves.len() as u32,
        grants_root: merkle::root(&leaves),
        details: None,
    }
}

pub fn approval(centre: &Centre, action: Digest, officer: &Person) -> Signed {
    let approval = Approval {
        kmc: centre.kmc,
        action,
        nonce: Hex([1; 16]),
        person: officer.person,
        credential: officer.credential,
        signed_ms: U64(2),
        not_after: U64(3),
    };
    Signed::seal(&approval, &officer.signer)
}

/// The same for an action that was asked for at another time.
pub fn evidence_at(
    centre: &Centre,
    created_ms: u64,
    class: ActionClass,
    grants: &[Grant],
    by: &[usize],
) -> Evidence {
    let mut asked = action(centre, class, centre.officers[0].person, grants);
    asked.created_ms = U64(created_ms);
    asked.action = ActionId::new(created_ms, [class as u8; 10]);
    let bytes = bytes_of(&asked);
    let approvals: Vec<Signed> =
        by.iter().map(|at| approval(centre, action_hash(&bytes), &centre.officers[*at])).collect();
    Evidence::select(&bytes, grants, &approvals, |_| true).unwrap()
}

/// Evidence for grants, asked for by the first officer and approved by those at `by`.
pub fn evidence(centre: &Centre, class: ActionClass, grants: &[Grant], by: &[usize]) -> Evidence {
    let bytes = bytes_of(&action(centre, class, centre.officers[0].person, grants));
    let approvals: Vec<Signed> =
        by.iter().map(|at| approval(centre, action_hash(&bytes), &centre.officers[*at])).collect();
    Evidence::select(&bytes, grants, &approvals, |_| true).unwrap()
}
