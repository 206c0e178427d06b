//! Settings of a manager, as `kmc init` wrote them and people may edit them.

use serde::{Deserialize, Serialize};

/// Content of `kmc.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name for people and certificates.
    pub name: String,
    /// Where state and log are: a path, or `postgres://…`.
    pub store: String,
    /// Address of the officers' interface.
    pub listen: String,
    /// Address of the interface for nodes.
    pub link: String,
    /// Host names and addresses by which nodes and people reach the manager, for its certificate.
    pub names: Vec<String>,
    /// Production: test LMKs and simulator seeds are refused.
    #[serde(default)]
    pub live: bool,
    /// How many connections one owner may have.
    #[serde(default)]
    pub limits: Limits,
}

/// `[limits]`: connections at once. One more takes the place of the owner's oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Of one address, without a registered credential.
    pub strangers_per_address: usize,
    /// Of one person, with it.
    pub connections_per_person: usize,
    /// Of one node, with its certificate.
    pub connections_per_node: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { strangers_per_address: 64, connections_per_person: 128, connections_per_node: 16 }
    }
}

impl Limits {
    /// Nobody is shut out by a limit of nothing.
    pub const fn hold(&self) -> bool {
        self.strangers_per_address > 0 && self.connections_per_person > 0 && self.connections_per_node > 0
    }
}
