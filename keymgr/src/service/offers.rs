//! Open offers of root KEKs. Their private keys are in the vault and as short-lived as this list.

use keylink::{Digest, NodeId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A node that has not answered after so long is offered anew, milliseconds.
const OPEN_MS: u64 = 30_000;

#[derive(Clone, Copy)]
struct Offer {
    hash: Digest,
    number: u32,
    since_ms: u64,
}

/// One open offer a node at most.
#[derive(Default)]
pub struct Offers(Mutex<HashMap<NodeId, Offer>>);

impl Offers {
    /// True when a node has an offer that it may still answer.
    pub fn is_open(&self, node: NodeId, now: u64) -> bool {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&node).is_some_and(|offer| now.saturating_sub(offer.since_ms) < OPEN_MS)
    }

    /// An offer was made.
    pub fn open(&self, node: NodeId, hash: Digest, number: u32, now: u64) {
        let offer = Offer { hash, number, since_ms: now };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, offer);
    }

    /// The offer that an acceptance names: its hash and number. It is closed then.
    pub fn take(&self, node: NodeId, hash: Digest) -> Option<(Digest, u32)> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&node)?.hash != hash {
            return None;
        }
        open.remove(&node).map(|offer| (offer.hash, offer.number))
    }
}
