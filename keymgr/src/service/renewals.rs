//! Certificates that were made for nodes which ask in parcels, until they show that they have them. Lost without harm:
//! such a node asks again.

use keylink::{Digest, NodeId, PublicKey, Signed};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

struct Renewal {
    request: Digest,
    // Its issuer, and until when it is valid, UTC milliseconds.
    made: (PublicKey, u64),
    // Gone when the node has shown that it has it.
    renewed: Option<Signed>,
}

/// One a node at most: the newest.
#[derive(Default)]
pub struct Renewals(Mutex<HashMap<NodeId, Renewal>>);

impl Renewals {
    /// Keeps what answers a request: a certificate of this issuer, valid until then.
    pub fn keep(&self, node: NodeId, request: Digest, made: (PublicKey, u64), renewed: Signed) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(node, Renewal { request, made, renewed: Some(renewed) });
    }

    /// True when the request is the one that was answered last.
    pub fn answers(&self, node: NodeId, request: Digest) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&node).is_some_and(|renewal| renewal.request == request)
    }

    /// What waits for the node.
    pub fn of(&self, node: NodeId) -> Option<Signed> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&node).and_then(|renewal| renewal.renewed.clone())
    }

    /// The node has shown a certificate of this issuer that is valid until then.
    pub fn shown(&self, node: NodeId, (authority, until_utc_ms): (PublicKey, u64)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |made: (PublicKey, u64)| made.0 == authority && made.1 <= until_utc_ms;
        if let Some(renewal) = all.get_mut(&node).filter(|renewal| is_it(renewal.made)) {
            renewal.renewed = None;
        }
    }
}
