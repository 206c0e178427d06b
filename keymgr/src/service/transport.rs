//! The transport authority at work: what the manager shows of itself and whom it believes, by the root document in force.
//! Everything here is made of the centre's state and the keys of the ring, at the start and whenever the state has
//! changed, so that nothing has to be kept.

use super::link::LinkProblem;
use super::manager::Manager;
use crate::channel::{ServerKey, Shown, node_tls, server_tls};
use crate::core::signing::SigningKeys;
use crate::house::{Authority, AuthorityError, CHANNEL_DAYS};
use keylink::PublicKey;
use keylink::succession::CentreKey;
use rustls::ServerConfig;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

const DAY_MS: u64 = 24 * 3_600_000;

/// Why there is none.
#[derive(Debug, Error)]
pub enum TransportProblem {
    /// The root document names no authority, so nodes would believe nobody.
    #[error("the root document names no transport authority")]
    None,
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Keys that TLS does not take.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The authorities of one moment, and what connections are taken and made with.
pub struct Transport {
    authority: Authority,
    counts: Vec<PublicKey>,
    former: Vec<PublicKey>,
    shown: Arc<Shown>,
    link: Arc<ServerConfig>,
    people: Arc<ServerConfig>,
    of: (usize, SigningKeys),
    renew_ms: u64,
}

impl Transport {
    /// The one that issues certificates.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether this one issues certificates.
    pub fn is_of_issuer(&self, authority: PublicKey) -> bool {
        self.authority.key() == authority
    }

    /// Keys of those whose certificates count.
    pub fn counts(&self) -> &[PublicKey] {
        &self.counts
    }

    /// The same, and of those whose certificates counted once.
    pub fn ever(&self) -> Vec<PublicKey> {
        [self.counts.as_slice(), &self.former].concat()
    }

    /// What the manager shows.
    pub const fn shown(&self) -> &Arc<Shown> {
        &self.shown
    }
}

/// The newest, once there is one.
#[derive(Default)]
pub struct Present(Mutex<Option<Arc<Transport>>>);

impl Manager {
    /// The authorities of this moment.
    pub(crate) fn transport(&self) -> Result<Arc<Transport>, LinkProblem> {
        let found = self.0.transport.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        found.ok_or_else(|| LinkProblem::Unready("no transport authority".to_owned()))
    }

    /// Settings of the listener for nodes, as they are now.
    pub(crate) fn link_tls(&self) -> Option<Arc<ServerConfig>> {
        Some(Arc::clone(&self.transport().ok()?.link))
    }

    /// Settings of the listener for people.
    pub(crate) fn people_tls(&self) -> Option<Arc<ServerConfig>> {
        Some(Arc::clone(&self.transport().ok()?.people))
    }

    /// Makes anew what is shown and believed, if the centre's state says something else than before, or certificates are
    /// near their end.
    pub async fn keep_transport(&self) -> Result<(), TransportProblem> {
        let now = self.now().utc_ms;
        let of = self.view(crate::core::Core::key_state).ok_or(TransportProblem::None)?;
        let is_present = |present: &Arc<Transport>| present.of == of && now < present.renew_ms;
        if self.transport().is_ok_and(|present| is_present(&present)) {
            return Ok(());
        }
        // Signatures may have to be waited for.
        let manager = self.clone();
        let made = tokio::task::spawn_blocking(move || manager.make_transport(of, now)).await;
        let fresh = Arc::new(made.map_err(|_| AuthorityError::Key)??);
        *self.0.transport.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }

    fn make_transport(&self, of: (usize, SigningKeys), now: u64) -> Result<Transport, TransportProblem> {
        let ring = &self.0.parts.ring;
        let issues = |core: &crate::core::Core| core.signing_key(CentreKey::Transport);
        let (issues, (counts, former)) = self.view(|core| (issues(core), core.authorities()));
        let (issues, since) = issues.ok_or(TransportProblem::None)?;
        let authority = Authority::of(ring, &issues, since)?;
        let newest = self.certificate_by(&authority, now)?;
        let mut certificates = vec![(issues, &newest)];
        // A node that has not heard of the one that issues now knows the one before. One that does not issue yet has
        // certified nothing.
        let before_it;
        let goes = of.1.change.as_ref().filter(|change| change.key == CentreKey::Transport);
        if let Some(old) = goes.map(|change| change.old).filter(|old| *old != issues && counts.contains(old))
            && ring.signer(CentreKey::Transport, &old).is_some()
        {
            // One that does not sign now is tried again with the next look.
            let before = Authority::of(ring, &old, since)?;
            before_it = self.certificate_by(&before, now)?;
            certificates.push((old, &before_it));
        }
        let shown = Arc::new(Shown::new(certificates)?);
        let (link, people) = (node_tls(&shown, &counts)?, server_tls(&newest)?);
        let renew_ms = now.saturating_add(u64::from(CHANNEL_DAYS) * DAY_MS * 2 / 3);
        Ok(Transport { authority, counts, former, shown, link, people, of, renew_ms })
    }

    fn certificate_by(&self, authority: &Authority, now: u64) -> Result<ServerKey, AuthorityError> {
        authority.listener(&self.0.parts.channel, &self.0.parts.names, now, CHANNEL_DAYS)
    }
}
