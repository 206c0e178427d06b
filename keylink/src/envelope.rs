//! Signed messages: Ed25519 over the DSSE pre-authentication encoding of the exact bytes. What is received is
//! kept and is the truth; nothing is ever serialised again to be verified.
//!
//! The signature covers the message's kind and version, so that a receipt cannot pass for a manifest. The hash
//! of a message is the SHA-256 of the same encoding: it does not change with the signature.

use crate::ids::{Digest, KeyId, PublicKey};
use crate::verifying::Verifying;
use crate::wire::{self, Blob, Hex, MESSAGE_MAX};
use ed25519_dalek::{Signer, SigningKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a message is not taken for what it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON of this layout; a field unknown, missing or there twice; too long.
    #[error("malformed message")]
    Malformed,
    /// Another kind or version of message than is read here.
    #[error("message of another kind")]
    Kind,
    /// Signed by another key than the one asked for.
    #[error("signed by another key")]
    Signer,
    /// The signature does not hold.
    #[error("signature does not hold")]
    Signature,
}

/// Content of a message.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind in the message's type.
    const KIND: &'static str;

    /// From the JSON that a message carries.
    fn from_payload(json: &[u8]) -> Result<Self, EnvelopeError> {
        strict(json)
    }

    /// The JSON that a message carries.
    fn to_payload(&self) -> Vec<u8> {
        bytes_of(self)
    }
}

/// Makes a type the content of messages of a kind. It is read and written by code of its own crate, which is not
/// compiled again by everybody who opens or seals one.
macro_rules! body {
    ($body:ty, $kind:literal) => {
        impl $crate::envelope::Body for $body {
            const KIND: &'static str = $kind;

            fn from_payload(json: &[u8]) -> Result<Self, $crate::envelope::EnvelopeError> {
                $crate::envelope::strict(json)
            }

            fn to_payload(&self) -> Vec<u8> {
                $crate::envelope::bytes_of(self)
            }
        }
    };
}
pub(crate) use body;

/// Whoever holds a signature key: a sealed file, or a token.
pub trait Sign {
    /// Its verifying key.
    fn key(&self) -> PublicKey;
    /// An Ed25519 signature.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Whoever holds the signature key was asked, and has not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not signed: what holds the signature key does not answer")]
pub struct NotSigned;

/// Whoever holds a signature key that may be out of reach for a while: in a token.
pub trait TrySign: Send + Sync {
    /// Its verifying key.
    fn public(&self) -> PublicKey;
    /// An Ed25519 signature. May wait for a bounded time.
    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned>;
}

impl<T: Sign + Send + Sync> TrySign for T {
    fn public(&self) -> PublicKey {
        self.key()
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        Ok(self.sign(message))
    }
}

/// A signature key in memory; wiped on drop.
pub struct SoftSigner(SigningKey);

impl SoftSigner {
    /// From the 32 bytes of its seed.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }
}

impl core::fmt::Debug for SoftSigner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SoftSigner({})", self.key().id())
    }
}

impl Sign for SoftSigner {
    fn key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.0.sign(message).to_bytes();
        #[cfg(feature = "memo")]
        crate::memo::remember(&self.key(), message, &signature);
        signature
    }
}

impl PublicKey {
    /// Judges a signature strictly: no weak key, no second spelling of a signature.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), EnvelopeError> {
        #[cfg(feature = "memo")]
        if crate::memo::holds(self, message, signature) {
            return Ok(());
        }
        let key = Verifying::of(self).ok_or(EnvelopeError::Signature)?;
        let judged = key.judge(message, signature);
        #[cfg(feature = "memo")]
        if judged.is_ok() {
            crate::memo::remember(self, message, signature);
        }
        judged
    }
}

/// The type of a message of this kind.
pub fn type_of(kind: &str) -> String {
    format!("application/vnd.payhsm.{kind}.v1+json")
}

/// DSSE pre-authentication encoding (secure-systems-lab DSSE 1.0): each part in front of its length, so that no
/// two pairs of type and payload have the same encoding.
pub fn pae(kind: &str, payload: &[u8]) -> Vec<u8> {
    let kind = type_of(kind);
    let mut out = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(rename = "type")]
    kind: String,
    payload: Blob,
    key: KeyId,
    signature: Hex<64>,
}

/// What is known of a message's signature: nothing, or a name of key, signature and bytes, which held together. What of
/// them is changed later has another name.
#[derive(Clone, Copy, Debug, Default)]
struct Known(Option<[u8; 32]>);

