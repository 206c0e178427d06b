//! Roots and proofs of RFC 6962 (sections 2.1.1 and 2.1.2) over a stored log, from its tiles and the lines
//! behind the last full tile.

use super::hash_of;
use super::tree::{TILE, Twigs, node_hash, perfect_root, tile_hashes};
use crate::store::{Error, Hash, Store};
use std::collections::HashMap;

/// The log's tree as far as it was read, by tile level and number of the tile. What is whole in it never changes, so it
/// holds for every size of the log: who asks for many roots and proofs reads each full tile once, and of the tile that
/// grows what is new.
#[derive(Default)]
pub struct Tiles(HashMap<(u64, u64), Twigs>);

impl Tiles {
    // About four megabytes.
    const KEPT: usize = 256;

    // The root of a whole subtree.
    fn of(&mut self, store: &mut Store, level: u64, index: u64) -> Result<Hash, Error> {
        let (tile_level, inside) = (level / 8, level % 8);
        let across = TILE >> inside;
        let tile = (tile_level, index / across);
        let needed = (index % across + 1) << inside;
        let twigs = self.up_to(store, tile, needed)?;
        twigs.node(inside as usize, (index % across) as usize).ok_or_else(|| missing(tile))
    }

    // A tile with at least so many hashes.
    fn up_to(&mut self, store: &mut Store, tile: (u64, u64), needed: u64) -> Result<&Twigs, Error> {
        let known = self.0.get(&tile).map_or(0, Twigs::len);
        if known < needed {
            let first = tile.1 * TILE;
            let more = hashes(store, tile.0, first + known, first + needed)?;
            if self.0.len() >= Self::KEPT && known == 0 {
                self.0.clear();
            }
            let twigs = self.0.entry(tile).or_default();
            more.into_iter().for_each(|hash| twigs.push(hash));
        }
        self.0.get(&tile).ok_or_else(|| missing(tile))
    }

    fn range(&mut self, store: &mut Store, low: u64, high: u64) -> Result<Hash, Error> {
        let count = high - low;
        if count.is_power_of_two() && low.is_multiple_of(count) {
            return self.of(store, count.trailing_zeros().into(), low / count);
        }
        let middle = low + half(count);
        Ok(node_hash(&self.range(store, low, middle)?, &self.range(store, middle, high)?))
    }

    /// The root over the first `size` entries.
    pub fn root_at(&mut self, store: &mut Store, size: u64) -> Result<Hash, Error> {
        if size == 0 { Ok(super::tree::Frontier::default().root()) } else { self.range(store, 0, size) }
    }

    /// The path that shows entry `index` in the tree of this size.
    pub fn inclusion(&mut self, store: &mut Store, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
        let (mut low, mut high) = (0, size);
        let mut path = Vec::new();
        if index >= size {
            return Err(Error::Log(format!("entry {index} is not in a tree of {size}")));
        }
        while high - low > 1 {
            let middle = low + half(high - low);
            if index < middle {
                path.push(self.range(store, middle, high)?);
                high = middle;
            } else {
                path.push(self.range(store, low, middle)?);
                low = middle;
            }
        }
        path.reverse();
        Ok(path)
    }
}

/// The root over the first `size` entries.
pub fn root_at(store: &mut Store, size: u64) -> Result<Hash, Error> {
    Tiles::default().root_at(store, size)
}

/// The path that shows entry `index` in the tree of this size.
pub fn inclusion(store: &mut Store, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
    Tiles::default().inclusion(store, index, size)
}

/// The hashes that show the tree of size `old` as the beginning of the tree of size `new`.
pub fn consistency(store: &mut Store, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
    let (mut low, mut high) = (0, new);
    let (mut path, mut tiles) = (Vec::new(), Tiles::default());
    let mut whole = true;
    if old == 0 || old > new {
        return Err(Error::Log(format!("a tree of {old} is not the beginning of a tree of {new}")));
    }
    while old != high {
        let middle = low + half(high - low);
        if old <= middle {
            path.push(tiles.range(store, middle, high)?);
            high = middle;
        } else {
            path.push(tiles.range(store, low, middle)?);
            low = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(tiles.range(store, low, high)?);
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

// Hashes of one tile level that lie in one tile: from the tile if it is full, else from what it covers.
fn hashes(store: &mut Store, level: u64, from: u64, to: u64) -> Result<Vec<Hash>, Error> {
    if from == to {
        return Ok(Vec::new());
    }
    let place = (level, from / TILE);
    if let Some(tile) = store.tile(place.0, place.1)? {
        let all = tile_hashes(&tile.hashes).ok_or_else(|| missing(place))?;
        let (from, to) = ((from % TILE) as usize, ((to - 1) % TILE) as usize);
        return Ok(all[from..=to].to_vec());
    }
    match level.checked_sub(1) {
        Some(below) => (from..to).map(|number| tile_root(store, (below, number))).collect(),
        None => leaves(store, from, to),
    }
}

fn tile_root(store: &mut Store, place: (u64, u64)) -> Result<Hash, Error> {
    let tile = store.tile(place.0, place.1)?.ok_or_else(|| missing(place))?;
    Ok(perfect_root(&tile_hashes(&tile.hashes).ok_or_else(|| missing(place))?))
}

// Of one tile at most.
fn leaves(store: &mut Store, from: u64, to: u64) -> Result<Vec<Hash>, Error> {
    let lines = store.lines(from, (to - from) as u32)?;
    let mut numbered = lines.into_iter();
    (from..to)
        .map(|seq| match numbered.next() {
            Some((there, line)) if there == seq => Ok(hash_of(&line)),
            _ => Err(Error::Log(format!("entry {seq} is missing"))),
        })
        .collect()
}

fn missing((level, number): (u64, u64)) -> Error {
    Error::Log(format!("tile {level}/{number} is missing or cut"))
}
