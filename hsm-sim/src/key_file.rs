//! Own LMKs at rest: a file sealed under a passphrase. The clear keys are never on disk.
//!
//! The passphrase is stretched by Argon2id and the list of LMKs sealed by AES-256-GCM; everything in the
//! file besides the cipher text is authenticated with it.

use crate::lmk::{LmkKind, LmkSecret, LmkSet};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use hsm::LmkId;
use paytypes::{ClearBytes, hex};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Why a key file could not be made or opened.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// Not a key file, or one of another format.
    #[error("not a payhsm key file of format 1")]
    Format,
    /// Wrong passphrase or altered file; the two cannot be told apart.
    #[error("wrong passphrase, or the file was altered")]
    Sealed,
    /// The passphrase is too short to protect an LMK.
    #[error("a passphrase has at least {PASSPHRASE_MIN} characters")]
    Passphrase,
    /// An LMK in the file is not valid.
    #[error("LMK {0:02}: not valid, or its identifier occurs twice")]
    Lmk(u8),
    /// No randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// Shortest passphrase, in bytes.
pub const PASSPHRASE_MIN: usize = 12;

// OWASP's first choice for Argon2id when memory allows: 64 MiB, three passes, one lane.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;

#[derive(Serialize, Deserialize)]
struct Sealed {
    format: String,
    memory_kib: u32,
    passes: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

const FORMAT: &str = "payhsm-lmk-1";

fn derive(passphrase: &[u8], file: &Sealed) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let salt = hex::decode::<16>(file.salt.as_bytes()).map_err(|_| KeyFileError::Format)?;
    // A file must not be able to ask for any amount of memory.
    if file.memory_kib > 1 << 20 || file.passes > 64 {
        return Err(KeyFileError::Format);
    }
    let params = Params::new(file.memory_kib, file.passes, 1, Some(32)).map_err(|_| KeyFileError::Format)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, &salt, key.as_mut())
        .map_err(|_| KeyFileError::Format)?;
    Ok(key)
}

fn associated(file: &Sealed) -> String {
    format!("{}|{}|{}|{}|{}", file.format, file.memory_kib, file.passes, file.salt, file.nonce)
}

// One LMK in the sealed text: `id kind hex comment`.
fn write_lmk(lmk: &LmkSecret, out: &mut Zeroizing<Vec<u8>>) {
    let kind = match lmk.kind {
        LmkKind::Variant => "variant",
        LmkKind::TdesBlock => "3des-block",
        LmkKind::AesBlock => "aes-block",
    };
    out.extend_from_slice(format!("{} {kind} ", lmk.id).as_bytes());
    for byte in lmk.clear.expose() {
        out.extend_from_slice(&[hex::letter(byte >> 4), hex::letter(*byte)]);
    }
    out.extend_from_slice(format!(" {}\n", lmk.comment.replace('\n', " ")).as_bytes());
}

fn read_lmk(line: &str) -> Result<LmkSecret, KeyFileError> {
    let mut parts = line.splitn(4, ' ');
    let mut next = || parts.next().ok_or(KeyFileError::Format);
    let id: u8 = next()?.parse().map_err(|_| KeyFileError::Format)?;
    let kind = match next()? {
        "variant" => LmkKind::Variant,
        "3des-block" => LmkKind::TdesBlock,
        "aes-block" => LmkKind::AesBlock,
        _ => return Err(KeyFileError::Format),
    };
    let clear = hex::decode_vec(next()?.as_bytes()).map_err(|_| KeyFileError::Lmk(id))?;
    let comment = next().unwrap_or_default();
    LmkSecret::new(LmkId(id), kind, comment, ClearBytes::new(clear)).map_err(|_| KeyFileError::Lmk(id))
}

