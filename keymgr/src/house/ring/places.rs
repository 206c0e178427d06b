//! Where the keys of a ring lie: in sealed files or in the token, all in the same place; and what becomes of those that
//! something ended on their way into the token or out of it. What is sealed and signed is not decided here.

use crate::failpoint::failpoint;
use crate::house::custody::{Custody, TokenKey};
use crate::house::folder::HouseError;
use crate::house::hand::RingSigner;
use crate::house::key_files::{
    COMING, GOING, IN_TOKEN, SEALED, all_files, as_of, files, record, short, wanted_files,
};
use crate::key_folder::KeyFolder;
use ed25519_dalek::SigningKey;
use keylink::succession::CentreKey;
use keylink::{PublicKey, SoftSigner, TrySign};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// So long the writer waits for a checkpoint's signature; the next one covers what this one would have.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(2);

/// What a key of the token signs to show that it is there.
pub(super) const CHECK: &[u8] = b"payhsm/key-check/v1";

/// Files of keys that are nobody's.
pub(super) const UNFINISHED: &[&str] = &[COMING, GOING];

// Where a secret half lies.
#[derive(Clone)]
pub(super) enum At {
    File,
    // Made, and gone with this process if it is not kept.
    Token,
    Kept(Arc<str>),
}

#[derive(Clone)]
pub(super) struct Held {
    pub(super) key: CentreKey,
    pub(super) signer: RingSigner,
    pub(super) file: String,
    pub(super) at: At,
    /// Made in this run, for a change that nobody may have asked for yet.
    pub(super) prepared: bool,
}

impl Held {
    pub(super) fn sealed(key: CentreKey, secret: &SigningKey, file: String) -> Self {
        let seed = Zeroizing::new(secret.to_bytes());
        let signer = RingSigner::here(SoftSigner::new(&seed));
        Self { key, signer, file, at: At::File, prepared: false }
    }

    pub(super) fn in_token(
        key: CentreKey,
        custody: &Custody,
        public: PublicKey,
        file: String,
        at: At,
    ) -> Self {
        let within = match key {
            CentreKey::Checkpoint => CHECKPOINT_WITHIN,
            _ => custody.patience(),
        };
        let signer = RingSigner::there(TokenKey { custody: custody.clone(), public, within });
        Self { key, signer, file, at, prepared: false }
    }

    pub(super) fn public(&self) -> PublicKey {
        self.signer.public()
    }
}

// All keys lie in the place in which the folder is opened; one that lies elsewhere is named.
pub(super) fn judge_place(
    folder: &KeyFolder,
    key: CentreKey,
    custody: Option<&Custody>,
) -> Result<(), HouseError> {
    let elsewhere = files(folder, key, if custody.is_some() { SEALED } else { IN_TOKEN })?;
    match (elsewhere.into_iter().next(), custody) {
        (None, _) => Ok(()),
        (Some(file), Some(_)) => Err(HouseError::InFile { key, path: folder.path().join(file) }),
        (Some(file), None) => Err(HouseError::InToken { key, public: short(&record(folder, &file)?) }),
    }
}

// Every key that the folder names, found in the token by its public half; each shows that it signs.
pub(super) fn find_all(folder: &KeyFolder, custody: &Custody) -> Result<Vec<Held>, HouseError> {
    let mut held = Vec::new();
    for key in CentreKey::ALL {
        for file in wanted_files(folder, key, IN_TOKEN)? {
            let public = record(folder, &file)?;
            let label = custody.call(custody.patience(), move |token| token.label(&public))?;
            let missing = || HouseError::NotInToken { key, public: short(&public) };
            let at = At::Kept(label.ok_or_else(missing)?.into());
            let own = Held::in_token(key, custody, public, file, at);
            own.signer.try_sign(CHECK).map_err(|_| missing())?;
            held.push(own);
        }
    }
    Ok(held)
}

