//! What a key set is for: approved once, the same in every manifest.

use crate::ids::{KeySetId, NodeId, ZoneId};
use paytypes::{Algorithm, CipherKind, Exportability, KeyShape, KeyUsage, KeyVersion, ModeOfUse};
use serde::{Deserialize, Serialize};
use tr31::Attributes;

/// Kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum KeyKind {
    /// Zone master key: wraps keys on their way to a partner.
    #[serde(rename = "ZMK")]
    Zmk,
    /// Zone PIN key.
    #[serde(rename = "ZPK")]
    Zpk,
    /// Terminal master key.
    #[serde(rename = "TMK")]
    Tmk,
    /// Terminal PIN key.
    #[serde(rename = "TPK")]
    Tpk,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Zmk, Self::Zpk, Self::Tmk, Self::Tpk];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zmk => "ZMK",
            Self::Zpk => "ZPK",
            Self::Tmk => "TMK",
            Self::Tpk => "TPK",
        }
    }

    /// Key usage in a key block.
    pub const fn usage(self) -> KeyUsage {
        match self {
            Self::Zmk | Self::Tmk => KeyUsage(*b"K0"),
            Self::Zpk | Self::Tpk => KeyUsage(*b"P0"),
        }
    }
}

/// Cipher and length of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Shape {
    /// Double-length triple DES.
    #[serde(rename = "TDES-2")]
    Tdes2,
    /// Triple-length triple DES.
    #[serde(rename = "TDES-3")]
    Tdes3,
    /// AES-128.
    #[serde(rename = "AES-128")]
    Aes128,
    /// AES-192.
    #[serde(rename = "AES-192")]
    Aes192,
    /// AES-256.
    #[serde(rename = "AES-256")]
    Aes256,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Tdes2, Self::Tdes3, Self::Aes128, Self::Aes192, Self::Aes256];

    /// Cipher and length in bytes.
    pub const fn key_shape(self) -> KeyShape {
        let (kind, length) = match self {
            Self::Tdes2 => (CipherKind::Tdes, 16),
            Self::Tdes3 => (CipherKind::Tdes, 24),
            Self::Aes128 => (CipherKind::Aes, 16),
            Self::Aes192 => (CipherKind::Aes, 24),
            Self::Aes256 => (CipherKind::Aes, 32),
        };
        KeyShape { kind, length }
    }

    /// Algorithm in a key block.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Tdes2 | Self::Tdes3 => Algorithm::TDES,
            _ => Algorithm::AES,
        }
    }
}

/// Where a key set lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// On every member of a zone.
    Zone(ZoneId),
    /// On one node.
    Node(NodeId),
}

/// How old and new generations overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// By time: one previous generation is processed for a while.
    Time,
    /// By selector: the host always says which generation, and up to eight previous ones are processed.
    Selector,
}

impl Overlap {
    /// Most previous generations that are held.
    pub const fn previous_max(self) -> usize {
        match self {
            Self::Time => 1,
            Self::Selector => 8,
        }
    }
}

/// Number of indices of user storage: three hexadecimal digits.
pub const INDEX_COUNT: u16 = 0x1000;

/// The three indices of user storage, each below 4096 and all different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Indices {
    /// Protects and processes with the current generation.
    pub base: u16,
    /// Processes with the odd generation that is held.
    pub odd: u16,
    /// Processes with the even generation that is held.
    pub even: u16,
}

/// What a key set is. Approved as a whole; nothing of it ever changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The key set.
    pub key_set: KeySetId,
    /// Name for people.
    pub name: String,
    /// Where it lives.
    pub scope: Scope,
    /// Kind of key.
    pub kind: KeyKind,
    /// Cipher and length.
    pub shape: Shape,
    /// Overlap.
    pub overlap: Overlap,
    /// Indices.
    pub indices: Indices,
    /// A node stops by itself: to protect at `originator_until`, to process at `recipient_until`; else it raises an
    /// alarm and goes on.
    pub hard_stop: bool,
}

impl Definition {
    /// True when a node may hold it at all.
    pub fn sound(&self) -> bool {
        let Indices { base, odd, even } = self.indices;
        let different = base != odd && odd != even && base != even;
        different && base.max(odd).max(even) < INDEX_COUNT && self.name.len() <= 64
    }

    /// Attributes in the key block that delivers it. Exportability `N`: once inside a node a key stays there.
    pub const fn attributes(&self) -> Attributes {
        Attributes {
            usage: self.kind.usage(),
            algorithm: self.shape.algorithm(),
            mode: ModeOfUse::BOTH,
            key_version: KeyVersion::UNUSED,
            exportability: Exportability::NONE,
        }
    }
}
