//! What travels in one request or answer: a bundle of messages, each of which proves itself.

use crate::envelope::Signed;
use crate::ids::NodeId;
use crate::root::SignedRoot;
use serde::{Deserialize, Serialize};

/// From the manager to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Root documents behind the pinned one, in order. Taken before the messages.
    pub roots: Vec<SignedRoot>,
    /// Manifests, commands, offers, counter-receipts, in order.
    pub messages: Vec<Signed>,
}

/// From a node to its manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// Mail in a file, for a node that no network reaches (`.kmcpkg`). What is in it proves itself; nothing of the file
/// besides is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Package<T> {
    /// [`Package::FORMAT`].
    pub format: String,
    /// To or from which node, for people and for a first look.
    pub node: NodeId,
    /// What it carries: [`Mail`] to a node, [`Parcel`] from it.
    pub content: T,
}

impl<T> Package<T> {
    /// The format of this version.
    pub const FORMAT: &'static str = "kmcpkg.v1";

    /// A package.
    pub fn new(node: NodeId, content: T) -> Self {
        Self { format: Self::FORMAT.to_owned(), node, content }
    }
}

impl<T: Serialize> Package<T> {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::envelope::bytes_of(self)
    }
}

impl<T: serde::de::DeserializeOwned> Package<T> {
    /// Reads a file for or of `node`; `None` when it is something else.
    pub fn from_bytes(bytes: &[u8], node: NodeId) -> Option<T> {
        let package: Self = crate::envelope::strict(bytes).ok()?;
        (package.format == Self::FORMAT && package.node == node).then_some(package.content)
    }
}
