//! Paths that write. Each takes an Idempotency-Key: the same request again is answered the same.

use super::answer::Json;
use super::caller::Caller;
use super::extract::{Named, Sent};
use super::problem::Problem;
use super::views::ExportedView;
use crate::ceremony::SEALED_AT_MOST;
use crate::core::action::{Act, KeyRef};
use crate::core::approval::{Action, ActionState};
use crate::core::ids::{ActionId, CampaignId, CredentialId, Digest, Generation, KeySetId, KmcId, NodeId};
use crate::core::input::{Arrived, Input, Outcome};
use crate::core::key::{Key, Material, Origin, Wrapper};
use crate::core::node::Traffic;
use crate::core::people::Credential;
use crate::core::refusal::Refusal;
use crate::core::table::Table;
use crate::core::verified::Verified;
use crate::failpoint::failpoint;
use crate::service::{
    CARRIED_MAX, Manager, RequestName, SubmitProblem, Verdict, kcv_method, label_of, spec_of,
};
use crate::vault::{KeySpec, Receiver};
use crate::writer::SubmitError;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use keylink::action::Approval;
use keylink::message::{EnrolmentToken, Mail, Package, Parcel};
use keylink::root::SignedRoot;
use keylink::{Signed, TokenId};
use schemars::JsonSchema;
use serde::Deserialize;

type Answer<T> = Result<Json<T>, Problem>;

async fn submit(manager: &Manager, name: RequestName, input: Input) -> Answer<Outcome> {
    let outcome = manager.submit(Some(name), input).await?;
    failpoint!("api.after_write");
    Ok(Json(outcome))
}

/// Asks for an action.
pub(super) async fn propose(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Extension(name): Extension<RequestName>,
    Sent(act): Sent<Act>,
) -> Answer<Outcome> {
    submit(&manager, name, Input::Propose { by: caller.by, act }).await
}

/// Changes an action.
pub(super) async fn edit(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    Extension(name): Extension<RequestName>,
    Sent(act): Sent<Act>,
) -> Answer<Outcome> {
    submit(&manager, name, Input::Edit { by: caller.by, action, act }).await
}

/// Takes an action back.
pub(super) async fn withdraw(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    Extension(name): Extension<RequestName>,
) -> Answer<Outcome> {
    submit(&manager, name, Input::Withdraw { by: caller.by, action }).await
}

/// Hands in an approval. Whoever hands it in: it counts for whom it names, by whose key it is signed.
pub(super) async fn approve(
    State(manager): State<Manager>,
    Named(action): Named<ActionId>,
    Extension(name): Extension<RequestName>,
    Sent(signed): Sent<Signed>,
) -> Answer<Outcome> {
    let refused = |detail: &str| Problem::new(StatusCode::FORBIDDEN, "approval_credential", detail);
    let claimed: Approval = signed.peek().map_err(|_| Problem::malformed("not an approval"))?;
    let key = credential_key(&manager, &claimed.credential).ok_or_else(|| refused("no such credential"))?;
    let approval = Verified::open(signed, &key).map_err(|_| refused("not signed by this credential"))?;
    let hash = manager.view(|core| Table::<Action>::rows(core.state()).get(&action).map(Action::hash));
    if hash != Some(claimed.action) {
        let detail = "the approval is for other content than this action has now";
        return Err(Problem::new(StatusCode::FORBIDDEN, "approval_other_content", detail));
    }
    let done = submit(&manager, name, Input::Approve(approval)).await?;
    // What was entered in a ceremony that is given up is forgotten now.
    let given_up = manager.view(|core| match core.state().action(&action)?.act()? {
        Act::Abandon { action: given_up } => Some(given_up),
        _ => None,
    });
    if let (Some(given_up), Outcome::Approved { state: ActionState::Done, .. }) = (given_up, &done.0) {
        manager.forget_ceremony(given_up).await;
    }
    Ok(done)
}

fn credential_key(manager: &Manager, id: &CredentialId) -> Option<keylink::PublicKey> {
    manager.view(|core| Table::<Credential>::rows(core.state()).get(id).map(|credential| credential.key))
}

/// Installs the next root document.
pub(super) async fn install_root(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Extension(name): Extension<RequestName>,
    Sent(root): Sent<SignedRoot>,
) -> Answer<Outcome> {
    submit(&manager, name, Input::InstallRoot { by: caller.by, root }).await
}

/// Why somebody stops something.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    reason: String,
}

/// Stops serving a node.
pub(super) async fn quarantine(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(node): Named<NodeId>,
    Extension(name): Extension<RequestName>,
    Sent(why): Sent<Why>,
) -> Answer<Outcome> {
    let input = Input::Quarantine { by: caller.by, node, reason: why.reason };
    submit(&manager, name, input).await
}

