//! Durable states of nodes in one SQLite file. One thread writes: whatever waits is committed together, and nobody is
//! answered before the commit, so that one node pays one flush and thousands share one. Evidence that the manager took a
//! node's receipts lies in a table of its own: no decision needs it, and a state that is read and written often stays
//! small.

use super::evidence::{Confirmed, Evidence};
use keylink::node::Kept;
use keylink::receipt_file::Forked;
use keylink::{Digest, NodeId, Signed};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use tokio::sync::oneshot;

/// Most states of one commit.
const BATCH_MAX: usize = 1024;

/// Receipts of a node that are kept with what the manager said of them: some hundred bytes to two kilobytes each.
const CONFIRMED_KEPT: u64 = 256;
/// Most of them, for the sake of a proof: the receipt that it names stays, with those after it.
const PROVABLE_KEPT: u64 = 4096;
/// Proofs that did not hold: so many of the first, and so many of the last. The manager, whom they convict, makes them;
/// so they are numbered as they come, and none takes the place of another.
const DISPUTED_KEPT: u64 = 4;

/// Why a state is not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no: disk full, no permission, not a database.
    #[error("node store: {0}")]
    Database(#[from] rusqlite::Error),
    /// The stored state was changed or cut: its checksum does not hold.
    #[error("node store: the state of {0} is damaged")]
    Damaged(NodeId),
    /// The commit failed; nothing of it is stored.
    #[error("node store: commit failed")]
    Commit,
    /// Another process has this store open.
    #[error("node store: in use by another process")]
    InUse,
    /// The writing thread is gone.
    #[error("node store: closed")]
    Closed,
}

