//! Root documents and evidence: what a node takes, and every refusal.

use crate::common::{Centre, action, approval, centre, evidence, officers_of, person};
use keylink::action::{ActionClass, Evidence, EvidenceError, Grant, action_hash};
use keylink::envelope::bytes_of;
use keylink::root::{RootDocument, RootError, SignedRoot, Succession};
use keylink::{CampaignId, Digest, Generation, KeySetId, NodeId, SoftSigner, ZoneId};

fn rotate() -> Vec<Grant> {
    (1..=3)
        .map(|n| Grant::Generation {
            campaign: CampaignId::new(1, [1; 10]),
            key_set: KeySetId::new(1, [n; 10]),
            generation: Generation(2),
        })
        .collect()
}

fn judge(centre: &Centre, evidence: &Evidence) -> Result<usize, EvidenceError> {
    evidence.judge(centre.kmc, &centre.document, 1_000).map(|allowed| allowed.approvers.len())
}

#[test]
fn two_persons_besides_the_requester() {
    let centre = centre();
    let with = |by: &[usize]| judge(&centre, &evidence(&centre, ActionClass::Rotate, &rotate(), by));
    assert_eq!(with(&[1, 2]), Ok(2));
    assert_eq!(with(&[1, 2, 3]), Ok(3));
    // The requester is the officer at 0 and never counts.
    assert_eq!(with(&[0, 1]), Err(EvidenceError::Quorum));
    assert_eq!(with(&[1, 1]), Err(EvidenceError::Quorum));
    assert_eq!(with(&[]), Err(EvidenceError::Quorum));
    let emergency = |by: &[usize]| judge(&centre, &evidence(&centre, ActionClass::Emergency, &rotate(), by));
    assert_eq!(emergency(&[1, 2]), Err(EvidenceError::Quorum));
    assert_eq!(emergency(&[1, 2, 3]), Ok(3));
}

#[test]
fn a_person_with_two_credentials_counts_once() {
    let mut centre = centre();
    let mut second = person(77);
    second.person = centre.officers[1].person;
    centre.officers.push(second);
    centre.document.officers = officers_of(&centre.officers);
    let both = evidence(&centre, ActionClass::Rotate, &rotate(), &[1, 4]);
    assert_eq!(judge(&centre, &both), Err(EvidenceError::Quorum));
}

#[test]
fn one_person_may_suspend_a_node() {
    let centre = centre();
    let grants = [Grant::SuspendNode(NodeId([1; 32]))];
    assert_eq!(judge(&centre, &evidence(&centre, ActionClass::SuspendNode, &grants, &[0])), Ok(1));
    let none = evidence(&centre, ActionClass::SuspendNode, &grants, &[]);
    assert_eq!(judge(&centre, &none), Err(EvidenceError::Quorum));
}

#[test]
fn edits_replays_and_strangers_are_refused() {
    let centre = centre();
    let good = evidence(&centre, ActionClass::Rotate, &rotate(), &[1, 2]);
    // Edited content.
    let mut edited = good.clone();
    let text = String::from_utf8(edited.action.0.clone()).unwrap();
    edited.action.0 = text.replace("9000000000000", "9100000000000").into_bytes();
    assert_eq!(judge(&centre, &edited), Err(EvidenceError::Approval));
    // Approvals of another action.
    let mut replayed = evidence(&centre, ActionClass::Destroy, &rotate(), &[1, 2]);
    replayed.approvals.clone_from(&good.approvals);
    assert_eq!(judge(&centre, &replayed), Err(EvidenceError::Approval));
    // A grant that is not in the list, and one at another's place.
    let mut other = good.clone();
    other.grants[0].grant.0 = bytes_of(&Grant::JoinZone { zone: ZoneId::default(), node: NodeId::default() });
    assert_eq!(judge(&centre, &other), Err(EvidenceError::Grant));
    let mut moved = good.clone();
    moved.grants[0].index = 1;
    assert_eq!(judge(&centre, &moved), Err(EvidenceError::Grant));
    // Expired, and of another manager.
    assert_eq!(good.judge(centre.kmc, &centre.document, 9_000_000_000_001), Err(EvidenceError::Expired));
    assert_eq!(good.judge(keylink::KmcId([9; 32]), &centre.document, 1), Err(EvidenceError::Kmc));
    // Somebody who is no officer, and an officer who signs in another's name.
    let hash = action_hash(&good.action.0);
    let mut stranger = good.clone();
    stranger.approvals.push(approval(&centre, hash, &person(50)));
    assert_eq!(judge(&centre, &stranger), Err(EvidenceError::Approval));
    let mut posed = person(3);
    posed.person = centre.officers[1].person;
    posed.credential = centre.officers[1].credential;
    let mut in_other_name = good;
    in_other_name.approvals =
        vec![approval(&centre, hash, &centre.officers[1]), approval(&centre, hash, &posed)];
    assert_eq!(judge(&centre, &in_other_name), Err(EvidenceError::Approval));
}

