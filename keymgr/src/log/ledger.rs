//! The log and its store under one leader: takes over, appends, signs.
//!
//! A checkpoint is signed only over committed entries, and is in the store before anyone sees it. The last entry of
//! each batch says what the whole state is after it.

use super::checkpoint::{CheckpointKey, succession};
use super::note::{self, VerifierKey};
use super::opening::{self, Opening};
use super::reading::{self, Each};
use super::state::{StateTree, Undo};
use super::tree::Tree;
use super::{Entry, hash_of};
use crate::failpoint::failpoint;
use crate::store::{Change, Error, Fence, Hash, Logged, SCHEMA_KEY, SCHEMA_NEWEST, Store, Table, Write};
use keylink::NotSigned;
use keymgr_core::log::line_with;

/// The row that names the log.
pub(super) const ORIGIN_KEY: &[u8] = b"origin";
pub(super) const LEADER_KEY: &[u8] = b"leader";

/// What was decided, entry by entry, each with its changes. An error in its place: nothing of it holds.
pub type Decisions<'a> = &'a mut dyn Iterator<Item = Result<(Entry, Vec<Change>), Error>>;

/// The one who may append.
pub struct Ledger {
    pub(super) store: Store,
    pub(super) key: CheckpointKey,
    pub(super) tree: Tree,
    pub(super) state: StateTree,
    pub(super) prev: Hash,
    pub(super) epoch: i64,
    pub(super) signed: Option<(u64, String)>,
    unsigned: bool,
}

impl Ledger {
    pub(super) fn new(store: Store, key: CheckpointKey) -> Self {
        let (tree, state) = (Tree::default(), StateTree::default());
        Self { store, key, tree, state, prev: [0; 32], epoch: 0, signed: None, unsigned: false }
    }

    /// Leads on a store: makes it if it is empty, brings its schema up to date, raises the epoch, and logs
    /// that. Refused if the log is not what its last checkpoint signed, if the key is not the log's, or if a row is
    /// not what the log says.
    pub fn lead(store: Store, key: CheckpointKey, holder: &str, utc_ms: u64) -> Result<Self, Error> {
        Opening::of(store, key)?.read(&mut |_| Ok(()))?.lead(holder, utc_ms)
    }

    pub(super) fn begin(&mut self, version: u64, holder: &str, utc_ms: u64) -> Result<(), Error> {
        failpoint!("takeover.before");
        self.take_over(version, holder, utc_ms)?;
        failpoint!("takeover.after");
        self.checkpoint()
    }

    /// Gives every row of the tables at hand again, as committed; refused if one is not what was written.
    pub fn read_again(&mut self, each: Each<'_>) -> Result<(), Error> {
        let mut found = reading::read_state(&mut self.store, each)?;
        if found.root() == self.state.root() { Ok(()) } else { opening::by_the_whole_log(self) }
    }

    fn take_over(&mut self, version: u64, holder: &str, utc_ms: u64) -> Result<(), Error> {
        let fence = if version == 0 { Fence::Empty } else { Fence::Epoch(self.epoch) };
        let mut changes = Vec::new();
        if version == 0 {
            changes.push(Change::raw(
                Table::Meta,
                ORIGIN_KEY.to_vec(),
                &[],
                self.key.origin().as_bytes().to_vec(),
            ));
            changes.push(key_row(self.key.public(), 0, String::new()));
        }
        if version < SCHEMA_NEWEST {
            let newest = SCHEMA_NEWEST.to_string().into_bytes();
            changes.push(Change::raw(Table::Meta, SCHEMA_KEY.to_vec(), &[], newest));
        }
        let epoch = self.epoch + 1;
        let columns = [("epoch", crate::store::Value::Int(epoch)), ("holder", holder.into())];
        changes.push(Change::raw(Table::Leader, LEADER_KEY.to_vec(), &columns, Vec::new()));
        // What no checkpoint covers may have been written by anyone who could write to the store: the log says
        // how much of it this leader found and from here on answers for.
        let found = self.size() - self.signed.as_ref().map_or(0, |(size, _)| *size);
        let entry = Entry {
            actor: holder.to_owned(),
            action: if version == 0 { "store.make" } else { "leader.takeover" }.to_owned(),
            objects: vec![format!("epoch:{epoch}"), format!("uncheckpointed:{found}")],
            decision: "allowed".to_owned(),
            ..Entry::default()
        };
        let migrate = (version < SCHEMA_NEWEST).then_some(version);
        self.append(fence, migrate, &mut std::iter::once(Ok((entry, changes))), utc_ms, false)?;
        self.epoch = epoch;
        Ok(())
    }

