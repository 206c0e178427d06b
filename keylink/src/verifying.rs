//! Judging signatures: strictly, as `verify_strict` of ed25519-dalek does (no weak key, no second spelling), without
//! unpacking what need not be unpacked. It unpacks the first half of every signature, to see that this is no point of
//! small order; a tenth of its time goes there. A signature that holds spells this half as the one point that it can be,
//! and of the eight points of small order the first bytes are known: only such a one is looked at.

use crate::envelope::EnvelopeError;
use crate::ids::PublicKey;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};

/// First bytes of the points of small order, as they are spelled.
const SMALL: [u8; 5] = [0x00, 0x01, 0x26, 0xC7, 0xEC];

/// A public key unpacked, for whoever judges many signatures by it.
#[derive(Clone, Debug)]
pub struct Verifying {
    key: VerifyingKey,
    weak: bool,
}

impl Verifying {
    /// Unpacks a key; none if it is no point.
    pub fn of(key: &PublicKey) -> Option<Self> {
        let key = VerifyingKey::from_bytes(&key.0).ok()?;
        Some(Self { key, weak: key.is_weak() })
    }

    /// Judges a signature.
    pub fn judge(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), EnvelopeError> {
        let signature = Signature::from_bytes(signature);
        let judged = if self.weak || SMALL.contains(&signature.r_bytes()[0]) {
            self.key.verify_strict(message, &signature)
        } else {
            self.key.verify(message, &signature)
        };
        judged.map_err(|_| EnvelopeError::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Sign, SoftSigner};
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::scalar::Scalar;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;
    use sha2::{Digest, Sha512};

    fn strictly(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
        let key = VerifyingKey::from_bytes(&key.0).ok();
        key.is_some_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }

    fn judged(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
        Verifying::of(key).is_some_and(|key| key.judge(message, signature).is_ok())
    }

    // R = rB + T for a point T of small order, and s so that the equation holds where k makes T vanish.
    fn crafted(key: &SigningKey, message: &[u8], r: Scalar, torsion: usize) -> [u8; 64] {
        let point = curve25519_dalek::EdwardsPoint::mul_base(&r) + EIGHT_TORSION[torsion];
        let first = point.compress().to_bytes();
        let hash = Sha512::new().chain_update(first).chain_update(key.verifying_key().to_bytes());
        let k = Scalar::from_bytes_mod_order_wide(&hash.chain_update(message).finalize().into());
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&first);
        signature[32..].copy_from_slice(&(r + k * key.to_scalar()).to_bytes());
        signature
    }

    #[test]
    fn the_first_bytes_of_small_points_are_known() {
        assert!(EIGHT_TORSION.iter().all(|point| SMALL.contains(&point.compress().as_bytes()[0])));
        assert!(SMALL.iter().all(|byte| EIGHT_TORSION.iter().any(|p| p.compress().as_bytes()[0] == *byte)));
    }

    #[test]
    fn a_signature_that_begins_with_a_small_point_does_not_hold() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey(key.verifying_key().to_bytes());
        let forged = crafted(&key, b"m", Scalar::ZERO, 0);
        assert!(key.verifying_key().verify(b"m", &Signature::from_bytes(&forged)).is_ok(), "by the equation");
        assert!(!judged(&public, b"m", &forged) && !strictly(&public, b"m", &forged));
        for torsion in 0..8 {
            let (none, some) =
                (crafted(&key, b"m", Scalar::ZERO, torsion), crafted(&key, b"m", Scalar::ONE, torsion));
            assert!(!judged(&public, b"m", &none));
            assert_eq!(judged(&public, b"m", &some), torsion == 0);
            assert_eq!(judged(&public, b"m", &some), strictly(&public, b"m", &some));
        }
    }

    #[test]
    fn a_weak_key_signs_nothing() {
        for torsion in EIGHT_TORSION {
            let key = PublicKey(torsion.compress().to_bytes());
            for r in [Scalar::ZERO, Scalar::ONE] {
                let mut signature = [0; 64];
                signature[..32]
                    .copy_from_slice(&curve25519_dalek::EdwardsPoint::mul_base(&r).compress().to_bytes());
                signature[32..].copy_from_slice(&r.to_bytes());
                assert!((0..64u8).all(|n| !judged(&key, &[n], &signature)));
            }
        }
    }

    proptest! {
        #[test]
        fn it_says_what_the_strict_judge_says(seed: [u8; 32], message: [u8; 9], at in 0usize..80, bit in 0u8..8) {
            let signer = SoftSigner::new(&seed);
            let mut signature = signer.sign(&message);
            if let Some(byte) = signature.get_mut(at) {
                *byte ^= 1 << bit;
            }
            let holds = judged(&signer.key(), &message, &signature);
            prop_assert_eq!(holds, at >= 64);
            prop_assert_eq!(holds, strictly(&signer.key(), &message, &signature));
        }
    }
}
