//! Root KEKs of nodes: ordered, agreed or formed, and in use from the moment at which the node has proved the new one.
//!
//! Keys that a node has installed lie under its own LMK and do not notice. Only blocks that are still on their way are
//! made again, and while it is open which of two KEKs a node holds, no block goes out to it.

use super::action::KeyRef;
use super::alarm::AlarmKind;
use super::ids::{ActionId, Digest, Generation, KeySetId, NodeId, PersonId};
use super::input::Judged;
use super::key::Key;
use super::lifecycle::KeyState;
use super::node::{Copy, Node, Progress, RootKek};
use super::people::Person;
use super::refusal::Refusal;
use super::table::Change;
use keylink::Signed;
use keylink::message::{Possession, Receipt, RootKekConfirm};
use keylink::wire::U64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An order or a KEK that waits for its node for so long raises an alarm, milliseconds.
pub const LATE_MS: u64 = 24 * 3_600_000;
/// A node that has taken a confirmation and says nothing of it for so long is offered anew, milliseconds.
pub const RECEIPT_MS: u64 = 60_000;

/// Which KEK a node shall get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KekTarget {
    /// The node.
    pub node: NodeId,
    /// Number of the KEK at this node: the next.
    pub number: u32,
}

/// A change that was ordered and is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KekOrder {
    /// Number of the KEK.
    pub number: u32,
    /// By right of which action, as the node is shown it.
    pub action: ActionId,
}

/// A KEK that the centre holds and the node has not proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextKek {
    /// The KEK.
    pub kek: RootKek,
    /// The confirmation that ends the agreement; none for one that is formed from components at both places.
    pub confirm: Option<Signed>,
}

/// A KEK that the node says it holds and the centre does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KekTold {
    /// Number.
    pub number: u32,
    /// Check value.
    pub kcv: String,
    /// Its proof, for the moment at which the centre has the KEK too.
    pub possession: Option<Possession>,
    /// It is not the one that the centre has.
    pub failed: bool,
}

/// Everything about a change of a node's root KEK.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KekChange {
    /// An agreement that was ordered.
    pub order: Option<KekOrder>,
    /// The next KEK.
    pub next: Option<NextKek>,
    /// What the node has told.
    pub told: Option<KekTold>,
    /// Others may know the KEK in use: no block goes out under it any more.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub suspect: bool,
    /// Since when the change is under way, UTC milliseconds; 0 for none.
    pub since_utc_ms: u64,
}

impl KekChange {
    /// Nothing is to be changed.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// The confirmation of an agreement that the node has not proved.
    pub fn confirm(&self) -> Option<&Signed> {
        self.next.as_ref().and_then(|next| next.confirm.as_ref())
    }
}

impl Node {
    /// The root KEK under which blocks go out. None while it is open which one the node holds, or others may know it.
    pub fn kek_in_use(&self) -> Option<&RootKek> {
        let open = self.kek_change.confirm().is_some() || self.kek_change.told.is_some();
        self.root_kek.as_ref().filter(|_| !open && !self.kek_change.suspect)
    }

    /// Number of the KEK that an order may name: behind all that the node has, or says it has.
    pub fn next_kek_number(&self) -> u32 {
        self.highest_kek_number().saturating_add(1)
    }

    fn highest_kek_number(&self) -> u32 {
        let held = self.root_kek.as_ref().map_or(0, |kek| kek.number);
        held.max(self.kek_change.told.as_ref().map_or(0, |told| told.number))
    }

    /// The KEK that is to be agreed, and the actions by one of which: what was ordered, or the first one by right of
    /// the enrolment.
    pub fn kek_to_agree(&self) -> Option<(u32, Vec<ActionId>)> {
        match self.kek_change.order {
            Some(order) => Some((order.number, vec![order.action])),
            None if self.highest_kek_number() == 0 => Some((1, self.rights.clone())),
            None => None,
        }
    }

    /// The confirmation of this KEK is on its way, or has just arrived: another offer would be one too many. `taken` is
    /// the number of the last message that the node has taken.
    pub fn awaits_kek_receipt(&self, number: u32, taken: U64, now: u64) -> bool {
        let next = self.kek_change.next.as_ref().filter(|next| next.kek.number == number);
        next.is_some_and(|next| match next.confirm.as_ref().and_then(|c| c.peek::<RootKekConfirm>().ok()) {
            // One whose time is over is not taken any more.
            Some(confirm) if now >= confirm.head.not_after.0 => false,
            Some(confirm) => {
                confirm.head.seq > taken || now.saturating_sub(next.kek.since_utc_ms) < RECEIPT_MS
            }
            // Formed from components: it is not offered.
            None => true,
        })
    }
}

