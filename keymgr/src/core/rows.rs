//! Small records: evidence that the centre keeps and does not need to decide (manifests as sent, receipts as
//! received), and which tokens were used.

use super::ids::{ActionId, CampaignId, CredentialId, Digest, NodeId, PersonId};
use keylink::wire::U64;
use keylink::{Signed, TokenId};
use serde::{Deserialize, Serialize};

/// A manifest as it was signed and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// To whom.
    pub node: NodeId,
    /// Fencing epoch under which it was issued.
    pub epoch: U64,
    /// Number for that node.
    pub seq: U64,
    /// The exact message.
    pub signed: Signed,
}

/// A receipt as it was received and counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// From whom.
    pub node: NodeId,
    /// Number in the node's chain.
    pub seq: U64,
    /// Campaign, where it is about one.
    pub campaign: Option<CampaignId>,
    /// What it says was done.
    pub kind: keylink::message::ReceiptKind,
    /// The exact message.
    pub signed: Signed,
}

/// An approval as it was received and counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Of which action.
    pub action: ActionId,
    /// By whom.
    pub person: PersonId,
    /// With which credential.
    pub credential: CredentialId,
    /// The exact message.
    pub signed: Signed,
}

/// The transcript of a ceremony as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceremony {
    /// The action that approved it.
    pub action: ActionId,
    /// The exact message.
    pub signed: Signed,
}

/// What a custodian signed about a component: never the component, nor the box that it came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The action that approved the ceremony.
    pub action: ActionId,
    /// The exact message.
    pub signed: Signed,
}

/// Which node a token let ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenUse {
    /// The token.
    pub token: TokenId,
    /// The node that asked first.
    pub node: NodeId,
    /// SHA-256 of its certificate request.
    pub csr: Digest,
    /// Another node or request came with it: nobody asks by it any more.
    pub void: bool,
    /// When it was used first, UTC milliseconds.
    pub used_utc_ms: u64,
}
