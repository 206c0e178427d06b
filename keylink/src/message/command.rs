//! Orders to a node that are no target state of keys.

use super::Head;
use crate::action::Evidence;
use crate::envelope::body;
use crate::ids::CommandId;
use serde::{Deserialize, Serialize};

/// What a node shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Neither protect nor process with managed keys, at once. One person's approval.
    Suspend,
    /// Take part again.
    Resume,
    /// Forget every managed key and the root KEK: a node that is revoked, while it can still be reached. Its approval may
    /// be shown again in a later command, and is obeyed again: there is nothing left to forget then, and nothing that
    /// comes back, since the id of a revoked node is never used again.
    Zeroise,
}

/// A command. Numbered together with manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Head.
    pub head: Head,
    /// Its id.
    pub command: CommandId,
    /// What.
    pub order: Order,
    /// Who approved it.
    pub evidence: Vec<Evidence>,
}

body!(Command, "command");
