//! Paths that read.

use super::caller::Caller;
use super::lists::{Page, PageQuery, page, page_in, read_cursor, write_cursor};
use super::problem::Problem;
use crate::core::action::KeyRef;
use crate::core::alarm::Alarm;
use crate::core::approval::Action;
use crate::core::campaign::{Campaign, Delivery};
use crate::core::ids::{ActionId, CampaignId, KeySetId, NodeId, ZoneId};
use crate::core::key::{Key, KeySet, Windows};
use crate::core::lifecycle::KeyState;
use crate::core::node::{Copy, Member, Node, Progress, Zone};
use crate::core::people::{Credential, Person};
use crate::core::policy::Policy;
use crate::core::table::{State as Records, Table, keys_of};
use crate::core::{named, row_key};
use crate::service::Manager;
use crate::store;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// Longest wait of a watch.
const WATCH: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(100);

type Answer<T> = Result<Json<T>, Problem>;

fn one<R: Clone>(manager: &Manager, key: &<Records as Table<R>>::Key, what: &str) -> Answer<R>
where
    Records: Table<R>,
{
    let found = manager.view(|core| Table::<R>::rows(core.state()).get(key).cloned());
    found.map(Json).ok_or_else(|| Problem::not_found(what))
}

macro_rules! lists {
    ($($(#[$doc:meta])* $name:ident: $record:ty;)*) => {$(
        $(#[$doc])*
        pub(super) async fn $name(State(manager): State<Manager>, Query(query): Query<PageQuery>) -> Answer<Page<$record>> {
            page(&manager, &query, |_| true)
        }
    )*};
}

lists! {
    persons: Person;
    credentials: Credential;
    policies: Policy;
    zones: Zone;
    nodes: Node;
    key_sets: KeySet;
    campaigns: Campaign;
}

/// How the centre is.
pub(super) async fn status(State(manager): State<Manager>) -> Json<Value> {
    let standing = manager.writer().standing();
    let class = manager.vault().call(|vault| Ok((format!("{:?}", vault.class()), vault.master().test))).await;
    let (class, test) = class.unwrap_or_else(|_| ("unknown".to_owned(), false));
    let counts = manager.view(|core| {
        let state = core.state();
        let lasting = core.alarms().count();
        json!({
            "kmc": core.kmc(),
            "nodes": Table::<Node>::rows(state).len(),
            "zones": Table::<Zone>::rows(state).len(),
            "key_sets": Table::<KeySet>::rows(state).len(),
            "keys": Table::<Key>::rows(state).len(),
            "alarms": lasting,
        })
    });
    let store: serde_json::Map<String, Value> =
        standing.settings.into_iter().map(|(name, value)| (name, value.into())).collect();
    Json(json!({
        "counts": counts,
        "store": store,
        "backend_class": class,
        "test_master_key": test,
        "leading": standing.leading,
        "store_full": standing.full,
        "epoch": standing.epoch,
        "log_size": standing.log_size,
        "software": env!("CARGO_PKG_VERSION"),
        "utc_ms": manager.now().utc_ms,
    }))
}

/// The caller.
pub(super) async fn me(Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({
        "person": caller.by.person,
        "credential": caller.by.credential,
        "name": caller.name,
        "roles": caller.roles,
    }))
}

/// The root documents.
pub(super) async fn root(State(manager): State<Manager>) -> Json<Vec<keylink::root::SignedRoot>> {
    Json(manager.view(crate::core::Core::roots))
}

/// One node.
pub(super) async fn node(State(manager): State<Manager>, Path(id): Path<NodeId>) -> Answer<Node> {
    one(&manager, &id, "node")
}

/// One campaign.
pub(super) async fn campaign(State(manager): State<Manager>, Path(id): Path<CampaignId>) -> Answer<Campaign> {
    one(&manager, &id, "campaign")
}

/// Which state of a campaign the caller has seen.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    seen: Option<String>,
}

/// A campaign, and a word for its state.
#[derive(Debug, Serialize, Deserialize)]
pub struct Watched {
    /// The campaign.
    pub campaign: Campaign,
    /// For the next call.
    pub seen: String,
}