struct Put {
    node: NodeId,
    body: Vec<u8>,
    keep: Vec<Kept>,
    erased: bool,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store {
    puts: mpsc::Sender<Put>,
    reads: Arc<Mutex<Connection>>,
    settings: Arc<[(String, String)]>,
    // Held as long as the store lives: two processes that sign for one node would look like a clone.
    _lock: Arc<File>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens or makes the file. Every commit is flushed to the disk (`synchronous` FULL).
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = File::options().create(true).append(true).open(path.with_extension("lock"));
        let lock = lock.map_err(|_| StoreError::InUse)?;
        lock.try_lock().map_err(|_| StoreError::InUse)?;
        let write = connect(path)?;
        write.execute_batch(
            "CREATE TABLE IF NOT EXISTS node (id BLOB PRIMARY KEY, body BLOB NOT NULL, sum BLOB NOT NULL)
             WITHOUT ROWID, STRICT;
             CREATE TABLE IF NOT EXISTS evidence (node BLOB NOT NULL, kind INTEGER NOT NULL,
             number INTEGER NOT NULL, body BLOB NOT NULL, sum BLOB NOT NULL, PRIMARY KEY (node, kind, number))
             WITHOUT ROWID, STRICT",
        )?;
        let settings = Arc::from(settings(&write)?);
        let reads = Arc::new(Mutex::new(connect(path)?));
        let (puts, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name("node-store".to_owned());
        thread.spawn(move || write_for_ever(write, &queue)).map_err(|_| StoreError::Closed)?;
        Ok(Self { puts, reads, settings, _lock: Arc::new(lock) })
    }

    /// The stored state of a node, read beside the process that serves it, and without a lock.
    pub fn peek(path: &Path, node: NodeId) -> Result<Option<Vec<u8>>, StoreError> {
        let reads = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        reads.busy_timeout(std::time::Duration::from_secs(10))?;
        state(&reads, node)
    }

    /// The evidence that a node keeps, read like [`Store::peek`].
    pub fn evidence(path: &Path, node: NodeId) -> Result<Evidence, StoreError> {
        let reads = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        reads.busy_timeout(std::time::Duration::from_secs(10))?;
        evidence(&reads, node)
    }

    /// What durability rests on, as the writing connection has it: name and value.
    pub fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    /// The stored state of a node.
    pub fn load(&self, node: NodeId) -> Result<Option<Vec<u8>>, StoreError> {
        let reads = self.reads.lock().map_err(|_| StoreError::Closed)?;
        state(&reads, node)
    }

    /// Stores a state; done once it is on the disk.
    pub async fn put(&self, node: NodeId, body: Vec<u8>) -> Result<(), StoreError> {
        self.put_with(node, body, Vec::new()).await
    }

    /// Stores a state, and evidence with it: both or nothing.
    pub async fn put_with(&self, node: NodeId, body: Vec<u8>, keep: Vec<Kept>) -> Result<(), StoreError> {
        self.put_as(node, body, keep, false).await
    }

    /// The same of a state without keys that were in the one before: once it is done, they are in none of the files.
    pub async fn put_erased(&self, node: NodeId, body: Vec<u8>, keep: Vec<Kept>) -> Result<(), StoreError> {
        self.put_as(node, body, keep, true).await
    }

    async fn put_as(
        &self,
        node: NodeId,
        body: Vec<u8>,
        keep: Vec<Kept>,
        erased: bool,
    ) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        self.puts.send(Put { node, body, keep, erased, done }).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

fn state(reads: &Connection, node: NodeId) -> Result<Option<Vec<u8>>, StoreError> {
    let row = reads
        .query_row("SELECT body, sum FROM node WHERE id = ?1", params![node.0.as_slice()], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let Some((body, sum)) = row else { return Ok(None) };
    if sum != checksum(node, &body) { Err(StoreError::Damaged(node)) } else { Ok(Some(body)) }
}

// Kinds of evidence.
const CONFIRMED: i64 = 0;
const PROVED: i64 = 1;
const DISPUTED: i64 = 2;
// Of two trees: nothing that is easier to sign crowds them out.
const FORKED: i64 = 3;

fn evidence(reads: &Connection, node: NodeId) -> Result<Evidence, StoreError> {
    let mut found = Evidence::default();
    let mut rows = reads
        .prepare("SELECT kind, number, body, sum FROM evidence WHERE node = ?1 ORDER BY kind, number")?;
    let rows = rows.query_map(params![node.0.as_slice()], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, Vec<u8>>(2)?,
            row.get::<_, Vec<u8>>(3)?,
        ))
    })?;
    for row in rows {
        let (kind, number, body, sum) = row?;
        let damaged = || StoreError::Damaged(node);
        if sum != checksum(node, &body) {
            return Err(damaged());
        }
        let signed = |body: &[u8]| Signed::parse(body).map_err(|_| damaged());
        match kind {
            CONFIRMED => {
                let one = keylink::wire::read(&body).map_err(|_| damaged())?;
                found.confirmed.push((number.cast_unsigned(), one));
            }
            PROVED => found.proof = Some(signed(&body)?),
            FORKED => {
                let one: Forked = keylink::wire::read(&body).map_err(|_| damaged())?;
                found.forks.push(one);
            }
            _ => found.disputed.push(signed(&body)?),
        }
    }
    Ok(found)
}

