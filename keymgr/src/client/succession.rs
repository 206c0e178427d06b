//! A change of one of the centre's own keys, judged where the officer is: the root documents that are signed with the
//! approval name the new key, and change nothing else.

use super::error::ClientProblem;
use crate::core::signing::{DocumentSignatures, KeySuccession};
use keylink::action::ActionClass;
use keylink::envelope::Sign;
use keylink::root::{NamedSignature, RootDocument, SignedRoot};
use keylink::succession::{CentreKey, Succession};
use keylink::wire::Hex;
use keylink::{CredentialId, KmcId, PersonId, PublicKey};
use std::collections::BTreeSet;

const OTHER: ClientProblem = ClientProblem::Unsound("the root documents change more than the one key");

fn officers(document: &RootDocument) -> BTreeSet<(PersonId, CredentialId, PublicKey)> {
    document.officers.iter().map(|o| (o.person, o.credential, o.key)).collect()
}

// Whether `next` follows a document and differs from it in keys alone.
fn only_keys(next: &RootDocument, before: &RootDocument) -> bool {
    let quorum = |class: ActionClass| next.persons_needed(class) == before.persons_needed(class);
    let same = RootDocument {
        number: before.number,
        kmc: before.kmc,
        previous: before.previous,
        created_ms: before.created_ms,
        manifest_keys: before.manifest_keys.clone(),
        checkpoint_keys: before.checkpoint_keys.clone(),
        transport_keys: before.transport_keys.clone(),
        officers: before.officers.clone(),
        quorums: before.quorums.clone(),
        ..next.clone()
    };
    same == *before
        && officers(next) == officers(before)
        && ActionClass::ALL.into_iter().all(quorum)
        && next.number == before.number + 1
}

// The keys of one kind, and all of the others.
fn keys(document: &RootDocument, key: CentreKey) -> (&[PublicKey], Vec<&[PublicKey]>) {
    let others = CentreKey::ALL.into_iter().filter(|other| *other != key);
    (document.keys(key), others.map(|other| document.keys(other)).collect())
}

/// What a change does to the root document in force: judged by the officer's own program.
pub fn judge_succession(
    act: &KeySuccession,
    kmc: KmcId,
    newest: &SignedRoot,
) -> Result<Succession, ClientProblem> {
    let said = act.said().filter(|said| said.kmc == kmc);
    let said = said.ok_or(ClientProblem::Unsound("the keys do not both say which follows which"))?;
    let before = newest.document().map_err(|_| ClientProblem::Unsound("no root document"))?;
    let [first, second] = act.documents();
    let (Ok(both), Ok(alone)) = (first.document(), second.document()) else { return Err(OTHER) };
    let follow = both.previous == Some(newest.hash()) && alone.previous == Some(first.hash());
    let ((own, other), (named, kept)) = (keys(&before, said.key), keys(&both, said.key));
    let added = [own, &[said.new]].concat() == named && own == [said.old] && other == kept;
    let ((last, rest), of_kmc) = (keys(&alone, said.key), both.kmc == Some(kmc) && alone.kmc == Some(kmc));
    let dropped = last == [said.new] && rest == other;
    if follow && added && dropped && of_kmc && only_keys(&both, &before) && only_keys(&alone, &both) {
        Ok(said)
    } else {
        Err(OTHER)
    }
}

/// Signs both documents.
pub fn sign_documents(act: &KeySuccession, signer: &impl Sign) -> DocumentSignatures {
    let key = signer.key().id();
    let [both, alone] =
        act.documents().map(|document| NamedSignature { key, signature: Hex(signer.sign(&document.pae())) });
    DocumentSignatures { both, alone }
}
