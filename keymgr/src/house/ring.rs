//! The signature keys of a centre that runs: those that sign, and those that come or go. Each lies sealed in the folder
//! before anybody is told of it, and a key whose time is over is erased there and here. Which of them signs is not
//! decided here: the centre's state says it, so that a crash between file and log leaves nothing undecided.

use super::folder::{House, HouseError, signing_key};
use super::hand::RingSigner;
use crate::key_folder::KeyFolder;
use crate::person::KeyFileError;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use keylink::succession::{CentreKey, SignedSuccession, Succession};
use keylink::wire::U64;
use keylink::{KmcId, NotSigned, PublicKey, SoftSigner, TrySign};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// What enrolment tokens are made from, once it is not the first manifest key any more.
const ENROLMENT: &str = "enrolment.pem";

struct Held {
    key: CentreKey,
    signer: RingSigner,
    file: String,
    /// Made in this run, for a change that nobody may have asked for yet.
    prepared: bool,
}

impl Held {
    fn sealed(key: CentreKey, secret: &SigningKey, file: String) -> Self {
        let seed = Zeroizing::new(secret.to_bytes());
        let signer = RingSigner::here(SoftSigner::new(&seed));
        Self { key, signer, file, prepared: false }
    }

    fn public(&self) -> PublicKey {
        self.signer.public()
    }
}

// Tokens of an older folder were made from its first manifest key.
fn enrolment_of(first: &SigningKey) -> Zeroizing<[u8; 32]> {
    let mut secret = Sha256::new();
    secret.update(b"payhsm/enrolment-secret/v1");
    secret.update(Zeroizing::new(first.to_bytes()).as_ref());
    Zeroizing::new(secret.finalize().into())
}

/// The keys, opened; wiped on drop.
pub struct KeyRing {
    folder: KeyFolder,
    // Seals the keys to come. What it opens is in this memory anyway.
    passphrase: Zeroizing<Vec<u8>>,
    enrolment: Zeroizing<[u8; 32]>,
    held: Mutex<Vec<Held>>,
}

impl core::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyRing")
    }
}

/// The file of the first key, and what files of later ones begin with.
pub(super) fn first_file(key: CentreKey) -> String {
    format!("{key}.pem")
}

fn file_of(key: CentreKey, public: &PublicKey) -> String {
    let name = hex::encode(public.0);
    format!("{key}-{}.pem", name.get(..16).unwrap_or(&name))
}

// Files with keys of this kind, the first one before those that were named after their keys.
fn files(folder: &KeyFolder, key: CentreKey) -> Result<Vec<String>, HouseError> {
    let (first, begin) = (first_file(key), format!("{key}-"));
    let mut files: Vec<String> = folder.files()?;
    files.retain(|file| *file == first || (file.starts_with(&begin) && file.ends_with(".pem")));
    files.sort_by_key(|file| (*file != first, file.clone()));
    // Where there is none, the first is missed by its name.
    Ok(if files.is_empty() { vec![first] } else { files })
}

impl KeyRing {
    /// Opens every key of the folder. A passphrase is made costly to try; the files are tried side by side.
    pub(super) fn open(folder: &KeyFolder, passphrase: &[u8]) -> Result<Self, HouseError> {
        let mut wanted = Vec::new();
        for key in CentreKey::ALL {
            wanted.extend(files(folder, key)?.into_iter().map(|file| (Some(key), file)));
        }
        if folder.holds(ENROLMENT) {
            wanted.push((None, ENROLMENT.to_owned()));
        }
        let opened = std::thread::scope(|scope| {
            let tasks: Vec<_> = wanted
                .into_iter()
                .map(|(key, file)| scope.spawn(move || Ok((key, unseal(folder, &file, passphrase)?, file))))
                .collect();
            let ended = tasks.into_iter().map(|task| task.join().map_err(|_| HouseError::Random).flatten());
            ended.collect::<Result<Vec<_>, HouseError>>()
        })?;
        let (mut held, mut enrolment) = (Vec::new(), None);
        for (key, secret, file) in &opened {
            match key {
                Some(key) => held.push(Held::sealed(*key, secret, file.clone())),
                None => enrolment = Some(Zeroizing::new(secret.to_bytes())),
            }
        }
        let first = opened.iter().find(|(key, ..)| *key == Some(CentreKey::Manifest));
        let enrolment = enrolment.or_else(|| first.map(|(_, secret, _)| enrolment_of(secret)));
        Ok(Self::of(folder, passphrase, held, enrolment.unwrap_or_default()))
    }