/// Seals LMKs under a passphrase. The result is the text of the file.
pub fn seal(set: &LmkSet, passphrase: &[u8]) -> Result<String, KeyFileError> {
    if passphrase.len() < PASSPHRASE_MIN {
        return Err(KeyFileError::Passphrase);
    }
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    getrandom::fill(&mut salt).map_err(|_| KeyFileError::Random)?;
    getrandom::fill(&mut nonce).map_err(|_| KeyFileError::Random)?;
    let mut file = Sealed {
        format: FORMAT.to_owned(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        salt: hex::encode(&salt),
        nonce: hex::encode(&nonce),
        sealed: String::new(),
    };
    // Room for everything at once: a vector that grows leaves clear copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(set.iter().count().saturating_mul(1024).max(1024)));
    set.iter().for_each(|lmk| write_lmk(lmk, &mut text));
    let key = derive(passphrase, &file)?;
    let mut sealed = Vec::with_capacity(text.len().saturating_add(16));
    sealed.extend_from_slice(&text);
    cipher(&key)?
        .encrypt_in_place(&Nonce::from(nonce), associated(&file).as_bytes(), &mut sealed)
        .map_err(|_| KeyFileError::Sealed)?;
    file.sealed = hex::encode(&sealed);
    serde_json::to_string_pretty(&file).map_err(|_| KeyFileError::Format)
}

/// Opens a key file.
pub fn open(text: &str, passphrase: &[u8]) -> Result<LmkSet, KeyFileError> {
    let file: Sealed = serde_json::from_str(text).map_err(|_| KeyFileError::Format)?;
    if file.format != FORMAT {
        return Err(KeyFileError::Format);
    }
    let nonce = hex::decode::<12>(file.nonce.as_bytes()).map_err(|_| KeyFileError::Format)?;
    let mut sealed = hex::decode_vec(file.sealed.as_bytes()).map_err(|_| KeyFileError::Format)?;
    let key = derive(passphrase, &file)?;
    cipher(&key)?
        .decrypt_in_place(&Nonce::from(nonce), associated(&file).as_bytes(), &mut sealed)
        .map_err(|_| KeyFileError::Sealed)?;
    let clear = Zeroizing::new(sealed);
    let mut set = LmkSet::default();
    let lines = core::str::from_utf8(&clear).map_err(|_| KeyFileError::Format)?;
    for line in lines.lines() {
        let lmk = read_lmk(line)?;
        let id = lmk.id.0;
        set.add(lmk).map_err(|_| KeyFileError::Lmk(id))?;
    }
    Ok(set)
}

fn cipher(key: &[u8; 32]) -> Result<Aes256Gcm, KeyFileError> {
    let mut copy = Key::<Aes256Gcm>::from(*key);
    let cipher = Aes256Gcm::new(&copy);
    copy.zeroize();
    Ok(cipher)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &[u8] = b"correct horse battery";

    fn set() -> LmkSet {
        let mut set = LmkSet::default();
        let lmk = LmkSecret::new(LmkId(3), LmkKind::AesBlock, "ours, of 2026", ClearBytes::new(vec![7; 32]));
        set.add(lmk.unwrap()).unwrap();
        set
    }

    #[test]
    fn round_trip_without_clear_keys_in_the_file() {
        let text = seal(&set(), PASSPHRASE).unwrap();
        assert!(!text.contains(&"07".repeat(8)));
        let again = open(&text, PASSPHRASE).unwrap();
        let lmk = again.iter().next().unwrap();
        assert_eq!((lmk.id, lmk.kind, lmk.comment.as_str()), (LmkId(3), LmkKind::AesBlock, "ours, of 2026"));
        assert_eq!(lmk.clear.expose(), &[7; 32]);
        assert!(!lmk.test);
    }

    #[test]
    fn refusals() {
        let text = seal(&set(), PASSPHRASE).unwrap();
        assert!(matches!(open(&text, b"wrong horse battery"), Err(KeyFileError::Sealed)));
        assert!(matches!(seal(&set(), b"short"), Err(KeyFileError::Passphrase)));
        assert!(matches!(open("{}", PASSPHRASE), Err(KeyFileError::Format)));
        let altered = text.replace("\"passes\": 3", "\"passes\": 2");
        assert!(matches!(open(&altered, PASSPHRASE), Err(KeyFileError::Sealed)));
    }
}