    /// How many entries are committed.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The key that signs checkpoints, Ed25519.
    pub fn key(&self) -> [u8; 32] {
        self.key.public_bytes()
    }

    /// The fencing epoch of this leader.
    pub fn epoch(&self) -> u64 {
        self.epoch.cast_unsigned()
    }

    /// The newest checkpoint in the store: size and note. Only this one may be shown to anyone.
    pub fn newest_checkpoint(&self) -> Option<&(u64, String)> {
        self.signed.as_ref()
    }

    /// True when the key of the log was asked to sign last, and did not: what was committed since waits for it.
    pub const fn waits_for_key(&self) -> bool {
        self.unsigned
    }

    /// How many committed entries no checkpoint covers.
    pub fn uncovered(&self) -> u64 {
        self.size() - self.signed.as_ref().map_or(0, |(size, _)| *size)
    }

    /// The store, to read.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Commits entries with their changes in one transaction; with `sign`, a checkpoint over what was
    /// committed before goes along. After an error the ledger stands where it stood, and only a new one knows
    /// where the store stands.
    pub fn commit(&mut self, batch: Vec<(Entry, Vec<Change>)>, utc_ms: u64, sign: bool) -> Result<(), Error> {
        self.commit_each(&mut batch.into_iter().map(Ok), utc_ms, sign)
    }

    /// The same for entries that become known one by one: the store works on the first while the last are decided. After
    /// an error in their place nothing is written.
    pub fn commit_each(&mut self, batch: Decisions<'_>, utc_ms: u64, sign: bool) -> Result<(), Error> {
        self.append(Fence::Epoch(self.epoch), None, batch, utc_ms, sign)
    }

    /// Whether the store can be written to and this manager leads on it still; writes nothing.
    pub fn leads(&mut self) -> Result<(), Error> {
        self.store.write(Fence::Epoch(self.epoch), Write::default(), &mut std::iter::empty())
    }

