//! The officers of a data folder: names and Argon2id hashes of their passphrases.

use crate::exit::Failure;
use crate::private::{read_private, write_private};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "officers.json";
/// Shortest passphrase, in bytes.
pub const PASSPHRASE_MIN: usize = 12;
/// Longest passphrase, in bytes: two of them fit into a request.
pub const PASSPHRASE_MAX: usize = 256;
const NAME_MAX: usize = 32;

// As for key files: 64 MiB, three passes, one lane (OWASP's first choice when memory allows).
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Officer {
    name: String,
    hash: String,
}

/// All officers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Officers {
    officers: Vec<Officer>,
}

/// The hash of a passphrase, in the PHC form, with a salt of its own.
pub fn hash(passphrase: &[u8]) -> Result<String, Failure> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(Failure::environment)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon.hash_password(passphrase).map_err(Failure::environment)?;
    Ok(hash.to_string())
}

// Compared in constant time by the crate; a text that is no hash fits nothing.
fn fits(passphrase: &[u8], hash: &str) -> bool {
    Argon2::default().verify_password(passphrase, hash).is_ok()
}

impl Officers {
    /// Reads the file of a folder; nobody when there is none.
    pub fn load(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let failure = |text: String| Failure::environment(format!("{}: {text}", path.display()));
        match read_private(&path).map_err(|error| failure(error.to_string()))? {
            None => Ok(Self::default()),
            Some(text) => serde_json::from_str(&text).map_err(|error| failure(error.to_string())),
        }
    }

    /// Writes the file.
    pub fn save(&self, folder: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(Failure::environment)?;
        let path = folder.join(FILE);
        write_private(&path, &text)
            .map_err(|error| Failure::environment(format!("{}: {error}", path.display())))
    }

    /// Adds one. Names are small letters, digits, `.`, `_` and `-`.
    pub fn add(&mut self, name: &str, passphrase: &[u8]) -> Result<(), Failure> {
        let sign = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(sign) {
            return Err(Failure::usage(format!("a name has 1 to {NAME_MAX} of a-z, 0-9, `.`, `_` and `-`")));
        }
        if self.knows(name) {
            return Err(Failure::check(format!("{name} is an officer already")));
        }
        if !(PASSPHRASE_MIN..=PASSPHRASE_MAX).contains(&passphrase.len()) {
            return Err(Failure::usage(format!(
                "a passphrase has {PASSPHRASE_MIN} to {PASSPHRASE_MAX} bytes"
            )));
        }
        self.officers.push(Officer { name: name.to_owned(), hash: hash(passphrase)? });
        Ok(())
    }

    /// True when the name is one of theirs.
    pub fn knows(&self, name: &str) -> bool {
        self.officers.iter().any(|officer| officer.name == name)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.officers.iter().map(|officer| officer.name.as_str())
    }

    /// Judges a passphrase. An unknown name costs the same work, over the hash `decoy`.
    pub fn verify(&self, name: &str, passphrase: &[u8], decoy: &str) -> bool {
        let officer = self.officers.iter().find(|officer| officer.name == name);
        let fits = fits(passphrase, officer.map_or(decoy, |officer| &officer.hash));
        fits & officer.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_fits_its_officer_and_nobody_else() {
        let mut officers = Officers::default();
        officers.add("anna", b"twelve bytes").unwrap();
        officers.add("ben", b"another phrase").unwrap();
        let decoy = hash(b"nobody at all").unwrap();
        assert!(officers.verify("anna", b"twelve bytes", &decoy));
        assert!(!officers.verify("ben", b"twelve bytes", &decoy));
        assert!(!officers.verify("carl", b"nobody at all", &decoy));
        assert!(officers.add("anna", b"some new phrase").is_err());
        assert!(officers.add("Anna", b"some new phrase").is_err());
        assert!(officers.add("dora", b"eleven byte").is_err());
        assert!(!format!("{:?}", officers.names().collect::<Vec<_>>()).contains("twelve"));
    }
}
