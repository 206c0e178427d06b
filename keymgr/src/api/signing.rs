//! The centre's own keys: which sign, how far a change is, and what another change would ask for.

use super::answer::Json;
use super::caller::Caller;
use super::extract::{Named, Sent};
use super::problem::Problem;
use crate::core::action::Act;
use crate::core::ids::{ActionId, NodeId};
use crate::core::input::{Input, Outcome};
use crate::core::node::{Node, Traffic};
use crate::core::people::Standing;
use crate::core::signing::{DocumentSignatures, KeyPhase};
use crate::core::table::{State as Records, Table};
use crate::service::{Manager, RequestName, SuccessorProblem};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use keylink::PublicKey;
use keylink::succession::CentreKey;
use keylink::wire::U64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

type Answer<T> = Result<Json<T>, Problem>;

/// One of the centre's own keys.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeyView {
    /// Which.
    pub key: CentreKey,
    /// The key that signs, Ed25519.
    pub public: PublicKey,
    /// Since when it signs, UTC milliseconds.
    pub since_ms: U64,
    /// Where its secret half is: `sealed file`, or `token` and the label of the key there.
    pub place: String,
    /// The change on its way.
    pub change: Option<KeyChangeView>,
}

/// A change of one of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KeyChangeView {
    /// The action that approved it.
    pub action: ActionId,
    /// The key that goes.
    pub old: PublicKey,
    /// The key that comes.
    pub new: PublicKey,
    /// How far it is.
    pub phase: KeyPhase,
    /// Since when it is there, UTC milliseconds.
    pub since_ms: U64,
    /// Number of the root document that names both.
    pub root: u32,
    /// Names of the nodes that it waits for.
    pub waits_for: Vec<String>,
}

/// What a change would ask for, and whom it would wait for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SuccessorView {
    /// To be asked for as it is.
    pub act: Act,
    /// The key that would go.
    pub old: PublicKey,
    /// The key that would come.
    pub new: PublicKey,
    /// Every node that is not revoked.
    pub nodes: Vec<SuccessorNodeView>,
}

/// A node in it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SuccessorNodeView {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The new key does not sign before this node knows it. Others learn it when they are back, before anything that it
    /// signed.
    pub waited_for: bool,
    /// As declared.
    pub traffic: Traffic,
    /// It has spoken lately.
    pub reachable: bool,
    /// Number of the root document that it has.
    pub root: u32,
}

/// The keys as they are now.
pub(super) fn keys(manager: &Manager) -> Vec<SigningKeyView> {
    let now = manager.now().utc_ms;
    manager.view(|core| {
        let name = |id: &NodeId| core.node(id).map_or_else(|| id.to_string(), |node| node.name.clone());
        let change = |key| {
            let (change, waits) = core.key_change(now).filter(|(change, _)| change.key == key)?;
            Some(KeyChangeView {
                action: change.action,
                old: change.old,
                new: change.new,
                phase: change.phase,
                since_ms: change.since,
                root: change.number,
                waits_for: waits.iter().map(name).collect(),
            })
        };
        let view = |key| {
            let (public, since) = core.signing_key(key)?;
            let place = manager.ring().place(key, &public).unwrap_or_default();
            Some(SigningKeyView { key, public, since_ms: U64(since), place, change: change(key) })
        };
        CentreKey::ALL.into_iter().filter_map(view).collect()
    })
}

/// The keys that sign, and the change on its way.
pub(super) async fn list(State(manager): State<Manager>) -> Json<Vec<SigningKeyView>> {
    Json(keys(&manager))
}

/// Makes the key that would come, if none waits, and says what to ask for.
pub(super) async fn successor(
    State(manager): State<Manager>,
    Named(key): Named<CentreKey>,
) -> Answer<SuccessorView> {
    let act = manager.successor(key).await?;
    let Act::ChangeSigningKey(change) = &act else { return Err(Problem::malformed("no change of a key")) };
    let said = change.said().ok_or_else(|| Problem::malformed("the statement does not hold"))?;
    let now = manager.now().utc_ms;
    let nodes = manager.view(|core| {
        let silent = core.state().centre().map_or(0, |centre| centre.limits.silent_after_ms);
        let nodes = <Records as Table<Node>>::rows(core.state()).values();
        let view = |node: &Node| SuccessorNodeView {
            node: node.id,
            name: node.name.clone(),
            waited_for: node.quarantined.is_none() && node.is_waited_for(now, silent),
            traffic: node.traffic,
            reachable: node.seen_utc_ms > 0 && now.saturating_sub(node.seen_utc_ms) <= silent,
            root: node.link.root,
        };
        nodes.filter(|node| node.standing == Standing::Active).map(view).collect()
    });
    Ok(Json(SuccessorView { old: said.old, new: said.new, act, nodes }))
}

/// Takes an officer's signatures on the root documents of a change.
pub(super) async fn documents(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(action): Named<ActionId>,
    Extension(name): Extension<RequestName>,
    Sent(signatures): Sent<DocumentSignatures>,
) -> Answer<Outcome> {
    let input = Input::SignDocuments { by: caller.by, action, signatures };
    Ok(Json(manager.submit(Some(name), input).await?))
}

impl From<SuccessorProblem> for Problem {
    fn from(problem: SuccessorProblem) -> Self {
        match problem {
            SuccessorProblem::Refused(refusal) => refusal.into(),
            other => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", other),
        }
    }
}