#[test]
fn a_list_that_is_not_the_actions_shows_nothing() {
    let centre = centre();
    let bytes = bytes_of(&action(&centre, ActionClass::Rotate, centre.officers[0].person, &rotate()));
    assert!(Evidence::select(&bytes, &rotate()[..2], &[], |_| true).is_none());
    let one = |grant: &Grant| matches!(grant, Grant::Generation { key_set, .. } if *key_set == KeySetId::new(1, [2; 10]));
    assert_eq!(Evidence::select(&bytes, &rotate(), &[], one).unwrap().grants.len(), 1);
}

fn next(centre: &Centre, change: impl FnOnce(&mut RootDocument)) -> SignedRoot {
    let mut document = RootDocument {
        number: 2,
        kmc: Some(centre.kmc),
        previous: Some(centre.root.hash()),
        ..centre.document.clone()
    };
    change(&mut document);
    SignedRoot::new(&document)
}

#[test]
fn root_documents_follow_each_other_by_both_quorums() {
    let centre = centre();
    let open = |root: &SignedRoot| {
        root.open_next(centre.kmc, &centre.document, centre.root.hash()).map(|(_, how)| how)
    };
    centre.root.open_genesis().unwrap();
    let fresh: Vec<_> = (60..64).map(person).collect();
    let replace = |document: &mut RootDocument| document.officers = officers_of(&fresh);
    let mut root = next(&centre, replace);
    fresh.iter().for_each(|p| root.sign(&p.signer));
    assert_eq!(open(&root), Err(RootError::Quorum), "the new ones alone");
    root.sign(&centre.officers[0].signer);
    assert_eq!(open(&root), Err(RootError::Quorum), "one of the old");
    root.sign(&centre.officers[0].signer);
    assert_eq!(open(&root), Err(RootError::Quorum), "the same one twice");
    root.sign(&centre.officers[1].signer);
    assert_eq!(open(&root), Ok(Succession::Officers));

    let mut old_alone = next(&centre, replace);
    centre.officers.iter().for_each(|p| old_alone.sign(&p.signer));
    assert_eq!(open(&old_alone), Err(RootError::Quorum));

    let signed = |mut root: SignedRoot| {
        centre.officers.iter().for_each(|p| root.sign(&p.signer));
        root
    };
    assert_eq!(open(&signed(next(&centre, |d| d.number = 3))), Err(RootError::Order));
    assert_eq!(open(&signed(next(&centre, |d| d.previous = Some(Digest([1; 32]))))), Err(RootError::Order));
    assert_eq!(open(&signed(next(&centre, |d| d.kmc = Some(keylink::KmcId([1; 32]))))), Err(RootError::Kmc));
    assert_eq!(open(&signed(next(&centre, |d| d.manifest_keys.clear()))), Err(RootError::Malformed));
    assert_eq!(open(&signed(next(&centre, |d| d.officers.truncate(2)))), Err(RootError::Malformed));
    assert_eq!(
        open(&signed(next(&centre, |d| d.officers[1].key = d.officers[0].key))),
        Err(RootError::Malformed)
    );
}

#[test]
fn recovery_keys_replace_officers_and_nothing_else() {
    let centre = centre();
    let open = |root: &SignedRoot| {
        root.open_next(centre.kmc, &centre.document, centre.root.hash()).map(|(_, how)| how)
    };
    let fresh: Vec<_> = (60..64).map(person).collect();
    let mut root = next(&centre, |d| d.officers = officers_of(&fresh));
    fresh.iter().for_each(|p| root.sign(&p.signer));
    root.sign(&SoftSigner::new(&[200; 32]));
    assert_eq!(open(&root), Err(RootError::Quorum));
    root.sign(&SoftSigner::new(&[201; 32]));
    assert_eq!(open(&root), Ok(Succession::Recovery));
    let mut more = next(&centre, |d| {
        d.officers = officers_of(&fresh);
        d.manifest_keys = vec![keylink::PublicKey([5; 32])];
    });
    fresh.iter().for_each(|p| more.sign(&p.signer));
    (200..203).for_each(|n| more.sign(&SoftSigner::new(&[n; 32])));
    assert_eq!(open(&more), Err(RootError::Quorum));
}

#[test]
fn a_genesis_document_is_signed_by_all_of_its_officers() {
    let centre = centre();
    let mut root = SignedRoot::new(&centre.document);
    centre.officers[1..].iter().for_each(|p| root.sign(&p.signer));
    assert_eq!(root.open_genesis(), Err(RootError::Quorum));
    let low = RootDocument {
        quorums: vec![keylink::root::Quorum { class: ActionClass::Rotate, persons: 1 }],
        ..centre.document.clone()
    };
    assert_eq!(low.persons_needed(ActionClass::Rotate), 2, "never below the compiled minimum");
}
