//! Paths that read.

use super::answer::Json;
use super::caller::Caller;
use super::extract::{Asked, Named};
use super::filters::{
    ActionFilter, ActionWord, AlarmFilter, AlarmWord, CampaignFilter, ExpiringFilter, HolderFilter,
    KeyFilter, KeySetFilter, MemberFilter, NodeFilter, PersonFilter, PreviewFilter, TokenFilter,
};
use super::lists::{Page, PageQuery, mapped, mapped_in, page, read_cursor, write_cursor};
use super::problem::Problem;
use super::sight::Sight;
use super::views::{
    AskingView, CountsView, HeadView, HolderView, KeyView, Me, NodeView, PreviewView, StatusView, TokenView,
};
use crate::core::Core;
use crate::core::action::KeyRef;
use crate::core::alarm::Alarm;
use crate::core::approval::{Action, persons_needed};
use crate::core::campaign::{Campaign, Delivery};
use crate::core::ids::{ActionId, CampaignId, Digest, KeySetId, NodeId};
use crate::core::key::{Key, KeySet};
use crate::core::node::{Copy, Member, Node, Zone};
use crate::core::people::{Credential, Person};
use crate::core::policy::Policy;
use crate::core::rows::Token;
use crate::core::table::{State as Records, Table, keys_of};
use crate::core::{named, row_key};
use crate::service::Manager;
use crate::store;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use hsm::BackendClass;
use keylink::message::Scope;
use keylink::root::{RootDocument, SignedRoot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

type Answer<T> = Result<Json<T>, Problem>;

pub(super) fn one<R: Clone>(
    manager: &Manager,
    key: &<Records as Table<R>>::Key,
    what: &str,
) -> Result<R, Problem>
where
    Records: Table<R>,
{
    let found = manager.view(|core| Table::<R>::rows(core.state()).get(key).cloned());
    found.ok_or_else(|| Problem::not_found(what))
}

macro_rules! lists {
    ($($(#[$doc:meta])* $name:ident: $record:ty, by $filter:ty, $wanted:expr;)*) => {$(
        $(#[$doc])*
        pub(super) async fn $name(
            State(manager): State<Manager>,
            Asked(filter): Asked<$filter>,
        ) -> Answer<Page<$record>> {
            let wanted: fn(&$filter, &$record) -> bool = $wanted;
            page(&manager, &filter.page(), |record: &$record| wanted(&filter, record)).map(Json)
        }
    )*};
}

lists! {
    /// Persons.
    persons: Person, by PersonFilter, |f, person| {
        f.role.is_none_or(|role| person.roles.contains(&role)) && f.state.is_none_or(|state| person.standing == state)
    };
    /// Credentials.
    credentials: Credential, by PageQuery, |_, _| true;
    /// Policies.
    policies: Policy, by PageQuery, |_, _| true;
    /// Zones.
    zones: Zone, by PageQuery, |_, _| true;
    /// Members of zones.
    members: Member, by MemberFilter, |f, member| {
        !member.left && f.zone.is_none_or(|zone| member.zone == zone) && f.node.is_none_or(|node| member.node == node)
    };
    /// Key sets.
    key_sets: KeySet, by KeySetFilter, |f, set| {
        f.zone.is_none_or(|zone| set.definition.scope == Scope::Zone(zone))
    };
    /// Campaigns.
    campaigns: Campaign, by CampaignFilter, |f, campaign| {
        f.zone.is_none_or(|zone| campaign.zone == zone)
            && f.key_set.is_none_or(|set| campaign.plan.key_set == set)
            && f.phase.is_none_or(|phase| campaign.phase == phase)
            && f.live.is_none_or(|live| campaign.phase.is_live() == live)
    };
    /// Alarms.
    alarms: Alarm, by AlarmFilter, |f, alarm| {
        let ended = alarm.ended_utc_ms.is_some();
        f.kind.is_none_or(|kind| alarm.kind == kind)
            && match f.state.unwrap_or_default() {
                AlarmWord::Lasts => !ended,
                AlarmWord::Ended => ended,
                AlarmWord::All => true,
            }
    };
}

const fn place_of_master(class: BackendClass) -> &'static str {
    match class {
        BackendClass::A | BackendClass::B => "token",
        BackendClass::C => "memory",
    }
}

/// How the centre is.
pub(super) async fn status(State(manager): State<Manager>) -> Json<StatusView> {
    Json(status_of(&manager))
}

pub(super) fn status_of(manager: &Manager) -> StatusView {
    let standing = manager.writer().standing();
    let master = manager.vault().master();
    let counts = manager.view(|core| {
        let state = core.state();
        CountsView {
            kmc: core.kmc(),
            nodes: Table::<Node>::rows(state).len(),
            zones: Table::<Zone>::rows(state).len(),
            key_sets: Table::<KeySet>::rows(state).len(),
            keys: Table::<Key>::rows(state).len(),
            alarms: core.alarms().count(),
        }
    });
    StatusView {
        counts,
        store: standing.settings.into_iter().collect(),
        backend_class: format!("{:?}", master.class),
        backend_ready: manager.vault().answers() && manager.ring().answers(),
        master_key_place: place_of_master(master.class).to_owned(),
        master_key_lmk: master.lmk.id.0,
        master_key_check_value: String::from_utf8_lossy(&master.lmk.check).into_owned(),
        test_master_key: master.lmk.test,
        signing_keys_place: manager.ring().places().to_owned(),
        signing_keys: super::signing::keys(manager),
        leading: standing.leading,
        store_full: standing.full,
        epoch: standing.epoch,
        log_size: standing.log_size,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        utc_ms: manager.now().utc_ms,
    }
}

/// The caller.
pub(super) async fn me(Extension(caller): Extension<Caller>) -> Json<Me> {
    let Caller { by, name, roles } = caller;
    Json(Me { person: by.person, credential: by.credential, name, roles })
}

/// The root documents.
pub(super) async fn root(State(manager): State<Manager>) -> Json<Vec<SignedRoot>> {
    Json(manager.view(Core::roots))
}

/// The next root document as the register would have it, to be signed.
pub(super) async fn next_root(State(manager): State<Manager>) -> Answer<RootDocument> {
    let now = manager.now().utc_ms;
    Ok(Json(manager.view(|core| core.next_root(now))?))
}

/// Nodes.
pub(super) async fn nodes(
    State(manager): State<Manager>,
    Asked(f): Asked<NodeFilter>,
) -> Answer<Page<NodeView>> {
    let wanted = |node: &Node| {
        f.zone.is_none_or(|zone| node.zones.contains(&zone))
            && f.traffic.is_none_or(|traffic| node.traffic == traffic)
            && f.state.is_none_or(|state| node.standing == state)
    };
    mapped(&manager, &f.page(), wanted, seen_now(&manager)).map(Json)
}

/// One node.
pub(super) async fn node(State(manager): State<Manager>, Named(id): Named<NodeId>) -> Answer<NodeView> {
    one::<Node>(&manager, &id, "node").map(|node| Json(seen_now(&manager)(&node)))
}

fn seen_now(manager: &Manager) -> impl Fn(&Node) -> NodeView + use<> {
    let now = manager.now().utc_ms;
    let silent_after_ms = manager.view(|core| core.state().centre().map_or(0, |c| c.limits.silent_after_ms));
    move |node| NodeView::of(node, now, silent_after_ms)
}

/// One campaign.
pub(super) async fn campaign(
    State(manager): State<Manager>,
    Named(id): Named<CampaignId>,
) -> Answer<Campaign> {
    one(&manager, &id, "campaign").map(Json)
}

/// What a rotation would mean.
pub(super) async fn preview(
    State(manager): State<Manager>,
    Named(id): Named<KeySetId>,
    Asked(f): Asked<PreviewFilter>,
) -> Answer<PreviewView> {
    let now = manager.now().utc_ms;
    let (from, emergency) = (f.not_before.unwrap_or(now), f.emergency.unwrap_or(false));
    let look = |core: &Core| core.preview(CampaignId::default(), &id, from, emergency, now);
    Ok(Json(PreviewView::of(manager.view(look)?)))
}

/// Keys.
pub(super) async fn keys(
    State(manager): State<Manager>,
    Asked(f): Asked<KeyFilter>,
) -> Answer<Page<KeyView>> {
    let wanted = |key: &Key| f.state.is_none_or(|state| key.state() == state);
    match f.key_set {
        Some(set) => mapped_in(&manager, &f.page(), keys_of(set), wanted, KeyView::of),
        None => mapped(&manager, &f.page(), wanted, KeyView::of),
    }
    .map(Json)
}

/// Keys that stop to protect within so many days (30), those that stop first in front: places from the index of the
/// store, records from memory.
pub(super) async fn expiring(
    State(manager): State<Manager>,
    Asked(f): Asked<ExpiringFilter>,
) -> Answer<Page<KeyView>> {
    let until = manager.now().utc_ms.saturating_add(f.days().saturating_mul(86_400_000));
    let (query, limit) = (f.page(), f.page().limit());
    let after: Option<(i64, KeyRef)> = query.after.as_deref().map(read_cursor).transpose()?;
    let after = after.map(|(ms, key)| (store::Value::Int(ms), row_key(&key)));
    let most = u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1);
    let places = manager.store().read(move |store| {
        store.places_until(store::Table::Generations, "expires_ms", until, after.as_ref(), most)
    });
    let unready =
        || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the store cannot be read now");
    let mut places = places.await.and_then(Result::ok).ok_or_else(unready)?;
    let more = places.len() > limit;
    places.truncate(limit);
    let places: Vec<(i64, KeyRef)> =
        places.iter().filter_map(|(ms, key)| Some((ms.int()?, named(key)?))).collect();
    let next = places.last().filter(|_| more).map(write_cursor);
    let wanted = |key: &&Key| key.is_live() && f.key_set.is_none_or(|set| key.set() == set);
    let items = manager.view(|core| {
        places.iter().filter_map(|(_, key)| core.key(key)).filter(wanted).map(KeyView::of).collect()
    });
    Ok(Json(Page { items, next }))
}

/// Which node holds which key.
pub(super) async fn holders(
    State(manager): State<Manager>,
    Asked(f): Asked<HolderFilter>,
) -> Answer<Page<HolderView>> {
    let wanted = |copy: &Copy| {
        f.key_set.is_none_or(|set| copy.key_set == set)
            && f.node.is_none_or(|node| copy.node == node)
            && f.progress.is_none_or(|progress| copy.progress == progress)
    };
    mapped(&manager, &f.page(), wanted, HolderView::of).map(Json)
}

/// What each node owes a campaign.
pub(super) async fn deliveries(
    State(manager): State<Manager>,
    Named(id): Named<CampaignId>,
    Asked(query): Asked<PageQuery>,
) -> Answer<Page<Delivery>> {
    let own = (id, NodeId([0; 32]))..=(id, NodeId([0xFF; 32]));
    mapped_in(&manager, &query, own, |_: &Delivery| true, Delivery::clone).map(Json)
}

/// Nodes that ask to be let in, with what officers compare, by name.
pub(super) async fn enrolments(
    State(manager): State<Manager>,
    Asked(query): Asked<PageQuery>,
) -> Answer<Page<AskingView>> {
    let after: Option<(String, Digest)> = query.after.as_deref().map(read_cursor).transpose()?;
    let view = |asked: &crate::service::Asked| AskingView {
        node: asked.enrol.node(),
        name: asked.enrol.name.clone(),
        key: asked.enrol.key,
        csr: asked.csr,
        backend_class: asked.enrol.backend_class.clone(),
        attestation: asked.enrol.attestation.clone(),
        asked_ms: asked.asked_ms.into(),
    };
    let mut all = manager.asking();
    if let Some((name, csr)) = &after {
        all.retain(|one| (&one.enrol.name, &one.csr) > (name, csr));
    }
    let more = all.len() > query.limit();
    all.truncate(query.limit());
    let next = all.last().filter(|_| more).map(|last| write_cursor(&(&last.enrol.name, last.csr)));
    Ok(Json(Page { items: all.iter().map(view).collect(), next }))
}

/// Tokens for nodes to ask by, oldest first; never a secret.
pub(super) async fn tokens(
    State(manager): State<Manager>,
    Asked(f): Asked<TokenFilter>,
) -> Answer<Page<TokenView>> {
    let now = manager.now().utc_ms;
    let wanted = |token: &Token| f.state.is_none_or(|state| TokenView::of(token, now).state == state);
    mapped(&manager, &f.page(), wanted, |token: &Token| TokenView::of(token, now)).map(Json)
}

/// An action with what is to be done in words that can be read: the bytes are what counts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ActionView {
    /// The action and its approvals.
    #[serde(flatten)]
    pub action: Action,
    /// Hash of the exact bytes, which officers sign.
    pub hash: keylink::Digest,
    /// Persons whose approval carries it.
    pub needed: usize,
    /// What is done, in dotted words.
    pub word: Option<String>,
    /// What is done.
    pub act: Option<crate::core::action::Act>,
}

