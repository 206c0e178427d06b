//! Heads from outside: a checkpoint that a node or an auditor kept, or an earlier export.

use super::export::FIRST_LINE;
use crate::log::NoteError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A signed checkpoint from outside, not judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where it comes from, for people.
    pub source: String,
    /// The note.
    pub note: String,
}

/// A file that holds no head.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Not text, or not a note.
    #[error("{0} is no checkpoint and no export")]
    Form(String),
    /// An export without any checkpoint.
    #[error("the export {0} has no checkpoint")]
    Empty(String),
}

impl Head {
    /// Reads a file: a checkpoint note, or an export, whose last checkpoint is taken.
    pub fn parse(source: &str, bytes: &[u8]) -> Result<Self, HeadError> {
        let form = || HeadError::Form(source.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| form())?;
        let note = if text.lines().next() == Some(FIRST_LINE) {
            last_checkpoint(text).ok_or_else(|| HeadError::Empty(source.to_owned()))?
        } else {
            crate::log::unverified_note(text).map_err(|_: NoteError| form())?;
            text.to_owned()
        };
        Ok(Self { source: source.to_owned(), note })
    }
}

fn last_checkpoint(export: &str) -> Option<String> {
    let line = export.lines().rfind(|line| line.starts_with("checkpoint "))?;
    String::from_utf8(STANDARD.decode(line.rsplit(' ').next()?).ok()?).ok()
}