// A message is the same whether its signature was judged or not.
impl PartialEq for Known {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Known {}

/// A message with one signature. Nothing is proved before [`Signed::open`] or [`Signed::prove`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Kind, as in the type.
    pub kind: String,
    /// The exact bytes that were signed.
    pub payload: Vec<u8>,
    /// Who claims to have signed.
    pub key_id: KeyId,
    /// The signature over the PAE.
    pub signature: [u8; 64],
    known: Known,
}

impl Signed {
    /// Signs a body.
    pub fn seal<B: Body>(body: &B, signer: &(impl Sign + ?Sized)) -> Self {
        Self::seal_bytes(B::KIND, body.to_payload(), signer)
    }

    /// Signs bytes that were made before.
    pub fn seal_bytes(kind: &str, payload: Vec<u8>, signer: &(impl Sign + ?Sized)) -> Self {
        let signature = signer.sign(&pae(kind, &payload));
        Self { kind: kind.to_owned(), payload, key_id: signer.key().id(), signature, known: Known::default() }
    }

    /// Signs a body with a key that may be out of reach.
    pub fn try_seal<B: Body>(body: &B, signer: &(impl TrySign + ?Sized)) -> Result<Self, NotSigned> {
        Self::try_seal_bytes(B::KIND, body.to_payload(), signer)
    }

    /// The same for bytes that were made before.
    pub fn try_seal_bytes(
        kind: &str,
        payload: Vec<u8>,
        signer: &(impl TrySign + ?Sized),
    ) -> Result<Self, NotSigned> {
        let (signature, known) = (signer.try_sign(&pae(kind, &payload))?, Known::default());
        Ok(Self { kind: kind.to_owned(), payload, key_id: signer.public().id(), signature, known })
    }

    /// Reads a message as it travels.
    pub fn parse(text: &[u8]) -> Result<Self, EnvelopeError> {
        Self::of(strict(text)?)
    }

    fn of(text: Text) -> Result<Self, EnvelopeError> {
        let Text { kind, payload, key, signature } = text;
        let kind = kind.strip_prefix("application/vnd.payhsm.").and_then(|k| k.strip_suffix(".v1+json"));
        let kind = kind.ok_or(EnvelopeError::Kind)?.to_owned();
        Ok(Self { kind, payload: payload.0, key_id: key, signature: signature.0, known: Known::default() })
    }

    fn text(&self) -> Text {
        Text {
            kind: type_of(&self.kind),
            payload: Blob(self.payload.clone()),
            key: self.key_id,
            signature: Hex(self.signature),
        }
    }

    /// The message as it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes_of(&self.text())
    }

    /// SHA-256 of the PAE: the message's name.
    pub fn hash(&self) -> Digest {
        Digest::of(&pae(&self.kind, &self.payload))
    }

    /// Proves the message and reads its body.
    pub fn open<B: Body>(&self, key: &PublicKey) -> Result<B, EnvelopeError> {
        if self.kind != B::KIND {
            return Err(EnvelopeError::Kind);
        }
        self.judge(key)?;
        B::from_payload(&self.payload)
    }

    /// Judges the signature ahead of [`Signed::open`] under the same key, which does not judge it again: where there are
    /// many threads, for one of whom there is one.
    pub fn prove(&mut self, key: &PublicKey) -> Result<(), EnvelopeError> {
        self.known = Known(Some(self.judge(key)?));
        Ok(())
    }

    fn judge(&self, key: &PublicKey) -> Result<[u8; 32], EnvelopeError> {
        if self.key_id != key.id() {
            return Err(EnvelopeError::Signer);
        }
        let pae = pae(&self.kind, &self.payload);
        let name = Sha256::new().chain_update(key.0).chain_update(self.signature).chain_update(&pae);
        let name = name.finalize().into();
        if self.known.0 != Some(name) {
            key.verify(&pae, &self.signature)?;
        }
        Ok(name)
    }

    /// Reads the body of a message that is our own, or that is proved later: where it goes and what it names.
    pub fn peek<B: Body>(&self) -> Result<B, EnvelopeError> {
        if self.kind == B::KIND { B::from_payload(&self.payload) } else { Err(EnvelopeError::Kind) }
    }
}

