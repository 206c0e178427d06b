//! Paths that write. Each takes an Idempotency-Key: the same request again is answered the same.

use super::caller::{Caller, idempotency};
use super::extract::{Named, Sent};
use super::problem::Problem;
use super::views::ExportedView;
use crate::core::action::{Act, KeyRef};
use crate::core::approval::Action;
use crate::core::ids::{ActionId, CampaignId, CredentialId, Digest, KmcId, NodeId};
use crate::core::input::{Input, Outcome};
use crate::core::key::{Key, Material, Origin, Wrapper};
use crate::core::node::Traffic;
use crate::core::people::Credential;
use crate::core::table::Table;
use crate::core::verified::Verified;
use crate::failpoint::failpoint;
use crate::service::{Manager, kcv_method, label_of, spec_of};
use crate::vault::{KeySpec, Receiver};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use keylink::Signed;
use keylink::action::Approval;
use keylink::message::EnrolmentToken;
use keylink::root::SignedRoot;
use schemars::JsonSchema;
use serde::Deserialize;

type Answer<T> = Result<Json<T>, Problem>;

// The key of one person never meets another's; that there is one was seen before.
fn own_key(headers: &HeaderMap, caller: &Caller) -> Option<String> {
    idempotency(headers).map(|key| format!("{}/{key}", caller.by.person))
}

async fn submit(manager: &Manager, headers: &HeaderMap, caller: &Caller, input: Input) -> Answer<Outcome> {
    let outcome = manager.submit(own_key(headers, caller), input).await?;
    failpoint!("api.after_write");
    Ok(Json(outcome))
}

/// Asks for an action.
pub(super) async fn propose(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Sent(act): Sent<Act>,
) -> Answer<Outcome> {
    submit(&manager, &headers, &caller, Input::Propose { by: caller.by, act }).await
}

/// Changes an action.
pub(super) async fn edit(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    headers: HeaderMap,
    Sent(act): Sent<Act>,
) -> Answer<Outcome> {
    submit(&manager, &headers, &caller, Input::Edit { by: caller.by, action, act }).await
}

/// Takes an action back.
pub(super) async fn withdraw(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    headers: HeaderMap,
) -> Answer<Outcome> {
    submit(&manager, &headers, &caller, Input::Withdraw { by: caller.by, action }).await
}

/// Gives up an approved action that is not done.
pub(super) async fn abandon(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    headers: HeaderMap,
) -> Answer<Outcome> {
    let done = submit(&manager, &headers, &caller, Input::Abandon { by: caller.by, action }).await?;
    manager.forget_ceremony(action).await;
    Ok(done)
}

/// Hands in an approval. Whoever hands it in: it counts for whom it names, by whose key it is signed.
pub(super) async fn approve(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    headers: HeaderMap,
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
    submit(&manager, &headers, &caller, Input::Approve(approval)).await
}

fn credential_key(manager: &Manager, id: &CredentialId) -> Option<keylink::PublicKey> {
    manager.view(|core| Table::<Credential>::rows(core.state()).get(id).map(|credential| credential.key))
}

/// Installs the next root document.
pub(super) async fn install_root(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Sent(root): Sent<SignedRoot>,
) -> Answer<Outcome> {
    submit(&manager, &headers, &caller, Input::InstallRoot(root)).await
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
    headers: HeaderMap,
    Sent(why): Sent<Why>,
) -> Answer<Outcome> {
    let input = Input::Quarantine { by: caller.by, node, reason: why.reason };
    submit(&manager, &headers, &caller, input).await
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
    headers: HeaderMap,
    Sent(place): Sent<Where>,
) -> Answer<Outcome> {
    submit(&manager, &headers, &caller, Input::Traffic { by: caller.by, node, to: place.to }).await
}

/// Stops a campaign from going on.
pub(super) async fn pause(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(campaign): Named<CampaignId>,
    headers: HeaderMap,
) -> Answer<Outcome> {
    submit(&manager, &headers, &caller, Input::Pause { by: caller.by, campaign }).await
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
    headers: HeaderMap,
    Sent(many): Sent<Many>,
) -> Answer<Vec<EnrolmentToken>> {
    let unready = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "no token can be made now");
    let input = Input::MakeTokens { by: caller.by, count: many.count };
    let Json(Outcome::Tokens { tokens, root }) = submit(&manager, &headers, &caller, input).await? else {
        return Err(unready());
    };
    let made = tokens.into_iter().map(|token| manager.enrolment_token(token, root).ok_or_else(unready));
    made.collect::<Result<_, _>>().map(Json)
}

/// A key block.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    block: String,
}

struct Approved {
    kmc: KmcId,
    act: Act,
}

fn approved(manager: &Manager, id: &ActionId) -> Result<Approved, Problem> {
    let now = manager.now().utc_ms;
    let found = manager.view(|core| {
        core.state().action(id)?;
        Some((core.kmc()?, core.performable(id, now)))
    });
    match found {
        Some((kmc, Ok(act))) => Ok(Approved { kmc, act }),
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
    headers: HeaderMap,
    Sent(Block { block }): Sent<Block>,
) -> Answer<Outcome> {
    let Approved { kmc, act } = approved(&manager, &action)?;
    let Act::ImportKey { key_set, under, block: promised, kcv } = act else {
        return Err(Problem::malformed("the action is no import"));
    };
    if Digest::of(block.as_bytes()) != promised {
        let detail = "another key block than the one that was approved";
        return Err(Problem::new(StatusCode::CONFLICT, "other_block", detail));
    }
    let target = manager.view(|core| {
        let set = core.key_set(&key_set)?;
        let key = KeyRef { key_set, generation: set.next_generation };
        Some((spec_of(set.definition.kind, set.definition.shape), label_of(kmc, key, None)))
    });
    let (spec, label) = target.ok_or_else(|| Problem::not_found("key set"))?;
    let zmk = held(&manager, kmc, under)?;
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
    submit(&manager, &headers, &caller, Input::Formed { action, origin: Origin::Imported, material }).await
}

/// Gives out the key block of an approved export, once the log says that it left.
pub(super) async fn export(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    headers: HeaderMap,
) -> Answer<ExportedView> {
    let Approved { kmc, act } = approved(&manager, &action)?;
    let Act::ExportKey { key, under } = act else {
        return Err(Problem::malformed("the action is no export"));
    };
    let (key, zmk) = (held(&manager, kmc, key)?, held(&manager, kmc, under)?);
    let (block, kcv) = manager
        .vault()
        .call(move |vault| {
            let kcv = vault.check(key.0, &key.1, &key.2)?;
            let zmk = Receiver { spec: zmk.0, block: &zmk.1, label: &zmk.2 };
            Ok((vault.export(key.0, &key.1, &key.2, zmk)?, kcv))
        })
        .await?;
    let left = Input::Exported { action, block: Digest::of(block.as_bytes()) };
    let Json(_) = submit(&manager, &headers, &caller, left).await?;
    Ok(Json(ExportedView { block, kcv }))
}
