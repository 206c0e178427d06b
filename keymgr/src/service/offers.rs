//! Open offers of root KEKs. Their private keys are in the vault and as short-lived as this list.

use keylink::{Digest, NodeId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A node that has not answered after so long is offered anew, milliseconds.
const OPEN_MS: u64 = 30_000;
/// One that is carried may be answered for so long, milliseconds; a little less than the offer itself holds.
const CARRIED_MS: u64 = 29 * 24 * 3_600_000;

#[derive(Clone, Copy)]
struct Offer {
    hash: Digest,
    number: u32,
    since_ms: u64,
    answered: bool,
}

/// One open offer a node at most.
#[derive(Default)]
pub struct Offers(Mutex<HashMap<NodeId, Offer>>);

impl Offers {
    /// Takes the place of a node's offer, which is about to be made. False when the node has one that it may still
    /// answer, or that another of its requests is making: a second one would void the answer to the first, and a
    /// node takes a confirmation that is not for its answer for an intrusion.
    pub fn begin(&self, node: NodeId, now: u64) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&node).is_some_and(|offer| now.saturating_sub(offer.since_ms) < OPEN_MS) {
            return false;
        }
        open.insert(node, Offer { hash: Digest::default(), number: 0, since_ms: now, answered: true });
        true
    }

    /// True when the node has an offer that it may still answer, however long ago it was made: whoever carries it may
    /// be on the way for days.
    pub fn waits(&self, node: NodeId, now: u64) -> bool {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = |offer: &Offer| !offer.answered && now.saturating_sub(offer.since_ms) < CARRIED_MS;
        open.get(&node).is_some_and(may)
    }

    /// The node does not want this message; if it is its offer, it may be offered anew.
    pub fn refused(&self, node: NodeId, hash: Digest) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&node).is_some_and(|offer| offer.hash == hash) {
            open.remove(&node);
        }
    }

    /// The offer could not be made.
    pub fn give_up(&self, node: NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }

    /// An offer was made.
    pub fn open(&self, node: NodeId, hash: Digest, number: u32, now: u64) {
        let offer = Offer { hash, number, since_ms: now, answered: false };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, offer);
    }

    /// The offer that an acceptance names: its hash and number. It is answered once, and stays open until the agreement
    /// is stored: another offer meanwhile would void the answer that the node holds.
    pub fn take(&self, node: NodeId, hash: Digest) -> Option<(Digest, u32)> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offer = open.get_mut(&node)?;
        if offer.answered || offer.hash != hash {
            return None;
        }
        offer.answered = true;
        Some((offer.hash, offer.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_answered_once_and_not_repeated_while_its_answer_is_judged() {
        let (offers, node, hash) = (Offers::default(), NodeId([1; 32]), Digest([2; 32]));
        assert!(offers.begin(node, 1_000));
        // Another request of the node while the offer is made.
        assert!(!offers.begin(node, 1_000));
        assert_eq!(offers.take(node, Digest::default()), None);
        assert!(!offers.waits(node, 1_000));
        offers.open(node, hash, 1, 1_000);
        assert!(offers.waits(node, 1_000 + CARRIED_MS - 1) && !offers.waits(node, 1_000 + CARRIED_MS));
        offers.refused(node, Digest([3; 32]));
        assert_eq!(offers.take(node, Digest([3; 32])), None);
        assert_eq!(offers.take(node, hash), Some((hash, 1)));
        assert_eq!(offers.take(node, hash), None);
        assert!(!offers.waits(node, 1_000));
        assert!(!offers.begin(node, 1_000 + OPEN_MS - 1));
        assert!(offers.begin(node, 1_000 + OPEN_MS));
        offers.give_up(node);
        assert!(offers.begin(node, 1_000 + OPEN_MS));
        offers.open(node, hash, 1, 1_000 + OPEN_MS);
        offers.refused(node, hash);
        assert!(!offers.waits(node, 1_000 + OPEN_MS));
    }
}