// One proof is enough, since it is for all receipts before it.
fn keep(transaction: &Transaction<'_>, node: NodeId, one: &Kept) -> rusqlite::Result<()> {
    match one {
        Kept::Confirmed { number, receipt, counter } => {
            let body = Confirmed { receipt: receipt.clone(), counter: counter.clone() };
            let number = number.0.cast_signed();
            insert(transaction, node, (CONFIRMED, number), &serde_json::to_vec(&body).unwrap_or_default())?;
            let behind = |most: u64| number.saturating_sub(most.cast_signed());
            transaction
                .prepare_cached(
                    "DELETE FROM evidence WHERE node = ?1 AND kind = ?2 AND (number <= ?3 OR (number <= ?4
                     AND NOT EXISTS (SELECT 1 FROM evidence AS proof WHERE proof.node = ?1 AND proof.kind = ?5
                     AND proof.number <= evidence.number)))",
                )?
                .execute(params![
                    node.0.as_slice(),
                    CONFIRMED,
                    behind(PROVABLE_KEPT),
                    behind(CONFIRMED_KEPT),
                    PROVED
                ])?;
        }
        Kept::Proved { number, proof } => {
            let number = number.0.cast_signed();
            insert(transaction, node, (PROVED, number), &proof.to_bytes())?;
            transaction
                .prepare_cached("DELETE FROM evidence WHERE node = ?1 AND kind = ?2 AND number < ?3")?
                .execute(params![node.0.as_slice(), PROVED, number])?;
        }
        Kept::Disputed { proof, other: None } => arrive(transaction, node, DISPUTED, &proof.to_bytes())?,
        Kept::Disputed { proof, other: Some(other) } => {
            let body = Forked { proof: proof.clone(), other: other.clone() };
            arrive(transaction, node, FORKED, &serde_json::to_vec(&body).unwrap_or_default())?;
        }
    }
    Ok(())
}

fn insert(
    transaction: &Transaction<'_>,
    node: NodeId,
    (kind, number): (i64, i64),
    body: &[u8],
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO evidence (node, kind, number, body, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![node.0.as_slice(), kind, number, body, checksum(node, body).as_slice()])?;
    Ok(())
}

// Evidence against the manager, in the order in which it came. What came before and is sent again is not kept twice.
fn arrive(transaction: &Transaction<'_>, node: NodeId, kind: i64, body: &[u8]) -> rusqlite::Result<()> {
    let known: Vec<(i64, bool)> = transaction
        .prepare_cached(
            "SELECT number, body = ?3 FROM evidence WHERE node = ?1 AND kind = ?2 ORDER BY number",
        )?
        .query_map(params![node.0.as_slice(), kind, body], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if known.iter().any(|(_, same)| *same) {
        return Ok(());
    }
    let number = known.last().map_or(0, |(number, _)| *number).saturating_add(1);
    insert(transaction, node, (kind, number), body)?;
    let first = usize::try_from(DISPUTED_KEPT.saturating_sub(1)).ok().and_then(|at| known.get(at));
    let Some((first, _)) = first else { return Ok(()) };
    transaction
        .prepare_cached(
            "DELETE FROM evidence WHERE node = ?1 AND kind = ?2 AND number > ?3 AND number <= ?4",
        )?
        .execute(params![
            node.0.as_slice(),
            kind,
            first,
            number.saturating_sub(DISPUTED_KEPT.cast_signed())
        ])?;
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Tokens of keys that were erased do not stay in pages that are free.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

fn settings(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let word = if synchronous == 2 { "FULL".to_owned() } else { synchronous.to_string() };
    Ok(vec![("journal_mode".to_owned(), journal), ("synchronous".to_owned(), word)])
}

// The id is in it: a state that is moved to another node's row is damaged too.
fn checksum(node: NodeId, body: &[u8]) -> [u8; 32] {
    Digest::of(&[&node.0, body].concat()).0
}

fn write_for_ever(mut connection: Connection, queue: &mpsc::Receiver<Put>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(BATCH_MAX));
        let stored = commit(&mut connection, &batch);
        if let Err(error) = &stored {
            tracing::error!(%error, "states of nodes are not stored");
        } else if batch.iter().any(|put| put.erased)
            && let Err(error) = empty_log(&connection)
        {
            tracing::error!(%error, "keys that were erased are left in the write-ahead log for a while");
        }
        for put in batch {
            let answer = if stored.is_ok() { Ok(()) } else { Err(StoreError::Commit) };
            // Whoever has given up waiting asks again.
            let _ = put.done.send(answer);
        }
    }
}

// What was written before is in the write-ahead log too, until all of that is in the database.
fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        tracing::warn!("keys that were erased are left in the write-ahead log: somebody reads");
    }
    Ok(())
}

