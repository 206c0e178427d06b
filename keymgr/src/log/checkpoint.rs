//! Checkpoints (C2SP tlog-checkpoint): the signed statement that the log of this origin had this root at this
//! size. They are what nodes and auditors keep.

use super::note::{self, NoteError, VerifierKey};
use crate::store::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use keylink::{NotSigned, SoftSigner, TrySign};
use keymgr_core::log::number;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The signed text.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Reads the text of a note. Lines behind the root are extensions, which the form allows and nothing here
    /// uses.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let origin = origin.filter(|origin| !origin.is_empty()).ok_or(NoteError::Malformed)?;
        let size = size.and_then(number).ok_or(NoteError::Malformed)?;
        let root =
            root.and_then(|root| STANDARD.decode(root).ok()?.try_into().ok()).ok_or(NoteError::Malformed)?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Opens a signed checkpoint.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, NoteError> {
        Self::parse(note::open(note, keys)?)
    }
}

/// Signs checkpoints with the log's key, wherever its secret half is.
pub struct CheckpointKey {
    public: VerifierKey,
    signer: Arc<dyn TrySign>,
}

impl CheckpointKey {
    /// The key under the origin of the log, which names it.
    pub fn new(origin: &str, secret: SigningKey) -> Result<Self, NoteError> {
        let seed = Zeroizing::new(secret.to_bytes());
        Self::by(origin, Arc::new(SoftSigner::new(&seed)))
    }

    /// The same for a key that lies elsewhere.
    pub fn by(origin: &str, signer: Arc<dyn TrySign>) -> Result<Self, NoteError> {
        let public = VerifyingKey::from_bytes(&signer.public().0).map_err(|_| NoteError::Key)?;
        Ok(Self { public: VerifierKey::new(origin, public)?, signer })
    }

    /// The public half.
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// Its bytes, Ed25519.
    pub fn public_bytes(&self) -> [u8; 32] {
        self.signer.public().0
    }

    /// The origin of the log.
    pub fn origin(&self) -> &str {
        self.public.name()
    }

    /// Signs a size and its root.
    pub fn sign(&self, size: u64, root: Hash) -> Result<String, NotSigned> {
        let checkpoint = Checkpoint { origin: self.origin().to_owned(), size, root };
        note::sign(&checkpoint.text(), &[(&self.public, self.signer.as_ref())])
    }

    /// Endorses the key that follows this one: a note signed by both.
    pub fn endorse(&self, next: &Self, from_size: u64) -> Result<String, NotSigned> {
        let text = succession(next.public(), from_size);
        note::sign(&text, &[(&self.public, self.signer.as_ref()), (&next.public, next.signer.as_ref())])
    }
}

/// The text by which a key names its successor.
pub fn succession(next: &VerifierKey, from_size: u64) -> String {
    format!("payhsm checkpoint key\n{next}\n{from_size}\n")
}

/// Prints the public half only.
impl std::fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckpointKey({})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_opens_under_its_key_and_says_what_was_signed() {
        let key = CheckpointKey::new("kmc.example/log", SigningKey::from_bytes(&[1; 32])).unwrap();
        let note = key.sign(3, [9; 32]).unwrap();
        let opened = Checkpoint::open(&note, &[key.public().clone()]).unwrap();
        assert_eq!(opened, Checkpoint { origin: "kmc.example/log".into(), size: 3, root: [9; 32] });
        assert!(!format!("{key:?}").contains(&hex::encode([1; 32])));
    }

    #[test]
    fn texts_that_are_no_checkpoint_are_refused() {
        let root = STANDARD.encode([0; 32]);
        for text in [
            String::new(),
            format!("\n3\n{root}\n"),
            format!("o\n03\n{root}\n"),
            format!("o\n-1\n{root}\n"),
            format!("o\n3\n{}\n", STANDARD.encode([0; 31])),
            "o\n3\n".to_owned(),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(NoteError::Malformed), "{text}");
        }
    }
}
