//! DA (table 12): what may be derived from a key.

use paytypes::{Algorithm, Exportability, KeyUsage, ModeOfUse};

/// Attributes that a derived key may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// Usage.
    pub usage: KeyUsage,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Mode of use.
    pub mode: ModeOfUse,
    /// Exportability.
    pub exportability: Exportability,
}

/// A list of them, version 01 of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derivations<'a>(&'a [u8]);

impl<'a> Derivations<'a> {
    /// Reads the data of a block: the version, then five characters for each derivation.
    pub fn decode(data: &'a [u8]) -> Option<Self> {
        let (version, list) = data.split_first_chunk::<2>()?;
        let good = version == b"01"
            && !list.is_empty()
            && list.len().is_multiple_of(5)
            && list.iter().all(u8::is_ascii_alphanumeric);
        good.then_some(Self(data))
    }

    /// Data of a block that names `list`.
    pub fn encode(list: &[Derivation]) -> Vec<u8> {
        let mut out = b"01".to_vec();
        for derivation in list {
            let [a, b] = derivation.usage.0;
            out.extend([a, b, derivation.algorithm.0, derivation.mode.0, derivation.exportability.0]);
        }
        out
    }

    /// The data of the block.
    pub const fn text(&self) -> &'a [u8] {
        self.0
    }

    /// The derivations in their order.
    pub fn iter(&self) -> impl Iterator<Item = Derivation> + use<'a> {
        let (_, list) = self.0.split_at_checked(2).unwrap_or_default();
        list.as_chunks::<5>().0.iter().map(|[a, b, algorithm, mode, exportability]| Derivation {
            usage: KeyUsage([*a, *b]),
            algorithm: Algorithm(*algorithm),
            mode: ModeOfUse(*mode),
            exportability: Exportability(*exportability),
        })
    }

    /// True when a key with these attributes may be derived. Exportability `N` is always allowed: it is
    /// the narrowest.
    pub fn allow(&self, wanted: &Derivation) -> bool {
        self.iter().any(|allowed| {
            let narrower = wanted.exportability == Exportability::NONE;
            allowed == *wanted
                || (narrower && Derivation { exportability: Exportability::NONE, ..allowed } == *wanted)
        })
    }
}