fn commit(connection: &mut Connection, batch: &[Put]) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    {
        let mut put =
            transaction.prepare_cached("INSERT OR REPLACE INTO node (id, body, sum) VALUES (?1, ?2, ?3)")?;
        for one in batch {
            put.execute(params![one.node.0.as_slice(), one.body, checksum(one.node, &one.body).as_slice()])?;
            one.keep.iter().try_for_each(|kept| keep(&transaction, one.node, kept))?;
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylink::message::Checkpoint;
    use keylink::wire::U64;

    fn message(n: u64) -> Signed {
        Signed::seal_bytes("receipt", n.to_string().into_bytes(), &keylink::SoftSigner::new(&[1; 32]))
    }

    #[tokio::test]
    async fn evidence_is_kept_with_the_state_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.sqlite");
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let store = Store::open(&path).unwrap();
        let confirmed = |n: u64| Kept::Confirmed {
            number: U64(n),
            receipt: message(n),
            counter: n.is_multiple_of(2).then(|| message(n + 1_000)),
        };
        for n in 1..=CONFIRMED_KEPT + 10 {
            let proof = Kept::Proved { number: U64(n), proof: message(n + 2_000) };
            store.put_with(a, vec![1], vec![confirmed(n), proof]).await.unwrap();
        }
        store.put_with(b, vec![2], vec![confirmed(7)]).await.unwrap();
        let kept = Store::evidence(&path, a).unwrap();
        let numbers: Vec<u64> = kept.confirmed.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, (11..=CONFIRMED_KEPT + 10).collect::<Vec<_>>());
        assert_eq!(kept.confirmed[1].1, Confirmed { receipt: message(12), counter: Some(message(1_012)) });
        assert_eq!(kept.proof, Some(message(CONFIRMED_KEPT + 2_010)));
        assert_eq!(Store::evidence(&path, b).unwrap().confirmed.len(), 1);
        assert_eq!(Store::evidence(&path, NodeId([3; 32])).unwrap(), Evidence::default());
        let other = Connection::open(&path).unwrap();
        other.execute("UPDATE evidence SET body = x'00' WHERE number = 7", []).unwrap();
        assert!(matches!(Store::evidence(&path, b), Err(StoreError::Damaged(node)) if node == b));
    }

    // The manager numbers its proofs; what convicts it stays, whatever it sends after it.
    #[tokio::test]
    async fn no_proof_takes_away_evidence_against_the_manager() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.sqlite");
        let node = NodeId([1; 32]);
        let store = Store::open(&path).unwrap();
        let other = Checkpoint { size: U64(9), root: Digest([3; 32]), note: "note".into() };
        let put = async |proof: u64, other: Option<&Checkpoint>| {
            let kept = Kept::Disputed { proof: message(proof), other: other.cloned() };
            store.put_with(node, vec![1], vec![kept]).await.unwrap();
        };
        put(5, None).await;
        put(6, Some(&other)).await;
        // Others, the first one once more, and many.
        put(7, None).await;
        put(8, None).await;
        put(9, None).await;
        put(5, None).await;
        let texts = |all: &[Signed]| -> Vec<String> {
            all.iter().map(|one| String::from_utf8(one.payload.clone()).unwrap()).collect()
        };
        let kept = Store::evidence(&path, node).unwrap();
        assert_eq!(texts(&kept.disputed), ["5", "7", "8", "9"]);
        for junk in 100..200 {
            put(junk, None).await;
        }
        let kept = Store::evidence(&path, node).unwrap();
        assert_eq!(texts(&kept.disputed), ["5", "7", "8", "9", "196", "197", "198", "199"]);
        assert_eq!(kept.forks, [Forked { proof: message(6), other }]);
    }

    // A node with many key sets gives more than are kept between two proofs.
    #[tokio::test]
    async fn the_receipt_that_a_proof_names_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.sqlite");
        let node = NodeId([1; 32]);
        let store = Store::open(&path).unwrap();
        let confirmed = |n: u64| Kept::Confirmed { number: U64(n), receipt: message(n), counter: None };
        let numbers = || -> Vec<u64> {
            Store::evidence(&path, node).unwrap().confirmed.iter().map(|(n, _)| *n).collect()
        };
        let proof = |n: u64| Kept::Proved { number: U64(n), proof: message(n) };
        store.put_with(node, vec![1], (1..=10).map(confirmed).chain([proof(10)]).collect()).await.unwrap();
        store.put_with(node, vec![1], (11..=600).map(confirmed).collect()).await.unwrap();
        assert_eq!(numbers(), (10..=600).collect::<Vec<_>>());
        // Not for ever, if no other proof comes; and when one does, as many as always.
        store.put_with(node, vec![1], (601..=PROVABLE_KEPT + 50).map(confirmed).collect()).await.unwrap();
        let last = PROVABLE_KEPT + 51;
        assert_eq!(numbers().first(), Some(&51));
        store.put_with(node, vec![1], vec![proof(last - 1), confirmed(last)]).await.unwrap();
        assert_eq!(numbers(), (last - CONFIRMED_KEPT + 1..=last).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_token_that_was_erased_is_in_no_file() {
        const TOKEN: &[u8] = b"S10096D0TN00S0000 a token that must go";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.sqlite");
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let store = Store::open(&path).unwrap();
        let found = || {
            let files = std::fs::read_dir(folder.path()).unwrap();
            let texts = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
            texts.filter(|text| text.windows(TOKEN.len()).any(|part| part == TOKEN)).count()
        };
        // Long ones lie in pages of their own.
        for length in [100, 9_000, 100_000] {
            let body = [&vec![7; length][..], TOKEN].concat();
            store.put(b, vec![1; 3_000]).await.unwrap();
            store.put(a, body).await.unwrap();
            assert!(found() > 0, "{length}: it is there while it is in use");
            store.put_erased(a, vec![7; 50], Vec::new()).await.unwrap();
            assert_eq!(found(), 0, "{length}");
        }
        assert_eq!(store.load(a).unwrap(), Some(vec![7; 50]));
    }

    #[tokio::test]
    async fn states_are_kept_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.sqlite");
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let store = Store::open(&path).unwrap();
        let settings = [("journal_mode", "wal"), ("synchronous", "FULL")];
        assert_eq!(store.settings(), settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(store.load(a).unwrap(), None);
        let puts = (0..200u8).map(|n| store.put(if n % 2 == 0 { a } else { b }, vec![n; 100]));
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap();
        }
        // Beside the process that has it, and after it has gone; what is not there is not made.
        assert_eq!(Store::peek(&path, a).unwrap(), Some(vec![198; 100]));
        drop(store);
        assert_eq!(Store::peek(&path, b).unwrap(), Some(vec![199; 100]));
        let none = folder.path().join("none.sqlite");
        assert!(Store::peek(&none, a).is_err() && !none.exists());
        let store = Store::open(&path).unwrap();
        assert_eq!(store.load(a).unwrap(), Some(vec![198; 100]));
        assert_eq!(store.load(b).unwrap(), Some(vec![199; 100]));
        let other = Connection::open(&path).unwrap();
        other.execute("UPDATE node SET body = x'00' WHERE id = ?1", params![a.0.as_slice()]).unwrap();
        assert!(matches!(store.load(a), Err(StoreError::Damaged(node)) if node == a));
        let swap = "UPDATE node SET (body, sum) = (SELECT body, sum FROM node WHERE id = ?1) WHERE id = ?2";
        other.execute(swap, params![b.0.as_slice(), a.0.as_slice()]).unwrap();
        assert!(matches!(store.load(a), Err(StoreError::Damaged(_))));
        assert!(matches!(Store::open(&path), Err(StoreError::InUse)));
        assert!(Store::open(&folder.path().join("none/x")).is_err());
    }
}