/// Orders agreements.
pub fn order(tx: &mut Change<'_>, action: ActionId, targets: &[KekTarget], now: u64) -> Result<(), Refusal> {
    let nodes: BTreeSet<NodeId> = targets.iter().map(|target| target.node).collect();
    if targets.is_empty() || nodes.len() != targets.len() {
        return Err(Refusal::Value("nodes, each of them once"));
    }
    for target in targets {
        let node = served(tx, &target.node)?;
        if target.number != node.next_kek_number() {
            return Err(Refusal::Outdated("the number of a root KEK is the next of its node"));
        }
        // Instead of one from components that the node has not proved.
        node.kek_change.next = node.kek_change.next.take().filter(|next| next.confirm.is_some());
        node.kek_change.order = Some(KekOrder { number: target.number, action });
        node.kek_change.since_utc_ms = now;
        tx.calm(AlarmKind::RootKek, &target.node, now);
    }
    Ok(())
}

/// Orders agreements because others may know the KEKs in use. They wrap nothing more, and each key that went out under
/// one of them is told.
pub fn order_suspect(
    tx: &mut Change<'_>,
    action: ActionId,
    targets: &[KekTarget],
    reason: &str,
    now: u64,
) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::Value("a reason"));
    }
    order(tx, action, targets, now)?;
    for target in targets {
        let node = tx.edit::<Node>(&target.node)?;
        let Some(held) = node.root_kek.as_ref().map(|kek| kek.number) else { continue };
        node.kek_change.suspect = true;
        let text = format!("was sent to {} under its root KEK {held}, which others may know", node.name);
        for key in sent_under(tx, &target.node, held) {
            tx.alarm(AlarmKind::KeySuspect, &key, text.clone(), now);
        }
    }
    Ok(())
}

/// A node is not ours any more: whoever has it may know the keys that it was sent.
pub fn lost_with(tx: &mut Change<'_>, id: &NodeId, now: u64) -> Result<(), Refusal> {
    let text = format!("was sent to {}, which was revoked: change it", tx.get::<Node>(id)?.name);
    for key in sent(tx, id, |copy| copy.progress < Progress::Retired) {
        tx.alarm(AlarmKind::KeySuspect, &key, text.clone(), now);
    }
    Ok(())
}

// Keys in use of which a block under this KEK was made: it may have been on its way.
fn sent_under(tx: &Change<'_>, node: &NodeId, kek: u32) -> Vec<KeyRef> {
    sent(tx, node, |copy| copy.root_kek == kek)
}

fn sent(tx: &Change<'_>, node: &NodeId, which: impl Fn(&Copy) -> bool) -> Vec<KeyRef> {
    let at = |set: u8, number: u32| {
        (*node, KeyRef { key_set: KeySetId([set; 16]), generation: Generation(number) })
    };
    let in_use = |key: &KeyRef| {
        let state = tx.find::<Key>(key).map(Key::state);
        state.is_some_and(|state| !matches!(state, KeyState::Compromised | KeyState::Destroyed))
    };
    let copies = tx.keys_in::<Copy>(at(0, 0)..=at(u8::MAX, u32::MAX)).into_iter();
    let wanted = |name: &(NodeId, KeyRef)| tx.find::<Copy>(name).is_some_and(&which);
    copies.filter(wanted).map(|(_, key)| key).filter(in_use).collect()
}

fn served<'t>(tx: &'t mut Change<'_>, id: &NodeId) -> Result<&'t mut Node, Refusal> {
    if !tx.get::<Node>(id)?.is_served() {
        return Err(Refusal::Suspended);
    }
    tx.edit::<Node>(id)
}

/// A node and the backend have agreed. The confirmation is posted by the caller.
pub fn agreed(tx: &mut Change<'_>, id: &NodeId, kek: RootKek, confirm: &Signed) -> Result<(), Refusal> {
    let node = tx.edit::<Node>(id)?;
    if node.kek_to_agree().is_none_or(|(number, _)| number != kek.number) {
        return Err(Refusal::Outdated("no root KEK of this number is to be agreed"));
    }
    if node.kek_change.since_utc_ms == 0 {
        node.kek_change.since_utc_ms = kek.since_utc_ms;
    }
    node.kek_change.next = Some(NextKek { kek, confirm: Some(confirm.clone()) });
    Ok(())
}

/// Whether a root KEK may be formed from components of these custodians.
pub fn may_form(tx: &Change<'_>, target: &KekTarget, custodians: &[PersonId]) -> Result<(), Refusal> {
    let node = tx.get::<Node>(&target.node)?;
    if !node.is_served() {
        return Err(Refusal::Suspended);
    }
    // A node may have formed it before the centre does.
    let told = node.kek_change.told.as_ref().map(|told| told.number);
    if target.number != node.next_kek_number() && Some(target.number) != told {
        return Err(Refusal::Outdated("the number of a root KEK is the next of its node"));
    }
    let distinct: BTreeSet<_> = custodians.iter().collect();
    if custodians.len() < 2 || distinct.len() != custodians.len() {
        return Err(Refusal::Value("components lie with two persons or more"));
    }
    for (number, person) in (1..=u8::MAX).zip(custodians) {
        tx.get::<Person>(person)?.clone().entrust_at_node(target.node, number)?;
    }
    Ok(())
}