// Destroys what came or went when something ended it: nobody was told of the one, and nobody wants the other.
pub(super) fn sweep(folder: &KeyFolder, custody: &Custody, what: &[&str]) -> Result<(), HouseError> {
    let one = |file: &str| -> Result<(), HouseError> {
        let public = record(folder, file)?;
        custody.call(custody.patience(), move |token| token.destroy(&public))?;
        failpoint!("keys.destroyed");
        Ok(folder.erase(file)?)
    };
    // One that cannot be destroyed keeps none of the others.
    let all = all_files(folder, what)?;
    // Each is tried, whatever became of another.
    let mut done = Ok(());
    for (_, file) in &all {
        done = done.and(one(file));
    }
    done
}

// In a folder in which no centre has begun: what an earlier attempt has made is nobody's, if it is in this token.
pub(super) fn sweep_attempt(folder: &KeyFolder, custody: Option<&Custody>) -> Result<(), HouseError> {
    let left = all_files(folder, &[IN_TOKEN, COMING, GOING])?;
    let Some(custody) = custody else {
        let Some((key, file)) = left.into_iter().next() else { return Ok(()) };
        return Err(HouseError::Unfinished { key, path: folder.path().join(file) });
    };
    for (key, file) in all_files(folder, &[IN_TOKEN])? {
        let public = record(folder, &file)?;
        if custody.call(custody.patience(), move |token| token.label(&public))?.is_none() {
            return Err(HouseError::Unfinished { key, path: folder.path().join(file) });
        }
        folder.rename(&file, &as_of(&file, GOING))?;
    }
    sweep(folder, custody, UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::super::KeyRing;
    use super::super::tests::{PASSPHRASE, in_token, ring};
    use super::*;
    use crate::house::custody::tests::Soft;
    use crate::house::key_files::{file_of, keep_record};
    use keylink::KmcId;
    use std::collections::BTreeSet;

    #[test]
    fn a_ring_is_opened_where_its_keys_are_or_a_key_is_named() {
        let (_place, ring, token, custody) = in_token();
        ring.belongs_to(KmcId([1; 32])).expect("kept");
        let refused = |folder: &KeyFolder, custody| {
            KeyRing::open(folder, PASSPHRASE, custody).expect_err("refused").to_string()
        };
        let said = refused(&ring.folder, None);
        let name = short(&ring.first(CentreKey::Manifest));
        assert!(said.contains(&format!("manifest key {name}")) && said.contains("is in a token"), "{said}");
        token.state().kept.remove(&ring.first(CentreKey::Checkpoint));
        let said = refused(&ring.folder, Some(custody.clone()));
        assert!(said.contains("does not hold the checkpoint key"), "{said}");
        ring.folder.erase("enrolment.pem").expect("erased");
        assert!(refused(&ring.folder, Some(custody.clone())).contains("enrolment.pem"));
        let (_other, sealed) = self::ring();
        let said = refused(&sealed.folder, Some(custody));
        assert!(said.contains("manifest key") && said.contains("manifest.pem"), "{said}");
    }

    // Every place between the steps of folder and token at which a manager may end, as the next start finds it.
    #[test]
    fn what_ends_between_token_and_folder_keeps_no_manager_from_starting_and_leaves_no_key() {
        let (_place, ring, token, custody) = in_token();
        ring.belongs_to(KmcId([1; 32])).expect("kept");
        let own: BTreeSet<PublicKey> = token.state().kept.keys().copied().collect();
        let write =
            |file: &str, public: &PublicKey| keep_record(&ring.folder, file, public).expect("written");
        let make = || {
            let public = custody.call(custody.patience(), |token| token.make()).expect("made");
            (public, file_of(CentreKey::Manifest, &public, IN_TOKEN))
        };
        let keep = |public: PublicKey| {
            custody.call(custody.patience(), move |token| token.keep(&public, "label")).expect("kept");
        };
        // It was to come, and did not; it came, and nobody was told.
        let (never, file) = make();
        write(&as_of(&file, COMING), &never);
        let (came, file) = make();
        write(&as_of(&file, COMING), &came);
        keep(came);
        // It was to go, and did not; it went, and the folder was not told.
        let (stays, file) = make();
        keep(stays);
        write(&as_of(&file, GOING), &stays);
        let (gone, file) = make();
        write(&as_of(&file, GOING), &gone);
        let again = KeyRing::open(&ring.folder, PASSPHRASE, Some(custody.clone())).expect("it starts");
        assert_eq!(token.state().kept.keys().copied().collect::<BTreeSet<_>>(), own);
        assert!(all_files(&ring.folder, UNFINISHED).expect("listed").is_empty() && !again.has_spare());
        assert_eq!(again.public(CentreKey::Manifest), ring.public(CentreKey::Manifest));
    }

    #[test]
    fn a_token_that_cannot_destroy_keeps_no_manager_from_starting() {
        let (_place, ring, token, custody) = in_token();
        ring.belongs_to(KmcId([1; 32])).expect("kept");
        let new = ring.prepare(CentreKey::Manifest).expect("made");
        let known = [ring.first(CentreKey::Manifest), new].into();
        token.state().lasting = true;
        assert!(ring.erase_unwanted(&known, &[new].into()).is_err());
        let again = KeyRing::open(&ring.folder, PASSPHRASE, Some(custody)).expect("it starts");
        assert!(again.public(CentreKey::Manifest) == [new] && again.has_spare());
        again.belongs_to(KmcId([1; 32])).expect("known");
        again.prepare(CentreKey::Checkpoint).expect("what goes hinders nothing that comes");
        token.state().lasting = false;
        again.erase_unwanted(&known, &[new].into()).expect("at last");
        assert!(
            token.state().kept.len() == 4 && all_files(&again.folder, UNFINISHED).expect("listed").is_empty()
        );
    }

    // The answer comes too late, and the key is on the token: however often it is tried, nothing of it stays.
    #[test]
    fn keys_that_a_slow_token_keeps_too_late_are_destroyed() {
        let (_place, ring, token, custody) = in_token();
        ring.belongs_to(KmcId([1; 32])).expect("kept");
        for _ in 0..3 {
            token.state().hang_to_keep = Duration::from_millis(700);
            assert!(matches!(ring.prepare(CentreKey::Manifest), Err(HouseError::Custody(_))));
            assert!(ring.has_spare(), "somebody looks after it");
            std::thread::sleep(Duration::from_millis(500));
            assert_eq!(token.state().kept.len(), 4, "one at most");
        }
        let own: BTreeSet<PublicKey> = CentreKey::ALL.map(|key| ring.first(key)).into();
        ring.erase_unwanted(&own, &own).expect("swept");
        assert!(token.state().kept.len() == 3 && !ring.has_spare());
        let new = ring.prepare(CentreKey::Manifest).expect("made");
        let again = KeyRing::open(&ring.folder, PASSPHRASE, Some(custody)).expect("opens");
        assert_eq!(again.public(CentreKey::Manifest).last(), Some(&new));
    }

    #[test]
    fn a_beginning_that_failed_halfway_is_begun_anew_and_its_keys_are_destroyed() {
        let (_place, ring, token, custody) = in_token();
        token.state().keeps_left = Some(1);
        assert!(ring.belongs_to(KmcId([1; 32])).is_err());
        assert_eq!(token.state().kept.len(), 1);
        let before: Vec<PublicKey> = token.state().kept.keys().copied().collect();
        let refused = KeyRing::create(&ring.folder, PASSPHRASE, None).expect_err("in a token");
        assert!(matches!(&refused, HouseError::Unfinished { key: CentreKey::Manifest, .. }), "{refused}");
        let other = Custody::start(Duration::from_secs(1), Box::new(Soft::default())).expect("a thread");
        let refused = KeyRing::create(&ring.folder, PASSPHRASE, Some(other)).expect_err("another token");
        assert!(matches!(refused, HouseError::Unfinished { .. }), "{refused}");
        token.state().keeps_left = None;
        let again = KeyRing::create(&ring.folder, PASSPHRASE, Some(custody.clone())).expect("created");
        again.belongs_to(KmcId([2; 32])).expect("kept");
        let kept: BTreeSet<PublicKey> = token.state().kept.keys().copied().collect();
        assert!(kept.len() == 3 && !kept.contains(&before[0]), "none of the first attempt");
        KeyRing::open(&ring.folder, PASSPHRASE, Some(custody)).expect("opens");
    }
}