/// Where a node goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    to: Traffic,
}

/// Declares a node in or out of traffic.
pub(super) async fn traffic(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(node): Named<NodeId>,
    Extension(name): Extension<RequestName>,
    Sent(place): Sent<Where>,
) -> Answer<Outcome> {
    submit(&manager, name, Input::Traffic { by: caller.by, node, to: place.to }).await
}

/// Everything that is due for a node, to be carried there.
pub(super) async fn package(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(node): Named<NodeId>,
    Extension(name): Extension<RequestName>,
) -> Answer<Package<Mail>> {
    Ok(Json(manager.package(name, caller.by, node).await?))
}

/// Takes what a node wrote. Whoever brings it: every message is judged by the node's own signature, and counts once
/// however often it is brought.
pub(super) async fn parcel(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(node): Named<NodeId>,
    Extension(name): Extension<RequestName>,
    Sent(package): Sent<Package<Parcel>>,
) -> Answer<Vec<Verdict>> {
    if package.format != Package::<Parcel>::FORMAT {
        return Err(Problem::malformed("not a package that this version reads"));
    }
    if package.node != node {
        let detail = "the package is another node's";
        return Err(Problem::new(StatusCode::FORBIDDEN, "other_node", detail));
    }
    if package.content.messages.len() > CARRIED_MAX {
        let detail = "more messages than a node gives at once";
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
    }
    Ok(Json(manager.brought(name, caller.by, node, package.content).await?))
}

/// Where a node takes pushes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushTo {
    /// `HOST:PORT`; null ends it.
    address: Option<String>,
}

/// Says where a node takes pushes.
pub(super) async fn push_to(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(node): Named<NodeId>,
    Extension(name): Extension<RequestName>,
    Sent(to): Sent<PushTo>,
) -> Answer<Outcome> {
    let input = Input::PushTo { by: caller.by, node, address: to.address };
    submit(&manager, name, input).await
}

/// Stops a campaign from going on.
pub(super) async fn pause(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(campaign): Named<CampaignId>,
    Extension(name): Extension<RequestName>,
) -> Answer<Outcome> {
    submit(&manager, name, Input::Pause { by: caller.by, campaign }).await
}

/// How many tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Many {
    /// From 1 to 10,000.
    count: u16,
}

/// Tokens for nodes to ask by.
pub(super) async fn tokens(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Extension(name): Extension<RequestName>,
    Sent(many): Sent<Many>,
) -> Answer<Vec<EnrolmentToken>> {
    let unready = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "no token can be made now");
    let input = Input::MakeTokens { by: caller.by, count: many.count };
    let Json(Outcome::Tokens { tokens, root }) = submit(&manager, name, input).await? else {
        return Err(unready());
    };
    let made = tokens.into_iter().map(|token| manager.enrolment_token(token, root).ok_or_else(unready));
    made.collect::<Result<_, _>>().map(Json)
}

/// Nobody asks by a token any more.
pub(super) async fn void_token(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(token): Named<TokenId>,
    Extension(name): Extension<RequestName>,
) -> Answer<Outcome> {
    Ok(Json(manager.void_token(name, caller.by, token).await?))
}

/// Turns a node away that asks.
pub(super) async fn turn_away(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(node): Named<NodeId>,
    Extension(name): Extension<RequestName>,
    Sent(why): Sent<Why>,
) -> Answer<Outcome> {
    Ok(Json(manager.turn_away(name, caller.by, node, why.reason).await?))
}

/// A key block.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    block: String,
}

// An approved action, or what this very request came to before.
enum Begun {
    Approved(KmcId, Act),
    Done(Outcome),
}

async fn begin(manager: &Manager, name: &RequestName, id: &ActionId) -> Result<Begun, Problem> {
    let found = approved(manager, id);
    // Asked second: had the same request been done in between, the action would not be approved any more.
    match manager.recall(name).await? {
        Some(outcome) => Ok(Begun::Done(outcome)),
        None => found.map(|(kmc, act)| Begun::Approved(kmc, act)),
    }
}

fn approved(manager: &Manager, id: &ActionId) -> Result<(KmcId, Act), Problem> {
    let now = manager.now().utc_ms;
    let found = manager.view(|core| {
        core.state().action(id)?;
        Some((core.kmc()?, core.performable(id, now)))
    });
    match found {
        Some((kmc, Ok(act))) => Ok((kmc, act)),
        Some((_, Err(refusal))) => Err(Problem::new(StatusCode::CONFLICT, "not_approved", refusal)),
        None => Err(Problem::not_found("action")),
    }
}

