//! The file of `--keys`: keys of the unit that is measured, as tokens under its LMK, with their clear values
//! where those are known. Nothing of a key is ever shown: refusals name the line, the list and the field.

use crate::exit::Failure;
use crate::oracle::{self, Key};
use serde::Deserialize;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Exchange of keys.
    Zmk,
    /// PINs of a zone.
    Zpk,
    /// PINs of a terminal.
    Tpk,
    /// PIN verification values.
    Pvk,
    /// Card verification values.
    Cvk,
    /// Message authentication.
    Tak,
    /// DUKPT.
    Bdk,
}

impl Role {
    /// Name of its list in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zmk => "zmk",
            Self::Zpk => "zpk",
            Self::Tpk => "tpk",
            Self::Pvk => "pvk",
            Self::Cvk => "cvk",
            Self::Tak => "tak",
            Self::Bdk => "bdk",
        }
    }
}

/// The clear value of a double-length TDES key.
pub struct Clear(Zeroizing<Key>);

impl fmt::Debug for Clear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clear(..)")
    }
}

impl Clear {
    /// Takes it.
    pub fn new(key: Key) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The bytes.
    pub fn expose(&self) -> &Key {
        &self.0
    }
}

/// A key of the unit.
#[derive(Clone)]
pub struct Held {
    /// As it stands in commands.
    pub token: String,
    /// What it is in the clear, where that is known.
    pub clear: Option<Arc<Clear>>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = if self.clear.is_some() { "known" } else { "unknown" };
        write!(f, "Held({} characters, clear value {known})", self.token.len())
    }
}

/// All keys of a file, by role.
#[derive(Debug, Default)]
pub struct Keys(Vec<(Role, Held)>);

impl Keys {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| Failure::environment(format!("{}: {error}", path.display())))?;
        Self::parse(&text).map_err(|what| Failure::usage(format!("{}: {what}", path.display())))
    }

    /// Those of a role.
    pub fn of(&self, role: Role) -> Vec<Held> {
        self.0.iter().filter(|(own, _)| *own == role).map(|(_, held)| held.clone()).collect()
    }

    /// Whether the unit has a key-block LMK, as far as its keys tell.
    pub fn blocks(&self) -> Option<bool> {
        self.0.first().map(|(_, held)| held.token.starts_with('S'))
    }

    fn parse(text: &str) -> Result<Self, String> {
        // The message of the parser alone: what it would show of the file may be a key.
        let file: File = toml::from_str(text).map_err(|error| {
            let line =
                error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
            format!("line {line}: {}", plain(error.message()))
        })?;
        let lists = [
            (Role::Zmk, file.zmk),
            (Role::Zpk, file.zpk),
            (Role::Tpk, file.tpk),
            (Role::Pvk, file.pvk),
            (Role::Cvk, file.cvk),
            (Role::Tak, file.tak),
            (Role::Bdk, file.bdk),
        ];
        let mut keys = Vec::new();
        for (role, list) in lists {
            for (n, entry) in list.into_iter().enumerate() {
                let held = entry.judge().map_err(|what| format!("{} {}: {what}", role.name(), n + 1))?;
                keys.push((role, held));
            }
        }
        let blocks = keys.iter().filter(|(_, held)| held.token.starts_with('S')).count();
        match (keys.len(), blocks) {
            (0, _) => Err("no key in it: [[zpk]] with key = \"…\" is the least".into()),
            (all, blocks) if blocks != 0 && blocks != all => {
                Err("keys under a variant LMK and key blocks cannot be of one unit's LMK".into())
            }
            _ => Ok(Self(keys)),
        }
    }
}

