//! A node that was revoked: it owes that it erases its keys, and is heard until it has said that it did. It is believed
//! in nothing else. How the order reaches it is the shell's.

use super::alarm::AlarmKind;
use super::approval::Action;
use super::centre::Centre;
use super::evidence::Shelf;
use super::ids::{ActionId, NodeId};
use super::input::Outcome;
use super::node::{Node, Ordered, Wipe};
use super::people::Standing;
use super::receipts::{keep, quarantine};
use super::refusal::Refusal;
use super::table::Change;
use keylink::Signed;
use keylink::action::Grant;
use keylink::manager::{LinkError, Said};
use keylink::message::{Head, Receipt, ReceiptKind};
use keylink::wire::U64;

/// Messages of a revoked node that are written, beside its last: every receipt of as many keys as a node may hold, what
/// waited in its outbox, and its asking for mail meanwhile. A node that is in wrong hands does not fill the log.
pub const HEARD_MAX: u32 = 4_096;

/// What people were told of the node, and what nobody but the node could end. What it says against the centre stands:
/// whoever revokes it is not the one to end that.
const ENDED: [AlarmKind; 9] = [
    AlarmKind::NodeSilent,
    AlarmKind::NodeStale,
    AlarmKind::Skew,
    AlarmKind::NodeReports,
    AlarmKind::Undeclared,
    AlarmKind::EarlySwitch,
    AlarmKind::ReceiptsBehind,
    AlarmKind::NodeRefuses,
    AlarmKind::ForeignMail,
];

/// Revoked: whoever was sent anything erases it.
pub fn begin(tx: &mut Change<'_>, id: &NodeId, by: ActionId, now: u64) -> Result<(), Refusal> {
    let node = tx.edit::<Node>(id)?;
    if node.link.seq.0 > 0 || node.root_kek.is_some() {
        node.wipe = Some(Wipe::Owed { by, after: node.link.seq, order: None, heard: 0 });
    }
    ENDED.iter().for_each(|kind| tx.calm(*kind, id, now));
    Ok(())
}

/// An order is about to be sent. One at a time: what answers the first must not be taken for an answer to nothing.
pub fn order(node: &mut Node, head: &Head, epoch: u64, now: u64) -> Result<(), Refusal> {
    let Some(Wipe::Owed { order, .. }) = &mut node.wipe else { return Err(Refusal::NotDue) };
    if order.is_some_and(|before| before.epoch.0 == epoch && !before.is_late(now)) {
        return Err(Refusal::Outdated("an order to erase is on its way"));
    }
    *order = Some(Ordered { epoch: head.epoch, seq: head.seq, until_utc_ms: head.not_after.0 });
    Ok(())
}

/// Ends what no order can be made for any more: the approvals are past their time, or by officers who are none. An order
/// that the node has taken may still be answered.
pub fn lapse(tx: &mut Change<'_>, id: &NodeId, now: u64) -> Result<(), Refusal> {
    let node = tx.get::<Node>(id)?;
    let Some(Wipe::Owed { by, after, order, .. }) = node.wipe else { return Ok(()) };
    let taken = |order: &Ordered| order.until_utc_ms > now && node.link.taken.1 >= order.seq;
    if order.as_ref().is_some_and(taken) {
        return Ok(());
    }
    let document = tx.get::<Centre>(&())?.root.document().map_err(|_| Refusal::NotDue)?;
    let wanted = Grant::ZeroiseNode(*id);
    let show = |action| Shelf::default().show(action, &document, now, |grant| *grant == wanted);
    let shown = tx.find::<Action>(&by).and_then(show);
    if shown.is_none() {
        tx.edit::<Node>(id)?.wipe = Some(Wipe::Lapsed { utc_ms: now, after });
    }
    Ok(())
}

/// Counts a message of a node that was revoked.
pub fn heard(node: &mut Node) -> Result<(), Refusal> {
    let Some(Wipe::Owed { heard, .. }) = &mut node.wipe else { return Ok(()) };
    if *heard >= HEARD_MAX {
        return Err(Refusal::Suspended);
    }
    *heard = heard.saturating_add(1);
    Ok(())
}

/// A message of a revoked node's parcel.
pub fn said(tx: &mut Change<'_>, id: &NodeId, signed: &Signed, now: u64) -> Result<Outcome, Refusal> {
    if let Some(receipt) = last_word(tx.get::<Node>(id)?, signed) {
        return erased(tx, id, &receipt, signed, now);
    }
    let before = tx.get::<Node>(id)?.link.quarantine;
    let node = super::receipts::speaking(tx, id)?;
    let Some(Wipe::Owed { after, .. }) = node.wipe else { return Err(Refusal::Suspended) };
    let said = match node.link.receive(now, signed) {
        Err(LinkError::Quarantined(why)) if before.is_none() => return quarantine(tx, id, why, now),
        said => said?,
    };
    match said {
        // What it did before the order came, and the keys that it gives up one by one.
        Said::Receipt(receipt, hash) | Said::Unbound(receipt, hash) => {
            let last = keep(tx, id, &receipt, signed, now)?;
            Ok(Outcome::Counted { hash, last, again: false })
        }
        Said::Duplicate(hash) => {
            Ok(Outcome::Counted { hash, last: tx.get::<Node>(id)?.link.last_receipt(), again: true })
        }
        Said::Refused(refused) => {
            let orders = tx.get::<Node>(id)?.link.sent.iter();
            if !orders.filter(|sent| sent.seq > after).any(|sent| sent.hash == refused.message) {
                return Err(Refusal::Suspended);
            }
            let text = format!("does not erase its keys, although it was revoked: {:?}", refused.reason);
            tx.alarm(AlarmKind::NodeRefuses, id, text, now);
            Ok(Outcome::Done)
        }
        Said::Resync(..) | Said::Accept(..) => Err(Refusal::Suspended),
    }
}

// All that was sent to a revoked node are orders to erase: what names one of them says that it was obeyed.
fn last_word(node: &Node, signed: &Signed) -> Option<Box<Receipt>> {
    let after = match (node.standing, node.wipe) {
        (Standing::Revoked, Some(Wipe::Owed { after, .. } | Wipe::Lapsed { after, .. })) => after,
        _ => return None,
    };
    let receipt = node.link.answer_behind(after, signed)?;
    (receipt.kind == ReceiptKind::Zeroised).then_some(receipt)
}

// It counts whatever the chain of receipts looks like: a node is revoked just because it is two, or was set back.
fn erased(
    tx: &mut Change<'_>,
    id: &NodeId,
    receipt: &Receipt,
    signed: &Signed,
    now: u64,
) -> Result<Outcome, Refusal> {
    let node = tx.edit::<Node>(id)?;
    node.wipe = Some(Wipe::Done { utc_ms: now });
    let fresh = receipt.head.seq.0 >= node.link.next_receipt();
    let mut link = node.link.clone();
    if matches!(link.receive(now, signed), Ok(Said::Receipt(..))) {
        node.link = link;
    }
    // Another receipt of this number stays as it came; the log names this one.
    if fresh {
        keep(tx, id, receipt, signed, now)?;
    }
    tx.calm(AlarmKind::NodeRefuses, id, now);
    let hash = signed.hash();
    let number: U64 = receipt.head.seq;
    Ok(Outcome::Counted { hash, last: Some((number, hash)), again: false })
}
