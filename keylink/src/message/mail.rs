//! What travels in one request or answer: a bundle of messages, each of which proves itself.

use crate::envelope::Signed;
use crate::root::SignedRoot;
use serde::{Deserialize, Serialize};

/// From the manager to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Root documents behind the pinned one, in order. Taken before the messages.
    pub roots: Vec<SignedRoot>,
    /// Manifests, commands, offers, counter-receipts, in order.
    pub messages: Vec<Signed>,
}

/// From a node to its manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parcel {
    /// Receipts in the order of their chain, then refusals and requests.
    pub messages: Vec<Signed>,
}

impl Mail {
    /// True when there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.messages.is_empty()
    }
}
