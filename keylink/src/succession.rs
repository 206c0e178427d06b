//! One of the centre's own keys follows another: said once, and signed by both. Nodes need it not, for they follow root
//! documents; whoever reads the log later finds in it that the holder of the old key named the new one, and that the
//! new one was there.

use crate::envelope::{Body, NotSigned, TrySign, bytes_of, pae, strict};
use crate::ids::{KmcId, PublicKey};
use crate::wire::{Blob, Hex, U64};
use serde::{Deserialize, Serialize};

/// Which of the centre's own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CentreKey {
    /// Signs manifests and every other message to nodes.
    Manifest,
    /// Signs checkpoints of the log.
    Checkpoint,
    /// Signs transport certificates: the key of the transport authority.
    Transport,
}

impl CentreKey {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Manifest, Self::Checkpoint, Self::Transport];

    /// The word for paths, files and lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Checkpoint => "checkpoint",
            Self::Transport => "transport",
        }
    }
}

impl core::fmt::Display for CentreKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.word())
    }
}

/// What both keys sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Succession {
    /// The manager.
    pub kmc: KmcId,
    /// Which of its keys.
    pub key: CentreKey,
    /// The key that goes, Ed25519.
    pub old: PublicKey,
    /// The key that comes, Ed25519.
    pub new: PublicKey,
    /// When it was said, ms UTC.
    pub made_ms: U64,
}

crate::envelope::body!(Succession, "signing-key");

/// The statement with both signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedSuccession {
    /// The exact bytes that were signed.
    pub payload: Blob,
    /// By the key that goes.
    pub by_old: Hex<64>,
    /// By the key that comes.
    pub by_new: Hex<64>,
}

impl SignedSuccession {
    /// Signs with both, which may be out of reach.
    pub fn try_seal(
        body: &Succession,
        old: &(impl TrySign + ?Sized),
        new: &(impl TrySign + ?Sized),
    ) -> Result<Self, NotSigned> {
        let payload = bytes_of(body);
        let pae = pae(Succession::KIND, &payload);
        let [by_old, by_new] = [old.try_sign(&pae)?, new.try_sign(&pae)?].map(Hex);
        Ok(Self { by_old, by_new, payload: Blob(payload) })
    }

    /// What it says, when both keys that it names have signed it.
    pub fn open(&self) -> Option<Succession> {
        let body: Succession = strict(&self.payload.0).ok()?;
        let pae = pae(Succession::KIND, &self.payload.0);
        let by = |key: &PublicKey, signature: &Hex<64>| key.verify(&pae, &signature.0).is_ok();
        let both = body.old != body.new && by(&body.old, &self.by_old) && by(&body.new, &self.by_new);
        both.then_some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sign, SoftSigner};

    fn sealed() -> SignedSuccession {
        let [old, new] = [1, 2].map(|seed| SoftSigner::new(&[seed; 32]));
        let body = Succession {
            kmc: KmcId([9; 32]),
            key: CentreKey::Manifest,
            old: old.key(),
            new: new.key(),
            made_ms: U64(5),
        };
        SignedSuccession::try_seal(&body, &old, &new).expect("signed")
    }

    #[test]
    fn it_holds_by_both_signatures_only() {
        let whole = sealed();
        assert_eq!(whole.open().map(|said| said.key), Some(CentreKey::Manifest));
        let swapped = SignedSuccession { by_old: whole.by_new, by_new: whole.by_old, ..whole.clone() };
        let mut altered = whole.clone();
        let text =
            String::from_utf8(altered.payload.0.clone()).expect("text").replace("manifest", "checkpoint");
        altered.payload = Blob(text.into_bytes());
        let one = SignedSuccession { by_new: whole.by_old, ..whole };
        for wrong in [swapped, altered, one] {
            assert!(wrong.open().is_none());
        }
    }

    #[test]
    fn a_key_does_not_follow_itself() {
        let own = SoftSigner::new(&[1; 32]);
        let name = own.key();
        let body = Succession {
            kmc: KmcId([9; 32]),
            key: CentreKey::Manifest,
            old: name,
            new: name,
            made_ms: U64(5),
        };
        let own = SignedSuccession::try_seal(&body, &own, &own).expect("signed");
        assert!(own.open().is_none());
    }
}
