//! Which master key the keys of a store are under, written down when it was first used: another one, or another
//! token in the slot, is refused before anything is done with it.

use super::{House, HouseError};
use hsm::{LmkId, LmkInfo};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub(super) const MASTER: &str = "master.toml";

/// Content of `master.toml`. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Master {
    /// Identifier in its backend.
    pub lmk: u8,
    /// Check value, six hexadecimal digits.
    pub check_value: String,
    /// The token that holds it, a URI of RFC 7512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// File with the user PIN of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
}

impl Master {
    /// Of a key that a backend holds.
    pub fn of(lmk: &LmkInfo) -> Self {
        let check_value = String::from_utf8_lossy(&lmk.check).into_owned();
        Self { lmk: lmk.id.0, check_value, token: None, pin_file: None }
    }

    /// Its identifier.
    pub const fn id(&self) -> LmkId {
        LmkId(self.lmk)
    }

    /// True when a key of a backend is this one, as far as check values tell.
    pub fn is(&self, lmk: &LmkInfo) -> bool {
        lmk.id == self.id() && self.check_value.as_bytes().eq_ignore_ascii_case(&lmk.check)
    }
}

impl House {
    /// The master key that was written down, if one was.
    pub fn master(&self) -> Result<Option<Master>, HouseError> {
        let Some(text) = self.find(MASTER)? else { return Ok(None) };
        toml::from_slice(&text).map(Some).map_err(|error| self.unreadable(MASTER, error.to_string()))
    }

    /// Writes it down.
    pub fn keep_master(&self, master: &Master) -> Result<(), HouseError> {
        let text =
            toml::to_string_pretty(master).map_err(|error| self.unreadable(MASTER, error.to_string()))?;
        self.write(MASTER, text.as_bytes())
    }
}
