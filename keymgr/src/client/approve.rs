//! An approval, made where the person is: the bytes are judged here, and what is shown to the person is read
//! from the same bytes that are signed.

use super::error::ClientProblem;
use crate::api::ActionView;
use crate::core::action::Act;
use keylink::action::{Action, Approval, action_hash, grant_bytes};
use keylink::envelope::{Sign, strict};
use keylink::wire::U64;
use keylink::{CredentialId, Digest, KmcId, PersonId, Signed, merkle};

/// How long an approval may wait for the others, milliseconds.
pub const SIGNED_LIFE_MS: u64 = 24 * 3_600_000;

/// What an action does, when its bytes, content and grants belong together.
pub fn judge(view: &ActionView, kmc: KmcId) -> Result<(Digest, Act), ClientProblem> {
    let record = &view.action;
    let action: Action =
        strict(&record.bytes.0).map_err(|_| ClientProblem::Unsound("the action cannot be read"))?;
    if action.kmc != kmc || action.action != record.id {
        return Err(ClientProblem::Unsound("the bytes are of another action or centre"));
    }
    if action.requester != record.requester || action.class != record.class {
        return Err(ClientProblem::Unsound("the bytes name another requester or class"));
    }
    if merkle::root(&grant_bytes(&record.grants)) != action.grants_root {
        return Err(ClientProblem::Unsound("the grants shown are not those in the bytes"));
    }
    let act = record.act().ok_or(ClientProblem::Unsound("the content shown is not the one in the bytes"))?;
    if act.class() != record.class {
        return Err(ClientProblem::Unsound("the content is of another class"));
    }
    Ok((action_hash(&record.bytes.0), act))
}

/// Judges an action and signs it.
pub fn sign(
    view: &ActionView,
    kmc: KmcId,
    (person, credential): (PersonId, CredentialId),
    signer: &impl Sign,
    utc_ms: u64,
) -> Result<Signed, ClientProblem> {
    let (action, _) = judge(view, kmc)?;
    let approval = Approval {
        kmc,
        action,
        nonce: view.action.nonce,
        person,
        credential,
        signed_ms: U64(utc_ms),
        not_after: U64(utc_ms + SIGNED_LIFE_MS),
    };
    let signed = Signed::seal(&approval, signer);
    // A key in a token may be away; what it did not sign is not handed in.
    signed
        .open::<Approval>(&signer.key())
        .map_err(|_| ClientProblem::Unsound("the approval key did not sign"))?;
    Ok(signed)
}
