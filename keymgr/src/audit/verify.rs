//! The verifier: takes keys, checkpoints, log lines, rows and tiles in this order, in one pass and with
//! little memory, and says what does not hold.

use super::echoes::Echoes;
use super::finding::Report;
use super::head::Head;
use super::signatures::Signatures;
use crate::log::{Checkpoint, Fold, Parts, Tree, VerifierKey, hash_of, key_chain, unverified_note};
use crate::store::{Hash, Row, Table, Tile, key_text};
use std::collections::BTreeMap;

/// Entries that may be missing in one place and are walked past one by one. A number further on is taken for an edit: it
/// would cost whoever verifies as much time as the editor pleases.
const GAP: u64 = 1 << 20;

/// What to verify against, and how far.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Checkpoints from outside.
    pub heads: Vec<Head>,
    /// The first checkpoint key of the log, if it is known from outside.
    pub key: Option<VerifierKey>,
    /// Checks signatures too, and whether everything that needed approvals had them.
    pub signatures: bool,
}

/// One verification.
pub struct Verifier {
    report: Report,
    options: Options,
    keys: Vec<(VerifierKey, u64)>,
    tree: Tree,
    tiles: BTreeMap<(u64, u64), Hash>,
    full: Vec<Tile>,
    keep_tiles: bool,
    last: Option<(u64, Hash)>,
    /// Entries whose `prev` is not the hash of the one before.
    breaks: Vec<u64>,
    /// What checkpoints of the store say of sizes to come.
    said: BTreeMap<u64, Hash>,
    /// What heads from outside say.
    heads: Vec<(u64, Hash, String)>,
    agreed: Option<u64>,
    echoes: Echoes,
    fold: Fold,
    signatures: Option<Signatures>,
}

