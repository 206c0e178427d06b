//! A private key at rest: PKCS#8, encrypted under a passphrase (PBES2 with scrypt and AES-256-CBC, the
//! library's recommendation), as PEM.

use pkcs8::der::Decode;
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::{EncryptedPrivateKeyInfoOwned, PrivateKeyInfoRef, SecretDocument};
use thiserror::Error;

/// Shortest passphrase, in bytes.
pub const PASSPHRASE_MIN: usize = 12;

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
}

/// Encrypts a PKCS#8 key in DER.
pub fn seal_key(der: &[u8], passphrase: &[u8]) -> Result<String, KeyFileError> {
    if passphrase.len() < PASSPHRASE_MIN {
        return Err(KeyFileError::Passphrase);
    }
    let key = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyFileError::Format)?;
    let sealed = key.encrypt(passphrase).map_err(|_| KeyFileError::Format)?;
    let text = sealed.to_pem(LABEL, pkcs8::LineEnding::LF).map_err(|_| KeyFileError::Format)?;
    Ok(text.to_string())
}

/// Opens a key file; gives PKCS#8 in DER, wiped when dropped.
pub fn open_key(pem: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| KeyFileError::Format)?;
    if label != LABEL {
        return Err(KeyFileError::Format);
    }
    let sealed =
        EncryptedPrivateKeyInfoOwned::from_der(document.as_bytes()).map_err(|_| KeyFileError::Format)?;
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
}
