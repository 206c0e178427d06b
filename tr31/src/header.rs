//! The fixed part of a header, and the header of a block for exchange.

use crate::blocks::OptionalBlocks;
use crate::version::Version;
use paytypes::{Algorithm, Exportability, KeyUsage, KeyVersion, ModeOfUse};

/// What both families of blocks bind to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Key usage, 2 characters.
    pub usage: KeyUsage,
    /// Algorithm that the key is for.
    pub algorithm: Algorithm,
    /// Mode of use.
    pub mode: ModeOfUse,
    /// Key version number, `00` when not used.
    pub key_version: KeyVersion,
    /// Exportability.
    pub exportability: Exportability,
}

/// Header of a TR-31 / X9.143 / ISO 20038 block. Its length field is worked out when a block is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Version of the block.
    pub version: Version,
    /// Attributes of the key.
    pub attributes: Attributes,
    /// Key context of X9.143: `0` storage or exchange, `1` storage only, `2` exchange only. TR-31: `0`.
    pub context: u8,
    /// Reserved character, `0`.
    pub reserved: u8,
    /// Optional blocks.
    pub blocks: OptionalBlocks<'a>,
}

impl Header<'_> {
    /// A header without optional blocks, for storage and exchange.
    pub const fn new(version: Version, attributes: Attributes) -> Self {
        Self { version, attributes, context: b'0', reserved: b'0', blocks: OptionalBlocks::none() }
    }

    /// The same header, independent of the parsed text.
    pub fn into_owned(self) -> Header<'static> {
        Header {
            version: self.version,
            attributes: self.attributes,
            context: self.context,
            reserved: self.reserved,
            blocks: self.blocks.into_owned(),
        }
    }
}
