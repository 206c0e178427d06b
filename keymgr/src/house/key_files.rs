//! Files of signature keys in the folder: a whole key, sealed, or the public half of one that is in a token, or is on
//! its way there or away from it.

use super::folder::HouseError;
use crate::key_folder::KeyFolder;
use crate::person::KeyFileError;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use keylink::PublicKey;
use keylink::succession::CentreKey;

/// What enrolment tokens are made from, once it is not the first manifest key any more.
pub(super) const ENROLMENT: &str = "enrolment.pem";

/// How names of files end that hold a key, or the public half of one in a token.
pub(super) const SEALED: &str = "pem";
pub(super) const IN_TOKEN: &str = "token";

/// The same of a key that nobody has been told of yet, which may be in the token, and of one that is out of use there.
/// The folder knows of a key before the token does, and until after the token does not: whatever happens in between,
/// such a key is destroyed by the name of its file.
pub(super) const COMING: &str = "coming";
pub(super) const GOING: &str = "going";

/// The file of the same key in another state.
pub(super) fn as_of(file: &str, what: &str) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    format!("{stem}.{what}")
}

/// The file of the first key, and what files of later ones begin with.
pub(super) fn first_file(key: CentreKey, what: &str) -> String {
    format!("{key}.{what}")
}

pub(super) fn file_of(key: CentreKey, public: &PublicKey, what: &str) -> String {
    format!("{key}-{}.{what}", short(public))
}

/// By what people tell keys apart.
pub(super) fn short(public: &PublicKey) -> String {
    hex::encode(public.0.get(..8).unwrap_or_default())
}

/// Files with keys of this kind, the first one before those that were named after their keys.
pub(super) fn files(folder: &KeyFolder, key: CentreKey, what: &str) -> Result<Vec<String>, HouseError> {
    let (first, begin, end) = (first_file(key, what), format!("{key}-"), format!(".{what}"));
    let mut files: Vec<String> = folder.files()?;
    files.retain(|file| *file == first || (file.starts_with(&begin) && file.ends_with(&end)));
    files.sort_by_key(|file| (*file != first, file.clone()));
    Ok(files)
}

/// The same, where one must be.
pub(super) fn wanted_files(
    folder: &KeyFolder,
    key: CentreKey,
    what: &str,
) -> Result<Vec<String>, HouseError> {
    let files = files(folder, key, what)?;
    // Where there is none, the first is missed by its name.
    Ok(if files.is_empty() { vec![first_file(key, what)] } else { files })
}

/// The files of any kind of key in one of these states.
pub(super) fn all_files(folder: &KeyFolder, what: &[&str]) -> Result<Vec<(CentreKey, String)>, HouseError> {
    let mut all = Vec::new();
    for key in CentreKey::ALL {
        for what in what {
            all.extend(files(folder, key, what)?.into_iter().map(|file| (key, file)));
        }
    }
    Ok(all)
}

pub(super) fn keep_record(folder: &KeyFolder, file: &str, public: &PublicKey) -> Result<(), HouseError> {
    Ok(folder.write(file, format!("{}\n", hex::encode(public.0)).as_bytes())?)
}

/// The public half that a file names.
pub(super) fn record(folder: &KeyFolder, file: &str) -> Result<PublicKey, HouseError> {
    let text = folder.read(file)?;
    let read = std::str::from_utf8(&text).ok().and_then(|text| hex::decode(text.trim_end()).ok());
    let key = read.and_then(|bytes| bytes.try_into().ok());
    key.map(PublicKey).ok_or_else(|| folder.key_failed(file, KeyFileError::Format).into())
}

pub(super) fn seal(
    folder: &KeyFolder,
    file: &str,
    key: &SigningKey,
    passphrase: &[u8],
) -> Result<(), HouseError> {
    let der = key.to_pkcs8_der().map_err(|_| HouseError::Random)?;
    let text = folder.seal(file, der.as_bytes(), passphrase)?;
    Ok(folder.write(file, text.as_bytes())?)
}

pub(super) fn unseal(folder: &KeyFolder, file: &str, passphrase: &[u8]) -> Result<SigningKey, HouseError> {
    let der = folder.unseal(file, passphrase)?;
    let broken = |_| HouseError::from(folder.key_failed(file, KeyFileError::Format));
    SigningKey::from_pkcs8_der(&der).map_err(broken)
}
