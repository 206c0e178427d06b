//! Where a manager is, and by which key it is known: `https://host:port#KEYDIGEST`.

use keylink::Digest;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Not the address of a manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a manager is https://HOST:PORT#KEY, with the key as `payhsm kmc serve` prints it")]
pub struct AddressError;

/// Address and key of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerAddress {
    /// Scheme, host and port.
    pub url: String,
    /// SHA-256 of the SubjectPublicKeyInfo of its channel key.
    pub key: Digest,
}

impl FromStr for ManagerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (url, key) = text.trim().split_once('#').ok_or(AddressError)?;
        let url = url.trim_end_matches('/');
        let host = url.strip_prefix("https://").ok_or(AddressError)?;
        if host.is_empty() || host.contains(['/', '?', '@']) {
            return Err(AddressError);
        }
        Ok(Self { url: url.to_owned(), key: key.parse().map_err(|_| AddressError)? })
    }
}

impl fmt::Display for ManagerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.url, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_key() {
        let key = "ab".repeat(32);
        let text = format!("https://kmc.example:9443#{key}");
        assert_eq!(text.parse::<ManagerAddress>().unwrap().to_string(), text);
        for bad in
            ["https://kmc", "http://kmc#", &format!("http://kmc#{key}"), &format!("https://a@kmc#{key}")]
        {
            assert_eq!(bad.parse::<ManagerAddress>(), Err(AddressError), "{bad}");
        }
    }
}