// A key of the centre as the vault needs it: what it is, its block, its label.
fn held(manager: &Manager, kmc: KmcId, key: KeyRef) -> Result<(KeySpec, String, String), Problem> {
    let found = manager.view(|core| {
        let record: &Key = core.key(&key)?;
        let material = record.material.as_ref().filter(|m| m.wrapped_by == Wrapper::Master)?;
        let attributes = record.attributes();
        Some((spec_of(attributes.kind, attributes.shape), material.block.clone()))
    });
    let (spec, block) = found.ok_or_else(|| Problem::not_found("key with material"))?;
    Ok((spec, block, label_of(kmc, key, None)))
}

/// Takes the key block of an approved import.
pub(super) async fn import(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    Extension(name): Extension<RequestName>,
    Sent(Block { block }): Sent<Block>,
) -> Answer<Outcome> {
    let (kmc, act) = match begin(&manager, &name, &action).await? {
        Begun::Approved(kmc, act) => (kmc, act),
        Begun::Done(outcome) => return Ok(Json(outcome)),
    };
    let Act::ImportKey { key_set, under, block: promised, kcv } = act else {
        return Err(Problem::malformed("the action is no import"));
    };
    if Digest::of(block.as_bytes()) != promised {
        let detail = "another key block than the one that was approved";
        return Err(Problem::new(StatusCode::CONFLICT, "other_block", detail));
    }
    for _ in 0..SEALED_AT_MOST {
        let (generation, material) = take_in(&manager, kmc, (key_set, under), &block, &kcv).await?;
        let key = Arrived { action, origin: Origin::Imported, generation, material };
        match manager.submit(Some(name.clone()), Input::Formed { by: caller.by, key }).await {
            // The number went to another key meanwhile: sealed again for the next.
            Err(SubmitError::Refused(Refusal::NotNext)) => {}
            outcome => {
                let outcome = outcome?;
                failpoint!("api.after_write");
                return Ok(Json(outcome));
            }
        }
    }
    Err(SubmitProblem::Refused(Refusal::NotNext).into())
}

// A partner's key, sealed for the next number of its key set.
async fn take_in(
    manager: &Manager,
    kmc: KmcId,
    (key_set, under): (KeySetId, KeyRef),
    block: &str,
    kcv: &str,
) -> Result<(Generation, Material), Problem> {
    let target = manager.view(|core| {
        let set = core.key_set(&key_set)?;
        Some((spec_of(set.definition.kind, set.definition.shape), set.next_generation))
    });
    let (spec, generation) = target.ok_or_else(|| Problem::not_found("key set"))?;
    let label = label_of(kmc, KeyRef { key_set, generation }, None);
    let zmk = held(manager, kmc, under)?;
    let (block, kcv) = (block.to_owned(), kcv.to_owned());
    let sealed = manager
        .vault()
        .call(move |vault| {
            let zmk = Receiver { spec: zmk.0, block: &zmk.1, label: &zmk.2 };
            vault.import(spec, zmk, block.trim(), &kcv, &label)
        })
        .await?;
    let material = Material {
        block: sealed.block,
        kcv: sealed.kcv,
        kcv_method: kcv_method(spec),
        wrapped_by: Wrapper::Master,
        wrapper_strength_bits: 256,
        arrived_under: Some((under.key_set, under.generation)),
    };
    Ok((generation, material))
}

/// Gives out the key block of an approved export, once the log says that it left, and to whom. The same request again
/// gets the same block.
pub(super) async fn export(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    Extension(name): Extension<RequestName>,
) -> Answer<ExportedView> {
    let outcome = match begin(&manager, &name, &action).await? {
        Begun::Done(outcome) => outcome,
        Begun::Approved(kmc, act) => {
            let Act::ExportKey { key, under } = act else {
                return Err(Problem::malformed("the action is no export"));
            };
            let (block, kcv) = give_out(&manager, kmc, key, under).await?;
            let left = Input::Exported { by: caller.by, action, block, kcv };
            submit(&manager, name, left).await?.0
        }
    };
    match outcome {
        Outcome::Exported { block, kcv } => Ok(Json(ExportedView { block, kcv })),
        _ => Err(Problem::malformed("the action is no export")),
    }
}

async fn give_out(
    manager: &Manager,
    kmc: KmcId,
    key: KeyRef,
    under: KeyRef,
) -> Result<(String, String), Problem> {
    let (key, zmk) = (held(manager, kmc, key)?, held(manager, kmc, under)?);
    let given = manager.vault().call(move |vault| {
        let kcv = vault.check(key.0, &key.1, &key.2)?;
        let zmk = Receiver { spec: zmk.0, block: &zmk.1, label: &zmk.2 };
        Ok((vault.export(key.0, &key.1, &key.2, zmk)?, kcv))
    });
    Ok(given.await?)
}
