//! Tokens by which nodes ask: each lets one node ask, with one certificate request. The record outlives restarts, so
//! that a token is used once and not once a start.

use super::ids::{Digest, NodeId};
use super::machine::Note;
use super::rows::TokenUse;
use super::table::Change;
use keylink::TokenId;

/// Life of a token, milliseconds.
pub const TOKEN_LIFE_MS: u64 = 24 * 3_600_000;

/// A token was used, and its proof holds. The first use stays; any other voids the token for good.
pub fn used(tx: &mut Change<'_>, note: &mut Note, (token, node, csr): (TokenId, NodeId, Digest), now: u64) {
    note.objects.extend([token.to_string(), node.to_string()]);
    note.word = "enrolment.ask";
    let record = match tx.find::<TokenUse>(&token) {
        None => TokenUse { token, node, csr, void: false, used_utc_ms: now },
        Some(before) if (before.node, before.csr) == (node, csr) => return,
        Some(before) => {
            note.word = "enrolment.void";
            TokenUse { void: true, ..before.clone() }
        }
    };
    tx.put(record);
}
