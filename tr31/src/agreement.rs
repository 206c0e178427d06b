//! Protection keys that two parties agree on (feature `ecdh`): the key derivation functions over a shared
//! secret, as X9.143 and key distribution services use them.
//!
//! The agreement itself (ECDH over P-256, P-384 or P-521) is left to whoever holds the private key: a token,
//! or a curve crate. Its result, the x coordinate, comes in here.

use crate::error::{ErrorKind, KeyBlockError, field};
use paytypes::ClearKey;
use paytypes::secret::KEY_LENGTH_MAX;
use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// Hash of a derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Which function; they differ in where the counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kdf {
    /// ANSI X9.63: hash of secret, counter, shared information.
    X963,
    /// NIST SP 800-56C one-step: hash of counter, secret, shared information.
    OneStep,
}

/// Derives a key of `length` bytes, 1 to 32, from a shared secret and the information that both parties
/// state. Refuses another length and an empty secret ([`ErrorKind::KbpkLength`]).
pub fn derive(
    kdf: Kdf,
    hash: KdfHash,
    secret: &[u8],
    shared_info: &[u8],
    length: usize,
) -> Result<ClearKey, KeyBlockError> {
    let wrong = KeyBlockError::new(ErrorKind::KbpkLength, field::KBPK, 0);
    if secret.is_empty() || length > KEY_LENGTH_MAX {
        return Err(wrong);
    }
    // One round is enough: every hash here is at least as long as the longest key.
    let round = match hash {
        KdfHash::Sha256 => first_round::<Sha256>(kdf, secret, shared_info),
        KdfHash::Sha384 => first_round::<Sha384>(kdf, secret, shared_info),
        KdfHash::Sha512 => first_round::<Sha512>(kdf, secret, shared_info),
    };
    ClearKey::new(round.get(..length).unwrap_or_default()).map_err(|_| wrong)
}

fn first_round<D: Digest>(kdf: Kdf, secret: &[u8], shared_info: &[u8]) -> Zeroizing<[u8; KEY_LENGTH_MAX]> {
    const COUNTER: [u8; 4] = [0, 0, 0, 1];
    let mut hash = D::new();
    match kdf {
        Kdf::X963 => {
            hash.update(secret);
            hash.update(COUNTER);
        }
        Kdf::OneStep => {
            hash.update(COUNTER);
            hash.update(secret);
        }
    }
    hash.update(shared_info);
    Zeroizing::new(paytypes::bytes::left(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::hex;

    fn made(kdf: Kdf, hash: KdfHash, secret: &str, info: &str, length: usize) -> String {
        let of = |text: &str| hex::decode_vec(text.as_bytes()).unwrap();
        hex::encode(derive(kdf, hash, &of(secret), &of(info), length).unwrap().expose())
    }

    // NIST CAVP, ANS X9.63 key derivation, SHA-256, no shared information, first case.
    #[test]
    fn x963_of_nist() {
        let secret = "96C05619D56C328AB95FE84B18264B08725B85E33FD34F08";
        assert_eq!(made(Kdf::X963, KdfHash::Sha256, secret, "", 16), "443024C3DAE66B95E6F5670601558F71");
    }

    #[test]
    fn functions_hashes_and_information_differ() {
        let all: std::collections::HashSet<_> = [Kdf::X963, Kdf::OneStep]
            .iter()
            .flat_map(|kdf| {
                [KdfHash::Sha256, KdfHash::Sha384, KdfHash::Sha512]
                    .iter()
                    .flat_map(|hash| ["", "01"].map(|info| made(*kdf, *hash, "0102", info, 32)))
            })
            .collect();
        assert_eq!(all.len(), 12);
        for (secret, length) in [(&[][..], 16), (&[1][..], 0), (&[1][..], 33)] {
            let refused = derive(Kdf::X963, KdfHash::Sha256, secret, &[], length).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::KbpkLength);
        }
    }
}
