//! What signs with a key of the centre: the secret half stays where it lies, in a sealed file that was opened or in a
//! token, and nobody is given it.

use super::custody::TokenKey;
use keylink::{NotSigned, PublicKey, TrySign};
use rcgen::{PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use std::sync::Arc;

/// Signs with one key; clones sign with the same.
#[derive(Clone)]
pub struct RingSigner {
    public: PublicKey,
    holder: Arc<dyn TrySign>,
    waits: bool,
}

impl RingSigner {
    /// Over a key in this memory.
    pub fn here(holder: impl TrySign + 'static) -> Self {
        Self { public: holder.public(), holder: Arc::new(holder), waits: false }
    }

    /// Over a key in a token.
    pub(super) fn there(holder: TokenKey) -> Self {
        Self { public: holder.public, holder: Arc::new(holder), waits: true }
    }

    /// Whether signing may take a while: not where others wait.
    pub const fn waits(&self) -> bool {
        self.waits
    }
}

impl core::fmt::Debug for RingSigner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RingSigner({})", self.public.id())
    }
}

impl TrySign for RingSigner {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        self.holder.try_sign(message)
    }
}

/// Certificates are signed with such a key as well.
impl PublicKeyData for RingSigner {
    fn der_bytes(&self) -> &[u8] {
        &self.public.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for RingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.try_sign(message).map(Vec::from).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylink::SoftSigner;
    use rcgen::CertificateParams;
    use x509_cert::Certificate;
    use x509_cert::der::{Decode, Encode};

    #[test]
    fn it_signs_messages_and_certificates() {
        let own = RingSigner::here(SoftSigner::new(&[7; 32]));
        let signature = own.try_sign(b"message").expect("at hand");
        assert!(own.public().verify(b"message", &signature).is_ok());
        let names = CertificateParams::new(vec!["node".to_owned()]).expect("a name");
        let certificate = names.self_signed(&own).expect("signed");
        let read = Certificate::from_der(certificate.der()).expect("a certificate");
        let (said, signature) = (read.tbs_certificate().to_der().expect("DER"), read.signature());
        let signature: [u8; 64] = signature.raw_bytes().try_into().expect("64 bytes");
        assert!(own.public().verify(&said, &signature).is_ok());
        assert!(!format!("{own:?}").contains(&hex::encode([7; 32])));
    }
}
