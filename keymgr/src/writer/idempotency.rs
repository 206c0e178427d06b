//! Answers by Idempotency-Key: kept seven days with the request's hash, in the same transaction as what the
//! request did.

use crate::log::{Parts, RowKey};
use crate::store::{Change, Error, Hash, Row, Store, Table, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// How long an answer is kept, in milliseconds.
pub const KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// What the store knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recalled<O> {
    /// Nothing.
    No,
    /// The answer to this very request.
    Answer(O),
    /// It was another request.
    Other,
}

/// The hash by which a request is known again.
pub(super) fn request_hash(input: &impl Serialize) -> Hash {
    Sha256::digest(serde_json::to_vec(input).unwrap_or_default()).into()
}

/// What a request under a key came to, by the part of the input that tells requests apart.
pub fn recall<O: DeserializeOwned>(
    store: &mut Store,
    key: &str,
    request: &impl Serialize,
    utc_ms: u64,
) -> Result<Recalled<O>, Error> {
    look(store, key, &request_hash(request), utc_ms)
}

/// Looks a key up. An answer that is past its time is not one any more.
pub(super) fn look<O: DeserializeOwned>(
    store: &mut Store,
    key: &str,
    request: &Hash,
    utc_ms: u64,
) -> Result<Recalled<O>, Error> {
    let Some(row) = store.get(Table::Idempotency, key.as_bytes())? else { return Ok(Recalled::No) };
    if row.column("expires_ms").int() <= Value::from(utc_ms).int() {
        return Ok(Recalled::No);
    }
    if !is_as_written(store, &row)? {
        let what = format!("the row is not what entry {} wrote", row.log_seq);
        return Err(Error::Edited { table: row.table.name(), key: row.key, what });
    }
    if row.column("request").bytes() != Some(request) {
        return Ok(Recalled::Other);
    }
    keylink::wire::read(&row.body).map(Recalled::Answer).map_err(|_| unreadable(&row))
}

// Answers are not at hand from the start on, so each is judged when it is needed.
fn is_as_written(store: &mut Store, row: &Row) -> Result<bool, Error> {
    let Some(line) = store.line(row.log_seq)? else { return Ok(false) };
    let image = row.image();
    let is_it = |(table, key, said): (&str, RowKey, Option<Hash>)| {
        table == row.table.name() && key.as_slice() == row.key && said == Some(image)
    };
    Ok(Parts::of(&line).is_ok_and(|parts| parts.changes().filter_map(Result::ok).any(is_it)))
}

/// The row that keeps an answer.
pub(super) fn keep(key: &str, request: &Hash, utc_ms: u64, outcome: &impl Serialize) -> Change {
    let columns =
        [("request", Value::from(request.as_slice())), ("expires_ms", utc_ms.saturating_add(KEPT_MS).into())];
    let body = serde_json::to_vec(outcome).unwrap_or_default();
    Change::raw(Table::Idempotency, key.as_bytes().to_vec(), &columns, body)
}

/// The rows whose time is past, some of them.
pub(super) fn expired(store: &mut Store, utc_ms: u64) -> Result<Vec<Change>, Error> {
    let rows = store.page_until(Table::Idempotency, "expires_ms", utc_ms, None, 1000)?;
    Ok(rows.into_iter().map(|row| Change::Delete { table: row.table, key: row.key }).collect())
}

fn unreadable(row: &Row) -> Error {
    Error::Unreadable { table: row.table.name(), key: row.key.clone(), what: "the kept answer is not one" }
}