    /// Signs a checkpoint over all committed entries and stores it, if there is anything new to sign.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        if self.uncovered() == 0 { Ok(()) } else { self.commit(Vec::new(), 0, true) }
    }

    /// Signs with another key from here on. The old key endorses the new one, and both sign that. False when one of
    /// them did not sign: then nothing is changed.
    pub fn change_key(&mut self, next: CheckpointKey, actor: &str, utc_ms: u64) -> Result<bool, Error> {
        self.checkpoint()?;
        let from_size = self.size() + 1;
        let endorsed =
            if self.uncovered() == 0 { self.key.endorse(&next, from_size) } else { Err(NotSigned) };
        self.unsigned = endorsed.is_err();
        let Ok(endorsement) = endorsed else { return Ok(false) };
        let entry = Entry {
            actor: actor.to_owned(),
            action: "log.key".to_owned(),
            objects: vec![next.public().to_string()],
            decision: "allowed".to_owned(),
            ..Entry::default()
        };
        self.commit(vec![(entry, vec![key_row(next.public(), from_size, endorsement)])], utc_ms, false)?;
        self.key = next;
        self.checkpoint()?;
        Ok(true)
    }

    // One checkpoint is kept for so many entries; the newest always.
    fn superseded(&self) -> Option<u64> {
        const KEPT_EVERY: u64 = 1024;
        let (size, _) = self.signed.as_ref()?;
        (size / KEPT_EVERY == self.size() / KEPT_EVERY).then_some(*size)
    }

    fn append(
        &mut self,
        fence: Fence,
        migrate_from: Option<u64>,
        batch: Decisions<'_>,
        utc_ms: u64,
        sign: bool,
    ) -> Result<(), Error> {
        let mut write = Write { migrate_from, ..Write::default() };
        let mut batch = batch.peekable();
        if sign && self.uncovered() > 0 {
            failpoint!("checkpoint.before_sign");
            // What happens is written down whether it can be signed now or not; it is signed when the key is back.
            let signed = self.key.sign(self.size(), self.root());
            self.unsigned = signed.is_err();
            if let Ok(note) = signed {
                write.checkpoint = Some((self.size(), note));
                write.superseded = self.superseded();
            } else if batch.peek().is_none() {
                return Ok(());
            }
        }
        let checkpoint = write.checkpoint.clone();
        let (mut tree, mut prev) = (self.tree.clone(), self.prev);
        let (state, mut undo) = (&mut self.state, Undo::new());
        let mut logged = |entry: Entry, mut changes: Vec<Change>, last: bool| {
            let (seq, mut tiles) = (tree.size(), Vec::new());
            let mut images: Vec<_> = changes.iter().map(|change| change.image(seq)).collect();
            state.change(&changes, &images, &mut undo);
            if last {
                let row = state.row();
                images.push(row.image(seq));
                changes.push(row);
            }
            let line = line_with(seq, utc_ms, &prev, &entry, &changes, &images);
            prev = hash_of(&line);
            tree.push(prev, &mut tiles);
            Logged { seq, line, changes, tiles }
        };
        let mut entries = std::iter::from_fn(|| {
            let decided = batch.next()?;
            let last = batch.peek().is_none();
            Some(decided.map(|(entry, changes)| logged(entry, changes, last)))
        });
        let written = self.store.write(fence, write, &mut entries);
        if let Err(error) = written {
            self.state.undo(undo);
            return Err(error);
        }
        (self.tree, self.prev) = (tree, prev);
        if checkpoint.is_some() {
            failpoint!("checkpoint.after_persist");
            self.signed = checkpoint;
        }
        Ok(())
    }
}

fn key_row(key: &VerifierKey, from_size: u64, endorsement: String) -> Change {
    let columns = [("vkey", key.to_string().as_str().into()), ("from_size", from_size.into())];
    Change::raw(Table::CheckpointKeys, from_size.to_be_bytes().to_vec(), &columns, endorsement.into_bytes())
}

/// The keys of a log, each with the tree size from which it signs; a key that its predecessor did not endorse
/// is refused.
pub(super) fn keys(store: &mut Store) -> Result<Vec<(VerifierKey, u64)>, Error> {
    let mut rows = Vec::new();
    store.each_row(Table::CheckpointKeys, &mut |row| {
        rows.push(row);
        Ok(())
    })?;
    let rows = rows.iter().map(|row| {
        let size = row.column("from_size").int().unwrap_or_default().cast_unsigned();
        (row.column("vkey").text().unwrap_or_default(), size, row.body.as_slice())
    });
    key_chain(rows).map_err(Error::Log)
}

/// Judges a list of keys, oldest first: text of the key, size, endorsement.
pub(crate) fn key_chain<'a>(
    rows: impl Iterator<Item = (&'a str, u64, &'a [u8])>,
) -> Result<Vec<(VerifierKey, u64)>, String> {
    let mut keys: Vec<(VerifierKey, u64)> = Vec::new();
    for (text, from_size, endorsement) in rows {
        let key: VerifierKey = text.parse().map_err(|_| "a checkpoint key is not a key".to_owned())?;
        if let Some((before, since)) = keys.last() {
            let note = std::str::from_utf8(endorsement).unwrap_or_default();
            let said = succession(&key, from_size);
            let endorsed = [before, &key]
                .iter()
                .all(|signer| note::open(note, std::slice::from_ref(*signer)).is_ok_and(|text| text == said));
            if !endorsed || from_size <= *since {
                return Err(format!("the checkpoint key from size {from_size} has no endorsement"));
            }
        }
        keys.push((key, from_size));
    }
    Ok(keys)
}
