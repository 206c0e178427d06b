//! A private key at rest: PKCS#8, encrypted under a passphrase (PBES2 with scrypt and AES-256-CBC, the
//! library's recommendation), as PEM.

use pkcs8::der::Decode;
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::pkcs5::{pbes2::Parameters, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoOwned, PrivateKeyInfoRef, SecretDocument};
use thiserror::Error;

/// Shortest passphrase, in bytes.
pub const PASSPHRASE_MIN: usize = 12;

/// The least work of scrypt that a release opens: what OpenSSL seals with.
const COST_MIN: u64 = 1 << 14;
/// What a debug build seals with, log2: tests open thousands of files, each for as long as a person's guess should take.
const DEBUG_LOG_COST: u8 = 10;

const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// Why a key file could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// Too short a passphrase.
    #[error("a passphrase has at least {PASSPHRASE_MIN} characters")]
    Passphrase,
    /// Not an encrypted key in PEM.
    #[error("not an encrypted private key (PEM, PKCS#8)")]
    Format,
    /// Wrong passphrase or altered file; the two cannot be told apart.
    #[error("wrong passphrase, or the file was altered")]
    Sealed,
    /// Made by a build for tests.
    #[error("sealed by a debug build, so that guessing is cheap: make this key anew with a release")]
    Weak,
}

/// Encrypts a PKCS#8 key in DER.
pub fn seal_key(der: &[u8], passphrase: &[u8]) -> Result<String, KeyFileError> {
    if passphrase.len() < PASSPHRASE_MIN {
        return Err(KeyFileError::Passphrase);
    }
    let key = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyFileError::Format)?;
    let how = how_to_seal().ok_or(KeyFileError::Format)?;
    let sealed = key.encrypt_with_params(how, passphrase).map_err(|_| KeyFileError::Format)?;
    let text = sealed.to_pem(LABEL, pkcs8::LineEnding::LF).map_err(|_| KeyFileError::Format)?;
    Ok(text.to_string())
}

fn how_to_seal() -> Option<Parameters> {
    if !cfg!(debug_assertions) {
        return Some(Parameters::generate());
    }
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).ok()?;
    getrandom::fill(&mut iv).ok()?;
    let cost = scrypt::Params::new(DEBUG_LOG_COST, 8, 1).ok()?;
    Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).ok()
}

fn is_weak(how: &Parameters) -> bool {
    how.kdf.scrypt().is_some_and(|scrypt| scrypt.cost_parameter < COST_MIN)
}

/// Opens a key file; gives PKCS#8 in DER, wiped when dropped.
pub fn open_key(pem: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| KeyFileError::Format)?;
    if label != LABEL {
        return Err(KeyFileError::Format);
    }
    let sealed =
        EncryptedPrivateKeyInfoOwned::from_der(document.as_bytes()).map_err(|_| KeyFileError::Format)?;
    if !cfg!(debug_assertions) && sealed.encryption_algorithm.pbes2().is_some_and(is_weak) {
        return Err(KeyFileError::Weak);
    }
    let open = sealed.decrypt(passphrase).map_err(|_| KeyFileError::Sealed)?;
    Ok(Zeroizing::new(open.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};

    #[test]
    fn opens_with_its_passphrase_only() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let der = key.to_pkcs8_der().unwrap();
        assert_eq!(seal_key(der.as_bytes(), b"short"), Err(KeyFileError::Passphrase));
        let pem = seal_key(der.as_bytes(), b"correct horse").unwrap();
        let again = SigningKey::from_pkcs8_der(&open_key(&pem, b"correct horse").unwrap()).unwrap();
        assert_eq!(again.verifying_key(), key.verifying_key());
        assert_eq!(open_key(&pem, b"correct house"), Err(KeyFileError::Sealed));
        assert_eq!(open_key("no key", b"correct horse"), Err(KeyFileError::Format));
    }

    #[test]
    fn what_tests_seal_is_nothing_that_a_release_opens() {
        assert!(is_weak(&how_to_seal().unwrap()) == cfg!(debug_assertions));
        assert!(!is_weak(&Parameters::generate()));
    }
}
