//! Taking a store over, in three steps that only go in this order: its log is judged, its rows are read and must be
//! what the log says, and only then this manager leads on it.

use super::checkpoint::{Checkpoint, CheckpointKey};
use super::fold::Fold;
use super::ledger::{LEADER_KEY, Ledger, ORIGIN_KEY, keys};
use super::note::VerifierKey;
use super::proof;
use super::reading::{Each, read_state};
use super::state::STATE_KEY;
use super::tree::{Frontier, Tree};
use super::{Parts, hash_of};
use crate::store::{Error, Hash, SCHEMA_NEWEST, Store, Table};
use keylink::{Digest, merkle};

/// A store whose log holds.
pub struct Opening {
    ledger: Ledger,
    version: u64,
    tail: Tail,
}

/// The end of a log.
#[derive(Default)]
struct Tail {
    /// The last line.
    last: Option<String>,
    /// When the last entry under the checkpoint was written.
    signed_utc_ms: Option<u64>,
}

/// A store whose rows are what its log says.
pub struct Proven {
    ledger: Ledger,
    version: u64,
}

impl Opening {
    /// Judges the log. Refused if it is not what its last checkpoint signed, or if the key is not the log's.
    pub fn of(store: Store, key: CheckpointKey) -> Result<Self, Error> {
        Self::of_one(store, vec![key])
    }

    /// The same where one of several keys is the log's: a change of it may have ended anywhere. A new log begins under
    /// the first.
    pub fn of_one(mut store: Store, mut keys: Vec<CheckpointKey>) -> Result<Self, Error> {
        let newest = if store.version()? == 0 { None } else { newest_key(&mut store)? };
        let at = newest.and_then(|newest| keys.iter().position(|key| *key.public() == newest)).unwrap_or(0);
        if keys.is_empty() {
            return Err(Error::Log("there is no checkpoint key".to_owned()));
        }
        let key = keys.swap_remove(at);
        let mut ledger = Ledger::new(store, key);
        let version = ledger.store.version()?;
        if version > SCHEMA_NEWEST {
            return Err(Error::Newer { found: version, known: SCHEMA_NEWEST });
        }
        let mut opening = Self { ledger, version, tail: Tail::default() };
        if version > 0 {
            opening.judge_log()?;
        }
        Ok(opening)
    }

    /// When the last entry under the checkpoint was written, UTC milliseconds; none in a log that is signed nowhere. What
    /// stands behind it anybody who can write to the store could have put there.
    pub fn signed_utc_ms(&self) -> Option<u64> {
        self.tail.signed_utc_ms
    }

    fn judge_log(&mut self) -> Result<(), Error> {
        let ledger = &mut self.ledger;
        let origin = ledger.store.get(Table::Meta, ORIGIN_KEY)?.map(|row| row.body);
        if origin.as_deref() != Some(ledger.key.origin().as_bytes()) {
            return Err(Error::Log("the store is of another log".to_owned()));
        }
        let keys = keys(&mut ledger.store)?;
        if keys.last().map(|(key, _)| key) != Some(ledger.key.public()) {
            return Err(Error::Log("the checkpoint key is not the key of this log".to_owned()));
        }
        let size = ledger.store.log_size()?;
        ledger.signed = ledger.store.last_checkpoint()?;
        let mut root = None;
        if let Some((at, note)) = &ledger.signed {
            let keys: Vec<VerifierKey> = keys.into_iter().map(|(key, _)| key).collect();
            let said = Checkpoint::open(note, &keys).map_err(|error| Error::Log(error.to_string()))?;
            if *at > size || said.size != *at || said.root != proof::root_at(&mut ledger.store, *at)? {
                return Err(Error::Log(format!("entries before {at} are not what the checkpoint signed")));
            }
            root = Some((*at, said.root));
        }
        self.tail = judge_tail(ledger, size, root)?;
        ledger.tree = Tree::from_edges(size, proof::edges(&mut ledger.store, size)?);
        let leader = ledger.store.get(Table::Leader, LEADER_KEY)?;
        let epoch = leader.as_ref().and_then(|row| row.column("epoch").int());
        ledger.epoch = epoch.ok_or_else(|| Error::Log("there is no epoch".to_owned()))?;
        Ok(())
    }

    /// Reads every row of the tables at hand, in no order, and proves that they are what the log says; what `each`
    /// was given counts only if this is so. Refused with the first row that is not.
    pub fn read(self, each: Each<'_>) -> Result<Proven, Error> {
        let Self { mut ledger, version, tail } = self;
        if version > 0 {
            ledger.state = read_state(&mut ledger.store, each)?;
            if !is_said(&mut ledger, tail.last.as_deref())? {
                by_the_whole_log(&mut ledger)?;
            }
        }
        Ok(Proven { ledger, version })
    }
}

