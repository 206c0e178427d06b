//! The key that a certificate is asked for, by a request of RFC 2986 that proves it with a signature of its own.

use crate::channel::provider;
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SignatureAlgorithm,
};
use x509_cert::der::{Decode, Encode, EncodeValue};
use x509_cert::request::CertReq;
use x509_cert::spki::AlgorithmIdentifierOwned;

/// Keys that are certified. Nodes make the first kind.
static KINDS: [&SignatureAlgorithm; 3] = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519];

/// A public key that its owner has proven.
pub(super) struct AskedKey {
    bytes: Vec<u8>,
    kind: &'static SignatureAlgorithm,
}

impl AskedKey {
    /// Of a request in DER; none if it cannot be read, does not prove its key, or is for a key of another kind.
    pub fn of(request: &[u8]) -> Option<Self> {
        let request = CertReq::from_der(request).ok()?;
        let bytes = request.info.public_key.subject_public_key.as_bytes()?;
        if !proves(&request, bytes)? {
            return None;
        }
        // The certificate must state the key exactly as it was asked for.
        let stated = request.info.public_key.to_der().ok()?;
        let of_kind = |kind: &&'static SignatureAlgorithm| Self { bytes: bytes.to_vec(), kind };
        KINDS.iter().map(of_kind).find(|key| key.subject_public_key_info() == stated)
    }
}

impl PublicKeyData for AskedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.kind
    }
}

fn proves(request: &CertReq, key: &[u8]) -> Option<bool> {
    let (signed, signature) = (request.info.to_der().ok()?, request.signature.as_bytes()?);
    let (of_key, of_signature) = (content(&request.info.public_key.algorithm)?, content(&request.algorithm)?);
    let provider = provider();
    let mut known = provider.signature_verification_algorithms.all.iter();
    Some(known.any(|known| {
        let (key_id, signature_id) = (known.public_key_alg_id(), known.signature_alg_id());
        (key_id.as_ref(), signature_id.as_ref()) == (&of_key[..], &of_signature[..])
            && known.verify_signature(key, &signed, signature).is_ok()
    }))
}

// As webpki names algorithms: what stands in the sequence.
fn content(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    algorithm.encode_value(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    #[test]
    fn a_request_gives_the_key_that_it_proves_and_nothing_when_a_bit_of_it_is_another() {
        for kind in KINDS {
            let pair = KeyPair::generate_for(kind).expect("a key");
            let names = CertificateParams::new(vec!["node".to_owned()]).expect("a name");
            let mut request = names.serialize_request(&pair).expect("signed").der().to_vec();
            let stated = AskedKey::of(&request).map(|key| key.subject_public_key_info());
            assert_eq!(stated, Some(pair.subject_public_key_info()));
            for at in 0..request.len() {
                request[at] ^= 1;
                assert!(AskedKey::of(&request).is_none(), "byte {at}");
                request[at] ^= 1;
            }
            request.push(0);
            assert!(AskedKey::of(&request).is_none());
        }
        assert!(AskedKey::of(b"").is_none());
    }
}
