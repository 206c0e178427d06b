//! The handle of a running manager.

use super::carrier::Turns;
use super::clock::Clock;
use super::echo::Roots;
use super::enrolment::{Asked, Enrolments};
use super::mailroom::Mailroom;
use super::offers::Offers;
use super::proofs::Proofs;
use super::rates::Rates;
use super::renewals::Renewals;
use super::sent::SentStore;
use super::signing::Erasing;
use super::transport::Present;
use crate::ceremony::Ceremonies;
use crate::channel::ListenerKey;
use crate::core::ids::Fresh;
use crate::core::input::{Input, Outcome, Told};
use crate::core::{Core, Refusal};
use crate::house::KeyRing;
use crate::log;
use crate::vault::VaultThread;
use crate::writer::{self, Recalled, SubmitError, Writer};
use keylink::message::{Checkpoint, EnrolmentToken};
use keylink::wire::U64;
use keylink::{Digest, Instant3, TokenId};
use std::sync::Arc;
use tokio::sync::Notify;

/// What a manager is made of.
pub struct Parts {
    /// The core behind its writer.
    pub writer: Writer<Core>,
    /// The store, to read beside the writer.
    pub sent: SentStore,
    /// The backend with the master key.
    pub vault: VaultThread,
    /// Signs manifests.
    pub ring: Arc<KeyRing>,
    /// Key of both listeners.
    pub channel: ListenerKey,
    /// Host names and addresses of the listeners.
    pub names: Vec<String>,
    /// Where nodes reach the manager, as enrolment tokens say it.
    pub link_url: String,
    /// The clocks.
    pub clock: Clock,
}

/// By what a request of a person's program is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestName {
    /// The person's id and the Idempotency-Key: the key of one person never meets another's.
    pub key: String,
    /// Hash of method, path and body.
    pub request: Digest,
}

/// Why something submitted has no outcome.
pub type SubmitProblem = SubmitError<Refusal>;

/// A running manager; clones share it.
#[derive(Clone)]
pub struct Manager(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub parts: Parts,
    pub mail: Mailroom,
    pub enrolments: Enrolments,
    pub offers: Offers,
    pub renewals: Renewals,
    pub transport: Present,
    pub turns: Turns,
    pub rates: Rates,
    pub labour: Notify,
    pub ceremonies: Ceremonies,
    pub roots: Roots,
    pub proofs: Proofs,
    pub erasing: Erasing,
}

impl core::fmt::Debug for Manager {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Manager")
    }
}

impl Manager {
    /// Over its parts. Nothing runs yet: see [`Manager::work`].
    pub fn new(parts: Parts) -> Self {
        let enrolments = Enrolments::new(parts.ring.enrolment_secret());
        Self(Arc::new(Inner {
            parts,
            mail: Mailroom::default(),
            enrolments,
            offers: Offers::default(),
            renewals: Renewals::default(),
            transport: Present::default(),
            turns: Turns::default(),
            rates: Rates::default(),
            labour: Notify::new(),
            ceremonies: Ceremonies::default(),
            roots: Roots::default(),
            proofs: Proofs::default(),
            erasing: Erasing::default(),
        }))
    }

    /// The moment.
    pub fn now(&self) -> Instant3 {
        self.0.parts.clock.now()
    }

    /// Hands something to the core; the answer comes after the commit. A name makes asking again harmless.
    pub async fn submit(&self, name: Option<RequestName>, input: Input) -> Result<Outcome, SubmitProblem> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| SubmitError::NotLeading)?;
        let (key, request) = name.map(|name| (name.key, name.request)).unzip();
        let told = Told { fresh: Fresh(Digest(random)), request, input };
        let outcome = self.0.parts.writer.submit(key, told).await;
        // Whatever was decided, something may follow from it.
        self.0.labour.notify_one();
        outcome
    }

    /// What a request of this name came to, if it was done before: asked before anything is done for it that costs
    /// or that only holds until it is done.
    pub async fn recall(&self, name: &RequestName) -> Result<Option<Outcome>, SubmitProblem> {
        let (RequestName { key, request }, now) = (name.clone(), self.now().utc_ms);
        let look = move |store: &mut crate::store::Store| writer::recall(store, &key, &request, now);
        match self.store().read(look).await {
            Some(Ok(Recalled::No)) => Ok(None),
            Some(Ok(Recalled::Answer(outcome))) => Ok(Some(outcome)),
            Some(Ok(Recalled::Other)) => Err(SubmitError::KeyReused),
            _ => Err(SubmitError::NotLeading),
        }
    }

    /// Looks at committed state.
    pub fn view<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        self.0.parts.writer.view(look)
    }

    pub(crate) fn ceremonies(&self) -> &Ceremonies {
        &self.0.ceremonies
    }

    /// The centre's own keys.
    pub fn ring(&self) -> &KeyRing {
        &self.0.parts.ring
    }

    /// The backend.
    pub fn vault(&self) -> &VaultThread {
        &self.0.parts.vault
    }

    /// The writer, for reports about it.
    pub fn writer(&self) -> &Writer<Core> {
        &self.0.parts.writer
    }

    /// The token of this name, for one node to ask by. It begins with the root document of this hash.
    pub fn enrolment_token(&self, token: TokenId, root: Digest) -> Option<EnrolmentToken> {
        let kmc = self.view(Core::kmc)?;
        let transport = self.transport().ok()?;
        let place = (self.0.parts.link_url.as_str(), transport.counts());
        Some(self.0.enrolments.token(kmc, root, place, token))
    }

    /// Nodes that ask to be let in.
    pub fn asking(&self) -> Vec<Asked> {
        self.0.enrolments.waiting()
    }

    /// The store, to read beside the writer.
    pub fn store(&self) -> &SentStore {
        &self.0.parts.sent
    }

    /// The newest committed state of the log that may be shown.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let (size, note) = self.0.parts.writer.standing().checkpoint?;
        let text = log::unverified_note(&note).ok()?;
        let stated = log::Checkpoint::parse(text).ok()?;
        Some(Checkpoint { size: U64(size), root: Digest(stated.root), note })
    }
}