/// A campaign, as soon as it is not as the caller has seen it.
pub(super) async fn watch(
    State(manager): State<Manager>,
    Path(id): Path<CampaignId>,
    Query(query): Query<Seen>,
) -> Answer<Watched> {
    let until = tokio::time::Instant::now() + WATCH;
    loop {
        let Json(campaign) = one::<Campaign>(&manager, &id, "campaign")?;
        let seen = keylink::Digest::of(&serde_json::to_vec(&campaign).unwrap_or_default()).to_string();
        if query.seen.as_ref() != Some(&seen) || tokio::time::Instant::now() >= until {
            return Ok(Json(Watched { campaign, seen }));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Records of one of several.
#[derive(Debug, Deserialize)]
pub(super) struct Of {
    after: Option<String>,
    limit: Option<usize>,
    zone: Option<ZoneId>,
    key_set: Option<KeySetId>,
    node: Option<NodeId>,
    state: Option<String>,
    days: Option<u64>,
}

impl Of {
    fn page(&self) -> PageQuery {
        PageQuery { after: self.after.clone(), limit: self.limit }
    }
}

/// Members of zones.
pub(super) async fn members(State(manager): State<Manager>, Query(of): Query<Of>) -> Answer<Page<Member>> {
    page(&manager, &of.page(), |m: &Member| !m.left && of.zone.is_none_or(|zone| m.zone == zone))
}

/// A key as people may see it: no block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyView {
    /// Key set.
    pub key_set: KeySetId,
    /// Generation.
    pub generation: keylink::Generation,
    /// State of its life cycle.
    pub state: KeyState,
    /// Check value.
    pub kcv: Option<String>,
    /// When it may protect and process.
    pub windows: Windows,
    /// The campaign that brought it.
    pub campaign: Option<CampaignId>,
    /// Why it is suspect.
    pub suspect: Option<String>,
}

impl KeyView {
    fn of(key: &Key) -> Self {
        Self {
            key_set: key.set(),
            generation: key.generation(),
            state: key.state(),
            kcv: key.material.as_ref().map(|material| material.kcv.clone()),
            windows: key.windows,
            campaign: key.campaign,
            suspect: key.suspect.clone(),
        }
    }
}

fn viewed(Json(page): Json<Page<Key>>) -> Json<Page<KeyView>> {
    Json(Page { items: page.items.iter().map(KeyView::of).collect(), next: page.next })
}

/// Keys.
pub(super) async fn keys(State(manager): State<Manager>, Query(of): Query<Of>) -> Answer<Page<KeyView>> {
    match of.key_set {
        Some(set) => page_in(&manager, &of.page(), keys_of(set), |_: &Key| true),
        None => page(&manager, &of.page(), |_: &Key| true),
    }
    .map(viewed)
}

/// Keys that stop to protect within so many days (30), those that stop first in front: places from the index of the
/// store, records from memory.
pub(super) async fn expiring(State(manager): State<Manager>, Query(of): Query<Of>) -> Answer<Page<KeyView>> {
    let until = manager.now().utc_ms.saturating_add(of.days.unwrap_or(30).saturating_mul(86_400_000));
    let (query, unready) = (of.page(), || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the store cannot be read"));
    let limit = query.limit();
    let after: Option<(i64, KeyRef)> = query.after.as_deref().map(read_cursor).transpose()?;
    let after = after.map(|(ms, key)| (store::Value::Int(ms), row_key(&key)));
    let most = u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1);
    let places = manager.store().read(move |store| {
        store.places_until(store::Table::Generations, "expires_ms", until, after.as_ref(), most)
    });
    let mut places = places.await.and_then(Result::ok).ok_or_else(unready)?;
    let more = places.len() > limit;
    places.truncate(limit);
    let places: Vec<(i64, KeyRef)> =
        places.iter().filter_map(|(ms, key)| Some((ms.int()?, named(key)?))).collect();
    let next = places.last().filter(|_| more).map(write_cursor);
    let items = manager.view(|core| {
        places.iter().filter_map(|(_, key)| core.key(key)).filter(|key| key.is_live()).map(KeyView::of).collect()
    });
    Ok(Json(Page { items, next }))
}

/// A key at a node, as people may see it: no block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HolderView {
    /// Node.
    pub node: NodeId,
    /// Key set.
    pub key_set: KeySetId,
    /// Generation.
    pub generation: keylink::Generation,
    /// How far the node is with it, by its receipts.
    pub progress: Progress,
    /// Why the node does not take it.
    pub refused: Option<String>,
}

/// Which node holds which key.
pub(super) async fn holders(
    State(manager): State<Manager>,
    Query(of): Query<Of>,
) -> Answer<Page<HolderView>> {
    let wanted = |copy: &Copy| {
        of.key_set.is_none_or(|set| copy.key_set == set) && of.node.is_none_or(|node| copy.node == node)
    };
    let Json(found) = page(&manager, &of.page(), wanted)?;
    let view = |copy: Copy| HolderView {
        node: copy.node,
        key_set: copy.key_set,
        generation: copy.generation,
        progress: copy.progress,
        refused: copy.refused,
    };
    Ok(Json(Page { items: found.items.into_iter().map(view).collect(), next: found.next }))
}

/// What each node owes a campaign.
pub(super) async fn deliveries(
    State(manager): State<Manager>,
    Path(id): Path<CampaignId>,
    Query(query): Query<PageQuery>,
) -> Answer<Page<Delivery>> {
    page(&manager, &query, |delivery: &Delivery| delivery.campaign == id)
}

/// Alarms; `state=all` also those that are over.
pub(super) async fn alarms(State(manager): State<Manager>, Query(of): Query<Of>) -> Answer<Page<Alarm>> {
    let all = of.state.as_deref() == Some("all");
    page(&manager, &of.page(), |alarm: &Alarm| all || alarm.ended_utc_ms.is_none())
}

/// Nodes that ask to be let in, with what officers compare.
pub(super) async fn enrolments(State(manager): State<Manager>) -> Json<Vec<Value>> {
    let view = |asked: &crate::service::Asked| {
        json!({
            "node": asked.enrol.node(),
            "name": asked.enrol.name,
            "key": asked.enrol.key,
            "csr": asked.csr,
            "backend_class": asked.enrol.backend_class,
            "attestation": asked.enrol.attestation,
            "asked_ms": asked.asked_ms.to_string(),
        })
    };
    Json(manager.asking().iter().map(view).collect())
}

/// An action with what is to be done in words that can be read: the bytes are what counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionView {
    /// The action and its approvals.
    #[serde(flatten)]
    pub action: Action,
    /// Hash of the exact bytes, which officers sign.
    pub hash: keylink::Digest,
    /// What is done, in dotted words.
    pub word: Option<String>,
    /// What is done.
    pub act: Option<crate::core::action::Act>,
}

