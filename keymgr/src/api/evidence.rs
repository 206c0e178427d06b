//! What lies in the store alone: entries of the log with their proofs, checkpoints, and manifests and receipts of nodes in
//! the bytes that were signed.

use super::answer::Json;
use super::extract::{Asked, Named};
use super::filters::{CheckpointFilter, EntryFilter, ManifestQuery, ReceiptFilter, SizeQuery, SpanQuery};
use super::lists::{Page, PageQuery, read_cursor, write_cursor};
use super::problem::Problem;
use super::views::{
    ConsistencyView, EntryView, HeadView, InclusionView, LogState, ManifestView, ReceiptView,
};
use crate::core::rows::{Manifest, Receipt};
use crate::log::{self, Record};
use crate::service::Manager;
use crate::store::{Error, Row, Store, Stored, Table};
use axum::extract::State;
use axum::http::StatusCode;
use keylink::wire::{Blob, U64};
use keylink::{Digest, NodeId};

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
            (None, Some(node)) => store.page_under(Table::Receipts, &node.0, after, most),
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

/// Manifests of a node, as they were signed and sent.
pub(super) async fn manifests(
    State(manager): State<Manager>,
    Named(node): Named<NodeId>,
    Asked(query): Asked<ManifestQuery>,
) -> Answer<ManifestView> {
    let query = query.page();
    let after: Option<Blob> = query.after.as_deref().map(read_cursor).transpose()?;
    let most = one_more(&query);
    let rows = move |store: &mut Store| {
        let after = after.as_ref().map(|after| after.0.as_slice());
        store.page_under(Table::Manifests, &node.0, after, most)
    };
    let (rows, next) = cut(read(&manager, rows).await?, &query, |row| write_cursor(&Blob(row.key.clone())));
    let view = |row: &Row| {
        let manifest = Manifest::from_body(&row.body).map_err(|_| damaged("a manifest"))?;
        let Manifest { node, epoch, seq, signed } = manifest;
        Ok(ManifestView { node, epoch, seq, hash: signed.hash(), signed })
    };
    let items = rows.iter().map(view).collect::<Result<_, Problem>>()?;
    Ok(Json(Page { items, next }))
}

/// Checkpoints that are kept, smallest first: one for about a thousand entries, and the newest.
pub(super) async fn checkpoints(
    State(manager): State<Manager>,
    Asked(f): Asked<CheckpointFilter>,
) -> Answer<HeadView> {
    let query = f.page();
    let after: Option<u64> = query.after.as_deref().map(read_cursor).transpose()?;
    let from = after.map_or(0, |size| size.saturating_add(1)).max(f.from.unwrap_or_default());
    let most = one_more(&query);
    let found = read(&manager, move |store| store.checkpoints_from(from, most)).await?;
    let (found, next) = cut(found, &query, |(size, _)| write_cursor(size));
    let view = |(size, note): (u64, String)| {
        let said = log::unverified_note(&note).and_then(log::Checkpoint::parse);
        let said = said.map_err(|_| damaged(&format!("checkpoint {size}")))?;
        Ok(HeadView { size: U64(size), root: Digest(said.root), note })
    };
    let items = found.into_iter().map(view).collect::<Result<_, Problem>>()?;
    Ok(Json(Page { items, next }))
}

/// A proof that the log holds an entry.
pub(super) async fn inclusion(
    State(manager): State<Manager>,
    Named(seq): Named<u64>,
    Asked(query): Asked<SizeQuery>,
) -> Result<Json<InclusionView>, Problem> {
    let state = state_or_newest(&manager, query.size)?;
    if seq >= state.size {
        return Err(Problem::not_found(&format!("entry {seq} in the log of {}", state.size)));
    }
    let found = read(&manager, move |store| {
        let line = store.line(seq)?.ok_or_else(|| Error::Log(format!("entry {seq} is missing")))?;
        Ok((line, log::inclusion(store, seq, state.size)?, state.view(store)?))
    });
    let (entry, path, log) = found.await?;
    Ok(Json(InclusionView { seq: U64(seq), entry, path: path.into_iter().map(Digest).collect(), log }))
}

/// A proof that the log only grew.
pub(super) async fn consistency(
    State(manager): State<Manager>,
    Asked(query): Asked<SpanQuery>,
) -> Result<Json<ConsistencyView>, Problem> {
    let to = state_or_newest(&manager, query.to)?;
    let from = query.from.ok_or_else(|| Problem::malformed("from: the size of the older state"))?;
    if from == 0 || from > to.size {
        return Err(Problem::malformed(format!("from is between 1 and {}", to.size)));
    }
    let from = LogSize { size: from, note: None };
    let found = read(&manager, move |store| {
        Ok((log::consistency(store, from.size, to.size)?, from.view(store)?, to.view(store)?))
    });
    let (path, from, to) = found.await?;
    Ok(Json(ConsistencyView { from, to, path: path.into_iter().map(Digest).collect() }))
}

// A state that a proof is against. The newest has its note at hand: the next may have taken its place in the store.
struct LogSize {
    size: u64,
    note: Option<String>,
}

impl LogSize {
    fn view(self, store: &mut Store) -> Result<LogState, Error> {
        let Self { size, note } = self;
        let root = Digest(log::root_at(store, size)?);
        let kept = |store: &mut Store| -> Result<Option<String>, Error> {
            Ok(store.checkpoints_from(size, 1)?.pop().filter(|(at, _)| *at == size).map(|(_, note)| note))
        };
        let note = if note.is_some() { note } else { kept(store)? };
        Ok(LogState { size: U64(size), root, note })
    }
}

// What is committed and not signed yet is nobody's to see: no proof is against more than the newest checkpoint.
fn state_or_newest(manager: &Manager, wanted: Option<u64>) -> Result<LogSize, Problem> {
    let newest = manager.checkpoint().ok_or_else(|| Problem::not_found("checkpoint"))?;
    match wanted.unwrap_or(newest.size.0) {
        size if size > newest.size.0 => Err(Problem::not_found(&format!("signed state of {size} entries"))),
        size => Ok(LogSize { size, note: Some(newest.note).filter(|_| size == newest.size.0) }),
    }
}

fn damaged(what: &str) -> Problem {
    let detail = format!("{what} is not as it was written; verify the log");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "stored", detail)
}
