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
}