impl Verifier {
    /// Begins: the name of the log, and its keys: text, the size from which each signs, endorsement.
    pub fn new<'a>(
        options: Options,
        origin: &str,
        keys: impl Iterator<Item = (&'a str, u64, &'a [u8])>,
    ) -> Self {
        let mut report = Report { origin: origin.to_owned(), ..Report::default() };
        let keys = key_chain(keys).unwrap_or_else(|what| {
            report.find("key", Table::CheckpointKeys.name(), "", what);
            Vec::new()
        });
        if let Some(pinned) = &options.key
            && keys.first().map(|(key, _)| key) != Some(pinned)
        {
            report.find(
                "key",
                Table::CheckpointKeys.name(),
                "",
                "the log does not begin under the given key",
            );
        }
        let signatures = options.signatures.then(Signatures::default);
        let mut made = Self {
            report,
            options,
            keys,
            tree: Tree::default(),
            tiles: BTreeMap::new(),
            full: Vec::new(),
            keep_tiles: false,
            last: None,
            breaks: Vec::new(),
            said: BTreeMap::new(),
            heads: Vec::new(),
            agreed: None,
            echoes: Echoes::default(),
            fold: Fold::of(Table::ALL),
            signatures,
        };
        made.take_heads();
        made
    }

    fn take_heads(&mut self) {
        for head in std::mem::take(&mut self.options.heads) {
            let keys: Vec<VerifierKey> = self.keys.iter().map(|(key, _)| key.clone()).collect();
            match Checkpoint::open(&head.note, &keys) {
                Ok(said) if said.origin == self.report.origin => {
                    self.heads.push((said.size, said.root, head.source));
                }
                Ok(_) => self.report.find("head", "head", head.source, "the head is of another log"),
                Err(error) => self.report.find("head", "head", head.source, error.to_string()),
            }
        }
    }

    /// Tiles will follow the rows, to be compared.
    pub(super) fn with_tiles(&mut self) {
        self.keep_tiles = true;
    }

    /// One checkpoint: the size its row says, and the note. In order of size.
    pub fn checkpoint(&mut self, size: u64, note: &str) {
        self.report.checkpoints += 1;
        let key = self.keys.iter().rev().find(|(_, from)| *from <= size).map(|(key, _)| key.clone());
        let wrong = match Checkpoint::open(note, key.as_slice()) {
            Err(error) => error.to_string(),
            Ok(said) if said.size != size => format!("the row says {size}, the note {}", said.size),
            Ok(said) if said.origin != self.report.origin => "a checkpoint of another log".to_owned(),
            Ok(said) => {
                self.said.insert(size, said.root);
                self.report.covered = self.report.covered.max(size);
                return;
            }
        };
        // A row that was moved is named by both places.
        let meant = unverified_note(note).and_then(Checkpoint::parse).map_or(size, |said| said.size);
        if meant != size {
            self.report.find("edited", "checkpoints", meant.to_string(), wrong.clone());
        }
        self.report.find("signature", "checkpoints", size.to_string(), wrong);
    }

    /// One log line: the number its row says (an export has none), and the line. In order.
    pub fn line(&mut self, row: Option<u64>, line: &str) {
        let expected = self.tree.size();
        let parts = Parts::of(line);
        let mut seq = row.or(parts.as_ref().ok().map(|parts| parts.seq)).unwrap_or(expected);
        self.report.entries += 1;
        if seq.saturating_sub(expected) > GAP {
            let what = format!("stands {} places behind the entry before it", seq - expected);
            self.report.find("edited", "log", seq.to_string(), what);
            seq = expected;
        }
        if seq < expected {
            let what = format!("stands behind entry {}: inserted or out of order", expected - 1);
            return self.report.find("inserted", "log", seq.to_string(), what);
        }
        for missing in expected..seq.min(expected + 100) {
            self.report.find("missing", "log", missing.to_string(), "the entry is gone");
        }
        let hash = hash_of(line);
        match parts {
            Err(error) => self.report.find("edited", "log", seq.to_string(), error.to_string()),
            Ok(parts) if parts.seq != seq => {
                self.report.find(
                    "edited",
                    "log",
                    seq.to_string(),
                    format!("the line is of entry {}", parts.seq),
                );
            }
            Ok(parts) => self.explained(&parts, seq, expected),
        }
        self.last = Some((seq, hash));
        // After a gap the sizes are those of the numbers, so that what follows is still told apart.
        while self.tree.size() < seq {
            self.push([0; 32]);
        }
        self.push(hash);
        self.settle();
    }

    fn push(&mut self, hash: Hash) {
        self.tree.push(hash, &mut self.full);
        if self.signatures.is_some() {
            self.echoes.entry(hash);
        }
    }

    fn explained(&mut self, parts: &Parts<'_>, seq: u64, expected: u64) {
        let before = self.last.map_or([0; 32], |(_, hash)| hash);
        if seq == expected && parts.prev != before {
            self.breaks.push(seq);
        }
        let mut taken = self.fold.take(parts);
        if let Some(signatures) = &mut self.signatures {
            taken = taken.and_then(|()| signatures.line(parts));
        }
        if let Err(error) = taken {
            self.report.find("edited", "log", seq.to_string(), error.to_string());
        }
    }

    // Compares the root with whoever said something of this size.
    fn settle(&mut self) {
        let size = self.tree.size();
        if self.keep_tiles {
            let full = self.full.drain(..);
            self.tiles
                .extend(full.map(|tile| ((tile.level, tile.number), crate::log::leaf_hash(&tile.hashes))));
        } else {
            self.full.clear();
        }
        if self.said.get(&size).is_some_and(|root| *root == self.tree.root()) {
            self.said.remove(&size);
            self.agreed = Some(size);
        }
        if self.heads.iter().any(|(at, ..)| *at == size) {
            let root = self.tree.root();
            let (here, others) = std::mem::take(&mut self.heads)
                .into_iter()
                .partition(|(at, said, _)| *at == size && *said == root);
            let here: Vec<(u64, Hash, String)> = here;
            self.report.heads += here.len() as u64;
            self.heads = others;
        }
    }

    /// The log is at its end.
    pub fn end_of_log(&mut self) {
        let size = self.tree.size();
        self.report.root = hex::encode(self.tree.root());
        self.blame();
        let explained = self.report.findings.iter().any(|finding| finding.table == "log");
        let unsettled = std::mem::take(&mut self.said);
        for (at, _) in unsettled {
            let from = self.agreed.filter(|agreed| *agreed < at).unwrap_or(0);
            if at > size {
                let what = format!("the log ends at {size}, a checkpoint covers {at}: the tail was cut");
                self.report.find("rolled_back", "log", size.to_string(), what);
            } else if !explained && at == size && self.breaks.is_empty() {
                // The chain holds, so of the entries in question only the last can be another.
                let what = format!("not what the checkpoint of size {at} signed");
                self.report.find("edited", "log", (at - 1).to_string(), what);
            } else if !explained {
                let what =
                    format!("entries {from} to {} are not what the checkpoint of size {at} signed", at - 1);
                self.report.find("forked", "log", from.to_string(), what);
            }
        }
        for (at, _, source) in std::mem::take(&mut self.heads) {
            if at > size {
                let what = format!("the log ends at {size}, the head covers {at}: cut or rolled back");
                self.report.find("rolled_back", "head", source, what);
            } else {
                let what =
                    format!("the first {at} entries are not those that the head covers: forked history");
                self.report.find("forked", "head", source, what);
            }
        }
        if self.report.covered < size {
            let what =
                format!("entries {} to {} are behind the last checkpoint", self.report.covered, size - 1);
            self.report.find("uncovered", "log", self.report.covered.to_string(), what);
        }
        if size == 0 {
            self.report.find("missing", "log", "0", "the log is empty");
        }
    }

    // Two breaks side by side: the entry between them. One alone: the entry before it, whose bytes the break
    // names, unless it is the last, which nothing behind it holds.
    fn blame(&mut self) {
        let breaks = self.breaks.clone();
        let last = self.last.map_or(0, |(seq, _)| seq);
        let mut at = 0;
        while let Some(&seq) = breaks.get(at) {
            let what = "the chain of hashes breaks here";
            if breaks.get(at + 1) == Some(&(seq + 1)) {
                self.report.find("edited", "log", seq.to_string(), what);
                at += 2;
                continue;
            }
            if self.agreed != Some(seq) {
                self.report.find("edited", "log", seq.saturating_sub(1).to_string(), what);
            }
            if seq == last && self.agreed.is_none_or(|agreed| agreed <= seq) {
                self.report.find("edited", "log", seq.to_string(), what);
            }
            at += 1;
        }
    }

    /// One row of state. Tables come in the order of the list.
    pub fn row(&mut self, row: &Row) {
        self.report.rows += 1;
        if let Err((kind, what)) = self.fold.judge(row.table, &row.key, &row.image(), row.log_seq) {
            self.report.find(kind, row.table.name(), key_text(&row.key), what);
        }
        if let Some(signatures) = &mut self.signatures
            && let Some(seen) = signatures.row(row, &mut self.report)
        {
            self.echoes.named(seen, row);
        }
    }

    /// One tile.
    pub(super) fn tile(&mut self, tile: &Tile) {
        let key = format!("{}/{}", tile.level, tile.number);
        match self.tiles.remove(&(tile.level, tile.number)) {
            Some(hash) if hash == crate::log::leaf_hash(&tile.hashes) => {}
            Some(_) => self.report.find("edited", "tiles", key, "not the hashes of the log"),
            None => self.report.find("inserted", "tiles", key, "there is no such full tile"),
        }
    }

    /// Something that could not be read.
    pub(super) fn unreadable(&mut self, table: &str, key: &str, what: &str) {
        self.report.find("unreadable", table, key, what);
    }

    /// All was seen. `complete` tells whether rows that did not come are missing.
    pub fn finish(mut self, complete: bool) -> Report {
        self.echoes.judge(&mut self.report);
        if complete {
            for (table, key, (kind, what)) in self.fold.rest() {
                self.report.find(kind, table.name(), key_text(&key), what);
            }
            if let Some(signatures) = self.signatures {
                signatures.rest(&mut self.report);
            }
            for (level, number) in self.tiles.into_keys() {
                self.report.find("missing", "tiles", format!("{level}/{number}"), "the tile is gone");
            }
        }
        self.report.holds = self.report.findings_total == 0;
        self.report.anchored = self.report.heads > 0;
        self.report
    }
}