impl Proven {
    /// Leads: makes the store if it is empty, brings its schema up to date, raises the epoch, and logs that.
    pub fn lead(self, holder: &str, utc_ms: u64) -> Result<Ledger, Error> {
        let Self { mut ledger, version } = self;
        ledger.begin(version, holder, utc_ms)?;
        Ok(ledger)
    }
}

// The key by which the log is signed now; none if the chain of keys does not hold, which is judged later.
fn newest_key(store: &mut Store) -> Result<Option<VerifierKey>, Error> {
    match keys(store) {
        Ok(keys) => Ok(keys.last().map(|(key, _)| key.clone())),
        Err(Error::Log(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

// The last entry that the checkpoint covers, by its place in the tree; the chain over those behind it.
fn judge_tail(ledger: &mut Ledger, size: u64, signed: Option<(u64, Hash)>) -> Result<Tail, Error> {
    let from = signed.map_or(0, |(at, _)| at.saturating_sub(1));
    let covered = match signed {
        Some((at, root)) if at > 0 => Some((at, root, proof::inclusion(&mut ledger.store, from, at)?)),
        _ => None,
    };
    let (mut next, mut prev, mut tail) = (from, None, Tail::default());
    ledger.store.each_line(from, &mut |seq, line| {
        let parts = Parts::of(&line);
        let follows =
            parts.as_ref().is_ok_and(|parts| parts.seq == seq && prev.is_none_or(|prev| parts.prev == prev));
        let is_covered = seq > from
            || covered.as_ref().is_none_or(|(at, root, path)| in_tree(root, *at, from, &line, path));
        if seq != next || !follows || !is_covered {
            return Err(Error::Log(format!("entry {seq} does not follow the one before")));
        }
        if seq == from && covered.is_some() {
            tail.signed_utc_ms = parts.ok().map(|parts| parts.utc_ms);
        }
        (next, prev, tail.last) = (seq + 1, Some(hash_of(&line)), Some(line));
        Ok(())
    })?;
    ledger.prev = prev.unwrap_or_default();
    if next == size { Ok(tail) } else { Err(Error::Log(format!("entry {next} is missing"))) }
}

fn in_tree(root: &Hash, size: u64, seq: u64, line: &str, path: &[Hash]) -> bool {
    let path: Vec<Digest> = path.iter().copied().map(Digest).collect();
    let (Ok(size), Ok(seq)) = (usize::try_from(size), usize::try_from(seq)) else { return false };
    merkle::holds(&Digest(*root), size, seq, line.as_bytes(), &path)
}

// Whether the last entry of the log says that the state is what was read.
fn is_said(ledger: &mut Ledger, last: Option<&str>) -> Result<bool, Error> {
    let Some(row) = ledger.store.get(Table::Meta, STATE_KEY)? else { return Ok(false) };
    if row.body != hex::encode(ledger.state.root()).as_bytes() {
        return Ok(false);
    }
    let said = last.and_then(|line| Parts::of(line).ok()).and_then(|parts| {
        let mut changes = parts.changes().filter_map(Result::ok);
        changes.find(|(table, key, _)| *table == Table::Meta.name() && key.as_slice() == STATE_KEY)?.2
    });
    Ok(said == Some(row.image()))
}

/// Every row against every entry: what a store needs that has no root yet, and how a row is named.
pub(super) fn by_the_whole_log(ledger: &mut Ledger) -> Result<(), Error> {
    let signed = match &ledger.signed {
        Some((at, _)) => Some((*at, proof::root_at(&mut ledger.store, *at)?)),
        None => None,
    };
    let (mut fold, mut tree, mut prev) = (Fold::of(Table::AT_HAND), Frontier::default(), Hash::default());
    ledger.store.each_line(0, &mut |seq, line| {
        let wrong = || Error::Log(format!("entry {seq} is not what was written"));
        let parts = Parts::of(&line).map_err(|_| wrong())?;
        if parts.seq != seq || seq != tree.size() || parts.prev != prev {
            return Err(wrong());
        }
        fold.take(&parts).map_err(|_| wrong())?;
        prev = hash_of(&line);
        tree.push(prev);
        match signed {
            Some((at, root)) if at == tree.size() && root != tree.root() => {
                Err(Error::Log(format!("entries before {at} are not what the checkpoint signed")))
            }
            _ => Ok(()),
        }
    })?;
    for &table in Table::AT_HAND {
        ledger.store.each_in_no_order(table, &mut |rows| {
            rows.rows().try_for_each(|row| {
                let judged = fold.judge(table, row.key, &row.image(), row.log_seq);
                judged.map_err(|(_, what)| Error::Edited { table: table.name(), key: row.key.to_vec(), what })
            })
        })?;
    }
    match fold.rest().next() {
        None => Ok(()),
        Some((table, key, (_, what))) => Err(Error::Edited { table: table.name(), key, what }),
    }
}
