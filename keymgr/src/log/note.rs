//! Signed notes (C2SP signed-note): text, an empty line, and signature lines, each naming its key. Of the
//! signature types only Ed25519 is known here; lines of other keys are kept out of the judgement, as the
//! format wants.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use keylink::{NotSigned, TrySign};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

const ED25519: u8 = 1;
const NOTE_MAX: usize = 1 << 20;
const SIGNATURES_MAX: usize = 100;

/// What is wrong with a note or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not of the form.
    #[error("not a signed note")]
    Malformed,
    /// A key line that is not one.
    #[error("not a verifier key NAME+ID+KEY")]
    Key,
    /// A signature by a known key does not hold.
    #[error("the signature of the note does not hold")]
    Signature,
    /// None of the known keys signed it.
    #[error("no known key signed the note")]
    Unknown,
}

/// A public key that signs notes: `NAME+ID+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key under a name.
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        let named = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
        if !named || key.is_weak() {
            return Err(NoteError::Key);
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, &key), key })
    }

    /// Whose key it is.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let digest = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(key.as_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![ED25519];
        typed.extend(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(typed))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let typed = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let [ED25519, key @ ..] = typed.as_slice() else { return Err(NoteError::Key) };
        let key =
            key.try_into().ok().and_then(|key| VerifyingKey::from_bytes(key).ok()).ok_or(NoteError::Key)?;
        let made = Self::new(name, key)?;
        if hex::encode(made.id) == id { Ok(made) } else { Err(NoteError::Key) }
    }
}

/// Signs a text under the name of the key. The text ends with a line feed.
pub fn sign(text: &str, signers: &[(&VerifierKey, &dyn TrySign)]) -> Result<String, NotSigned> {
    let mut note = format!("{text}\n");
    for (public, key) in signers {
        let mut bytes = public.id.to_vec();
        bytes.extend(key.try_sign(text.as_bytes())?);
        note.push_str(&format!("\u{2014} {} {}\n", public.name, STANDARD.encode(bytes)));
    }
    Ok(note)
}

/// Opens a note: its text, if at least one of the keys signed it and none of their signatures is wrong.
pub fn open<'a>(note: &'a str, keys: &[VerifierKey]) -> Result<&'a str, NoteError> {
    let opened = parts(note)?;
    let mut signed = false;
    for (name, id, signature) in opened.signatures {
        let Some(key) = keys.iter().find(|key| key.name == name && key.id == id) else { continue };
        let signature = Signature::from_slice(&signature).map_err(|_| NoteError::Signature)?;
        key.key.verify_strict(opened.text.as_bytes(), &signature).map_err(|_| NoteError::Signature)?;
        signed = true;
    }
    if signed { Ok(opened.text) } else { Err(NoteError::Unknown) }
}

/// The text of a note whose signatures nobody checked.
pub fn unverified(note: &str) -> Result<&str, NoteError> {
    Ok(parts(note)?.text)
}

struct Opened<'a> {
    text: &'a str,
    signatures: Vec<(&'a str, [u8; 4], Vec<u8>)>,
}

fn parts(note: &str) -> Result<Opened<'_>, NoteError> {
    let controls = note.bytes().any(|byte| byte < 0x20 && byte != b'\n');
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, lines) = (&note[..=split], &note[split + 2..]);
    if controls || note.len() > NOTE_MAX || !lines.ends_with('\n') {
        return Err(NoteError::Malformed);
    }
    let signatures: Option<Vec<_>> = lines.trim_end_matches('\n').split('\n').map(signature).collect();
    match signatures {
        Some(signatures) if signatures.len() <= SIGNATURES_MAX => Ok(Opened { text, signatures }),
        _ => Err(NoteError::Malformed),
    }
}

fn signature(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let mut id = STANDARD.decode(encoded).ok()?;
    let named = !name.is_empty() && !name.contains('+') && id.len() > 4;
    let signature = if named { id.split_off(4) } else { return None };
    Some((name, id.try_into().ok()?, signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylink::SoftSigner;

    // The example of the format's reference implementation (Go, sumdb/note), and a head that the Go checksum
    // database published.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const SUM_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    const SUM_HEAD: &str = "go.sum database tree\n63096908\n8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=\n\n\
        \u{2014} sum.golang.org Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=\n";

    fn key(text: &str) -> VerifierKey {
        text.parse().unwrap()
    }

    #[test]
    fn published_notes_open_under_their_keys_only() {
        assert!(open(NOTE, &[key(KEY)]).unwrap().ends_with("what your problem is.\n"));
        assert!(open(SUM_HEAD, &[key(KEY), key(SUM_KEY)]).unwrap().starts_with("go.sum database tree\n"));
        assert_eq!(open(SUM_HEAD, &[key(KEY)]), Err(NoteError::Unknown));
        assert_eq!(key(SUM_KEY).to_string(), SUM_KEY);
    }

    #[test]
    fn changed_notes_are_refused() {
        let wrong = |note: &str| open(note, &[key(SUM_KEY)]).unwrap_err();
        assert_eq!(wrong(&SUM_HEAD.replacen("63096908", "63096909", 1)), NoteError::Signature);
        assert_eq!(wrong(&SUM_HEAD.replacen("AmAk=", "AmAg=", 1)), NoteError::Signature);
        assert_eq!(wrong(SUM_HEAD.trim_end()), NoteError::Malformed);
        assert_eq!(wrong(&SUM_HEAD.replacen("\n\n", "\n", 1)), NoteError::Malformed);
        assert_eq!(wrong(&SUM_HEAD.replacen('\u{2014}', "-", 1)), NoteError::Malformed);
        assert_eq!(wrong(&SUM_HEAD.replacen("tree", "tr\te", 1)), NoteError::Malformed);
        assert_eq!(
            wrong(&format!("{SUM_HEAD}{}", "\u{2014} a AAAAAAA=\n".repeat(101))),
            NoteError::Malformed
        );
        assert_eq!(wrong(""), NoteError::Malformed);
    }

    #[test]
    fn changed_keys_are_refused() {
        let all_zero = format!("a+00000000+{}", STANDARD.encode([[1; 1].as_slice(), &[0; 32]].concat()));
        for text in [
            "",
            "a",
            "a+b",
            &KEY.replacen("c74f", "c74e", 1),
            &KEY.replacen("+AR", "+BR", 1),
            &KEY[..KEY.len() - 4],
            &all_zero,
        ] {
            assert_eq!(text.parse::<VerifierKey>(), Err(NoteError::Key), "{text}");
        }
    }

    #[test]
    fn what_is_signed_opens_also_beside_a_foreign_signature() {
        let secret = SoftSigner::new(&[7; 32]);
        let half = VerifyingKey::from_bytes(&secret.public().0).unwrap();
        let public = VerifierKey::new("log.example", half).unwrap();
        let note = sign("one\n\ntwo\n", &[(&public, &secret)]).unwrap();
        let both = note.clone() + "\u{2014} PeterNeumann x08goAAAA\n";
        assert_eq!(open(&note, std::slice::from_ref(&public)).unwrap(), "one\n\ntwo\n");
        assert_eq!(open(&both, &[public.clone(), key(KEY)]), Err(NoteError::Malformed));
        assert_eq!(
            open(&(note + SUM_HEAD.split("\n\n").nth(1).unwrap()), &[public]).unwrap(),
            "one\n\ntwo\n"
        );
    }
}
