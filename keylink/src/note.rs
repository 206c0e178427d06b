//! Signed notes (C2SP signed-note, tlog-checkpoint), as far as a node judges them: whether a key of the root document has
//! signed what a checkpoint says.

use crate::ids::{Digest, PublicKey};
use crate::message::Checkpoint;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const NOTE_MAX: usize = 1 << 16;

/// True when the note has this size and root, and one of the keys has signed it.
pub(crate) fn holds(checkpoint: &Checkpoint, keys: &[PublicKey]) -> bool {
    let note = checkpoint.note.as_str();
    let Some((text, signatures)) = note.split_once("\n\n").filter(|_| note.len() <= NOTE_MAX) else {
        return false;
    };
    // The line feed before the empty line is part of what is signed.
    let Some(text) = note.get(..text.len().saturating_add(1)) else { return false };
    says(text, checkpoint.size.0, checkpoint.root)
        && signatures
            .lines()
            .filter_map(signature)
            .any(|signature| keys.iter().any(|key| key.verify(text.as_bytes(), &signature).is_ok()))
}

/// True when the keys have signed two states of one size that differ: no log that only grows has both.
pub(crate) fn fork(one: &Checkpoint, other: &Checkpoint, keys: &[PublicKey]) -> bool {
    one.size == other.size && one.root != other.root && holds(one, keys) && holds(other, keys)
}

// Origin, size, root; lines behind them are extensions.
fn says(text: &str, size: u64, root: Digest) -> bool {
    let mut lines = text.lines().skip(1);
    lines.next() == Some(size.to_string().as_str()) && lines.next() == Some(STANDARD.encode(root.0).as_str())
}

// A dash, the name of the key, and its id with the signature. The name is not the root document's to say.
fn signature(line: &str) -> Option<[u8; 64]> {
    let (_, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    bytes.get(4..)?.try_into().ok()
}
