//! Roots and proofs of RFC 6962 (sections 2.1.1 and 2.1.2) over a stored log, from its tiles and the lines
//! behind the last full tile.

use super::line::hash_of;
use super::tree::{TILE, node_hash, perfect_root, tile_hashes};
use crate::store::{Error, Hash, Store};
use std::collections::HashMap;

/// Roots of whole subtrees that were worked out, by level and number. A whole subtree never changes, so these hold for
/// every size of the log: proofs of entries that lie together, for as many nodes, read each tile a few times only.
#[derive(Default)]
pub struct Nodes(HashMap<(u64, u64), Hash>);

impl Nodes {
    // About five megabytes.
    const KEPT: usize = 1 << 16;

    fn of(&mut self, store: &mut Store, level: u64, index: u64) -> Result<Hash, Error> {
        if let Some(known) = self.0.get(&(level, index)) {
            return Ok(*known);
        }
        let (tile_level, inside) = (level / 8, level % 8);
        let root = perfect_root(&hashes(store, tile_level, index << inside, (index + 1) << inside)?);
        if self.0.len() >= Self::KEPT {
            self.0.clear();
        }
        self.0.insert((level, index), root);
        Ok(root)
    }

    fn range(&mut self, store: &mut Store, low: u64, high: u64) -> Result<Hash, Error> {
        let count = high - low;
        if count.is_power_of_two() && low.is_multiple_of(count) {
            return self.of(store, count.trailing_zeros().into(), low / count);
        }
        let middle = low + half(count);
        Ok(node_hash(&self.range(store, low, middle)?, &self.range(store, middle, high)?))
    }
}

/// The root over the first `size` entries.
pub fn root_at(store: &mut Store, size: u64) -> Result<Hash, Error> {
    if size == 0 { Ok(super::tree::Frontier::default().root()) } else { range(store, 0, size) }
}

/// The path that shows entry `index` in the tree of this size.
pub fn inclusion(store: &mut Store, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
    inclusion_by(store, &mut Nodes::default(), index, size)
}

/// The same for who proves many.
pub fn inclusion_by(store: &mut Store, nodes: &mut Nodes, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    if index >= size {
        return Err(Error::Log(format!("entry {index} is not in a tree of {size}")));
    }
    while high - low > 1 {
        let middle = low + half(high - low);
        if index < middle {
            path.push(nodes.range(store, middle, high)?);
            high = middle;
        } else {
            path.push(nodes.range(store, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show the tree of size `old` as the beginning of the tree of size `new`.
pub fn consistency(store: &mut Store, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
    let (mut low, mut high) = (0, new);
    let (mut path, mut nodes) = (Vec::new(), Nodes::default());
    let mut whole = true;
    if old == 0 || old > new {
        return Err(Error::Log(format!("a tree of {old} is not the beginning of a tree of {new}")));
    }
    while old != high {
        let middle = low + half(high - low);
        if old <= middle {
            path.push(nodes.range(store, middle, high)?);
            high = middle;
        } else {
            path.push(nodes.range(store, low, middle)?);
            low = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(nodes.range(store, low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// The hashes of each tile level that are in no full tile, leaves first.
pub(super) fn edges(store: &mut Store, size: u64) -> Result<Vec<Vec<Hash>>, Error> {
    let mut edges = Vec::new();
    let mut there = size;
    for level in 0.. {
        edges.push(hashes(store, level, there - there % TILE, there)?);
        there /= TILE;
        if there == 0 {
            break;
        }
    }
    Ok(edges)
}

// The largest power of two under the count.
fn half(count: u64) -> u64 {
    count.next_power_of_two() / 2
}

fn range(store: &mut Store, low: u64, high: u64) -> Result<Hash, Error> {
    Nodes::default().range(store, low, high)
}

// Hashes of one tile level that lie in one tile: from the tile if it is full, else from what it covers.
fn hashes(store: &mut Store, level: u64, from: u64, to: u64) -> Result<Vec<Hash>, Error> {
    if from == to {
        return Ok(Vec::new());
    }
    if let Some(tile) = store.tile(level, from / TILE)? {
        let all = tile_hashes(&tile.hashes).ok_or_else(|| missing(level, from / TILE))?;
        let (from, to) = ((from % TILE) as usize, ((to - 1) % TILE) as usize);
        return Ok(all[from..=to].to_vec());
    }
    match level.checked_sub(1) {
        Some(below) => (from..to).map(|number| tile_root(store, below, number)).collect(),
        None => leaves(store, from, to),
    }
}

fn tile_root(store: &mut Store, level: u64, number: u64) -> Result<Hash, Error> {
    let tile = store.tile(level, number)?.ok_or_else(|| missing(level, number))?;
    Ok(perfect_root(&tile_hashes(&tile.hashes).ok_or_else(|| missing(level, number))?))
}

fn leaves(store: &mut Store, from: u64, to: u64) -> Result<Vec<Hash>, Error> {
    (from..to)
        .map(|seq| {
            let line = store.line(seq)?.ok_or_else(|| Error::Log(format!("entry {seq} is missing")))?;
            Ok(hash_of(&line))
        })
        .collect()
}

fn missing(level: u64, number: u64) -> Error {
    Error::Log(format!("tile {level}/{number} is missing or cut"))
}