impl ActionView {
    fn of(action: Action) -> Self {
        let act = action.act();
        Self { hash: action.hash(), word: act.as_ref().map(|act| act.word().to_owned()), act, action }
    }
}

/// Actions; `state=pending` those that wait.
pub(super) async fn actions(
    State(manager): State<Manager>,
    Query(of): Query<Of>,
) -> Answer<Page<ActionView>> {
    let state = |action: &Action| serde_json::to_value(&action.state).unwrap_or_default();
    let wanted = |action: &Action| of.state.as_ref().is_none_or(|wanted| state(action) == wanted.as_str());
    let Json(found) = page(&manager, &of.page(), wanted)?;
    Ok(Json(Page { items: found.items.into_iter().map(ActionView::of).collect(), next: found.next }))
}

/// One action.
pub(super) async fn action(State(manager): State<Manager>, Path(id): Path<ActionId>) -> Answer<ActionView> {
    one::<Action>(&manager, &id, "action").map(|Json(action)| Json(ActionView::of(action)))
}

/// The newest checkpoint.
pub(super) async fn head(State(manager): State<Manager>) -> Answer<Value> {
    let checkpoint = manager.checkpoint().ok_or_else(|| Problem::not_found("checkpoint"))?;
    Ok(Json(json!({ "size": checkpoint.size, "root": checkpoint.root, "note": checkpoint.note })))
}

/// Longest wait for a moment at which the newest checkpoint covers the whole log.
const COVERED: Duration = Duration::from_secs(15);
const BETWEEN: Duration = Duration::from_millis(5);

/// Log and state, at a moment at which a checkpoint covers all of it; without such a moment, as it is.
pub(super) async fn export(State(manager): State<Manager>) -> Response {
    let until = tokio::time::Instant::now() + COVERED;
    loop {
        let late = tokio::time::Instant::now() >= until;
        let made = manager.store().read(move |store| {
            let covered = store.last_checkpoint()?.map_or(0, |(size, _)| size);
            if !late && covered != store.log_size()? {
                return Ok(None);
            }
            let mut out = Vec::new();
            let [entries, ..] = crate::audit::export(store, &mut out)?;
            Ok::<_, crate::store::Error>((late || entries == covered).then_some(out))
        });
        match made.await {
            Some(Ok(Some(bytes))) => return Body::from(bytes).into_response(),
            Some(Ok(None)) => tokio::time::sleep(BETWEEN).await,
            _ => {
                let status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
                return Problem::new(status, "store", "the store cannot be read").into_response();
            }
        }
    }
}