/// A root KEK was formed from components at the centre. It is in use when the node has proved that it has the same.
pub fn formed(
    tx: &mut Change<'_>,
    target: &KekTarget,
    custodians: &[PersonId],
    kek: RootKek,
    now: u64,
) -> Result<(), Refusal> {
    may_form(tx, target, custodians)?;
    if kek.number != target.number {
        return Err(Refusal::Outdated("another root KEK was approved"));
    }
    for (number, person) in (1..=u8::MAX).zip(custodians) {
        tx.edit::<Person>(person)?.entrust_at_node(target.node, number)?;
    }
    let node = tx.edit::<Node>(&target.node)?;
    if let Some(told) = node.kek_change.told.as_mut() {
        told.failed = false;
    }
    node.kek_change.order = None;
    node.kek_change.next = Some(NextKek { kek, confirm: None });
    node.kek_change.since_utc_ms = now;
    Ok(())
}

/// A node says that it has a root KEK. It is in use from now on if the centre has the same and the node has proved it.
pub fn installed(tx: &mut Change<'_>, id: &NodeId, receipt: &Receipt, judged: Judged, now: u64) {
    let (Some(number), Some(kcv)) = (receipt.generation, receipt.kcv.as_ref()) else { return };
    let Ok(node) = tx.edit::<Node>(id) else { return };
    if number.0 <= node.root_kek.as_ref().map_or(0, |kek| kek.number) {
        return;
    }
    let change = &mut node.kek_change;
    let next = change.next.as_ref().filter(|next| next.kek.number == number.0);
    // An agreement was proved by the node's confirmation, and the receipt answers ours.
    let agreed = next.and_then(|next| next.confirm.as_ref()).map(|c| receipt.message == c.hash());
    let holds = agreed.unwrap_or(judged == Judged::Holds);
    if holds && next.is_some_and(|next| same(kcv, &next.kek.kcv)) {
        return put_to_use(tx, id, now);
    }
    let (known, failed) = (next.is_some(), agreed.is_some() || judged == Judged::Fails);
    change.told =
        Some(KekTold { number: number.0, kcv: kcv.clone(), possession: receipt.possession.clone(), failed });
    if change.since_utc_ms == 0 {
        change.since_utc_ms = now;
    }
    if failed {
        differs(tx, id, number.0, now);
    } else if !known {
        let text = format!("holds root KEK {} that the centre does not have: no key goes to it", number.0);
        tx.alarm(AlarmKind::RootKek, id, text, now);
    }
}

/// The backend has judged what the node had told before the centre had the same KEK.
pub fn judged(
    tx: &mut Change<'_>,
    id: &NodeId,
    number: u32,
    judged: Judged,
    now: u64,
) -> Result<(), Refusal> {
    let change = &mut tx.edit::<Node>(id)?.kek_change;
    let next = change.next.as_ref().filter(|next| next.confirm.is_none() && next.kek.number == number);
    let told = change.told.as_mut().filter(|told| told.number == number && !told.failed);
    let (Some(next), Some(told)) = (next, told) else { return Err(Refusal::NotDue) };
    if judged == Judged::Holds && same(&told.kcv, &next.kek.kcv) {
        put_to_use(tx, id, now);
    } else {
        told.failed = true;
        differs(tx, id, number, now);
    }
    Ok(())
}

fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.eq_ignore_ascii_case(other)
}

fn differs(tx: &mut Change<'_>, id: &NodeId, number: u32, now: u64) {
    let text = format!("root KEK {number} is not the same at the node and at the centre: no key goes to it");
    tx.calm(AlarmKind::RootKek, id, now);
    tx.alarm(AlarmKind::RootKek, id, text, now);
}

// The old one is retired with this: the centre forgets its block.
fn put_to_use(tx: &mut Change<'_>, id: &NodeId, now: u64) {
    let Ok(node) = tx.edit::<Node>(id) else { return };
    let Some(next) = std::mem::take(&mut node.kek_change).next else { return };
    node.root_kek = Some(RootKek { since_utc_ms: now, ..next.kek });
    // A manifest that was under way with blocks under the old one may have been overtaken by the agreement: what it
    // ordered is ordered again. So is one that so many offers came after that it is not remembered.
    if !node.has_answered() || node.last_manifest().is_none() {
        node.ordered = Digest::default();
    }
    tx.calm(AlarmKind::RootKek, id, now);
}

/// Tells people of changes that do not come to an end.
pub fn late(tx: &mut Change<'_>, nodes: &BTreeSet<NodeId>, now: u64) {
    for id in nodes {
        let late = tx.find::<Node>(id).is_some_and(|node| {
            node.is_served() && now.saturating_sub(node.kek_change.since_utc_ms) > LATE_MS
        });
        if late {
            let text = "the change of its root KEK has not come to its end in a day; order it again, or form it \
                        at the node";
            tx.alarm(AlarmKind::RootKek, id, text.to_owned(), now);
        }
    }
}