    /// Makes the first keys of a folder.
    pub(super) fn create(folder: &KeyFolder, passphrase: &[u8]) -> Result<Self, HouseError> {
        let (mut held, mut enrolment) = (Vec::new(), Zeroizing::default());
        for key in CentreKey::ALL {
            let (secret, file) = (signing_key()?, first_file(key));
            seal(folder, &file, &secret, passphrase)?;
            if key == CentreKey::Manifest {
                enrolment = enrolment_of(&secret);
            }
            held.push(Held::sealed(key, &secret, file));
        }
        Ok(Self::of(folder, passphrase, held, enrolment))
    }

    /// Keys that were opened elsewhere, one of each kind.
    pub fn opened(house: &House, keys: [&SigningKey; CentreKey::ALL.len()]) -> Self {
        let held = CentreKey::ALL.into_iter().zip(keys);
        let held = held.map(|(key, secret)| Held::sealed(key, secret, first_file(key))).collect();
        Self::of(house.folder(), b"", held, enrolment_of(keys[0]))
    }

    fn of(folder: &KeyFolder, passphrase: &[u8], held: Vec<Held>, enrolment: Zeroizing<[u8; 32]>) -> Self {
        let passphrase = Zeroizing::new(passphrase.to_vec());
        Self { folder: folder.clone(), passphrase, enrolment, held: Mutex::new(held) }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What enrolment tokens are made from: it outlives the manifest key that it was first derived from.
    pub fn enrolment_secret(&self) -> Zeroizing<[u8; 32]> {
        self.enrolment.clone()
    }

    /// The first key of a kind: in a new folder, the one that the centre begins with.
    pub fn first(&self, key: CentreKey) -> PublicKey {
        let first = self.public(key).first().copied();
        first.unwrap_or_else(|| unreachable!("a ring has a key of each kind, and erases none that signs"))
    }

    /// The keys of a kind, those of the beginning first.
    pub fn public(&self, key: CentreKey) -> Vec<PublicKey> {
        self.held().iter().filter(|own| own.key == key).map(Held::public).collect()
    }

    /// Signs with a key, if it is here.
    pub fn signer(&self, key: CentreKey, public: &PublicKey) -> Option<RingSigner> {
        let held = self.held();
        held.iter().find(|own| own.key == key && own.public() == *public).map(|own| own.signer.clone())
    }

    /// All of a kind.
    pub fn signers(&self, key: CentreKey) -> Vec<RingSigner> {
        self.held().iter().filter(|own| own.key == key).map(|own| own.signer.clone()).collect()
    }

    /// A key to take the place of one: one that was prepared before and not used, or a new one, which is sealed in the
    /// folder when this returns.
    pub fn prepare(&self, key: CentreKey) -> Result<PublicKey, HouseError> {
        let mut held = self.held();
        if let Some(own) = held.iter().find(|own| own.key == key && own.prepared) {
            return Ok(own.public());
        }
        if key == CentreKey::Manifest && !self.folder.holds(ENROLMENT) {
            seal(&self.folder, ENROLMENT, &SigningKey::from_bytes(&self.enrolment), &self.passphrase)?;
        }
        let secret = signing_key()?;
        let public = PublicKey(secret.verifying_key().to_bytes());
        let file = file_of(key, &public);
        seal(&self.folder, &file, &secret, &self.passphrase)?;
        held.push(Held { prepared: true, ..Held::sealed(key, &secret, file) });
        Ok(public)
    }

    /// States that `new` follows `old`, signed by both; none if one of them is not here.
    pub fn state(
        &self,
        kmc: KmcId,
        key: CentreKey,
        (old, new): (PublicKey, PublicKey),
        utc_ms: u64,
    ) -> Option<Result<SignedSuccession, NotSigned>> {
        let body = Succession { kmc, key, old, new, made_ms: U64(utc_ms) };
        Some(SignedSuccession::try_seal(&body, &self.signer(key, &old)?, &self.signer(key, &new)?))
    }

    /// Whether there are others than one of each kind.
    pub fn has_spare(&self) -> bool {
        self.held().len() > CentreKey::ALL.len()
    }

    /// Erases keys that the records know and do not want any more. One that they do not know is at anybody's disposal; it
    /// may be of records to come, where the store was set back, and is kept. What cannot be erased is tried again.
    pub fn erase_unwanted(
        &self,
        known: &BTreeSet<PublicKey>,
        wanted: &BTreeSet<PublicKey>,
    ) -> Result<(), HouseError> {
        let mut held = self.held();
        let mut at = 0;
        while let Some(own) = held.get_mut(at) {
            let (known, wanted) = (known.contains(&own.public()), wanted.contains(&own.public()));
            own.prepared = !known && !wanted;
            if own.prepared || wanted {
                at += 1;
                continue;
            }
            self.folder.erase(&own.file)?;
            held.remove(at);
        }
        Ok(())
    }
}

fn seal(folder: &KeyFolder, file: &str, key: &SigningKey, passphrase: &[u8]) -> Result<(), HouseError> {
    let der = key.to_pkcs8_der().map_err(|_| HouseError::Random)?;
    let text = folder.seal(file, der.as_bytes(), passphrase)?;
    Ok(folder.write(file, text.as_bytes())?)
}

fn unseal(folder: &KeyFolder, file: &str, passphrase: &[u8]) -> Result<SigningKey, HouseError> {
    let der = folder.unseal(file, passphrase)?;
    let broken = |_| HouseError::from(folder.key_failed(file, KeyFileError::Format));
    SigningKey::from_pkcs8_der(&der).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &[u8] = b"a passphrase of a test";

    fn ring() -> (tempfile::TempDir, KeyRing) {
        let folder = tempfile::tempdir().expect("folder");
        let own = KeyFolder::at(folder.path().join("kmc"));
        own.make().expect("made");
        let ring = KeyRing::create(&own, PASSPHRASE).expect("created");
        (folder, ring)
    }

    #[test]
    fn a_prepared_key_is_there_after_a_restart_and_goes_when_nobody_wants_it() {
        let (_place, ring) = ring();
        let [old] = ring.public(CentreKey::Manifest)[..] else { panic!("one") };
        let new = ring.prepare(CentreKey::Manifest).expect("made");
        assert_eq!(ring.prepare(CentreKey::Manifest).expect("the same"), new);
        let checkpoint = ring.public(CentreKey::Checkpoint)[0];
        let signing = [old, checkpoint].into();
        ring.erase_unwanted(&signing, &signing).expect("nothing to do");
        assert!(ring.signer(CentreKey::Manifest, &new).is_some(), "somebody may ask for it yet");
        let again = KeyRing::open(&ring.folder, PASSPHRASE).expect("opens");
        assert_eq!(again.public(CentreKey::Manifest), [old, new]);
        assert_eq!(*again.enrolment_secret(), *ring.enrolment_secret());
        again.erase_unwanted(&signing, &signing).expect("nothing to do");
        assert_eq!(again.prepare(CentreKey::Manifest).expect("the same"), new, "nobody knows it");
        let known = [old, new, checkpoint].into();
        again.erase_unwanted(&known, &[new, checkpoint].into()).expect("erased");
        assert!(!again.folder.holds("manifest.pem") && again.signer(CentreKey::Manifest, &old).is_none());
        let last = KeyRing::open(&ring.folder, PASSPHRASE).expect("opens");
        assert_eq!(last.public(CentreKey::Manifest), [new]);
        assert_eq!(*last.enrolment_secret(), *ring.enrolment_secret(), "tokens are judged as before");
        assert!(!last.has_spare());
        last.erase_unwanted(&known, &[new, checkpoint].into()).expect("again");
    }

    #[test]
    fn a_key_that_is_missing_or_cannot_be_opened_is_named() {
        let (_place, ring) = ring();
        assert!(KeyRing::open(&ring.folder, b"wrong").is_err());
        ring.folder.erase("checkpoint.pem").expect("erased");
        let error = KeyRing::open(&ring.folder, PASSPHRASE).expect_err("missing");
        assert!(error.to_string().contains("checkpoint.pem"), "{error}");
    }

    #[test]
    fn the_statement_needs_both_keys() {
        let (_place, ring) = ring();
        let old = ring.public(CentreKey::Checkpoint)[0];
        let new = ring.prepare(CentreKey::Checkpoint).expect("made");
        let said = ring
            .state(KmcId([1; 32]), CentreKey::Checkpoint, (old, new), 7)
            .expect("both are here")
            .expect("signed");
        assert_eq!(said.open().map(|body| (body.old, body.new)), Some((old, new)));
        assert!(ring.state(KmcId([1; 32]), CentreKey::Manifest, (old, new), 7).is_none());
        assert_eq!(format!("{ring:?}"), "KeyRing");
    }
}
