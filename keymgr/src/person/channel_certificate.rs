//! Certificates of channel keys. A person's approval key is the only authority for that person's channel keys,
//! so the manager registers one key a credential, and channel keys can be made anew without asking anybody.

use keylink::envelope::Sign;
use keylink::ids::{Digest, NodeId, PublicKey};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use zeroize::Zeroizing;

/// Ed25519 (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ISSUER: &str = "payhsm approval key ";

/// A new channel key with its certificate by the approval key: certificate in DER, key as PKCS#8 in DER.
pub(super) fn certify(
    name: &str,
    approval: &(dyn Sign + Send + Sync),
) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let mut about = CertificateParams::default();
    let key = approval.key();
    about.distinguished_name.push(DnType::CommonName, format!("{ISSUER}{key}"));
    let issuer = Issuer::new(about, Authority { approval, key });
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).ok()?;
    let mut channel = CertificateParams::default();
    channel.distinguished_name.push(DnType::CommonName, name);
    channel.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    let certificate = channel.signed_by(&pair, &issuer).ok()?;
    // A key that could not sign has certified nothing.
    channel_issuer(certificate.der()).filter(|signer| *signer == key)?;
    Some((certificate.der().to_vec(), Zeroizing::new(pair.serialize_der())))
}

struct Authority<'a> {
    approval: &'a (dyn Sign + Send + Sync),
    key: PublicKey,
}

impl rcgen::PublicKeyData for Authority<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.key.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Authority<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.approval.sign(message).to_vec())
    }
}

/// The approval key that certified a channel certificate (DER). `None` when it is not such a certificate or
/// the key's signature does not hold.
pub fn channel_issuer(certificate: &[u8]) -> Option<PublicKey> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let issuer = certificate.tbs_certificate().issuer().to_string();
    let key: PublicKey = issuer.strip_prefix("CN=")?.strip_prefix(ISSUER)?.parse().ok()?;
    if certificate.signature_algorithm().oid != ED25519 {
        return None;
    }
    let signature: [u8; 64] = certificate.signature().as_bytes()?.try_into().ok()?;
    let message = certificate.tbs_certificate().to_der().ok()?;
    key.verify(&message, &signature).ok().map(|()| key)
}

/// The node that a certificate (DER) names in its subject; whether its issuer may say so is judged elsewhere.
pub fn named_node(certificate: &[u8]) -> Option<NodeId> {
    let certificate = Certificate::from_der(certificate).ok()?;
    certificate.tbs_certificate().subject().to_string().strip_prefix("CN=")?.parse().ok()
}

/// SHA-256 of the SubjectPublicKeyInfo of a certificate in DER.
pub fn spki_digest(certificate: &[u8]) -> Option<Digest> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(Digest::of(&certificate.tbs_certificate().subject_public_key_info().to_der().ok()?))
}
