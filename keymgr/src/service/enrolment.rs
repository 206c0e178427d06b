//! Nodes that ask to be known. A token is made of a secret of the manager and needs no record; which key has
//! used it is remembered, so that it serves one node once and is void at the first mismatch.

use crate::core::enrolment::{TOKEN_LIFE_MS, made_ms, until_ms};
use crate::core::names;
use crate::core::rows::TokenVoid;
use keylink::envelope::Signed;
use keylink::message::{Audience, Enrol, EnrolmentToken, HeadError, proof_holds};
use keylink::wire::{Hex, U64};
use keylink::{Digest, KmcId, NodeId, PublicKey, TokenId};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use thiserror::Error;
use zeroize::Zeroizing;

/// A token from so far ahead of this clock is taken: the clock that made it may have been set back since.
const SET_BACK_MS: u64 = 60_000;

/// Why a node is not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EnrolmentError {
    /// Not an enrolment, or not signed by the key in it.
    #[error("not an enrolment message")]
    Message,
    /// For another manager, or past its time.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// No such token, its time is over, or the proof of its secret does not hold.
    #[error("the token is not valid")]
    Token,
    /// A name that is not shown as it is, or that reads as an id.
    #[error("{}, and is no id", names::RULE)]
    Name,
    /// A node that is known has this name.
    #[error("another node has this name")]
    Taken,
    /// A class there is none of, or a text about the unit that is not shown as it is.
    #[error("a backend class is A, B or C, and the text about the unit has at most 256 printable characters")]
    Unit,
    /// Another key or request has used the token: it is void now.
    #[error("the token was used for another key and is void")]
    Void,
    /// Somebody at the centre has voided the token.
    #[error("the token was withdrawn by the centre and is void")]
    Withdrawn,
    /// Somebody at the centre has turned the node away.
    #[error("the centre has turned this node away, and its token is void")]
    TurnedAway,
}

impl From<&TokenVoid> for EnrolmentError {
    fn from(void: &TokenVoid) -> Self {
        match void {
            TokenVoid::UsedTwice => Self::Void,
            TokenVoid::Withdrawn { .. } => Self::Withdrawn,
            TokenVoid::TurnedAway { .. } => Self::TurnedAway,
        }
    }
}

/// A node that has asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it said.
    pub enrol: Enrol,
    /// SHA-256 of its certificate request.
    pub csr: Digest,
    /// When it asked last, UTC milliseconds.
    pub asked_ms: u64,
}

/// The desk where nodes ask. Who waits is known here only: nodes ask again by themselves. Which tokens were used is
/// a matter of the core.
pub struct Enrolments {
    secret: Zeroizing<[u8; 32]>,
    asked: Mutex<HashMap<NodeId, Asked>>,
}

/// Nodes that may wait at once: more are not let in by people either.
const WAITING_MAX: usize = 10_000;

impl Enrolments {
    pub(super) fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self { secret, asked: Mutex::default() }
    }

    /// The token of this name; `place` is where the manager is, and its authorities.
    pub fn token(
        &self,
        kmc: KmcId,
        root: Digest,
        place: (&str, &[PublicKey]),
        token: TokenId,
    ) -> EnrolmentToken {
        EnrolmentToken {
            kmc,
            root,
            url: place.0.to_owned(),
            authorities: place.1.to_vec(),
            token,
            secret: Hex(*self.secret_of(token)),
            not_after: U64(until_ms(token)),
        }
    }

    // SHA-256 over a secret prefix of fixed length and input of fixed length cannot be extended to anything.
    fn secret_of(&self, token: TokenId) -> Zeroizing<[u8; 32]> {
        let mut hash = Sha256::new();
        hash.update(b"payhsm/enrolment-token/v1");
        hash.update(self.secret.as_ref());
        hash.update(token.0);
        Zeroizing::new(hash.finalize().into())
    }

    /// Judges a request to be known by what is in it. Whether its token was used before is asked elsewhere.
    pub fn judge(&self, kmc: KmcId, signed: &Signed, utc_ms: u64) -> Result<Asked, EnrolmentError> {
        let claimed: Enrol = signed.peek().map_err(|_| EnrolmentError::Message)?;
        let enrol: Enrol = signed.open(&claimed.key).map_err(|_| EnrolmentError::Message)?;
        enrol.head.judge(kmc, Audience::Kmc, 1, utc_ms)?;
        let made = made_ms(enrol.token);
        // A clock that was set back, or that of another host, may be a little behind the one that made it.
        let early = made > utc_ms.saturating_add(SET_BACK_MS);
        if early
            || utc_ms.saturating_sub(made) > TOKEN_LIFE_MS
            || !proof_holds(&self.secret_of(enrol.token), &enrol)
        {
            return Err(EnrolmentError::Token);
        }
        // What the node says of itself is shown to the people who compare fingerprints.
        names::check(&enrol.name).map_err(|_| EnrolmentError::Name)?;
        if !["A", "B", "C"].contains(&enrol.backend_class.as_str()) || !is_one_line(&enrol.attestation) {
            return Err(EnrolmentError::Unit);
        }
        let csr = Digest::of(&enrol.csr.0);
        Ok(Asked { enrol, csr, asked_ms: utc_ms })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<NodeId, Asked>) -> T) -> T {
        work(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers who waits.
    pub fn wait(&self, asked: Asked) {
        let node = asked.enrol.node();
        self.with(|all| {
            if all.len() < WAITING_MAX || all.contains_key(&node) {
                all.insert(node, asked);
            }
        });
    }

    /// Whether a node waits, under this name.
    pub fn waits(&self, node: NodeId, name: &str) -> bool {
        self.with(|all| all.get(&node).is_some_and(|asked| asked.enrol.name == name))
    }

    /// The token by which a node waits.
    pub fn token_of(&self, node: NodeId) -> Option<TokenId> {
        self.with(|all| all.get(&node).map(|asked| asked.enrol.token))
    }

    /// Nodes that ask by this token wait no more.
    pub fn forget_token(&self, token: TokenId) {
        self.with(|all| all.retain(|_, asked| asked.enrol.token != token));
    }

    /// Nodes that wait to be let in, by name.
    pub fn waiting(&self) -> Vec<Asked> {
        let mut list: Vec<_> = self.with(|all| all.values().cloned().collect());
        list.sort_by(|a, b| a.enrol.name.cmp(&b.enrol.name).then_with(|| a.csr.cmp(&b.csr)));
        list
    }

    /// A node has been let in, or is not wanted.
    pub fn forget(&self, node: NodeId) {
        self.with(|all| all.remove(&node));
    }
}

fn is_one_line(text: &str) -> bool {
    text.len() <= 256 && text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}
