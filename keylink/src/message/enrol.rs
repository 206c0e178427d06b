//! How a node becomes known. A one-time token authenticates the manager to the node (it holds the hash of the root
//! document) and the node to the manager (a MAC under its secret, which never travels). Officers approve the
//! signature key and the certificate request by their hashes.

use super::Head;
use crate::action::Evidence;
use crate::envelope::body;
use crate::ids::{Digest, KmcId, NodeId, PublicKey, TokenId};
use crate::root::SignedRoot;
use crate::wire::{Blob, Hex, U64};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What the operator of a node is handed, as one line of text. Whoever has it may ask once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnrolmentToken {
    /// The manager.
    pub kmc: KmcId,
    /// Hash of the root document that the node will pin.
    pub root: Digest,
    /// Where the manager is.
    pub url: String,
    /// Keys of the authorities by which the manager proves itself until the node has its root document.
    pub authorities: Vec<PublicKey>,
    /// The token.
    pub token: TokenId,
    /// Its secret.
    pub secret: Hex<32>,
    /// Worthless after this, ms UTC; at most a day after it was made.
    pub not_after: U64,
}

impl core::fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "EnrolmentToken({})", self.token)
    }
}

impl EnrolmentToken {
    /// The line of text: base64 of its JSON.
    pub fn to_line(&self) -> String {
        serde_json::to_string(&Blob(crate::envelope::bytes_of(self)))
            .unwrap_or_default()
            .trim_matches('"')
            .to_owned()
    }

    /// Reads the line.
    pub fn from_line(line: &str) -> Option<Self> {
        let blob: Blob = serde_json::from_str(&format!("\"{}\"", line.trim())).ok()?;
        crate::envelope::strict(&blob.0).ok()
    }
}

/// A node asks to be known. Signed by the key that it asks to be known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// Head; `seq` is 1.
    pub head: Head,
    /// Name for people.
    pub name: String,
    /// Signature key of the node: its id is the key's hash.
    pub key: PublicKey,
    /// Certificate request of its transport key, PKCS #10 in DER.
    pub csr: Blob,
    /// The token.
    pub token: TokenId,
    /// [`enrol_proof`].
    pub proof: Hex<32>,
    /// `A`, `B` or `C`: what its backend may claim.
    pub backend_class: String,
    /// Free text of the maker about the unit.
    pub attestation: String,
}

body!(Enrol, "enrol");

impl Enrol {
    /// The id under which it asks to be known.
    pub fn node(&self) -> NodeId {
        NodeId::of(&self.key)
    }
}

/// Proof of the token's secret, bound to key and request: worthless to whoever sits in the middle.
pub fn enrol_proof(secret: &[u8; 32], token: TokenId, key: &PublicKey, csr: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(proof(secret, token, key, csr).finalize().into_bytes().into())
}

/// Compares in constant time.
pub fn proof_holds(secret: &[u8; 32], enrol: &Enrol) -> bool {
    proof(secret, enrol.token, &enrol.key, &enrol.csr.0).verify_slice(&enrol.proof.0).is_ok()
}

fn proof(secret: &[u8; 32], token: TokenId, key: &PublicKey, csr: &[u8]) -> Hmac<Sha256> {
    // HMAC fills a short key up with zeros (RFC 2104 section 2).
    let mut key_block = Zeroizing::new([0; 64]);
    if let Some((room, _)) = key_block.split_first_chunk_mut() {
        *room = *secret;
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&(*key_block).into());
    mac.update(b"payhsm/enrol/v1");
    mac.update(&token.0);
    mac.update(&key.0);
    mac.update(&Digest::of(csr).0);
    mac
}

/// The manager's answer once officers have approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Head; `seq` is 0: manifests begin at 1.
    pub head: Head,
    /// The root document of the token, and those behind it, in order.
    pub roots: Vec<SignedRoot>,
    /// Transport certificate of the node and its issuers, each DER. Which issuers count is in the root document.
    pub certificates: Vec<Blob>,
    /// Who approved it.
    pub evidence: Evidence,
}

body!(Enrolled, "enrolled");
