//! Small records: evidence that the centre keeps and does not need to decide (manifests as sent, receipts as
//! received), and which tokens were used.

use super::ids::{ActionId, CampaignId, CredentialId, Digest, NodeId, PersonId};
use keylink::wire::U64;
use keylink::{Signed, TokenId};
use schemars::JsonSchema;
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

/// An enrolment token. Its secret follows from its name, and is in no record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its name.
    pub token: TokenId,
    /// Who had it made; none for one that was made before such records were kept.
    pub by: Option<PersonId>,
    /// Who asked by it.
    pub used: Option<TokenUse>,
    /// Why nobody asks by it any more.
    pub void: Option<TokenVoid>,
}

/// The node that asked by a token first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenUse {
    /// The node.
    pub node: NodeId,
    /// SHA-256 of its certificate request.
    pub csr: Digest,
    /// When, UTC milliseconds.
    pub utc_ms: u64,
}

/// Why a token is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenVoid {
    /// Another node or request came with it.
    UsedTwice,
    /// Somebody did not want it to be used.
    Withdrawn {
        /// Who.
        by: PersonId,
    },
    /// The node that asked by it is not wanted.
    TurnedAway {
        /// By whom.
        by: PersonId,
        /// Why.
        reason: String,
    },
}
