//! What became of messages that somebody brought from a node.

use super::ids::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It counts.
    Taken,
    /// It is known, or the node has said later things since: nothing changes.
    Again,
    /// It changes nothing: see the code.
    Refused,
}

/// A message that was brought, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Kind of message.
    pub kind: String,
    /// Its hash.
    pub message: Digest,
    /// What became of it.
    pub fate: Fate,
    /// Stable word, where it was refused.
    pub code: Option<String>,
    /// A sentence, where there is something to say: why it was refused, or what the node itself refused.
    pub detail: Option<String>,
}
