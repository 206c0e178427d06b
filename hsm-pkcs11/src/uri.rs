//! Token URIs (RFC 7512): which module, which token. A PIN inside a URI is refused: it would stand in process
//! lists and configuration files.

use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a URI was refused. Shows names of attributes, never a value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UriError {
    /// Another scheme.
    #[error("a token URI begins with `pkcs11:`")]
    Scheme,
    /// An attribute without `=`, or percent coding that is none.
    #[error("attribute {0} of the token URI is malformed")]
    Malformed(usize),
    /// An attribute that occurs twice.
    #[error("`{0}` occurs twice in the token URI")]
    Twice(String),
    /// An attribute that is not known here.
    #[error("`{0}` is no attribute that names a token or module")]
    Unknown(String),
    /// A PIN in the URI.
    #[error("a PIN does not belong into a URI: use a file (`pin-source=file:…`, or --pin-file)")]
    InlinePin,
    /// A source of the PIN that is no file.
    #[error("`pin-source` is `file:PATH`")]
    PinSource,
}

/// A parsed URI. What is missing matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUri {
    /// Label of the token.
    pub token: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Manufacturer of the token.
    pub manufacturer: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Slot number. Numbers are not stable on every module: prefer the label.
    pub slot_id: Option<u64>,
    /// Path of the module.
    pub module_path: Option<PathBuf>,
    /// File with the PIN.
    pub pin_file: Option<PathBuf>,
}

// Where packages of Linux and macOS put the module of SoftHSM, which is the one that tests use.
const KNOWN_MODULES: [&str; 7] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// The module that serves when the URI names none: SoftHSM where packages put it. `None` when it is not there.
pub fn known_module() -> Option<PathBuf> {
    KNOWN_MODULES.iter().map(Path::new).find(|path| path.exists()).map(Path::to_path_buf)
}

impl TokenUri {
    /// Parses `pkcs11:token=…;serial=…?module-path=…&pin-source=file:…`. Attributes of the query are taken in
    /// the path as well, since many write them there.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("pkcs11:").ok_or(UriError::Scheme)?;
        let mut uri = Self::default();
        let parts = rest.split([';', '?', '&']).filter(|part| !part.is_empty());
        for (number, part) in (1usize..).zip(parts) {
            let (name, value) = part.split_once('=').ok_or(UriError::Malformed(number))?;
            let value = decoded(value).ok_or(UriError::Malformed(number))?;
            uri.take(name, value, number)?;
        }
        Ok(uri)
    }

    fn take(&mut self, name: &str, value: String, number: usize) -> Result<(), UriError> {
        let text = match name {
            "token" => &mut self.token,
            "serial" => &mut self.serial,
            "manufacturer" => &mut self.manufacturer,
            "model" => &mut self.model,
            "slot-id" => {
                let id = value.parse().map_err(|_| UriError::Malformed(number))?;
                return set(&mut self.slot_id, id, name);
            }
            "module-path" => return set(&mut self.module_path, PathBuf::from(value), name),
            "pin-source" => {
                let path = value.strip_prefix("file:").ok_or(UriError::PinSource)?;
                let path = path.strip_prefix("//").unwrap_or(path);
                return set(&mut self.pin_file, PathBuf::from(path), name);
            }
            "pin-value" => return Err(UriError::InlinePin),
            _ => return Err(UriError::Unknown(name.to_owned())),
        };
        set(text, value, name)
    }

    /// The module to load: the one that is named, or a known one.
    pub fn module(&self) -> Option<PathBuf> {
        self.module_path.clone().or_else(known_module)
    }
}

fn set<T>(place: &mut Option<T>, value: T, name: &str) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Twice(name.to_owned())),
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let (pair, behind) = rest.split_first_chunk::<2>()?;
        out.push(*paytypes::hex::decode::<1>(pair).ok()?.first()?);
        rest = behind;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_naming_the_module() {
        let path = TokenUri::parse("pkcs11:token=pay%20one;module-path=/usr/lib/x.so").unwrap();
        let query = TokenUri::parse("pkcs11:token=pay%20one?module-path=/usr/lib/x.so").unwrap();
        assert_eq!(path, query);
        assert_eq!(path.token.as_deref(), Some("pay one"));
        assert_eq!(path.module(), Some(PathBuf::from("/usr/lib/x.so")));
    }

    #[test]
    fn every_attribute() {
        let uri = TokenUri::parse(
            "pkcs11:token=a;serial=b;manufacturer=c;model=d;slot-id=7?pin-source=file:/run/pin&module-path=m",
        );
        let expected = TokenUri {
            token: Some("a".into()),
            serial: Some("b".into()),
            manufacturer: Some("c".into()),
            model: Some("d".into()),
            slot_id: Some(7),
            module_path: Some("m".into()),
            pin_file: Some("/run/pin".into()),
        };
        assert_eq!(uri, Ok(expected));
        let slashes = TokenUri::parse("pkcs11:?pin-source=file:///run/pin").unwrap();
        assert_eq!(slashes.pin_file, Some("/run/pin".into()));
    }

    #[test]
    fn refusals_show_no_value() {
        let refused = |text: &str| TokenUri::parse(text).unwrap_err();
        assert_eq!(refused("token=a"), UriError::Scheme);
        assert_eq!(refused("pkcs11:token"), UriError::Malformed(1));
        assert_eq!(refused("pkcs11:token=%4"), UriError::Malformed(1));
        assert_eq!(refused("pkcs11:token=%zz"), UriError::Malformed(1));
        assert_eq!(refused("pkcs11:token=a;token=b"), UriError::Twice("token".into()));
        assert_eq!(refused("pkcs11:tokne=a"), UriError::Unknown("tokne".into()));
        assert_eq!(refused("pkcs11:slot-id=x"), UriError::Malformed(1));
        assert_eq!(refused("pkcs11:?pin-source=|pinentry"), UriError::PinSource);
        let pin = refused("pkcs11:token=a?pin-value=48151623");
        assert_eq!(pin, UriError::InlinePin);
        assert!(!pin.to_string().contains("48151623"));
    }
}
