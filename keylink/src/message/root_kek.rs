//! Agreement of a node's root KEK by ECDH over P-521; see [`crate::root_kek`] for the derivation.

use super::Head;
use crate::action::Evidence;
use crate::envelope::body;
use crate::ids::{Digest, NodeId};
use crate::wire::{Blob, Hex};
use serde::{Deserialize, Serialize};

/// The manager offers. Numbered together with manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKekOffer {
    /// Head.
    pub head: Head,
    /// Number of the KEK at this node, from 1, strictly rising.
    pub number: u32,
    /// Public key of this one agreement, uncompressed point of P-521.
    pub public: Blob,
    /// Fresh.
    pub nonce: Hex<32>,
    /// Who approved it.
    pub evidence: Evidence,
}

body!(RootKekOffer, "root-kek-offer");

/// The node accepts, and shows that it has derived the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKekAccept {
    /// Head; `seq` repeats the offer's.
    pub head: Head,
    /// The node.
    pub node: NodeId,
    /// Hash of the offer.
    pub offer: Digest,
    /// Public key of this one agreement.
    pub public: Blob,
    /// Confirmation MAC of the node over the transcript.
    pub confirm: Hex<32>,
}

body!(RootKekAccept, "root-kek-accept");

/// The manager shows the same: only then the node keeps the KEK. Numbered together with manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKekConfirm {
    /// Head.
    pub head: Head,
    /// Hash of the acceptance.
    pub accept: Digest,
    /// Confirmation MAC of the manager over the transcript.
    pub confirm: Hex<32>,
}

body!(RootKekConfirm, "root-kek-confirm");
