//! Merkle tree hashes and inclusion proofs of RFC 6962 section 2.1, so that officers approve a list of any length
//! and each node is shown its own lines of it only.

use crate::ids::Digest;
use sha2::{Digest as _, Sha256};

/// Longest path that is looked at: no tree is deeper, whatever somebody has signed.
pub const PATH_MAX: usize = 64;

// Its half is a power of two that fits.
const LEAVES_MAX: usize = 1 << (usize::BITS - 1);

fn leaf(data: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

fn parent(left: &Digest, right: &Digest) -> Digest {
    Digest(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

// The largest power of two below `count`.
const fn split(count: usize) -> usize {
    let half = count.next_power_of_two() >> 1;
    if half == 0 { 1 } else { half }
}

/// Tree hash of the leaves.
pub fn root<T: AsRef<[u8]>>(leaves: &[T]) -> Digest {
    match leaves {
        [] => Digest::of(&[]),
        [one] => leaf(one.as_ref()),
        many => {
            let (left, right) = many.split_at(split(many.len()));
            parent(&root(left), &root(right))
        }
    }
}

/// The hashes that lead from leaf `index` to the root, lowest first; `None` when there is no such leaf.
pub fn prove<T: AsRef<[u8]>>(leaves: &[T], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = match index.checked_sub(left.len()) {
        None => (prove(left, index)?, root(right)),
        Some(index) => (prove(right, index)?, root(left)),
    };
    path.push(other);
    Some(path)
}

/// True when `data` is leaf `index` of the `count` leaves under `root`. No tree that could not be is climbed.
pub fn holds(tree: &Digest, count: usize, index: usize, data: &[u8], path: &[Digest]) -> bool {
    let possible = index < count && count <= LEAVES_MAX && path.len() <= PATH_MAX;
    possible && climb(count, index, leaf(data), path).as_ref() == Some(tree)
}

fn climb(count: usize, index: usize, own: Digest, path: &[Digest]) -> Option<Digest> {
    if count == 1 {
        return path.is_empty().then_some(own);
    }
    let (last, below) = path.split_last()?;
    let left = split(count);
    match index.checked_sub(left) {
        None => Some(parent(&climb(left, index, own, below)?, last)),
        Some(index) => Some(parent(last, &climb(count.checked_sub(left)?, index, own, below)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Roots of the test tree of the Certificate Transparency project (RFC 6962, C2SP examples).
    #[test]
    fn published_roots() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        for (count, hash) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(root(&leaves[..count]).to_string(), hash, "{count}");
        }
    }

    // A signed state may claim any size, and a proof may be of any length.
    #[test]
    fn a_tree_that_cannot_be_holds_nothing() {
        let data = b"entry";
        for count in [LEAVES_MAX + 1, usize::MAX - 1, usize::MAX] {
            for length in [0, 63, PATH_MAX, 46_000, 1_000_000] {
                let path = vec![Digest([1; 32]); length];
                for index in [0, count / 2, count - 1] {
                    assert!(!holds(&leaf(data), count, index, data, &path), "{count} {length}");
                }
            }
        }
        // The deepest that can be, with the right path and a longer one.
        let mut path = vec![Digest([1; 32]); 63];
        let tree = path.iter().fold(leaf(data), |own, other| parent(&own, other));
        assert!(holds(&tree, LEAVES_MAX, 0, data, &path));
        assert!(!holds(&tree, LEAVES_MAX, 1, data, &path));
        path.resize(100_000, Digest([1; 32]));
        assert!(!holds(&tree, LEAVES_MAX, 0, data, &path));
    }

    #[test]
    fn every_leaf_is_proved_and_no_other() {
        for count in 1..20usize {
            let leaves: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8; 3]).collect();
            let tree = root(&leaves);
            for index in 0..count {
                let path = prove(&leaves, index).unwrap();
                assert!(holds(&tree, count, index, &leaves[index], &path));
                assert!(!holds(&tree, count, index, b"other", &path));
                for wrong in (0..count).filter(|wrong| *wrong != index) {
                    assert!(!holds(&tree, count, wrong, &leaves[index], &path));
                }
                let mut longer = path.clone();
                longer.push(tree);
                assert!(!holds(&tree, count, index, &leaves[index], &longer));
            }
            assert_eq!(prove(&leaves, count), None);
        }
    }
}
