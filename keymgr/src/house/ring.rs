//! The signature keys of a centre that runs: those that sign, and those that come or go. Each lies sealed in the folder,
//! or in the token of which the folder keeps the public half, before anybody is told of it; a key whose time is over is
//! erased there and here. Which of them signs is not decided here: the centre's state says it, so that a crash between
//! file and log leaves nothing undecided.
//!
//! Folder and token do not change in one step. So a key on its way into the token, or out of it, has a file that says so
//! (`.coming`, `.going`) from before the token's step until after it. A key with such a file is nobody's: nothing signs
//! with it after a start, and it is destroyed as soon as the token does that.
//!
//! All keys of a centre lie in one place. What enrolment tokens are made from is a secret that is reckoned with, not
//! signed with: it lies in a sealed file wherever the keys do.

mod places;

use super::custody::{Custody, label_of};
use super::folder::{House, HouseError, signing_key};
use super::hand::RingSigner;
use super::key_files::{
    COMING, ENROLMENT, GOING, IN_TOKEN, SEALED, all_files, as_of, file_of, first_file, keep_record, seal,
    unseal, wanted_files,
};
use crate::failpoint::failpoint;
use crate::key_folder::KeyFolder;
use ed25519_dalek::SigningKey;
use keylink::succession::{CentreKey, SignedSuccession, Succession};
use keylink::wire::U64;
use keylink::{KmcId, NotSigned, PublicKey, TrySign};
use places::{At, CHECK, Held, UNFINISHED, find_all, judge_place, sweep, sweep_attempt};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use zeroize::Zeroizing;

/// Words for where keys are.
const SEALED_FILE: &str = "sealed file";
const TOKEN: &str = "token";

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
    custody: Option<Custody>,
    kmc: OnceLock<KmcId>,
    held: Mutex<Vec<Held>>,
    // Held while keys are made or erased. The list itself is free meanwhile: others sign.
    changing: Mutex<()>,
    // Something may be in the token that is nobody's.
    unswept: AtomicBool,
}

impl core::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyRing")
    }
}

