//! Pages of records. A page is cut by the name of its last record, never by an offset.

use super::problem::Problem;
use crate::core::table::{State, Table};
use crate::service::Manager;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::{Bound, RangeBounds};

/// Records in a page when nobody says, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// `next` of the page before.
    pub after: Option<String>,
    /// Records wanted, at most 1000.
    pub limit: Option<usize>,
}

impl PageQuery {
    /// How many records.
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX)
    }

    /// The same of a list whose records may be long: no more than so many.
    pub(super) fn at_most(&self, most: usize) -> Self {
        Self { after: self.after.clone(), limit: Some(self.limit().min(most)) }
    }

    pub(super) fn page(&self) -> Self {
        self.clone()
    }
}

/// A page.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Page<R> {
    /// Records in the order of their names.
    pub items: Vec<R>,
    /// For the next page; none when this is the last.
    pub next: Option<String>,
}

/// A page of a table, of those records that are wanted.
pub(super) fn page<R>(
    manager: &Manager,
    query: &PageQuery,
    wanted: impl Fn(&R) -> bool,
) -> Result<Page<R>, Problem>
where
    State: Table<R>,
    R: Clone,
    <State as Table<R>>::Key: Serialize + DeserializeOwned,
{
    mapped(manager, query, wanted, R::clone)
}

/// The same, each record as it is shown.
pub(super) fn mapped<R, V>(
    manager: &Manager,
    query: &PageQuery,
    wanted: impl Fn(&R) -> bool,
    view: impl Fn(&R) -> V,
) -> Result<Page<V>, Problem>
where
    State: Table<R>,
    <State as Table<R>>::Key: Serialize + DeserializeOwned,
{
    mapped_in(manager, query, .., wanted, view)
}

/// The same, of the records whose names are within a range.
pub(super) fn mapped_in<R, V>(
    manager: &Manager,
    query: &PageQuery,
    within: impl RangeBounds<<State as Table<R>>::Key>,
    wanted: impl Fn(&R) -> bool,
    view: impl Fn(&R) -> V,
) -> Result<Page<V>, Problem>
where
    State: Table<R>,
    <State as Table<R>>::Key: Serialize + DeserializeOwned,
{
    let limit = query.limit();
    let after: Option<<State as Table<R>>::Key> = query.after.as_deref().map(read_cursor).transpose()?;
    let start = match &after {
        // A cursor of another list begins no range that ends before it.
        Some(after) if !within.contains(after) => return Ok(Page { items: Vec::new(), next: None }),
        Some(after) => Bound::Excluded(after.clone()),
        None => within.start_bound().cloned(),
    };
    manager.view(|core| {
        let rows = Table::<R>::rows(core.state()).range((start, within.end_bound().cloned()));
        let mut found = rows.filter(|(_, record)| wanted(record)).take(limit + 1);
        let mut items = Vec::new();
        let mut last = None;
        for (key, record) in found.by_ref().take(limit) {
            items.push(view(record));
            last = Some(key.clone());
        }
        let next = found.next().and(last).map(|key| write_cursor(&key));
        Ok(Page { items, next })
    })
}

pub(super) fn write_cursor(key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

pub(super) fn read_cursor<K: DeserializeOwned>(text: &str) -> Result<K, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Problem::malformed("not a cursor"))?;
    keylink::wire::read(&bytes).map_err(|_| Problem::malformed("not a cursor"))
}
