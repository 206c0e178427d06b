//! Pages of what lies in the store alone: entries of the log, and receipts of nodes in the bytes that they signed.

use super::extract::Asked;
use super::filters::{EntryFilter, ReceiptFilter};
use super::lists::{Page, PageQuery, read_cursor, write_cursor};
use super::problem::Problem;
use super::views::{EntryView, ReceiptView};
use crate::core::rows::Receipt;
use crate::log::Record;
use crate::service::Manager;
use crate::store::{Error, Row, Store, Stored, Table};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use keylink::wire::{Blob, U64};

type Answer<T> = Result<Json<Page<T>>, Problem>;

async fn read<T: Send + 'static>(
    manager: &Manager,
    look: impl FnOnce(&mut Store) -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    manager.store().read(look).await.and_then(Result::ok).ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the store cannot be read now")
    })
}

// One more than is wanted tells whether there is a next page.
fn cut<T>(mut items: Vec<T>, query: &PageQuery, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let more = items.len() > query.limit();
    items.truncate(query.limit());
    let next = items.last().filter(|_| more).map(cursor);
    (items, next)
}

fn one_more(query: &PageQuery) -> u32 {
    u32::try_from(query.limit()).unwrap_or(u32::MAX).saturating_add(1)
}

/// Entries of the log, in order.
pub(super) async fn entries(
    State(manager): State<Manager>,
    Asked(f): Asked<EntryFilter>,
) -> Answer<EntryView> {
    let query = f.page();
    let after: Option<u64> = query.after.as_deref().map(read_cursor).transpose()?;
    let from = after.map_or(0, |seq| seq.saturating_add(1)).max(f.from.unwrap_or_default());
    let most = one_more(&query);
    let lines = read(&manager, move |store| store.lines(from, most)).await?;
    let (lines, next) = cut(lines, &query, |(seq, _)| write_cursor(seq));
    let view = |(seq, line): &(u64, String)| {
        let record = Record::parse(line).map_err(|_| damaged(&format!("entry {seq}")))?;
        let entry = record.entry;
        Ok(EntryView {
            seq: U64(*seq),
            utc_ms: U64(record.utc_ms),
            actor: entry.actor,
            credential: entry.credential,
            action: entry.action,
            objects: entry.objects,
            decision: entry.decision,
        })
    };
    let items = lines.iter().map(view).collect::<Result<_, Problem>>()?;
    Ok(Json(Page { items, next }))
}

/// Receipts, by node and number.
pub(super) async fn receipts(
    State(manager): State<Manager>,
    Asked(f): Asked<ReceiptFilter>,
) -> Answer<ReceiptView> {
    let query = f.page();
    let after: Option<Blob> = query.after.as_deref().map(read_cursor).transpose()?;
    let (most, node, campaign) = (one_more(&query), f.node, f.campaign);
    let rows = move |store: &mut Store| {
        let after = after.as_ref().map(|after| after.0.as_slice());
        match (campaign, node) {
            (Some(campaign), _) => {
                store.page_where(Table::Receipts, "campaign", campaign.0.as_slice(), after, most)
            }
            (None, Some(node)) => store.page_where(Table::Receipts, "node", node.0.as_slice(), after, most),
            (None, None) => store.page(Table::Receipts, after, most),
        }
    };
    let (rows, next) = cut(read(&manager, rows).await?, &query, |row| write_cursor(&Blob(row.key.clone())));
    let view = |row: &Row| {
        let receipt = Receipt::from_body(&row.body).map_err(|_| damaged("a receipt"))?;
        Ok(ReceiptView {
            node: receipt.node,
            seq: receipt.seq,
            campaign: receipt.campaign,
            kind: row.column("kind").text().unwrap_or_default().to_owned(),
            hash: receipt.signed.hash(),
            signed: receipt.signed,
        })
    };
    let all: Vec<ReceiptView> = rows.iter().map(view).collect::<Result<_, Problem>>()?;
    let items = all.into_iter().filter(|one| node.is_none_or(|node| one.node == node)).collect();
    Ok(Json(Page { items, next }))
}

fn damaged(what: &str) -> Problem {
    let detail = format!("{what} is not as it was written; verify the log");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "stored", detail)
}
