//! The tree of RFC 6962, section 2.1, over the lines of the log: growing at the right edge, kept in full tiles
//! of 256 hashes (the C2SP tile form) and a short right edge in memory.

use crate::store::{Hash, Tile};
use sha2::{Digest, Sha256};

/// Hashes in a tile.
pub const TILE: u64 = 256;

/// The hash of two halves.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut both = [1; 65];
    both[1..33].copy_from_slice(left);
    both[33..].copy_from_slice(right);
    Sha256::digest(both).into()
}

/// The right edge of a tree: the roots of its full subtrees, largest first. Enough to grow and to know the
/// root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The root; of the empty tree, the hash of nothing.
    pub fn root(&self) -> Hash {
        joined(self.roots.iter().rev())
    }
}

// The root over full subtrees, smallest first.
fn joined<'a>(mut roots: impl Iterator<Item = &'a Hash>) -> Hash {
    let Some(last) = roots.next() else { return Sha256::digest([]).into() };
    roots.fold(*last, |right, left| node_hash(left, &right))
}

/// A growing tree: gives the tiles that become full.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    /// Of each tile level what is not in a full tile yet, leaves first.
    edges: Vec<Edge>,
}

/// A tile that grows: its hashes, and the tree over them, so that none is hashed twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Edge {
    hashes: Vec<Hash>,
    part: Frontier,
}

impl Edge {
    fn push(&mut self, hash: Hash) {
        self.hashes.push(hash);
        self.part.push(hash);
    }
}

impl Tree {
    /// The tree of which these are the hashes of each tile level that are not in a full tile yet, leaves
    /// first.
    pub fn from_edges(size: u64, edges: Vec<Vec<Hash>>) -> Self {
        let grown = |hashes: Vec<Hash>| {
            let mut edge = Edge::default();
            hashes.into_iter().for_each(|hash| edge.push(hash));
            edge
        };
        Self { size, edges: edges.into_iter().map(grown).collect() }
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub fn root(&self) -> Hash {
        joined(self.edges.iter().flat_map(|edge| edge.part.roots.iter().rev()))
    }

    /// Adds a leaf by its hash; `full` gets every tile that is full now.
    pub fn push(&mut self, leaf: Hash, full: &mut Vec<Tile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.edges.len() <= level {
                self.edges.push(Edge::default());
            }
            let edge = &mut self.edges[level];
            edge.push(hash);
            if (edge.hashes.len() as u64) < TILE {
                return;
            }
            let Edge { hashes, part } = std::mem::take(edge);
            hash = part.root();
            let number = (self.size >> (8 * (level + 1))) - 1;
            full.push(Tile { level: level as u64, number, hashes: hashes.concat() });
        }
    }
}

/// One tile, whole or growing, with the roots of every whole subtree in it.
#[derive(Clone, Debug, Default)]
pub struct Twigs {
    // Hashes of the tile, then their pairs, and so on.
    rows: [Vec<Hash>; 8],
}

impl Twigs {
    /// How many hashes of the tile there are.
    pub fn len(&self) -> u64 {
        self.rows[0].len() as u64
    }

    /// Adds the next hash.
    pub fn push(&mut self, mut hash: Hash) {
        for row in &mut self.rows {
            row.push(hash);
            match row[..] {
                [.., left, right] if row.len().is_multiple_of(2) => hash = node_hash(&left, &right),
                _ => return,
            }
        }
    }

    /// The root of a subtree of `2^height` hashes, if all of them are there.
    pub fn node(&self, height: usize, index: usize) -> Option<Hash> {
        self.rows.get(height)?.get(index).copied()
    }
}

/// The root over a power of two of hashes.
pub fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut part = Frontier::default();
    hashes.iter().for_each(|hash| part.push(*hash));
    part.root()
}

/// The hashes of a tile.
pub fn tile_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let hashes: Vec<Hash> = bytes.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect();
    (bytes.len() as u64 == TILE * 32).then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::leaf_hash;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;

    // The leaves and roots that the certificate transparency projects publish for the tree of RFC 6962.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_published_roots() {
        let mut tree = Frontier::default();
        assert_eq!(hex::encode(tree.root()), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            tree.push(leaf_hash(&hex::decode(leaf).unwrap()));
            assert_eq!(hex::encode(tree.root()), *root);
        }
    }

    #[test]
    fn the_tree_agrees_with_an_independent_one_and_is_the_same_again_from_its_edges() {
        let mut other = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut tree = Tree::default();
        let mut tiles = Vec::new();
        for n in 0u64..1000 {
            let leaf = n.to_be_bytes().to_vec();
            tree.push(leaf_hash(&leaf), &mut tiles);
            other.push(leaf);
            if n % 37 == 0 || n % 256 > 253 {
                assert_eq!(tree.root().as_slice(), other.root().as_bytes().as_slice(), "{n}");
                let edges = tree.edges.iter().map(|edge| edge.hashes.clone()).collect();
                let again = Tree::from_edges(tree.size(), edges);
                assert_eq!((again.size, again.edges), (tree.size, tree.edges.clone()));
            }
        }
        assert_eq!(
            tiles.iter().map(|tile| (tile.level, tile.number)).collect::<Vec<_>>(),
            [(0, 0), (0, 1), (0, 2)]
        );
        let hashes = tile_hashes(&tiles[1].hashes).unwrap();
        assert_eq!(hashes[3], leaf_hash(&259u64.to_be_bytes()));
        assert_eq!(
            tree.edges[1].hashes,
            tiles.iter().map(|tile| perfect_root(&tile_hashes(&tile.hashes).unwrap())).collect::<Vec<_>>()
        );
    }
}
