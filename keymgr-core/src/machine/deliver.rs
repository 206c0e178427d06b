//! What goes to nodes: keys wrapped for them, and messages with the next number.

use crate::centre::Centre;
use crate::ids::{Digest, NodeId};
use crate::input::WrappedFor;
use crate::key::{Key, KeySet};
use crate::node::{Copy, Node, Progress, is_address};
use crate::people::Standing;
use crate::refusal::Refusal;
use crate::table::{Change, Record};
use crate::{due, kind, rows, target, wipe};
use keylink::message::{Command, Manifest, RootKekConfirm, RootKekOffer, Scope};
use keylink::{Body as _, Signed};

pub(super) fn wrapped(tx: &mut Change<'_>, new: WrappedFor) -> Result<(), Refusal> {
    let node = tx.get::<Node>(&new.node)?;
    let key = tx.get::<Key>(&new.key)?;
    let before = tx.find::<Copy>(&(new.node, new.key));
    // Made anew only for another root KEK, and only as long as it is not known to have arrived.
    if before.is_some_and(|copy| !copy.is_outdated(node)) {
        return Err(Refusal::exists::<Copy>(&(new.node, new.key)));
    }
    let mut earlier = before.map(|copy| copy.earlier.clone()).unwrap_or_default();
    earlier.extend(before.map(|copy| Digest::of(copy.block.as_bytes())));
    if !key.is_live() {
        return Err(Refusal::Outdated("the key is out of use"));
    }
    let zone = match tx.get::<KeySet>(&new.key.key_set)?.definition.scope {
        Scope::Zone(zone) => zone,
        Scope::Node(_) => return Err(Refusal::NotMember),
    };
    if !node.zones.contains(&zone) {
        return Err(Refusal::NotMember);
    }
    let kek = node.kek_in_use().filter(|kek| kek.number == new.root_kek);
    let kek = kek.ok_or(Refusal::Outdated("the node has another root KEK now"))?;
    if kek.strength_bits < kind::strength_bits(key.attributes().shape) {
        return Err(Refusal::Strength);
    }
    let kcv = key.material.as_ref().map(|m| m.kcv.clone()).unwrap_or_default();
    tx.put(Copy {
        node: new.node,
        key_set: new.key.key_set,
        generation: new.key.generation,
        block: new.block,
        earlier,
        throw_away: new.throw_away,
        root_kek: new.root_kek,
        kcv,
        progress: Progress::Wrapped,
        refused: None,
        used: None,
    });
    Ok(())
}

// An offer or a confirmation of a root KEK, and the command that ends a node, take the next number of their node.
pub(super) fn post(tx: &mut Change<'_>, id: &NodeId, signed: &Signed, now: u64) -> Result<(), Refusal> {
    let head = match signed.kind.as_str() {
        <RootKekOffer as keylink::Body>::KIND => signed.peek::<RootKekOffer>().map(|offer| offer.head),
        <RootKekConfirm as keylink::Body>::KIND => {
            signed.peek::<RootKekConfirm>().map(|confirm| confirm.head)
        }
        Command::KIND => signed.peek::<Command>().map(|command| command.head),
        _ => return Err(Refusal::NotDue),
    };
    let head = head.map_err(|_| Refusal::NotDue)?;
    let epoch = tx.get::<Centre>(&())?.epoch;
    let node = tx.edit::<Node>(id)?;
    if signed.kind == Command::KIND {
        wipe::order(node, &head, epoch, now)?;
    } else if node.standing == Standing::Revoked {
        return Err(Refusal::Suspended);
    }
    if node.link.next_head(epoch, head.not_after.0) != head {
        return Err(Refusal::NotDue);
    }
    node.link.sent(head.seq, signed);
    Ok(())
}

// Somebody goes to a node: what is due is drafted for it although it was not heard of, and what was not taken in its
// time is drafted anew.
pub(super) fn carry(tx: &mut Change<'_>, id: &NodeId, now: u64) -> Result<(), Refusal> {
    if !tx.get::<Node>(id)?.is_spoken_with() {
        return Err(Refusal::Suspended);
    }
    wipe::lapse(tx, id, now)?;
    let node = tx.edit::<Node>(id)?;
    node.reach.carried_utc_ms = now;
    if !node.has_answered() && node.reach.manifest_until_utc_ms <= now {
        node.ordered = Digest::default();
    }
    Ok(())
}

pub(super) fn push_to(tx: &mut Change<'_>, id: &NodeId, address: Option<String>) -> Result<(), Refusal> {
    if address.as_deref().is_some_and(|address| !is_address(address)) {
        return Err(Refusal::Value("a node takes pushes at HOST:PORT"));
    }
    let node = tx.edit::<Node>(id)?;
    // One that is gone need not be called for ever.
    if node.standing == Standing::Revoked && address.is_some() {
        return Err(Refusal::Suspended);
    }
    node.reach.push = address;
    Ok(())
}

// A manifest that was drafted is taken only if it is still what is due.
pub(super) fn issue(tx: &mut Change<'_>, signed: Signed) -> Result<NodeId, Refusal> {
    let body: Manifest = signed.peek().map_err(|_| Refusal::NotDue)?;
    let keylink::message::Audience::Node(id) = body.head.audience else { return Err(Refusal::NotDue) };
    let target = target::of(tx, &id)?;
    let centre = tx.get::<Centre>(&())?;
    let (epoch, kmc, root) = (centre.epoch, centre.kmc, centre.root.hash());
    let node = tx.get::<Node>(&id)?;
    let due = due::is_due(node, &target);
    let same = body.key_sets == target.key_sets && body.suspended == target.suspended && body.root == root;
    let head = node.link.clone().next_head(epoch, body.head.not_after.0);
    let connects = body.previous == node.link.previous() && body.resync == node.resync;
    if !due || !same || !connects || head != body.head || head.kmc != kmc || !target.missing.is_empty() {
        return Err(Refusal::NotDue);
    }
    let node = tx.edit::<Node>(&id)?;
    let head = node.link.next_head(epoch, body.head.not_after.0);
    node.link.sent(head.seq, &signed);
    node.ordered = target.digest;
    node.resync = None;
    node.reach.manifest_until_utc_ms = head.not_after.0;
    tx.keep(Record::Manifest(rows::Manifest { node: id, epoch: head.epoch, seq: head.seq, signed }));
    Ok(id)
}
