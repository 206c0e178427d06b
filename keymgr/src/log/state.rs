//! The state as one hash: a tree over the images of all rows that a manager decides by.
//!
//! The last entry of every batch writes the root into a row of its own, whose image stands in the log like that
//! of any other row. So a start knows from one entry, without reading the log, that it has read exactly what the
//! log left behind: no row edited, none gone, none put in, none put back to what it once was.

use super::{leaf_hash, node_hash};
use crate::store::{Change, Hash, Packed, Table};
use sha2::{Digest, Sha256};
use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread::{available_parallelism, scope};

/// Key of the row that holds the root, in [`Table::Meta`].
pub const STATE_KEY: &[u8] = b"state";

// A million rows are about sixty in each.
const BUCKETS: usize = 1 << 14;
const NONE: Hash = [0; 32];

type Place = [u8; 16];

/// The tree. Rows lie in buckets by the hash of their place; a bucket is hashed over its images in that order, and
/// the buckets are the leaves of a perfect tree. What is empty has the hash zero.
pub(super) struct StateTree {
    buckets: Vec<Vec<(Place, Hash)>>,
    /// The root is at 1, the children of `n` at `2n` and `2n + 1`, the buckets behind `BUCKETS`.
    nodes: Vec<Hash>,
    stale: Vec<bool>,
}

/// The images of rows as they are read, piece by piece, in no order yet. A million of them are put in order at once,
/// which costs a tenth of what it does one by one.
#[derive(Default)]
pub(super) struct Images(Vec<Vec<(Place, Hash)>>);

impl Images {
    /// Takes rows in.
    pub fn read(&mut self, rows: &Packed) {
        let mut images = Vec::with_capacity(rows.rows().len());
        let covered = rows.rows().filter(|row| covers(row.table, row.key));
        images.extend(covered.map(|row| (place(row.table, row.key), row.image())));
        self.0.push(images);
    }

    // The buckets of a range, each in order. Counted first, so that none grows.
    fn buckets(&self, range: Range<usize>) -> Vec<Vec<(Place, Hash)>> {
        let own = || self.0.iter().flatten().filter(|(place, _)| range.contains(&bucket(place)));
        let mut counts = vec![0; range.len()];
        own().for_each(|(place, _)| counts[bucket(place) - range.start] += 1);
        let mut buckets: Vec<_> = counts.into_iter().map(Vec::with_capacity).collect();
        own().for_each(|one| buckets[bucket(&one.0) - range.start].push(*one));
        buckets.iter_mut().for_each(|rows| rows.sort_unstable());
        buckets
    }
}

/// What to set back when a commit failed, in the order in which it was done.
pub(super) type Undo = Vec<(Place, Option<Hash>)>;

impl Default for StateTree {
    fn default() -> Self {
        Self {
            buckets: vec![Vec::new(); BUCKETS],
            nodes: vec![NONE; 2 * BUCKETS],
            stale: vec![false; BUCKETS],
        }
    }
}

/// Whether a row is one of the tree.
fn covers(table: Table, key: &[u8]) -> bool {
    Table::AT_HAND.contains(&table) && !(table == Table::Meta && key == STATE_KEY)
}

fn place(table: Table, key: &[u8]) -> Place {
    let mut hash = Sha256::new();
    hash.update(table.name().as_bytes());
    hash.update([0]);
    hash.update(key);
    let whole: Hash = hash.finalize().into();
    let mut place = [0; 16];
    place.copy_from_slice(&whole[..16]);
    place
}

fn bucket(place: &Place) -> usize {
    usize::from(u16::from_be_bytes([place[0], place[1]])) % BUCKETS
}

// Of a bucket.
fn bucket_hash(rows: &[(Place, Hash)]) -> Hash {
    let images: Vec<u8> = rows.iter().flat_map(|(_, image)| image).copied().collect();
    if rows.is_empty() { NONE } else { leaf_hash(&images) }
}

impl StateTree {
    /// The tree over these. A row that was read twice stands in it twice, so that its root is none that was written.
    /// Nothing else goes on when all was read: each processor puts a part in order and hashes it.
    pub fn of(images: &Images) -> Self {
        let threads = available_parallelism().map_or(1, NonZero::get);
        let part = |n: usize| (BUCKETS * n / threads)..(BUCKETS * (n + 1) / threads);
        let hashed = |range| {
            let buckets = images.buckets(range);
            let hashes: Vec<Hash> = buckets.iter().map(|rows| bucket_hash(rows)).collect();
            (buckets, hashes)
        };
        let mut tree = Self { buckets: Vec::with_capacity(BUCKETS), ..Self::default() };
        tree.nodes.truncate(BUCKETS);
        scope(|scope| {
            let parts: Vec<_> = (0..threads).map(|n| scope.spawn(move || hashed(part(n)))).collect();
            for part in parts {
                let (buckets, hashes) = part.join().unwrap_or_else(|panic| resume_unwind(panic));
                tree.buckets.extend(buckets);
                tree.nodes.extend(hashes);
            }
        });
        tree.rise((BUCKETS..2 * BUCKETS).collect());
        tree
    }

    /// Takes the changes of an entry in, each with the image of its row.
    pub fn change(&mut self, changes: &[Change], images: &[Option<Hash>], undo: &mut Undo) {
        for (change, image) in changes.iter().zip(images) {
            let (table, key) = change.place();
            if covers(table, key) {
                let place = place(table, key);
                undo.push((place, self.set(place, *image)));
            }
        }
    }