impl Serialize for Signed {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.text().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::of(Text::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// Reads JSON that has every field once and no other, and nothing behind it.
pub fn strict<T: DeserializeOwned>(text: &[u8]) -> Result<T, EnvelopeError> {
    strict_up_to(MESSAGE_MAX, text)
}

/// The same of a text that may be longer, or must be shorter, than a message.
pub fn strict_up_to<T: DeserializeOwned>(most: usize, text: &[u8]) -> Result<T, EnvelopeError> {
    // A struct could be written as a list too: one spelling is enough.
    if text.len() > most || text.first() != Some(&b'{') {
        return Err(EnvelopeError::Malformed);
    }
    wire::read(text).map_err(|_| EnvelopeError::Malformed)
}

/// JSON of a value of ours. Our types have string keys and finite numbers, so this cannot fail; were it to, the
/// empty text is refused by every reader.
pub fn bytes_of<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Note {
        text: String,
    }
    impl Body for Note {
        const KIND: &'static str = "note";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Other {
        text: String,
    }
    impl Body for Other {
        const KIND: &'static str = "other";
    }

    fn note() -> (SoftSigner, Signed) {
        let signer = SoftSigner::new(&[7; 32]);
        let signed = Signed::seal(&Note { text: "hello".into() }, &signer);
        (signer, signed)
    }

    #[test]
    fn what_was_proved_is_of_these_bytes_and_this_key_alone() {
        let (signer, mut signed) = note();
        let stranger = SoftSigner::new(&[8; 32]).key();
        assert_eq!(signed.prove(&stranger), Err(EnvelopeError::Signer));
        signed.prove(&signer.key()).unwrap();
        assert_eq!(signed.open::<Note>(&signer.key()).unwrap().text, "hello");
        assert_eq!(signed, note().1, "the same message");
        let mut other = signed.clone();
        other.payload = other.payload.to_ascii_uppercase();
        let mut altered = signed.clone();
        altered.signature[0] ^= 1;
        let mut moved = signed.clone();
        moved.key_id = stranger.id();
        for (wrong, key) in [(other, signer.key()), (altered, signer.key()), (moved, stranger)] {
            assert_eq!(wrong.open::<Note>(&key), Err(EnvelopeError::Signature));
        }
    }

    // The example of the DSSE specification, protocol.md.
    #[test]
    fn encoding_has_lengths_in_front() {
        let made = pae("x", b"hello world");
        assert_eq!(made, b"DSSEv1 32 application/vnd.payhsm.x.v1+json 11 hello world".to_vec());
    }

    #[test]
    fn travels_and_proves() {
        let (signer, signed) = note();
        let again = Signed::parse(&signed.to_bytes()).unwrap();
        assert_eq!(again, signed);
        assert_eq!(again.open::<Note>(&signer.key()).unwrap().text, "hello");
        assert_eq!(again.open::<Other>(&signer.key()), Err(EnvelopeError::Kind));
        assert_eq!(again.open::<Note>(&SoftSigner::new(&[8; 32]).key()), Err(EnvelopeError::Signer));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (signer, signed) = note();
        for bit in 0..signed.payload.len() * 8 {
            let mut bad = signed.clone();
            bad.payload[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(bad.open::<Note>(&signer.key()), Err(EnvelopeError::Signature));
            assert_ne!(bad.hash(), signed.hash());
        }
        for bit in 0..512 {
            let mut bad = signed.clone();
            bad.signature[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(bad.open::<Note>(&signer.key()), Err(EnvelopeError::Signature));
            assert_eq!(bad.hash(), signed.hash());
        }
        let moved = Signed { kind: "other".into(), ..signed.clone() };
        assert_eq!(moved.open::<Other>(&signer.key()), Err(EnvelopeError::Signature));
    }

    #[test]
    fn fields_unknown_missing_or_doubled_are_refused() {
        let (signer, signed) = note();
        for payload in [
            r#"{"text":"a","more":1}"#,
            r#"{"text":"a","text":"b"}"#,
            r"{}",
            r#"{"text":"a"} x"#,
            r#"["a"]"#,
            r#"{"text":1}"#,
        ] {
            let sealed = Signed::seal_bytes("note", payload.as_bytes().to_vec(), &signer);
            let opened = sealed.open::<Note>(&signer.key());
            assert_eq!(opened, Err(EnvelopeError::Malformed), "{payload}");
        }
        let text = String::from_utf8(signed.to_bytes()).unwrap();
        let doubled = text.replacen('{', r#"{"key":"00","#, 1);
        assert_eq!(Signed::parse(doubled.as_bytes()), Err(EnvelopeError::Malformed));
        let foreign = text.replace("payhsm.note", "other.note");
        assert_eq!(Signed::parse(foreign.as_bytes()), Err(EnvelopeError::Kind));
        assert_eq!(Signed::parse(&vec![b' '; MESSAGE_MAX + 1]), Err(EnvelopeError::Malformed));
    }
}
