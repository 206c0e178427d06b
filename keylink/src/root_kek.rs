//! Agreement of a root KEK: ECDH over P-521 (a security strength that covers AES-256), the one-step derivation of
//! NIST SP 800-56C with SHA-512 over the transcript, and a confirmation MAC of each side.
//!
//! The private keys live for one agreement in whoever calls this; nothing of them is kept. Two keys come out of
//! one secret by different information: the KEK, and the key of the confirmations.

use crate::ids::{Digest, KmcId, NodeId};
use crate::wire::Hex;
use hmac::{Hmac, KeyInit, Mac};
use p521::elliptic_curve::sec1::ToSec1Point;
use p521::{PublicKey, SecretKey};
use paytypes::ClearKey;
use sha2::{Digest as _, Sha256};
use tr31::agreement::{Kdf, KdfHash};
use zeroize::Zeroizing;

/// Length of a root KEK in bytes: AES-256.
pub const KEK_LENGTH: usize = 32;

/// The other side's public key is no point of the curve, or the private key no scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key of P-521")]
pub struct AgreementError;

/// A key pair for one agreement. Wiped on drop.
pub struct Ephemeral(SecretKey);

impl core::fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ephemeral(P-521)")
    }
}

impl Ephemeral {
    /// From 66 random bytes, cut to the curve's 521 bits; in the rarest case they are no scalar and a fresh draw is
    /// needed. Wipes them.
    pub fn new(random: &mut [u8; 66]) -> Result<Self, AgreementError> {
        if let Some(top) = random.first_mut() {
            *top &= 1;
        }
        let key = SecretKey::from_slice(random).map(Self).map_err(|_| AgreementError);
        zeroize::Zeroize::zeroize(random);
        key
    }

    /// The public key, uncompressed.
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key().to_sec1_point(false).as_bytes().to_vec()
    }
}

/// Who agrees on what: both sides state the same, or nothing fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transcript<'a> {
    /// The manager.
    pub kmc: KmcId,
    /// The node.
    pub node: NodeId,
    /// Number of the KEK at the node.
    pub number: u32,
    /// Hash of the signed offer, which holds the manager's public key and nonce.
    pub offer: Digest,
    /// The node's public key.
    pub node_public: &'a [u8],
}

/// The result. The KEK is in a quiet type and goes into the backend at once.
pub struct Agreement {
    /// The KEK.
    pub kek: ClearKey,
    /// What the node shows.
    pub of_node: Hex<32>,
    /// What the manager shows.
    pub of_manager: Hex<32>,
}

impl core::fmt::Debug for Agreement {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Agreement")
    }
}

/// Derives KEK and confirmations from our key pair and the other side's public key.
pub fn derive(
    own: &Ephemeral,
    other: &[u8],
    transcript: &Transcript<'_>,
) -> Result<Agreement, AgreementError> {
    let other = PublicKey::from_sec1_bytes(other).map_err(|_| AgreementError)?;
    let secret = p521::ecdh::diffie_hellman(own.0.to_nonzero_scalar(), other.as_affine());
    let kek = key(secret.raw_secret_bytes(), b"payhsm/root-kek/v1", transcript)?;
    let confirm = key(secret.raw_secret_bytes(), b"payhsm/root-kek-confirm/v1", transcript)?;
    Ok(Agreement {
        kek,
        of_node: shown(&confirm, b"node", transcript),
        of_manager: shown(&confirm, b"manager", transcript),
    })
}

/// What a node proves about a root KEK that it has formed from components: who, which number, and a nonce of its own.
/// It answers nothing of the manager's, so it is bound to what it is about, and its receipt is one of a chain.
pub fn formed_challenge(kmc: KmcId, node: NodeId, number: u32, nonce: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"payhsm/root-kek-formed/v1")
        .chain_update(kmc.0)
        .chain_update(node.0)
        .chain_update(number.to_be_bytes())
        .chain_update(nonce)
        .finalize()
        .into()
}

fn key(secret: &[u8], label: &[u8], transcript: &Transcript<'_>) -> Result<ClearKey, AgreementError> {
    let mut info = label.to_vec();
    info.extend_from_slice(&bytes(transcript));
    tr31::agreement::derive(Kdf::OneStep, KdfHash::Sha512, secret, &info, KEK_LENGTH)
        .map_err(|_| AgreementError)
}

fn bytes(transcript: &Transcript<'_>) -> Vec<u8> {
    let number = transcript.number.to_be_bytes();
    let parts: [&[u8]; 5] =
        [&transcript.kmc.0, &transcript.node.0, &number, &transcript.offer.0, transcript.node_public];
    parts.concat()
}

fn shown(confirm: &ClearKey, side: &[u8], transcript: &Transcript<'_>) -> Hex<32> {
    // HMAC fills a short key up with zeros (RFC 2104 section 2).
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(confirm.expose()).for_each(|(room, byte)| *room = *byte);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&(*block).into());
    mac.update(side);
    mac.update(&bytes(transcript));
    Hex(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(seed: u8) -> Ephemeral {
        Ephemeral::new(&mut [seed; 66]).unwrap()
    }

    #[test]
    fn both_sides_agree_and_a_change_of_anything_shows() {
        let (manager, node) = (pair(1), pair(3));
        let public = node.public();
        let transcript = Transcript {
            kmc: KmcId([1; 32]),
            node: NodeId([2; 32]),
            number: 1,
            offer: Digest([3; 32]),
            node_public: &public,
        };
        let here = derive(&manager, &node.public(), &transcript).unwrap();
        let there = derive(&node, &manager.public(), &transcript).unwrap();
        assert!(here.kek.same_as(&there.kek) && here.kek.len() == KEK_LENGTH);
        assert_eq!((here.of_node, here.of_manager), (there.of_node, there.of_manager));
        assert_ne!(here.of_node, here.of_manager);
        let others = [
            Transcript { kmc: KmcId([9; 32]), ..transcript },
            Transcript { node: NodeId([9; 32]), ..transcript },
            Transcript { number: 2, ..transcript },
            Transcript { offer: Digest([9; 32]), ..transcript },
        ];
        for other in others {
            let made = derive(&node, &manager.public(), &other).unwrap();
            assert!(!made.kek.same_as(&here.kek) && made.of_node != here.of_node);
        }
        assert_eq!(derive(&node, &[4; 133], &transcript).unwrap_err(), AgreementError);
        assert_eq!(Ephemeral::new(&mut [0; 66]).unwrap_err(), AgreementError);
        assert_eq!(format!("{here:?} {node:?}"), "Agreement Ephemeral(P-521)");
    }
}