    /// Sets back what was changed.
    pub fn undo(&mut self, undo: Undo) {
        for (place, image) in undo.into_iter().rev() {
            self.set(place, image);
        }
    }

    fn set(&mut self, place: Place, image: Option<Hash>) -> Option<Hash> {
        let at = bucket(&place);
        self.stale[at] = true;
        let rows = &mut self.buckets[at];
        match (rows.binary_search_by(|(other, _)| other.cmp(&place)), image) {
            (Ok(found), Some(image)) => Some(std::mem::replace(&mut rows[found].1, image)),
            (Ok(found), None) => Some(rows.remove(found).1),
            (Err(free), Some(image)) => {
                rows.insert(free, (place, image));
                None
            }
            (Err(_), None) => None,
        }
    }

    /// The root over all rows.
    pub fn root(&mut self) -> Hash {
        let mut level: Vec<usize> = (0..BUCKETS).filter(|at| std::mem::take(&mut self.stale[*at])).collect();
        for at in &mut level {
            let hash = bucket_hash(&self.buckets[*at]);
            *at += BUCKETS;
            self.nodes[*at] = hash;
        }
        self.rise(level);
        self.nodes[1]
    }

    // From these nodes to the root.
    fn rise(&mut self, mut level: Vec<usize>) {
        while level.first().is_some_and(|at| *at > 1) {
            level.iter_mut().for_each(|at| *at /= 2);
            level.dedup();
            for at in &level {
                let (left, right) = (self.nodes[2 * at], self.nodes[2 * at + 1]);
                let empty = left == NONE && right == NONE;
                self.nodes[*at] = if empty { NONE } else { node_hash(&left, &right) };
            }
        }
    }

    /// The row that holds the root.
    pub fn row(&mut self) -> Change {
        Change::raw(Table::Meta, STATE_KEY.to_vec(), &[], hex::encode(self.root()).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Row, Value};

    fn put(n: u32, body: &str) -> Change {
        Change::raw(Table::Zones, n.to_be_bytes().to_vec(), &[], body.as_bytes().to_vec())
    }

    fn tree(rows: impl IntoIterator<Item = Change>) -> StateTree {
        let mut tree = StateTree::default();
        rows.into_iter().for_each(|row| change(&mut tree, &[row], 1, &mut Undo::new()));
        tree
    }

    fn change(tree: &mut StateTree, changes: &[Change], seq: u64, undo: &mut Undo) {
        let images: Vec<_> = changes.iter().map(|change| change.image(seq)).collect();
        tree.change(changes, &images, undo);
    }

    #[test]
    fn the_root_is_of_the_rows_and_not_of_the_way_to_them() {
        let rows = || (0..40_000).map(|n| put(n, "a"));
        let (mut one, mut other) = (tree(rows()), tree(rows().collect::<Vec<_>>().into_iter().rev()));
        assert_eq!(one.root(), other.root());
        let before = one.root();
        let mut undo = Undo::new();
        let gone = Change::Delete { table: Table::Zones, key: 5_u32.to_be_bytes().to_vec() };
        change(&mut one, &[put(3, "b"), gone, put(50_000, "new"), put(3, "c")], 2, &mut undo);
        let after = one.root();
        assert_ne!(after, before);
        let mut again = tree((0..40_000).filter(|n| *n != 3 && *n != 5).map(|n| put(n, "a")));
        change(&mut again, &[put(50_000, "new"), put(3, "c")], 2, &mut Undo::new());
        assert_eq!(again.root(), after);
        one.undo(undo);
        assert_eq!(one.root(), before);
    }

    #[test]
    fn rows_as_they_are_read_make_the_tree_of_their_changes() {
        let row = |n: u32| Row {
            table: Table::Zones,
            key: n.to_be_bytes().to_vec(),
            columns: vec![Value::Null; Table::Zones.definition().columns.len()],
            body: b"a".to_vec(),
            log_seq: 1,
        };
        let of = |rows: &[Row]| {
            let mut images = Images::default();
            rows.chunks(7).for_each(|piece| images.read(&Packed::of(Table::Zones, piece)));
            StateTree::of(&images)
        };
        let rows: Vec<Row> = (0..40_000).rev().map(row).collect();
        let (mut read, mut written) = (of(&rows), tree((0..40_000).map(|n| put(n, "a"))));
        assert_eq!(read.root(), written.root());
        for tree in [&mut read, &mut written] {
            change(tree, &[put(3, "b"), put(50_000, "new")], 2, &mut Undo::new());
        }
        assert_eq!(read.root(), written.root());
        let root = of(&rows).root();
        assert_ne!(of(&rows[1..]).root(), root);
        assert_ne!(of(&[rows.as_slice(), &[row(9)]].concat()).root(), root, "a row that is there twice");
        assert_eq!(of(&[]).root(), NONE);
    }

    #[test]
    fn an_empty_state_has_the_hash_zero_and_evidence_is_no_part_of_it() {
        let mut state = tree([Change::raw(Table::Receipts, vec![1], &[], b"x".to_vec())]);
        assert_eq!(state.root(), NONE);
        let own = state.row();
        change(&mut state, &[own], 3, &mut Undo::new());
        assert_eq!(state.root(), NONE);
    }
}
