//! Tokens by which nodes ask: each lets one node ask, with one certificate request. The record outlives restarts, so
//! that a token is used once and not once a start.

use super::action::Act;
use super::approval::{Action, ActionState};
use super::centre::Centre;
use super::ids::{Digest, Fresh, NodeId};
use super::input::{Caller, Outcome};
use super::machine::Note;
use super::names;
use super::node::Node;
use super::policy::DAY_MS;
use super::refusal::Refusal;
use super::rows::{Token, TokenUse, TokenVoid};
use super::table::{Change, Record};
use keylink::TokenId;
use std::collections::BTreeSet;

/// Life of a token, milliseconds.
pub const TOKEN_LIFE_MS: u64 = 24 * 3_600_000;

/// Tokens made at once.
pub const TOKENS_MAX: u16 = 10_000;

/// Tokens that are open at once: neither used nor void, and not over.
pub const OPEN_MAX: usize = 20_000;

/// So long after its end the record of a token that nobody asked by is kept, milliseconds. A clock may be set back.
pub const FORGET_AFTER_MS: u64 = 7 * DAY_MS;

/// Records of tokens forgotten in one tick, so that a change stays small.
const FORGET_AT_ONCE: usize = 500;

/// When a token was made, UTC milliseconds: the first 48 bits of a UUID of version 7 (RFC 9562 section 5.7).
pub fn made_ms(token: TokenId) -> u64 {
    token.0.iter().take(6).fold(0, |ms, byte| ms << 8 | u64::from(*byte))
}

/// When nobody asks by a token any more, UTC milliseconds.
pub fn until_ms(token: TokenId) -> u64 {
    made_ms(token).saturating_add(TOKEN_LIFE_MS)
}

/// Tokens are made. The log has their names, so that it shows by whose token a node asked.
pub fn make(
    tx: &mut Change<'_>,
    note: &mut Note,
    fresh: &Fresh,
    (by, count): (Caller, u16),
    now: u64,
) -> Result<Outcome, Refusal> {
    note.word = "enrolment.tokens";
    if !(1..=TOKENS_MAX).contains(&count) {
        return Err(Refusal::Value("from 1 to 10000 tokens at once"));
    }
    if open_tokens(tx, now).saturating_add(usize::from(count)) > OPEN_MAX {
        return Err(Refusal::Value(
            "more than 20000 open tokens; one is open for a day, until it is used or void",
        ));
    }
    let name = |number| {
        let mut random = [0; 10];
        random.copy_from_slice(&fresh.draw("token", number).0[..10]);
        TokenId::new(now, random)
    };
    let tokens: Vec<_> = (0..u64::from(count)).map(name).collect();
    for token in &tokens {
        tx.put(Token { token: *token, by: Some(by.person), used: None, void: None });
    }
    note.objects.extend(tokens.iter().map(ToString::to_string));
    Ok(Outcome::Tokens { tokens, root: tx.get::<Centre>(&())?.root.hash() })
}

// Named after the moments at which they were made, those that may be open stand side by side.
fn open_tokens(tx: &Change<'_>, now: u64) -> usize {
    let first = TokenId::new(now.saturating_sub(TOKEN_LIFE_MS), [0; 10]);
    tx.base().tokens.range(first..).filter(|(_, token)| is_open(token)).count()
}

/// Neither used nor void.
pub fn is_open(token: &Token) -> bool {
    token.used.is_none() && token.void.is_none()
}

/// Tokens by which nobody asked are forgotten some time after their end; of what became of the others the record stays.
/// The log has the names of all.
pub fn forget(tx: &mut Change<'_>, open: &BTreeSet<TokenId>, now: u64) {
    let Some(before) = now.checked_sub(TOKEN_LIFE_MS + FORGET_AFTER_MS) else { return };
    let over = open.range(..=TokenId::new(before, [0xFF; 10]));
    over.take(FORGET_AT_ONCE).for_each(|token| tx.keep(Record::Forgotten(*token)));
}

/// A token was used, and its proof holds. The first use stays; any other voids the token for good.
pub fn used(tx: &mut Change<'_>, note: &mut Note, (token, node, csr): (TokenId, NodeId, Digest), now: u64) {
    note.objects.extend([token.to_string(), node.to_string()]);
    note.word = "enrolment.ask";
    let mut record =
        tx.find::<Token>(&token).cloned().unwrap_or(Token { token, by: None, used: None, void: None });
    match &record.used {
        _ if record.void.is_some() => return,
        Some(before) if (before.node, before.csr) == (node, csr) => return,
        Some(_) => {
            note.word = "enrolment.void";
            record.void = Some(TokenVoid::UsedTwice);
        }
        None => record.used = Some(TokenUse { node, csr, utc_ms: now }),
    }
    tx.put(record);
}

/// Somebody does not want a token to be used. Fail-safe: one person; another token takes one person too.
pub fn void(tx: &mut Change<'_>, note: &mut Note, by: Caller, token: TokenId) -> Result<(), Refusal> {
    note.word = "enrolment.void_token";
    note.objects.push(token.to_string());
    let record = open(tx, &token)?;
    let node = record.used.as_ref().map(|used| used.node);
    record.void = Some(TokenVoid::Withdrawn { by: by.person });
    match node {
        Some(node) => not_let_in(tx, &node),
        None => Ok(()),
    }
}

/// A node that asks is not wanted: it is told so, and its token is void. Fail-safe: one person.
pub fn turn_away(
    tx: &mut Change<'_>,
    note: &mut Note,
    by: Caller,
    (token, node): (TokenId, NodeId),
    reason: String,
) -> Result<(), Refusal> {
    note.word = "enrolment.turn_away";
    note.objects.extend([node.to_string(), token.to_string(), reason.clone()]);
    names::text(&reason)?;
    let record = open(tx, &token)?;
    if record.used.as_ref().is_none_or(|used| used.node != node) {
        return Err(Refusal::unknown::<Token>(&token));
    }
    record.void = Some(TokenVoid::TurnedAway { by: by.person, reason });
    not_let_in(tx, &node)
}

fn open<'t>(tx: &'t mut Change<'_>, token: &TokenId) -> Result<&'t mut Token, Refusal> {
    let record = tx.edit::<Token>(token)?;
    if record.void.is_some() { Err(Refusal::Outdated("the token is void already")) } else { Ok(record) }
}

// A node that is known is suspended or revoked instead; of one that officers are about to let in they are asked first.
fn not_let_in(tx: &Change<'_>, node: &NodeId) -> Result<(), Refusal> {
    if tx.find::<Node>(node).is_some() {
        return Err(Refusal::exists::<Node>(node));
    }
    let lets_in = |action: &Action| {
        action.state == ActionState::Pending
            && matches!(action.act(), Some(Act::EnrolNodes(new))
                if new.iter().any(|one| NodeId::of(&one.key) == *node))
    };
    match tx.base().actions.values().any(lets_in) {
        true => {
            Err(Refusal::InUse("an action that would let the node in waits; it has to be withdrawn first"))
        }
        false => Ok(()),
    }
}
