//! The centre's own keys at work: which one signs, what was signed by one that goes, and the steps of a change that go
//! on by themselves.

use super::manager::Manager;
use crate::core::action::Act;
use crate::core::input::Input;
use crate::core::refusal::Refusal;
use crate::core::signing::KeySuccession;
use crate::failpoint::failpoint;
use crate::house::{HouseError, RingSigner};
use crate::log::CheckpointKey;
use keylink::message::Mail;
use keylink::root::SignedRoot;
use keylink::succession::CentreKey;
use keylink::{Body, NotSigned, PublicKey, Signed, TrySign};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Why there is no successor to be asked for.
#[derive(Debug, Error)]
pub enum SuccessorProblem {
    /// The key cannot be sealed in the folder.
    #[error(transparent)]
    House(#[from] HouseError),
    /// The centre would not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A key did not sign.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// The manager ends.
    #[error("the manager ends")]
    Ends,
}

impl Manager {
    /// A kind of which the key that signs is not here.
    pub fn missing_key(&self) -> Option<CentreKey> {
        let signs = |key: &CentreKey| self.view(|core| core.signing_key(*key));
        let here = |key: &CentreKey| {
            signs(key).is_none_or(|(public, _)| self.0.parts.ring.signer(*key, &public).is_some())
        };
        CentreKey::ALL.into_iter().find(|key| !here(key))
    }

    /// Signs manifests and all other messages to nodes.
    fn signer(&self) -> RingSigner {
        let ring = &self.0.parts.ring;
        let used = self.view(|core| core.signing_key(CentreKey::Manifest)).map(|(public, _)| public);
        let public = used.or_else(|| ring.public(CentreKey::Manifest).first().copied());
        let found = public.and_then(|public| ring.signer(CentreKey::Manifest, &public));
        // What signs is never erased, and a manager without it does not start.
        found.unwrap_or_else(|| unreachable!("the manifest key that signs was here at the start"))
    }

    /// Signs with the manifest key in use.
    pub(crate) async fn sign<B: Body>(&self, body: &B) -> Result<Signed, NotSigned> {
        let payload = body.to_payload();
        self.signing(move |signer| Signed::try_seal_bytes(B::KIND, payload, signer)).await
    }