// Some messages of the parser quote a value.
fn plain(message: &str) -> &str {
    match message.split_once(['`', '"']) {
        Some((_, rest)) if message.starts_with("unknown field") => {
            // Names of fields are no secrets, but a key may stand where a name should.
            if rest.len() > 12 && rest.split(['`', '"']).next().is_some_and(|name| name.len() > 12) {
                "unknown field"
            } else {
                message
            }
        }
        Some(_) => message.split(['`', '"', ':']).next().unwrap_or_default().trim_end(),
        None => message,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    zmk: Vec<Entry>,
    #[serde(default)]
    zpk: Vec<Entry>,
    #[serde(default)]
    tpk: Vec<Entry>,
    #[serde(default)]
    pvk: Vec<Entry>,
    #[serde(default)]
    cvk: Vec<Entry>,
    #[serde(default)]
    tak: Vec<Entry>,
    #[serde(default)]
    bdk: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: Zeroizing<String>,
    clear: Option<Zeroizing<String>>,
    kcv: Option<String>,
}

impl Entry {
    fn judge(&self) -> Result<Held, String> {
        if !is_token(&self.key) {
            return Err("key: expected U and 32 hexadecimal digits, T and 48, or an S block as it is".into());
        }
        let clear = match &self.clear {
            None if self.kcv.is_some() => return Err("kcv: only beside clear".into()),
            None => None,
            Some(text) => Some(self.clear_value(text)?),
        };
        Ok(Held { token: self.key.to_string(), clear: clear.map(Arc::new) })
    }

    fn clear_value(&self, text: &str) -> Result<Clear, String> {
        let dense: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
        let bytes = Zeroizing::new(oracle::unhex(&dense).unwrap_or_default());
        let key: Key = bytes
            .as_slice()
            .try_into()
            .map_err(|_| "clear: expected 32 hexadecimal digits, a double-length TDES key".to_owned())?;
        let clear = Clear::new(key);
        match &self.kcv {
            Some(kcv) if !kcv.eq_ignore_ascii_case(&oracle::kcv(clear.expose())) => {
                Err("kcv: not the check value of clear".into())
            }
            _ => Ok(clear),
        }
    }
}

fn is_token(text: &str) -> bool {
    let hex = |text: &str, count| text.len() == count && text.bytes().all(|c| c.is_ascii_hexdigit());
    match text.split_at_checked(1) {
        Some(("U" | "X", rest)) => hex(rest, 32),
        Some(("T" | "Y", rest)) => hex(rest, 48),
        Some(("S", rest)) => {
            let length = rest.get(1..5).and_then(|field| field.parse().ok());
            length == Some(rest.len()) && rest.len() >= 48 && rest.bytes().all(|c| c.is_ascii_graphic())
        }
        _ => hex(text, 32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "U5178C9D3D1052B15BF6AEC458B4A4564";
    const CLEAR: &str = "F1F1F1F1F1F1F1F1C1C1C1C1C1C1C1C1";

    fn refusal(text: &str) -> String {
        let refusal = Keys::parse(text).unwrap_err();
        for secret in [TOKEN, CLEAR, &CLEAR[..20]] {
            assert!(!refusal.contains(secret), "{refusal}");
        }
        refusal
    }

    #[test]
    fn keys_are_read_with_and_without_clear_values() {
        let text = format!(
            "[[zpk]]\nkey = '{TOKEN}'\nclear = 'F1F1F1F1F1F1F1F1 C1C1C1C1C1C1C1C1'\nkcv = '8357d9'\n[[zpk]]\nkey = '{TOKEN}'\n"
        );
        let keys = Keys::parse(&text).unwrap();
        let zpk = keys.of(Role::Zpk);
        assert_eq!(zpk.len(), 2);
        assert!(zpk[0].clear.is_some() && zpk[1].clear.is_none() && keys.of(Role::Zmk).is_empty());
        assert_eq!(keys.blocks(), Some(false));
        assert!(!format!("{keys:?}").contains("5178") && !format!("{:?}", zpk[0].clear).contains("F1"));
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_without_showing_it() {
        let key = |rest: &str| format!("[[zpk]]\nkey = '{TOKEN}'\n{rest}\n");
        for (text, says) in [
            (String::new(), "no key"),
            (format!("[[zpk]]\nclear = '{CLEAR}'\n"), "missing field"),
            (format!("[[zpk]]\nkey = '{}'\n", &TOKEN[..30]), "zpk 1: key:"),
            (format!("[[zpk]]\nkey = '{}'\n", TOKEN.replace('U', "V")), "zpk 1: key:"),
            ("[[zpk]]\nkey = 'S00073P0TB00E0001'\n".into(), "zpk 1: key:"),
            (key(&format!("clear = '{}'", &CLEAR[..30])), "clear: expected 32"),
            (key(&format!("clear = '{}G'", &CLEAR[..31])), "clear: expected 32"),
            (key(&format!("clear = '{CLEAR}'\nkcv = '000000'")), "not the check value"),
            (key("kcv = '8357D9'"), "only beside clear"),
            (key("check = '8357D9'"), "unknown field"),
            (key(&format!("{CLEAR} = 1")), "unknown field"),
            (format!("[[zpk]]\nkey = {CLEAR}\n"), "line 2"),
            (format!("[[zpk]]\nkey = '{CLEAR}\n"), "line 2"),
            (format!("zpk = '{CLEAR}'\n"), "line 1"),
            (format!("[[zzz]]\nkey = '{TOKEN}'\n"), "unknown field"),
            (
                key(&format!(
                    "[[tpk]]\nkey = 'S00072K0TB00E0001D79D825EF9076DC227EABCF53CC7FF71C96B1155075981C5E5BE0C97'\nclear = '{CLEAR}'"
                )),
                "cannot be of one",
            ),
        ] {
            let refusal = refusal(&text);
            assert!(refusal.contains(says), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_the_environment() {
        assert_eq!(Keys::read(Path::new("/nowhere/keys.toml")).unwrap_err().code, 3);
    }
}
