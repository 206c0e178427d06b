//! What a key is: the kinds that the manager makes, as header fields of a key block.

use hsm::BlockAttributes;
use paytypes::{Algorithm, CipherKind, Exportability, KeyShape, KeyUsage, KeyVersion, ModeOfUse};

/// Usage, algorithm and length of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Key usage of X9.143: P0, K0, …
    pub usage: KeyUsage,
    /// Cipher and length in bytes.
    pub shape: KeyShape,
}

impl KeySpec {
    /// Header fields under the master key. Exportable, since the manager delivers the key; trust in the
    /// form of export is the vault's.
    pub const fn attributes(self) -> BlockAttributes {
        BlockAttributes {
            usage: self.usage,
            mode: ModeOfUse::BOTH,
            version: KeyVersion::UNUSED,
            exportability: Exportability::EXPORTABLE,
        }
    }

    /// Algorithm letter of its key blocks.
    pub const fn algorithm(self) -> Algorithm {
        match self.shape.kind {
            CipherKind::Aes => Algorithm::AES,
            CipherKind::Tdes => Algorithm::TDES,
            CipherKind::Des => Algorithm::DES,
        }
    }
}