    /// Work with that key, where nobody else has to wait for it.
    pub(super) async fn signing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RingSigner) -> Result<T, NotSigned> + Send + 'static,
    ) -> Result<T, NotSigned> {
        let signer = self.signer();
        if !signer.waits() {
            return work(&signer);
        }
        tokio::task::spawn_blocking(move || work(&signer)).await.unwrap_or(Err(NotSigned))
    }

    // A node may have dropped the key by which something was signed for it before. The name of a message does not change
    // with the signature, so it is signed by the key in use; that the node knows from the root documents beside it.
    pub(super) async fn sign_anew(&self, mut mail: Mail) -> Result<Mail, NotSigned> {
        let used = self.signer().public().id();
        if mail.messages.iter().all(|signed| signed.key_id == used) {
            return Ok(mail);
        }
        let anew = |signer: &RingSigner| {
            let old = mail.messages.iter_mut().filter(|signed| signed.key_id != signer.public().id());
            for signed in old {
                *signed = Signed::try_seal_bytes(&signed.kind, signed.payload.clone(), signer)?;
            }
            Ok(mail)
        };
        self.signing(anew).await
    }

    /// What officers would be asked for, so that another key takes the place of this one. The key is made, and sealed in
    /// the folder; asked again before anybody has asked for it, it is the same.
    pub async fn successor(&self, key: CentreKey) -> Result<Act, SuccessorProblem> {
        let now = self.now().utc_ms;
        let signs = |core: &crate::core::Core| Some((core.kmc()?, core.signing_key(key)?.0));
        let (kmc, old) = self.view(signs).ok_or(Refusal::Unfit("the root document names no such key"))?;
        if self.view(|core| core.key_change(now).is_some()) {
            return Err(Refusal::KeyChanges.into());
        }
        let ring = Arc::clone(&self.0.parts.ring);
        let made = tokio::task::spawn_blocking(move || {
            let new = ring.prepare(key)?;
            Ok((new, ring.state(kmc, key, (old, new), now)))
        });
        let made: Result<_, HouseError> = made.await.map_err(|_| SuccessorProblem::Ends)?;
        let (new, statement) = made?;
        let statement = statement.ok_or(Refusal::Outdated("another key signs now"))??;
        let documents = self.view(|core| core.key_documents(key, new, now))?;
        let [both, alone] = documents.map(|document| SignedRoot::new(&document).payload);
        Ok(Act::ChangeSigningKey(KeySuccession { statement, both, alone }))
    }

    // The writer signs with the key that the centre says, a change goes on, and keys that nobody wants are erased.
    pub(super) async fn key_steps(&self) {
        let (ring, now) = (&self.0.parts.ring, self.now().utc_ms);
        let standing = self.0.parts.writer.standing();
        self.look_at_transport().await;
        if !standing.leading || !ring.has_spare() {
            return;
        }
        let signs = standing.checkpoint_key.map(PublicKey);
        let used = self.view(|core| core.signing_key(CentreKey::Checkpoint)).map(|(public, _)| public);
        if let Some(next) = used.filter(|used| signs.is_some_and(|signs| signs != *used)) {
            self.sign_checkpoints_with(next);
        }
        if self.view(|core| core.key_step_due(signs, now)) {
            failpoint!("labour.before_key_step");
            match self.submit(None, Input::KeyStep { checkpoints: signs }).await {
                // Whoever waits for mail is given the root document at once.
                Ok(_) => {
                    let nodes =
                        self.view(|core| core.state().nodes().map(|node| node.id).collect::<Vec<_>>());
                    nodes.into_iter().for_each(|node| self.0.mail.ring(node));
                }
                Err(problem) => tracing::warn!(%problem, "the change of a signing key does not go on"),
            }
            failpoint!("labour.after_key_step");
            self.look_at_transport().await;
        }
        // Both of one state: a key that is asked for between two looks would be known and not wanted. While the store cannot
        // be read there is none.
        let looked = self.view(|core| core.kmc().map(|_| (core.wanted_keys(), core.known_keys())));
        let Some((mut wanted, known)) = looked else { return };
        // The log may still be signed by the key before.
        wanted.extend(self.0.parts.writer.standing().checkpoint_key.map(PublicKey));
        let mono_ms = self.now().mono_ms;
        if !self.0.erasing.is_due(mono_ms) {
            return;
        }
        let ring = Arc::clone(ring);
        // A token may let it wait.
        let erased = tokio::task::spawn_blocking(move || ring.erase_unwanted(&known, &wanted)).await;
        self.0.erasing.tried(mono_ms, matches!(erased, Ok(Ok(()))));
        if let Ok(Err(error)) = erased {
            tracing::error!(%error, "a signing key that is out of use is not erased; it is tried again");
        }
        failpoint!("labour.after_key_erased");
    }

    // What cannot be made leaves what is shown and believed as it was.
    async fn look_at_transport(&self) {
        if let Err(error) = self.keep_transport().await {
            tracing::error!(%error, "the listeners' certificates are not made anew");
        }
    }

    fn sign_checkpoints_with(&self, next: PublicKey) {
        let Some(kmc) = self.view(crate::core::Core::kmc) else { return };
        let signer = self.0.parts.ring.signer(CentreKey::Checkpoint, &next);
        let key = signer.and_then(|signer| CheckpointKey::by(&origin(kmc), Arc::new(signer)).ok());
        match key {
            Some(key) => self.0.parts.writer.sign_with(key),
            None => tracing::error!("the checkpoint key that signs from now on is not at hand"),
        }
    }
}

/// When keys that are out of use are tried to be erased again: a token that cannot is asked, and people are told, twice
/// as long after each time.
#[derive(Debug, Default)]
pub(super) struct Erasing(Mutex<Option<Pause>>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    until_mono_ms: u64,
    ms: u64,
}

impl Erasing {
    const FIRST_MS: u64 = 1_000;
    const LONGEST_MS: u64 = 600_000;

    fn is_due(&self, mono_ms: u64) -> bool {
        let pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pause.is_none_or(|pause| pause.until_mono_ms <= mono_ms)
    }

    fn tried(&self, mono_ms: u64, done: bool) {
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *pause = (!done).then(|| {
            let ms = pause.map_or(Self::FIRST_MS, |before| (2 * before.ms).min(Self::LONGEST_MS));
            Pause { until_mono_ms: mono_ms.saturating_add(ms), ms }
        });
    }
}

/// The name of a centre's log.
pub(crate) fn origin(kmc: keylink::KmcId) -> String {
    format!("payhsm.kmc/{kmc}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_erased_is_tried_ever_more_seldom() {
        let erasing = Erasing::default();
        let day = 86_400_000;
        let tries = |from: u64| {
            let due = (from..from + day).step_by(1_000).filter(|ms| erasing.is_due(*ms));
            due.inspect(|ms| erasing.tried(*ms, false)).count()
        };
        assert!((144..170).contains(&tries(0)), "ten minutes at most");
        // It worked: at once, and from the shortest pause on.
        erasing.tried(day, true);
        assert!(erasing.is_due(day));
        erasing.tried(day, false);
        assert!(!erasing.is_due(day + 999) && erasing.is_due(day + 1_000));
    }
}