impl KeyRing {
    /// Opens every key of the folder. A passphrase is made costly to try; the files are tried side by side.
    pub(super) fn open(
        folder: &KeyFolder,
        passphrase: &[u8],
        custody: Option<Custody>,
    ) -> Result<Self, HouseError> {
        let mut wanted = Vec::new();
        for key in CentreKey::ALL {
            judge_place(folder, key, custody.as_ref())?;
            if custody.is_none() {
                let files = wanted_files(folder, key, SEALED)?;
                wanted.extend(files.into_iter().map(|file| (Some(key), file)));
            }
        }
        if custody.is_some() || folder.holds(ENROLMENT) {
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
        if let Some(custody) = &custody {
            held = find_all(folder, custody)?;
        }
        let first = opened.iter().find(|(key, ..)| *key == Some(CentreKey::Manifest));
        let enrolment = enrolment.or_else(|| first.map(|(_, secret, _)| enrolment_of(secret)));
        let ring = Self::of(folder, passphrase, held, enrolment.unwrap_or_default(), custody);
        // The token holds the keys of this folder, so it is the right one for this too. A centre is served without.
        if let Err(error) = ring.sweep(UNFINISHED) {
            tracing::warn!(%error, "a key that is out of use is still in the token; it is tried again");
        }
        Ok(ring)
    }

    // Whoever calls this changes keys, or nobody else has the ring yet.
    fn sweep(&self, what: &[&str]) -> Result<(), HouseError> {
        let Some(custody) = &self.custody else { return Ok(()) };
        let swept = sweep(&self.folder, custody, what);
        if swept.is_err() || what == UNFINISHED {
            self.unswept.store(swept.is_err(), Ordering::Relaxed);
        }
        swept
    }

    /// Makes the first keys of a folder. Those in a token are lost if the ring is not told whose they are.
    pub(super) fn create(
        folder: &KeyFolder,
        passphrase: &[u8],
        custody: Option<Custody>,
    ) -> Result<Self, HouseError> {
        sweep_attempt(folder, custody.as_ref())?;
        let sealed = all_files(folder, &[SEALED])?.into_iter().map(|(_, file)| file);
        sealed.chain([ENROLMENT.to_owned()]).try_for_each(|file| folder.erase(&file))?;
        if let Some(custody) = custody {
            return Self::create_in(folder, passphrase, custody);
        }
        let (mut held, mut enrolment) = (Vec::new(), Zeroizing::default());
        for key in CentreKey::ALL {
            let (secret, file) = (signing_key()?, first_file(key, SEALED));
            seal(folder, &file, &secret, passphrase)?;
            if key == CentreKey::Manifest {
                enrolment = enrolment_of(&secret);
            }
            held.push(Held::sealed(key, &secret, file));
        }
        Ok(Self::of(folder, passphrase, held, enrolment, None))
    }

    fn create_in(folder: &KeyFolder, passphrase: &[u8], custody: Custody) -> Result<Self, HouseError> {
        let mut held = Vec::new();
        for key in CentreKey::ALL {
            let public = custody.call(custody.patience(), |token| token.make())?;
            held.push(Held::in_token(key, &custody, public, first_file(key, IN_TOKEN), At::Token));
        }
        let enrolment = signing_key()?;
        seal(folder, ENROLMENT, &enrolment, passphrase)?;
        let enrolment = Zeroizing::new(enrolment.to_bytes());
        Ok(Self::of(folder, passphrase, held, enrolment, Some(custody)))
    }

    /// Whose keys these are: their labels in a token say it. What was made there is kept when this returns.
    pub fn belongs_to(&self, kmc: KmcId) -> Result<(), HouseError> {
        let kmc = *self.kmc.get_or_init(|| kmc);
        let Some(custody) = &self.custody else { return Ok(()) };
        let _alone = self.changing();
        let made: Vec<Held> = self.held().iter().filter(|own| matches!(own.at, At::Token)).cloned().collect();
        for own in made {
            let at = self.keep(custody, kmc, own.key, own.public(), &own.file)?;
            let mut held = self.held();
            let known = held.iter_mut().filter(|known| known.public() == own.public());
            known.for_each(|own| own.at = at.clone());
        }
        Ok(())
    }

    // The folder knows that it comes, then it is on the token, then it is a key of this centre.
    fn keep(
        &self,
        custody: &Custody,
        kmc: KmcId,
        key: CentreKey,
        public: PublicKey,
        file: &str,
    ) -> Result<At, HouseError> {
        let label = label_of(kmc, key, &public);
        let (name, coming) = (label.clone(), as_of(file, COMING));
        keep_record(&self.folder, &coming, &public)?;
        failpoint!("keys.coming");
        let kept = custody.call(custody.patience(), move |token| token.keep(&public, &name));
        failpoint!("keys.kept");
        let known = kept.map_err(HouseError::from).and_then(|()| Ok(self.folder.rename(&coming, file)?));
        if known.is_err() {
            // A token that was silent may do it yet.
            self.unswept.store(true, Ordering::Relaxed);
        }
        known?;
        Ok(At::Kept(label.into()))
    }

    /// Keys that were opened elsewhere, one of each kind.
    pub fn opened(house: &House, keys: [&SigningKey; CentreKey::ALL.len()]) -> Self {
        let held = CentreKey::ALL.into_iter().zip(keys);
        let held = held.map(|(key, secret)| Held::sealed(key, secret, first_file(key, SEALED))).collect();
        Self::of(house.folder(), b"", held, enrolment_of(keys[0]), None)
    }

    fn of(
        folder: &KeyFolder,
        passphrase: &[u8],
        held: Vec<Held>,
        enrolment: Zeroizing<[u8; 32]>,
        custody: Option<Custody>,
    ) -> Self {
        let passphrase = Zeroizing::new(passphrase.to_vec());
        let (folder, held) = (folder.clone(), Mutex::new(held));
        let (kmc, changing) = (OnceLock::new(), Mutex::default());
        let unswept = AtomicBool::new(false);
        Self { folder, passphrase, enrolment, custody, kmc, held, changing, unswept }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Where the secret half of a key is, in words.
    pub fn place(&self, key: CentreKey, public: &PublicKey) -> Option<String> {
        let held = self.held();
        let own = held.iter().find(|own| own.key == key && own.public() == *public)?;
        Some(match &own.at {
            At::File => SEALED_FILE.to_owned(),
            At::Token => TOKEN.to_owned(),
            At::Kept(label) => format!("{TOKEN} {label}"),
        })
    }

    /// Where keys are that are made.
    pub const fn places(&self) -> &'static str {
        if self.custody.is_some() { TOKEN } else { SEALED_FILE }
    }

    /// False while a token with the keys does not do what it is asked.
    pub fn answers(&self) -> bool {
        self.custody.as_ref().is_none_or(Custody::answers)
    }

    /// True when a token with the keys was not asked for a while, or was away.
    pub fn wants_a_look(&self) -> bool {
        self.custody.as_ref().is_some_and(Custody::wants_a_look)
    }

    /// Finds out whether it signs. May wait.
    pub fn look(&self) {
        if let Some(own) = self.signers(CentreKey::Manifest).first() {
            let _ = own.try_sign(CHECK);
        }
    }

    /// A key to take the place of one: one that was prepared before and not used, or a new one, which is sealed in the
    /// folder or kept in the token when this returns.
    pub fn prepare(&self, key: CentreKey) -> Result<PublicKey, HouseError> {
        let _alone = self.changing();
        let waits = self.held().iter().find(|own| own.key == key && own.prepared).map(Held::public);
        if let Some(waits) = waits {
            return Ok(waits);
        }
        // One that did not get here in an earlier attempt goes before there is another.
        self.sweep(&[COMING])?;
        let made = match &self.custody {
            Some(custody) => self.make_in(custody, key)?,
            None => self.make_sealed(key)?,
        };
        let public = made.public();
        self.held().push(Held { prepared: true, ..made });
        Ok(public)
    }

    fn make_in(&self, custody: &Custody, key: CentreKey) -> Result<Held, HouseError> {
        let kmc = *self.kmc.get().ok_or(HouseError::Nobody)?;
        let public = custody.call(custody.patience(), |token| token.make())?;
        let file = file_of(key, &public, IN_TOKEN);
        let at = self.keep(custody, kmc, key, public, &file)?;
        Ok(Held::in_token(key, custody, public, file, at))
    }

    fn make_sealed(&self, key: CentreKey) -> Result<Held, HouseError> {
        if key == CentreKey::Manifest && !self.folder.holds(ENROLMENT) {
            seal(&self.folder, ENROLMENT, &SigningKey::from_bytes(&self.enrolment), &self.passphrase)?;
        }
        let secret = signing_key()?;
        let public = PublicKey(secret.verifying_key().to_bytes());
        let file = file_of(key, &public, SEALED);
        seal(&self.folder, &file, &secret, &self.passphrase)?;
        Ok(Held::sealed(key, &secret, file))
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

    /// Whether there are others than one of each kind, or may be.
    pub fn has_spare(&self) -> bool {
        self.held().len() > CentreKey::ALL.len() || self.unswept.load(Ordering::Relaxed)
    }

    /// Erases keys that the records know and do not want any more. One that they do not know is at anybody's disposal; it
    /// may be of records to come, where the store was set back, and is kept. What cannot be erased is tried again.
    pub fn erase_unwanted(
        &self,
        known: &BTreeSet<PublicKey>,
        wanted: &BTreeSet<PublicKey>,
    ) -> Result<(), HouseError> {
        let _alone = self.changing();
        let mut over = Vec::new();
        for own in self.held().iter_mut() {
            let (known, wanted) = (known.contains(&own.public()), wanted.contains(&own.public()));
            own.prepared = !known && !wanted;
            if known && !wanted {
                over.push(own.clone());
            }
        }
        for own in &over {
            if self.custody.is_none() {
                self.folder.erase(&own.file)?;
            } else {
                let going = as_of(&own.file, GOING);
                self.unswept.store(true, Ordering::Relaxed);
                if self.folder.holds(&own.file) {
                    self.folder.rename(&own.file, &going)?;
                } else {
                    keep_record(&self.folder, &going, &own.public())?;
                }
                failpoint!("keys.going");
            }
            // From here on it is out of use, and the file says so until it is destroyed.
            self.held().retain(|held| held.key != own.key || held.public() != own.public());
        }
        if !self.unswept.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.sweep(UNFINISHED)
    }
}

#[cfg(test)]
mod tests {
    use super::super::custody::tests::Soft;
    use super::super::key_files::short;
    use super::*;
    use std::time::Duration;

    pub(super) const PASSPHRASE: &[u8] = b"a passphrase of a test";

    pub(super) fn ring() -> (tempfile::TempDir, KeyRing) {
        let folder = tempfile::tempdir().expect("folder");
        let own = KeyFolder::at(folder.path().join("kmc"));
        own.make().expect("made");
        let ring = KeyRing::create(&own, PASSPHRASE, None).expect("created");
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
        let again = KeyRing::open(&ring.folder, PASSPHRASE, None).expect("opens");
        assert_eq!(again.public(CentreKey::Manifest), [old, new]);
        assert_eq!(*again.enrolment_secret(), *ring.enrolment_secret());
        again.erase_unwanted(&signing, &signing).expect("nothing to do");
        assert_eq!(again.prepare(CentreKey::Manifest).expect("the same"), new, "nobody knows it");
        let known = [old, new, checkpoint].into();
        again.erase_unwanted(&known, &[new, checkpoint].into()).expect("erased");
        assert!(!again.folder.holds("manifest.pem") && again.signer(CentreKey::Manifest, &old).is_none());
        let last = KeyRing::open(&ring.folder, PASSPHRASE, None).expect("opens");
        assert_eq!(last.public(CentreKey::Manifest), [new]);
        assert_eq!(*last.enrolment_secret(), *ring.enrolment_secret(), "tokens are judged as before");
        assert!(!last.has_spare());
        last.erase_unwanted(&known, &[new, checkpoint].into()).expect("again");
    }

    pub(super) fn in_token() -> (tempfile::TempDir, KeyRing, Soft, Custody) {
        let folder = tempfile::tempdir().expect("folder");
        let own = KeyFolder::at(folder.path().join("kmc"));
        own.make().expect("made");
        let token = Soft::default();
        let custody = Custody::start(Duration::from_millis(400), Box::new(token.clone())).expect("a thread");
        let ring = KeyRing::create(&own, PASSPHRASE, Some(custody.clone())).expect("created");
        (folder, ring, token, custody)
    }

    #[test]
    fn keys_in_a_token_are_found_changed_and_destroyed_there() {
        let (_place, ring, token, custody) = in_token();
        assert!(matches!(ring.prepare(CentreKey::Manifest), Err(HouseError::Nobody)));
        assert!(token.state().kept.is_empty(), "kept when it is known whose they are");
        ring.belongs_to(KmcId([1; 32])).expect("kept");
        ring.belongs_to(KmcId([1; 32])).expect("once");
        let (old, checkpoint) = (ring.first(CentreKey::Manifest), ring.first(CentreKey::Checkpoint));
        let place = ring.place(CentreKey::Manifest, &old).expect("known");
        assert_eq!(place, format!("token payhsm/kmc/0101010101010101/manifest/{}", short(&old)));
        assert_eq!(ring.places(), "token");
        let open = || KeyRing::open(&ring.folder, PASSPHRASE, Some(custody.clone()));
        let again = open().expect("found");
        assert_eq!(again.place(CentreKey::Manifest, &old), Some(place));
        assert_eq!(*again.enrolment_secret(), *ring.enrolment_secret());
        again.belongs_to(KmcId([1; 32])).expect("known");
        let new = again.prepare(CentreKey::Manifest).expect("made");
        let said = again.state(KmcId([1; 32]), CentreKey::Manifest, (old, new), 7).expect("both");
        assert!(said.expect("signed").open().is_some());
        let known = [old, new, checkpoint].into();
        again.erase_unwanted(&known, &[new, checkpoint].into()).expect("erased");
        assert!(!token.state().kept.contains_key(&old) && !again.folder.holds("manifest.token"));
        let last = open().expect("found");
        assert_eq!(last.public(CentreKey::Manifest), [new]);
        assert_eq!(*last.enrolment_secret(), *ring.enrolment_secret(), "tokens are judged as before");
    }

    #[test]
    fn a_token_that_is_away_makes_and_destroys_nothing_and_signs_again_later() {
        let (_place, ring, token, _) = in_token();
        ring.belongs_to(KmcId([1; 32])).expect("kept");
        let (manifest, checkpoint) = (ring.first(CentreKey::Manifest), ring.first(CentreKey::Checkpoint));
        token.state().fails = true;
        assert!(matches!(ring.prepare(CentreKey::Manifest), Err(HouseError::Custody(_))));
        let known = [manifest, checkpoint].into();
        assert!(ring.erase_unwanted(&known, &[checkpoint].into()).is_err() && !ring.answers());
        assert!(token.state().kept.contains_key(&manifest) && ring.has_spare(), "it is tried again");
        token.state().fails = false;
        ring.erase_unwanted(&known, &[checkpoint].into()).expect("erased");
        assert!(!token.state().kept.contains_key(&manifest) && !ring.has_spare());
        let signer = ring.signer(CentreKey::Checkpoint, &checkpoint).expect("here");
        assert!(ring.answers() && signer.try_sign(b"text").is_ok());
        token.state().hang = Duration::from_millis(1200);
        assert!(signer.waits() && signer.try_sign(b"text").is_err() && !ring.answers());
    }

    #[test]
    fn a_key_that_is_missing_or_cannot_be_opened_is_named() {
        let (_place, ring) = ring();
        assert!(KeyRing::open(&ring.folder, b"wrong", None).is_err());
        ring.folder.erase("checkpoint.pem").expect("erased");
        let error = KeyRing::open(&ring.folder, PASSPHRASE, None).expect_err("missing");
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
