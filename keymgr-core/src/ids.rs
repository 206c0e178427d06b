//! Names of things, and the randomness that new names are made of.

pub use keylink::{
    ActionId, CampaignId, CredentialId, Digest, Generation, KeySetId, KmcId, NodeId, PersonId, PolicyId,
    PublicKey, ZoneId,
};

/// Randomness of one request, drawn by the shell. Values made of it differ by their label, so that a replay
/// of the request makes the same ones.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Fresh(pub Digest);

impl Fresh {
    /// A value for this label.
    pub fn draw(&self, label: &str, number: u64) -> Digest {
        let mut input = self.0.0.to_vec();
        input.extend_from_slice(label.as_bytes());
        input.extend_from_slice(&number.to_be_bytes());
        Digest::of(&input)
    }
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fresh")
    }
}