impl ActionView {
    fn of(action: &Action) -> Self {
        let act = action.act();
        let word = act.as_ref().map(|act| act.word().to_owned());
        let needed = persons_needed(action.class, action.quorum);
        Self { hash: action.hash(), needed, word, act, action: action.clone() }
    }
}

/// Actions. Custodians see those that concern them.
pub(super) async fn actions(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Asked(f): Asked<ActionFilter>,
) -> Answer<Page<ActionView>> {
    let sight = Sight::of(&manager, &caller);
    let wanted = |action: &Action| {
        f.state.is_none_or(|state| ActionWord::of(&action.state) == state) && sight.takes_in(action)
    };
    mapped(&manager, &f.page(), wanted, ActionView::of).map(Json)
}

/// One action.
pub(super) async fn action(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<ActionId>,
) -> Answer<ActionView> {
    Sight::of(&manager, &caller).judge(&manager, id, "action")?;
    one::<Action>(&manager, &id, "action").map(|action| Json(ActionView::of(&action)))
}

/// The newest checkpoint.
pub(super) async fn head(State(manager): State<Manager>) -> Answer<HeadView> {
    let newest = manager.checkpoint().ok_or_else(|| Problem::not_found("checkpoint"))?;
    Ok(Json(HeadView { size: newest.size, root: newest.root, note: newest.note }))
}
