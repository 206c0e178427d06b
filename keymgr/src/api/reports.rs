//! Paths of reports: the same pages as those of the lists that they are made from, as a table for people and
//! auditors. What is counted over everything is counted in small pieces, so that no request keeps the writer waiting.

use super::answer::Json;
use super::caller::Caller;
use super::extract::{Asked, Named};
use super::filters::{ExpiringFilter, KeyFilter, NodeFilter};
use super::lists::{Page, PageQuery, read_cursor, write_cursor};
use super::problem::Problem;
use super::reads;
use super::views::KeyView;
use crate::core::campaign::Campaign;
use crate::core::ids::CampaignId;
use crate::report::{Fact, Report, campaign, compliance, facts, keys, nodes};
use crate::service::Manager;
use axum::Extension;
use axum::extract::State;

type Answer = Result<Json<Report>, Problem>;

/// Nodes, or rows, for which the state is looked at in one piece.
const PIECE: usize = 64;

// Facts come with the first page.
fn begun(manager: &Manager, caller: &Caller, first: bool) -> Vec<Fact> {
    if first { facts::facts(&reads::status_of(manager), &caller.name) } else { Vec::new() }
}

fn report(
    title: &str,
    facts: Vec<Fact>,
    columns: &[&str],
    rows: Vec<Vec<String>>,
    next: Option<String>,
) -> Answer {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    Ok(Json(Report { title: title.to_owned(), facts, columns, rows, next }))
}

async fn key_rows(manager: &Manager, keys: &[KeyView]) -> Vec<Vec<String>> {
    let mut rows = Vec::with_capacity(keys.len());
    for of_set in keys.chunk_by(|one, other| one.key_set == other.key_set) {
        rows.extend(manager.view(|core| keys::rows(core, of_set)));
        tokio::task::yield_now().await;
    }
    rows
}

/// Every key, and how many nodes hold it.
pub(super) async fn inventory(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Asked(f): Asked<KeyFilter>,
) -> Answer {
    let facts = begun(&manager, &caller, f.after.is_none());
    let Json(Page { items, next }) = reads::keys(State(manager.clone()), Asked(f)).await?;
    let rows = key_rows(&manager, &items).await;
    report("Key inventory", facts, keys::COLUMNS, rows, next)
}

/// Keys that stop to protect within so many days, those that stop first in front.
pub(super) async fn expiring(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Asked(f): Asked<ExpiringFilter>,
) -> Answer {
    let title = format!("Keys that stop to protect within {} days", f.days());
    let facts = begun(&manager, &caller, f.after.is_none());
    let Json(Page { items, next }) = reads::expiring(State(manager.clone()), Asked(f)).await?;
    let rows = key_rows(&manager, &items).await;
    report(&title, facts, keys::COLUMNS, rows, next)
}

/// One campaign: what each node has receipted.
pub(super) async fn campaign(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<CampaignId>,
    Asked(query): Asked<PageQuery>,
) -> Answer {
    let of: Campaign = reads::one(&manager, &id, "campaign")?;
    let first = query.after.is_none();
    let mut facts = begun(&manager, &caller, first);
    let Json(Page { items, next }) =
        reads::deliveries(State(manager.clone()), Named(id), Asked(query)).await?;
    let (about, rows) = manager.view(|core| (campaign::facts(core, &of), campaign::rows(core, &of, &items)));
    facts.extend(about.into_iter().filter(|_| first));
    report("Campaign", facts, campaign::COLUMNS, rows, next)
}

/// Every node: what it is and how far it is behind.
pub(super) async fn nodes(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Asked(f): Asked<NodeFilter>,
) -> Answer {
    let first = f.after.is_none();
    let mut facts = begun(&manager, &caller, first);
    let Json(Page { items, next }) = reads::nodes(State(manager.clone()), Asked(f)).await?;
    let rows = manager.view(|core| nodes::rows(core, &items));
    if first {
        facts.extend(manager.view(nodes::facts));
    }
    report("Nodes", facts, nodes::COLUMNS, rows, next)
}

/// Every node and key set that it should hold, against what was ordered.
pub(super) async fn compliance(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<PageQuery>,
) -> Answer {
    let (now, limit) = (manager.now().utc_ms, query.limit());
    let after: Option<compliance::Place> = query.after.as_deref().map(read_cursor).transpose()?;
    let mut facts = begun(&manager, &caller, after.is_none());
    let mut places = manager.view(|core| compliance::places(core, after.as_ref(), limit + 1));
    let more = places.len() > limit;
    places.truncate(limit);
    let next = places.last().filter(|_| more).map(write_cursor);
    let mut rows = Vec::with_capacity(places.len());
    for piece in places.chunks(PIECE) {
        let row = |core: &_| piece.iter().filter_map(|place| compliance::row(core, place, now)).collect();
        rows.extend::<Vec<_>>(manager.view(row));
        tokio::task::yield_now().await;
    }
    if after.is_none() {
        facts.extend(manager.view(nodes::facts));
        let mut tally = compliance::Tally::default();
        while manager.view(|core| tally.count(core, PIECE, now)) {
            tokio::task::yield_now().await;
        }
        facts.extend(tally.facts());
    }
    report("Nodes against orders", facts, compliance::COLUMNS, rows, next)
}
