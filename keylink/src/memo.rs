//! Remembers on each thread which signatures held, so that a simulation of many nodes judges each one once. Judging
//! is a function of key, message and signature alone, so remembering changes no answer.
//!
//! Only for tests (feature `memo`): a process that serves would keep what strangers send it.

use crate::ids::PublicKey;
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::HashSet;

/// Signatures that are remembered before the memory is emptied.
const KEPT: usize = 1 << 16;

thread_local!(static HELD: RefCell<HashSet<[u8; 32]>> = RefCell::new(HashSet::new()));

fn name(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> [u8; 32] {
    Sha256::new().chain_update(key.0).chain_update(signature).chain_update(message).finalize().into()
}

/// Whether this signature is known to hold.
pub fn holds(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    HELD.with_borrow(|held| held.contains(&name(key, message, signature)))
}

/// This signature holds: it was judged, or made just now.
pub fn remember(key: &PublicKey, message: &[u8], signature: &[u8; 64]) {
    HELD.with_borrow_mut(|held| {
        if held.len() >= KEPT {
            held.clear();
        }
        held.insert(name(key, message, signature));
    });
}
