//! What a custodian signs about a component, and what the centre signs at the end of a ceremony.

use keylink::envelope::Body;
use keylink::wire::U64;
use keylink::{ActionId, CredentialId, Digest, Generation, KeySetId, KmcId, NodeId, PersonId};
use serde::{Deserialize, Serialize};

/// What a custodian signs about a component. It names the sealed component by its hash: the message is kept for
/// whoever verifies the ceremony later, the box is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentMessage {
    /// The centre.
    pub kmc: KmcId,
    /// The ceremony: the approved action.
    pub ceremony: ActionId,
    /// Number of the component, from 1.
    pub number: u8,
    /// Whose it is.
    pub person: PersonId,
    /// With which credential it is signed.
    pub credential: CredentialId,
    /// SHA-256 of the ceremony's key, to which it is sealed.
    pub key: Digest,
    /// Check value, as the custodian's own program computed it.
    pub check: String,
    /// Hash of the sealed component: of its length and bytes.
    pub sealed: Digest,
}

impl Body for ComponentMessage {
    const KIND: &'static str = "component";
}

/// One component in a transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranscriptPart {
    /// Number.
    pub number: u8,
    /// Custodian.
    pub person: PersonId,
    /// Check value.
    pub check: String,
    /// Name of the custodian's signed message.
    pub message: Digest,
}

/// What was done, without a secret; signed by the centre, and its hash is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The centre.
    pub kmc: KmcId,
    /// The ceremony.
    pub ceremony: ActionId,
    /// Hash of the exact action that officers approved.
    pub action: Digest,
    /// Key set; none when a root KEK was formed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_set: Option<KeySetId>,
    /// Node whose root KEK was formed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Generation that was formed; of a root KEK its number.
    pub generation: Generation,
    /// SHA-256 of the ceremony's key.
    pub key: Digest,
    /// Components, by number.
    pub parts: Vec<TranscriptPart>,
    /// Check value of the combined key.
    pub kcv: String,
    /// When, UTC milliseconds.
    pub utc_ms: U64,
}

impl Body for Transcript {
    const KIND: &'static str = "ceremony-transcript";
}
