//! What nodes are shown of approved actions: the grants that concern them, each with its proof. A tree is built
//! once for an action, whatever the number of nodes that are shown a part of it.

use super::approval::Action;
use super::ids::{ActionId, Digest};
use keylink::action::{Evidence, Grant, ProvedGrant, approver, grant_bytes};
use keylink::root::RootDocument;
use keylink::wire::Blob;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Trees of the actions of one batch of manifests.
#[derive(Default)]
pub struct Shelf {
    shown: BTreeMap<ActionId, Option<Shown>>,
}

struct Shown {
    evidence: Evidence,
    grants: Vec<Grant>,
    leaves: Vec<Vec<u8>>,
    tree: Tree,
}

impl Shelf {
    /// The part of an action that concerns a node. None when a node would not take it: too old, or signed by too
    /// few who are still officers. A node that knows the facts already does not need it.
    pub fn show(
        &mut self,
        action: &Action,
        document: &RootDocument,
        utc_ms: u64,
        concerns: impl Fn(&Grant) -> bool,
    ) -> Option<Evidence> {
        let shown =
            self.shown.entry(action.id).or_insert_with(|| Shown::of(action, document, utc_ms)).as_ref()?;
        let chosen = shown.grants.iter().enumerate().filter(|(_, grant)| concerns(grant));
        let grants: Vec<_> = chosen
            .map(|(index, _)| ProvedGrant {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                grant: Blob(shown.leaves[index].clone()),
                proof: shown.tree.prove(index),
            })
            .collect();
        (!grants.is_empty()).then(|| Evidence { grants, ..shown.evidence.clone() })
    }
}

impl Shown {
    fn of(action: &Action, document: &RootDocument, utc_ms: u64) -> Option<Self> {
        let body: keylink::action::Action = keylink::envelope::strict(&action.bytes.0).ok()?;
        let hash = action.hash();
        let holds =
            |given: &&super::approval::Given| approver(&given.signed, hash, body.kmc, document).is_ok();
        let approvals: Vec<_> =
            action.approvals.iter().filter(holds).map(|given| given.signed.clone()).collect();
        let evidence = Evidence { action: action.bytes.clone(), grants: Vec::new(), approvals };
        evidence.judge(body.kmc, document, utc_ms).ok()?;
        let leaves = grant_bytes(&action.grants);
        let tree = Tree::of(&leaves);
        Some(Self { evidence, grants: action.grants.clone(), leaves, tree })
    }
}

/// A Merkle tree of RFC 6962 with all of its inner hashes.
struct Tree {
    count: usize,
    nodes: BTreeMap<(usize, usize), Digest>,
}

impl Tree {
    fn of(leaves: &[Vec<u8>]) -> Self {
        let mut tree = Self { count: leaves.len(), nodes: BTreeMap::new() };
        if !leaves.is_empty() {
            tree.hash(0, leaves);
        }
        tree
    }

    fn hash(&mut self, start: usize, leaves: &[Vec<u8>]) -> Digest {
        let digest = match leaves {
            [one] => Digest(Sha256::new().chain_update([0]).chain_update(one).finalize().into()),
            many => {
                let (left, right) = many.split_at(split(many.len()));
                let (l, r) = (self.hash(start, left), self.hash(start + left.len(), right));
                Digest(Sha256::new().chain_update([1]).chain_update(l.0).chain_update(r.0).finalize().into())
            }
        };
        self.nodes.insert((start, leaves.len()), digest);
        digest
    }

    fn prove(&self, index: usize) -> Vec<Digest> {
        let mut path = Vec::new();
        let (mut start, mut length) = (0, self.count);
        while length > 1 {
            let left = split(length);
            let (own, other) = if index < start + left {
                ((start, left), (start + left, length - left))
            } else {
                ((start + left, length - left), (start, left))
            };
            path.push(self.nodes[&other]);
            (start, length) = own;
        }
        path.reverse();
        path
    }
}

// The largest power of two below `count`.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylink::merkle;

    #[test]
    fn proofs_are_those_of_the_plain_tree() {
        for count in 1..70 {
            let leaves: Vec<Vec<u8>> = (0..count).map(|n: u32| n.to_be_bytes().to_vec()).collect();
            let tree = Tree::of(&leaves);
            for index in 0..leaves.len() {
                assert_eq!(Some(tree.prove(index)), merkle::prove(&leaves, index), "{index} of {count}");
            }
        }
    }
}
