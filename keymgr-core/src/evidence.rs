//! What nodes are shown of approved actions: the grants that concern them, each with its proof. A tree is built
//! once for an action, whatever the number of nodes that are shown a part of it.

use super::approval::Action;
use super::ids::{ActionId, Digest};
use keylink::action::{Evidence, Grant, ProvedGrant, approver, grant_bytes};
use keylink::root::RootDocument;
use keylink::wire::Blob;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Trees of actions by the hash of the action, kept from one batch of manifests to the next: to build one takes longer
/// than to draft a batch. Follows from the records and can be thrown away.
#[derive(Clone, Debug, Default)]
pub struct Trees(BTreeMap<Digest, Arc<Leaves>>);

// What is remembered makes no difference.
impl PartialEq for Trees {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Trees {}

#[derive(Debug)]
struct Leaves {
    bytes: Vec<Vec<u8>>,
    tree: Tree,
}

/// What is shown of the actions of one batch of manifests.
#[derive(Default)]
pub struct Shelf {
    shown: BTreeMap<ActionId, Option<Shown>>,
    trees: Trees,
}

struct Shown {
    evidence: Evidence,
    leaves: Arc<Leaves>,
}

impl Shelf {
    /// With trees that were built before.
    pub fn with(trees: Trees) -> Self {
        Self { shown: BTreeMap::new(), trees }
    }

    /// The trees, for the next batch: those that were of use in this one, or all where nothing was shown.
    pub fn into_trees(self) -> Trees {
        let mut trees = self.trees;
        let used: Vec<_> = self.shown.values().flatten().map(|shown| &shown.leaves).collect();
        if !used.is_empty() {
            trees.0.retain(|_, tree| used.iter().any(|one| Arc::ptr_eq(one, tree)));
        }
        trees
    }

    /// The part of an action that concerns a node. None when a node would not take it: too old, or signed by too
    /// few who are still officers. A node that knows the facts already does not need it.
    pub fn show(
        &mut self,
        action: &Action,
        document: &RootDocument,
        utc_ms: u64,
        concerns: impl Fn(&Grant) -> bool,
    ) -> Option<Evidence> {
        let Self { shown, trees } = self;
        let shown =
            shown.entry(action.id).or_insert_with(|| Shown::of(action, document, utc_ms, trees)).as_ref()?;
        let leaves = &shown.leaves;
        let chosen = action.grants.iter().enumerate().filter(|(_, grant)| concerns(grant));
        let grants: Vec<_> = chosen
            .map(|(index, _)| ProvedGrant {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                grant: Blob(leaves.bytes[index].clone()),
                proof: leaves.tree.prove(index),
            })
            .collect();
        (!grants.is_empty()).then(|| Evidence { grants, ..shown.evidence.clone() })
    }
}

impl Shown {
    fn of(action: &Action, document: &RootDocument, utc_ms: u64, trees: &mut Trees) -> Option<Self> {
        let body: keylink::action::Action = keylink::envelope::strict(&action.bytes.0).ok()?;
        let hash = action.hash();
        let holds =
            |given: &&super::approval::Given| approver(&given.signed, hash, body.kmc, document).is_ok();
        let approvals: Vec<_> =
            action.approvals.iter().filter(holds).map(|given| given.signed.clone()).collect();
        let evidence = Evidence { action: action.bytes.clone(), grants: Vec::new(), approvals };
        evidence.judge(body.kmc, document, utc_ms).ok()?;
        let build = || {
            let bytes = grant_bytes(&action.grants);
            let tree = Tree::of(&bytes);
            Arc::new(Leaves { bytes, tree })
        };
        let leaves = Arc::clone(trees.0.entry(hash).or_insert_with(build));
        Some(Self { evidence, leaves })
    }
}

/// A Merkle tree of RFC 6962 with all of its inner hashes.
#[derive(Debug)]
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
