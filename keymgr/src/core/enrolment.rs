//! Tokens by which nodes ask: each lets one node ask, with one certificate request. The record outlives restarts, so
//! that a token is used once and not once a start.

use super::centre::Centre;
use super::ids::{Digest, Fresh, NodeId};
use super::input::Outcome;
use super::machine::Note;
use super::refusal::Refusal;
use super::rows::TokenUse;
use super::table::Change;
use keylink::TokenId;

/// Life of a token, milliseconds.
pub const TOKEN_LIFE_MS: u64 = 24 * 3_600_000;

/// Tokens made at once.
pub const TOKENS_MAX: u16 = 10_000;

/// Tokens are made. The log has their names, so that it shows by whose token a node asked.
pub fn make(
    tx: &Change<'_>,
    note: &mut Note,
    fresh: &Fresh,
    count: u16,
    now: u64,
) -> Result<Outcome, Refusal> {
    note.word = "enrolment.tokens";
    if !(1..=TOKENS_MAX).contains(&count) {
        return Err(Refusal::Value("from 1 to 10000 tokens at once"));
    }
    let name = |number| {
        let mut random = [0; 10];
        random.copy_from_slice(&fresh.draw("token", number).0[..10]);
        TokenId::new(now, random)
    };
    let tokens: Vec<_> = (0..u64::from(count)).map(name).collect();
    note.objects.extend(tokens.iter().map(ToString::to_string));
    Ok(Outcome::Tokens { tokens, root: tx.get::<Centre>(&())?.root.hash() })
}

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
