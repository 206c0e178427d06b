//! Protection keys that two parties agree on (feature `ecdh`): the key derivation functions over a shared
//! secret, as X9.143 and key distribution services use them.
//!
//! The agreement itself (ECDH over P-256, P-384 or P-521) is left to whoever holds the private key: a token,
//! or a curve crate. Its result, the x coordinate, comes in here.
//!
//! ```
//! use p256::elliptic_curve::Generate;
//! use paytypes::soft::Soft;
//! use paytypes::{ClearKey, now};
//! use tr31::agreement::{Kdf, KdfHash, kbpk};
//! use tr31::{KcvMethod, Version};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Each party has the other's public key, and both state the same information.
//! let (ours, theirs) = (p256::ecdh::EphemeralSecret::generate(), p256::ecdh::EphemeralSecret::generate());
//! let agreed = [
//!     ours.diffie_hellman(&theirs.public_key()),
//!     theirs.diffie_hellman(&ours.public_key()),
//! ];
//! let [one, other] = agreed.map(|secret| {
//!     now(kbpk(&Soft, Kdf::X963, KdfHash::Sha256, secret.raw_secret_bytes(), b"zone 7", 32, Version::D))
//! });
//! let (one, other) = (one.ok_or("ready")??, other.ok_or("ready")??);
//! let value = |kbpk: &tr31::Kbpk<_>| kbpk.check_value(KcvMethod::Cmac).bytes(5).to_vec();
//! assert_eq!(value(&one), value(&other));
//! # Ok(())
//! # }
//! ```

use crate::error::{ErrorKind, KeyBlockError, field};
use crate::kbpk::Kbpk;
use crate::version::Version;
use paytypes::secret::KEY_LENGTH_MAX;
use paytypes::{Cipher, ClearKey};
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

/// The protection key for blocks of `version` that two parties agreed on: [`derive()`] with 16, 24 or 32 bytes,
/// loaded and made ready. Refuses a length that the version's cipher does not take
/// ([`ErrorKind::KbpkLength`]); parity bits of a TDES key are as they come, no cipher reads them.
pub async fn kbpk<C: Cipher>(
    cipher: &C,
    kdf: Kdf,
    hash: KdfHash,
    secret: &[u8],
    shared_info: &[u8],
    length: usize,
    version: Version,
) -> Result<Kbpk<C::Key>, KeyBlockError> {
    if !version.kind().takes(length) {
        return Err(KeyBlockError::new(ErrorKind::KbpkLength, field::KBPK, 0));
    }
    let clear = derive(kdf, hash, secret, shared_info, length)?;
    let key = cipher.load(version.kind(), clear.expose()).await?;
    Kbpk::new(cipher, &key, version).await
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
    use crate::kcv::KcvMethod;
    use paytypes::soft::{Soft, SoftKey};
    use paytypes::{hex, now};

    fn made(kdf: Kdf, hash: KdfHash, secret: &str, info: &str, length: usize) -> String {
        let of = |text: &str| hex::decode_vec(text.as_bytes()).unwrap();
        hex::encode(derive(kdf, hash, &of(secret), &of(info), length).unwrap().expose())
    }

    // NIST CAVP, ANS X9.63 key derivation: the first case of each hash without and with shared information.
    #[test]
    fn x963_of_nist() {
        for (hash, secret, info, key) in [
            (
                KdfHash::Sha256,
                "96C05619D56C328AB95FE84B18264B08725B85E33FD34F08",
                "",
                "443024C3DAE66B95E6F5670601558F71",
            ),
            (
                KdfHash::Sha256,
                "22518B10E70F2A3F243810AE3254139EFBEE04AA57C7AF7D",
                "75EEF81AA3041E33B80971203D2C0C52",
                "C498AF77161CC59F2962B9A713E2B215152D139766CE34A776DF11866A69BF2E",
            ),
            (
                KdfHash::Sha384,
                "D8554DB1B392CD55C3FE957BED76AF09C13AC2A9392F88F6",
                "",
                "671A46AADA145162F8DDF1CA586A1CDA",
            ),
            (
                KdfHash::Sha384,
                "C051FD22539C9DE791D6C43A854B8F80A6BF70190050854A",
                "1317504AA34759BB4C931E3B78201945",
                "CF6A84434734AC6949E1D7976743277BE789906908AD3CA3A8923DA7F476ABBE",
            ),
            (
                KdfHash::Sha512,
                "87FC0D8C4477485BB574F5FCEA264B30885DC8D90AD82782",
                "",
                "947665FBB9152153EF460238506A0245",
            ),
            (
                KdfHash::Sha512,
                "00AA5BB79B33E389FA58CEADC047197F14E73712F452CAA9FC4C9ADB369348B81507392F1A86DDFDB7C4FF8231C4BD0F44\
                 E44A1B55B1404747A9E2E753F55EF05A2D",
                "E3B5B4C1B0D5CF1D2B3A2F9937895D31",
                "4463F869F3CC18769B52264B0112B5858F7AD32A5A2D96D8CFFABF7FA733633D",
            ),
        ] {
            assert_eq!(made(Kdf::X963, hash, secret, info, key.len() / 2), key);
        }
    }

    // RFC 7518 appendix C: the one-step function under its name in JOSE, Concat KDF.
    #[test]
    fn one_step_of_jose() {
        let secret = "9E56D91D817135D372834283BF84269CFB316EA3DA806A48F6DAA7798CFE90C4";
        let info = "000000074131323847434D00000005416C69636500000003426F6200000080";
        let key = "56AA8DEAF8236D205C2228CD71A7101A";
        assert_eq!(made(Kdf::OneStep, KdfHash::Sha256, secret, info, 16), key);
    }

    #[test]
    fn an_agreed_protection_key_opens_what_the_derived_one_made() {
        for (version, lengths) in [(Version::B, &[16, 24][..]), (Version::D, &[16, 24, 32])] {
            for length in [8, 15, 16, 24, 32, 33] {
                let agreed = kbpk(&Soft, Kdf::OneStep, KdfHash::Sha512, &[7; 66], b"zone", length, version);
                let agreed = now(agreed).unwrap();
                if !lengths.contains(&length) {
                    assert_eq!(agreed.unwrap_err().kind, ErrorKind::KbpkLength, "{version:?} {length}");
                    continue;
                }
                let clear = derive(Kdf::OneStep, KdfHash::Sha512, &[7; 66], b"zone", length).unwrap();
                let key = SoftKey::new(version.kind(), clear.expose()).unwrap();
                let derived = now(Kbpk::new(&Soft, &key, version)).unwrap().unwrap();
                let value = |kbpk: &Kbpk<SoftKey>| kbpk.check_value(KcvMethod::Cmac).bytes(5).to_vec();
                assert_eq!(value(&agreed.unwrap()), value(&derived));
            }
        }
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
