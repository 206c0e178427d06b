//! What a node can show of its receipts: those that the manager has confirmed, with those that still wait for it.

use super::identity::Who;
use super::store::{Store, StoreError};
use keylink::Signed;
use keylink::node::NodeState;
use keylink::receipt_file::{Forked, ReceiptFile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A receipt, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmed {
    /// The receipt.
    pub receipt: Signed,
    /// The manager's counter-receipt, where it names this one: it is for all before it, too.
    pub counter: Option<Signed>,
}

/// What is kept of a node's receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Receipts that the manager has confirmed, with their numbers, oldest first.
    pub confirmed: Vec<(u64, Confirmed)>,
    /// The newest proof that the log holds one of them.
    pub proof: Option<Signed>,
    /// Proofs that did not hold.
    pub disputed: Vec<Signed>,
    /// Proofs of another tree than the one that the node knew.
    pub forks: Vec<Forked>,
}

impl Evidence {
    /// The file for a third party. `outbox` are receipts up to the number `last`, oldest first, read before this was: a
    /// proof may be of one that is not confirmed yet.
    pub fn file(self, who: &Who, last: u64, outbox: &[Signed]) -> ReceiptFile {
        let waiting = outbox.iter().rev().zip((1..=last).rev());
        let waiting = waiting.map(|(receipt, number)| (number, (receipt.clone(), None)));
        let mut receipts: BTreeMap<u64, (Signed, Option<Signed>)> = waiting.collect();
        receipts.extend(self.confirmed.into_iter().map(|(number, one)| (number, (one.receipt, one.counter))));
        let (receipts, counters): (Vec<_>, Vec<_>) = unbroken(receipts).into_iter().unzip();
        ReceiptFile {
            format: ReceiptFile::FORMAT.to_owned(),
            kmc: who.kmc,
            node: who.node(),
            key: who.key,
            receipts,
            counters: counters.into_iter().flatten().collect(),
            proof: self.proof,
            disputed: self.disputed,
            forks: self.forks,
        }
    }
}

/// The file of a node's store, read beside the process that serves.
pub fn receipt_file(store: &Path, who: &Who) -> Result<ReceiptFile, StoreError> {
    let node = who.node();
    // The state first: what is confirmed meanwhile is in both then, and nothing in neither.
    let state = Store::peek(store, node)?;
    let state = state.map(|body| keylink::wire::read::<NodeState>(&body));
    let state = state.transpose().map_err(|_| StoreError::Damaged(node))?;
    let (last, outbox) = state.map_or((0, Vec::new()), |state| (state.receipt.0.0, state.outbox));
    Ok(Store::evidence(store, node)?.file(who, last, &outbox))
}

// The newest ones of which each follows the one before, oldest first.
fn unbroken<T>(all: BTreeMap<u64, T>) -> Vec<T> {
    let (mut run, mut before) = (Vec::new(), None);
    for (number, one) in all {
        if before.is_some_and(|before: u64| before.checked_add(1) != Some(number)) {
            run.clear();
        }
        before = Some(number);
        run.push(one);
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_follows_the_last_gap_is_a_chain() {
        let of = |numbers: &[u64]| unbroken(numbers.iter().map(|n| (*n, *n)).collect());
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[3, 4, 5]), [3, 4, 5]);
        assert_eq!(of(&[1, 2, 4, 7, 8]), [7, 8]);
    }
}
