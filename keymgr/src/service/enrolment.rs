//! Nodes that ask to be known. A token is made of a secret of the manager and needs no record; which key has
//! used it is remembered, so that it serves one node once and is void at the first mismatch.

use keylink::envelope::Signed;
use keylink::message::{Audience, Enrol, EnrolmentToken, HeadError, proof_holds};
use keylink::wire::{Blob, Hex, U64};
use keylink::{Digest, KmcId, NodeId, TokenId};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use thiserror::Error;
use zeroize::Zeroizing;

/// Life of a token, milliseconds.
const TOKEN_LIFE_MS: u64 = 24 * 3_600_000;

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
    /// Another key or request has used the token: it is void now.
    #[error("the token was used for another key and is void")]
    Void,
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

#[derive(Default)]
struct Desk {
    // Who used a token; none for a void one.
    used: HashMap<TokenId, Option<(NodeId, Digest)>>,
    asked: HashMap<NodeId, Asked>,
}

/// The desk where nodes ask.
pub struct Enrolments {
    secret: Zeroizing<[u8; 32]>,
    desk: Mutex<Desk>,
}

/// Nodes that may wait at once: more are not let in by people either.
const WAITING_MAX: usize = 10_000;

impl Enrolments {
    pub(super) fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self { secret, desk: Mutex::default() }
    }

    /// A new token; `place` is where the manager is, and the certificate of its authority.
    pub fn token(
        &self,
        kmc: KmcId,
        root: Digest,
        place: (&str, &[u8]),
        utc_ms: u64,
        random: [u8; 10],
    ) -> EnrolmentToken {
        let token = TokenId::new(utc_ms, random);
        EnrolmentToken {
            kmc,
            root,
            url: place.0.to_owned(),
            authorities: vec![Blob(place.1.to_vec())],
            token,
            secret: Hex(*self.secret_of(token)),
            not_after: U64(utc_ms + TOKEN_LIFE_MS),
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

    /// Judges a request to be known, and remembers it.
    pub fn ask(&self, kmc: KmcId, signed: &Signed, utc_ms: u64) -> Result<Asked, EnrolmentError> {
        let claimed: Enrol = signed.peek().map_err(|_| EnrolmentError::Message)?;
        let enrol: Enrol = signed.open(&claimed.key).map_err(|_| EnrolmentError::Message)?;
        enrol.head.judge(kmc, Audience::Kmc, 1, utc_ms)?;
        let age = utc_ms.checked_sub(made_ms(enrol.token)).ok_or(EnrolmentError::Token)?;
        if age > TOKEN_LIFE_MS || !proof_holds(&self.secret_of(enrol.token), &enrol) {
            return Err(EnrolmentError::Token);
        }
        let csr = Digest::of(&enrol.csr.0);
        let (node, own) = (enrol.node(), Some((enrol.node(), csr)));
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let used = desk.used.entry(enrol.token).or_insert(own);
        if *used != own {
            let before = used.take();
            if let Some((first, _)) = before {
                desk.asked.remove(&first);
            }
            return Err(EnrolmentError::Void);
        }
        let asked = Asked { enrol, csr, asked_ms: utc_ms };
        if desk.asked.len() < WAITING_MAX || desk.asked.contains_key(&node) {
            desk.asked.insert(node, asked.clone());
        }
        Ok(asked)
    }

    /// Nodes that wait to be let in, by name.
    pub fn waiting(&self) -> Vec<Asked> {
        let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = desk.asked.values().cloned().collect();
        list.sort_by(|a, b| a.enrol.name.cmp(&b.enrol.name).then_with(|| a.csr.cmp(&b.csr)));
        list
    }

    /// A node has been let in, or is not wanted.
    pub fn forget(&self, node: NodeId) {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).asked.remove(&node);
    }
}

// The first 48 bits of a UUID of version 7 are its time (RFC 9562 section 5.7).
fn made_ms(token: TokenId) -> u64 {
    token.0.iter().take(6).fold(0, |ms, byte| ms << 8 | u64::from(*byte))
}
