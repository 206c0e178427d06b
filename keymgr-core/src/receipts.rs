//! What nodes say, and what it counts for. A node is believed about itself only, and only as far as its chain of
//! receipts goes; what does not fit is kept, raises an alarm and counts for nothing.

use super::action::KeyRef;
use super::alarm::AlarmKind;
use super::campaign::{Campaign, Delivery, Mark, Phase};
use super::centre::Centre;
use super::ids::{CampaignId, Digest, NodeId};
use super::input::{Judged, Outcome};
use super::key::{Holders, Key, KeySet};
use super::lifecycle::KeyState;
use super::node::{Copy, Node, Progress, Traffic, Zone};
use super::people::Standing;
use super::policy::Policy;
use super::refusal::Refusal;
use super::root_kek;
use super::rows;
use super::steps;
use super::table::{Change, Record};
use super::target;
use super::wipe;
use keylink::manager::{Expected, LinkError, Quarantine, Said};
use keylink::message::{
    GenerationUse, PossessionMethod, Reason, Receipt, ReceiptKind, Refused, Resync, Step,
};
use keylink::wire::U64;
use keylink::{Generation, Signed};
use std::collections::BTreeSet;

/// A node begins a session.
pub fn hello(tx: &mut Change<'_>, id: &NodeId, signed: &Signed, now: u64) -> Result<Outcome, Refusal> {
    let hello = speaking(tx, id)?.link.hello(now, signed)?;
    let node = tx.edit::<Node>(id)?;
    node.seen_utc_ms = now;
    let counted = node.link.last_receipt();
    // A hello that was made before the last receipt and came after it names the one before, and is no fork.
    let behind = hello.receipt.0 < counted.map_or(0.into(), |(number, _)| number)
        && hello.utc_ms > node.link.receipted_ms;
    if behind || counted.is_some_and(|(n, hash)| n == hello.receipt.0 && hello.receipt.1 != Some(hash)) {
        return quarantine(tx, id, Quarantine::Fork, now);
    }
    wipe::lapse(tx, id, now)?;
    calm_seen(tx, id, now);
    Ok(Outcome::Done)
}

/// A node asks for mail.
pub fn pull(tx: &mut Change<'_>, id: &NodeId, signed: &Signed, now: u64) -> Result<Outcome, Refusal> {
    let proved = tx.get::<Node>(id)?.link.proved;
    speaking(tx, id)?.link.pull(now, signed)?;
    let node = tx.edit::<Node>(id)?;
    node.seen_utc_ms = now;
    if node.link.proved > proved {
        tx.calm(AlarmKind::LogDisputed, id, now);
    }
    wipe::lapse(tx, id, now)?;
    calm_seen(tx, id, now);
    Ok(Outcome::Done)
}

/// A node reports on itself.
pub fn beat(
    tx: &mut Change<'_>,
    id: &NodeId,
    signed: &Signed,
    (skew_ms, by_file): (i64, bool),
    now: u64,
) -> Result<Outcome, Refusal> {
    let limits = tx.get::<Centre>(&())?.limits;
    if tx.get::<Node>(id)?.standing == Standing::Revoked {
        return Err(Refusal::Suspended);
    }
    let Some(beat) = speaking(tx, id)?.link.beat(now, signed)? else { return Ok(Outcome::Done) };
    let node = tx.edit::<Node>(id)?;
    node.seen_utc_ms = now;
    node.skew_ms = skew_ms;
    let serves = beat.ready && !beat.suspended;
    // What is declared holds where no word comes but by file.
    node.serving_utc_ms = if serves && !by_file { now } else { 0 };
    let contradicts = serves && !by_file && node.traffic != Traffic::InTraffic && node.is_served();
    beat.uses.iter().try_for_each(|uses| used(tx, id, beat.boot_id, uses, now))?;
    calm_seen(tx, id, now);
    if skew_ms.unsigned_abs() > limits.skew_max_ms {
        tx.alarm(AlarmKind::Skew, id, format!("clock differs by {skew_ms} ms"), now);
    } else {
        tx.calm(AlarmKind::Skew, id, now);
    }
    if contradicts {
        let text = "serves hosts although it is declared out of traffic".to_owned();
        tx.alarm(AlarmKind::Undeclared, id, text, now);
    } else {
        tx.calm(AlarmKind::Undeclared, id, now);
    }
    if beat.alarms.is_empty() {
        tx.calm(AlarmKind::NodeReports, id, now);
    } else {
        tx.alarm(AlarmKind::NodeReports, id, format!("reports {:?}", beat.alarms), now);
    }
    Ok(Outcome::Done)
}

// Counts of a node never fall within a boot, and begin anew with it. They are kept where a policy bounds them.
fn used(tx: &mut Change<'_>, id: &NodeId, boot: U64, uses: &GenerationUse, now: u64) -> Result<(), Refusal> {
    let key = KeyRef { key_set: uses.key_set, generation: uses.generation };
    let policy = tx.find::<KeySet>(&key.key_set).and_then(|set| tx.find::<Policy>(&set.policy));
    let Some(most) = policy.and_then(|policy| policy.operations_max) else { return Ok(()) };
    let Some(copy) = tx.find::<Copy>(&(*id, key)) else { return Ok(()) };
    let said = uses.base.0.saturating_add(uses.fixed.0);
    let before = copy.used.filter(|(of, _)| *of == boot).map_or(0, |(_, before)| before.0);
    let Some(more) = said.checked_sub(before).filter(|more| *more > 0) else { return Ok(()) };
    tx.edit::<Copy>(&(*id, key))?.used = Some((boot, U64(said)));
    let protecting = tx.get::<KeySet>(&key.key_set)?.protecting == Some(key.generation);
    let record = tx.edit::<Key>(&key)?;
    record.uses = record.uses.saturating_add(more);
    if protecting && record.uses > most {
        let text = format!("was used {} times, its policy allows {most}: change it", record.uses);
        tx.alarm(AlarmKind::KeyExpires, &key, text, now);
    }
    Ok(())
}

/// A node that may say something.
pub fn speaking<'t>(tx: &'t mut Change<'_>, id: &NodeId) -> Result<&'t mut Node, Refusal> {
    let node = tx.get::<Node>(id)?;
    if node.standing == Standing::Revoked && !node.owes_wipe() {
        return Err(Refusal::Suspended);
    }
    let node = tx.edit::<Node>(id)?;
    wipe::heard(node)?;
    Ok(node)
}

fn calm_seen(tx: &mut Change<'_>, id: &NodeId, now: u64) {
    tx.calm(AlarmKind::NodeSilent, id, now);
}

/// Its messages do not follow each other: from now on it is not believed.
pub fn quarantine(tx: &mut Change<'_>, id: &NodeId, why: Quarantine, now: u64) -> Result<Outcome, Refusal> {
    let node = tx.edit::<Node>(id)?;
    node.link.quarantine = Some(why);
    node.quarantined.get_or_insert_with(|| format!("{why:?}"));
    tx.alarm(AlarmKind::Cloned, id, format!("its messages do not follow each other: {why:?}"), now);
    Ok(Outcome::Quarantined(why))
}

/// A message of a node's parcel.
pub fn said(
    tx: &mut Change<'_>,
    id: &NodeId,
    signed: &Signed,
    judged: Judged,
    now: u64,
) -> Result<Outcome, Refusal> {
    if tx.get::<Node>(id)?.standing == Standing::Revoked {
        return wipe::said(tx, id, signed, now);
    }
    let before = tx.get::<Node>(id)?.link.quarantine;
    let said = match speaking(tx, id)?.link.receive(now, signed) {
        // What quarantines a node must be kept; what comes from a quarantined node is refused.
        Err(LinkError::Quarantined(why)) if before.is_none() => return quarantine(tx, id, why, now),
        said => said?,
    };
    match said {
        Said::Receipt(receipt, hash) => {
            let last = keep(tx, id, &receipt, signed, now)?;
            count(tx, id, &receipt, judged, now)?;
            Ok(Outcome::Counted { hash, last, again: false })
        }
        Said::Unbound(receipt, hash) => {
            let last = keep(tx, id, &receipt, signed, now)?;
            let text = format!("receipt {} answers nothing that is remembered", receipt.head.seq);
            tx.alarm(AlarmKind::ReceiptsBehind, id, text, now);
            Ok(Outcome::Counted { hash, last, again: false })
        }
        Said::Duplicate(hash) => {
            if super::planted::duplicate_counts()
                && let Ok(receipt) = signed.peek::<Receipt>()
            {
                count(tx, id, &receipt, judged, now)?;
            }
            Ok(Outcome::Counted { hash, last: tx.get::<Node>(id)?.link.last_receipt(), again: true })
        }
        Said::Refused(refused) => refuses(tx, id, &refused, now),
        Said::Resync(resync) => full_state(tx, id, &resync, now),
        // The agreement of a root KEK is the shell's; its result comes as `Input::KekAgreed`.
        Said::Accept(..) => Ok(Outcome::Done),
    }
}

/// The next of the chain, as a row; gives number and hash of the last.
pub fn keep(
    tx: &mut Change<'_>,
    id: &NodeId,
    receipt: &Receipt,
    signed: &Signed,
    now: u64,
) -> Result<Option<(U64, Digest)>, Refusal> {
    tx.edit::<Node>(id)?.seen_utc_ms = now;
    tx.keep(Record::Receipt(rows::Receipt {
        node: *id,
        seq: receipt.head.seq,
        campaign: receipt.campaign,
        kind: receipt.kind,
        signed: signed.clone(),
    }));
    Ok(tx.get::<Node>(id)?.link.last_receipt())
}

fn refuses(tx: &mut Change<'_>, id: &NodeId, refused: &Refused, now: u64) -> Result<Outcome, Refusal> {
    let text = format!("refused a message: {:?}", refused.reason);
    if let (Some(key_set), Some(generation)) = (refused.key_set, refused.generation)
        && tx.find::<Copy>(&(*id, KeyRef { key_set, generation })).is_some()
    {
        tx.edit::<Copy>(&(*id, KeyRef { key_set, generation }))?.refused =
            Some(format!("{:?}", refused.reason));
    }
    if refused.reason == Reason::Proof {
        let text =
            "it was shown a log that does not hold its receipt, under our signature: two histories are told";
        tx.alarm(AlarmKind::LogDisputed, id, text.to_owned(), now);
        return Ok(Outcome::Done);
    }
    let node = tx.get::<Node>(id)?;
    let sent = node.link.sent.iter().find(|sent| sent.hash == refused.message);
    if sent.is_some_and(|sent| !sent.manifest) && !node.kek_change.is_idle() {
        tx.calm(AlarmKind::RootKek, id, now);
        tx.alarm(AlarmKind::RootKek, id, format!("agrees on no root KEK: {:?}", refused.reason), now);
    // A refusal of an older message is of no interest once a later one was receipted.
    } else if node.last_manifest() == Some(refused.message) && !node.has_answered() {
        let overtaken = matches!(refused.reason, Reason::Epoch | Reason::Replayed)
            && sent.is_some_and(|sent| sent.seq < node.link.seq);
        if overtaken {
            // The node has taken what was sent after it, about its root KEK: it is ordered anew.
            tx.edit::<Node>(id)?.ordered = Digest::default();
        } else {
            tx.alarm(AlarmKind::NodeRefuses, id, text, now);
        }
    } else if !node.link.sent.iter().any(|sent| sent.hash == refused.message) {
        // Somebody else speaks to the node in our name, or shows it what it had long ago.
        // Of its own kind: what the node reports of itself would hide it, and its next beat end it.
        tx.alarm(AlarmKind::ForeignMail, id, format!("{text}, which was not sent to it now"), now);
    }
    Ok(Outcome::Done)
}

// The node says what it holds. What it has lost, it gets again.
fn full_state(tx: &mut Change<'_>, id: &NodeId, resync: &Resync, now: u64) -> Result<Outcome, Refusal> {
    if tx.get::<Node>(id)?.link.is_overtaken(resync) && !super::planted::wish_outlives() {
        return Ok(Outcome::Done);
    }
    let held: BTreeSet<_> = resync
        .held
        .iter()
        .filter(|held| held.step < Step::Destroy)
        .map(|held| KeyRef { key_set: held.key_set, generation: held.generation })
        .collect();
    let mut lost = 0;
    for (node, key) in tx.keys_in::<Copy>((*id, first())..) {
        if node != *id {
            break;
        }
        let copy = tx.get::<Copy>(&(node, key))?;
        if (Progress::Proven..=Progress::Activated).contains(&copy.progress) && !held.contains(&key) {
            tx.edit::<Copy>(&(node, key))?.progress = Progress::Wrapped;
            lost += 1;
        }
    }
    if lost > 0 {
        tx.alarm(AlarmKind::NodeStale, id, format!("lost {lost} keys that it had receipted"), now);
    }
    let node = tx.edit::<Node>(id)?;
    node.resync = Some(resync.nonce);
    node.seen_utc_ms = now;
    Ok(Outcome::Done)
}

fn first() -> KeyRef {
    KeyRef { key_set: super::ids::KeySetId::default(), generation: Generation(0) }
}

// ---- receipts ----

fn count(
    tx: &mut Change<'_>,
    id: &NodeId,
    receipt: &Receipt,
    judged: Judged,
    now: u64,
) -> Result<(), Refusal> {
    let mut touched = BTreeSet::new();
    if let (Some(key_set), Some(generation)) = (receipt.key_set, receipt.generation) {
        let key = KeyRef { key_set, generation };
        match about_key(tx, id, key, receipt, judged, now) {
            Ok(campaigns) => touched.extend(campaigns),
            Err(odd) => {
                let text = format!("receipt {} of {key} counts for nothing: {odd}", receipt.head.seq);
                let kind = if odd == PROOF { AlarmKind::ProofFailed } else { AlarmKind::ReceiptsBehind };
                tx.alarm(kind, id, text, now);
            }
        }
    }
    if receipt.kind == ReceiptKind::KekInstalled {
        root_kek::installed(tx, id, receipt, judged, now);
    }
    let node = tx.get::<Node>(id)?;
    if node.last_manifest() == Some(receipt.message) {
        tx.calm(AlarmKind::NodeRefuses, id, now);
        tx.calm(AlarmKind::ForeignMail, id, now);
        touched.extend(nothing_to_do(tx, id)?);
    }
    for campaign in touched {
        steps::settle(tx, campaign, now)?;
        steps::advance(tx, campaign, now)?;
    }
    Ok(())
}

const PROOF: &str = "its possession is not proved";

fn about_key(
    tx: &mut Change<'_>,
    id: &NodeId,
    key: KeyRef,
    receipt: &Receipt,
    judged: Judged,
    now: u64,
) -> Result<Vec<CampaignId>, &'static str> {
    let copy = tx.find::<Copy>(&(*id, key)).ok_or("no such key was sent")?.clone();
    let record = tx.find::<Key>(&key).ok_or("no such key")?.clone();
    let expected = Expected {
        campaign: record.campaign.unwrap_or_default(),
        key_set: key.key_set,
        generation: key.generation,
        usage: record.attributes().kind.usage().0.iter().map(|c| char::from(*c)).collect(),
        kcv: copy.kcv.clone(),
        block: receipt
            .block
            .filter(|block| copy.earlier.contains(block))
            .unwrap_or_else(|| Digest::of(copy.block.as_bytes())),
    };
    if !expected.fits(receipt) {
        return Err("it speaks of another key");
    }
    let marks = match receipt.kind {
        ReceiptKind::Proven => {
            if copy.progress != Progress::Wrapped {
                return Err("the key was proved before");
            }
            proof_holds(tx, id, &record, receipt, judged)?;
            reach(tx, id, key, Progress::Proven);
            vec![(record.campaign, Mark::Proven)]
        }
        ReceiptKind::Accepting => {
            if copy.progress != Progress::Proven {
                return Err("the key is not at this step");
            }
            reach(tx, id, key, Progress::Accepting);
            vec![(record.campaign, Mark::Accepting)]
        }
        ReceiptKind::Activated => {
            if copy.progress != Progress::Accepting {
                return Err("the key is not at this step");
            }
            protects(tx, id, key);
            early(tx, id, &record, receipt, now);
            vec![(record.campaign, Mark::Activated)]
        }
        ReceiptKind::RolledBack => {
            if copy.progress != Progress::Accepting && copy.progress != Progress::Activated {
                return Err("the key is not at this step");
            }
            protects(tx, id, key);
            let campaign = tx.find::<KeySet>(&key.key_set).and_then(|set| set.live_campaign);
            vec![(campaign, Mark::Returned)]
        }
        ReceiptKind::Retired => {
            reach(tx, id, key, Progress::Retired);
            vec![(record.retired_by, gone(tx, record.retired_by, key))]
        }
        ReceiptKind::Destroyed => {
            reach(tx, id, key, Progress::Destroyed);
            vec![(record.retired_by, gone(tx, record.retired_by, key))]
        }
        ReceiptKind::Applied | ReceiptKind::KekInstalled | ReceiptKind::Zeroised => vec![],
    };
    let mut touched = Vec::new();
    for (campaign, mark) in marks {
        let Some(campaign) = campaign else { continue };
        if tx.find::<Delivery>(&(campaign, *id)).is_some() && set_mark(tx, campaign, id, mark) {
            touched.push(campaign);
        }
    }
    Ok(touched)
}

// Which receipt of a campaign the end of a key at a node is.
fn gone(tx: &Change<'_>, campaign: Option<CampaignId>, key: KeyRef) -> Mark {
    let campaign = campaign.and_then(|id| tx.find::<Campaign>(&id));
    if campaign.is_some_and(|c| c.new_generation() == key.generation) {
        Mark::Withdrawn
    } else {
        Mark::Retired
    }
}

fn set_mark(tx: &mut Change<'_>, campaign: CampaignId, id: &NodeId, mark: Mark) -> bool {
    let (Some(record), Some(delivery)) =
        (tx.find::<Campaign>(&campaign), tx.find::<Delivery>(&(campaign, *id)))
    else {
        return false;
    };
    let (mut record, mut delivery) = (record.clone(), delivery.clone());
    if !record.mark(&mut delivery, mark) {
        return false;
    }
    delivery.refused = None;
    tx.put(record);
    tx.put(delivery);
    true
}

fn proof_holds(
    tx: &Change<'_>,
    id: &NodeId,
    key: &Key,
    receipt: &Receipt,
    judged: Judged,
) -> Result<(), &'static str> {
    let possession = receipt.possession.as_ref().ok_or(PROOF)?;
    let by_kcv = possession.method == PossessionMethod::KcvOnly;
    let allowed = !by_kcv || tx.find::<Node>(id).is_some_and(|node| node.kcv_only);
    let fresh = possession.nonce == target::challenge(key, *id);
    let holds = judged == Judged::Holds || super::planted::proof_ignored();
    if allowed && fresh && holds { Ok(()) } else { Err(PROOF) }
}

fn reach(tx: &mut Change<'_>, id: &NodeId, key: KeyRef, progress: Progress) {
    if let Ok(copy) = tx.edit::<Copy>(&(*id, key))
        && copy.progress < progress
    {
        copy.progress = progress;
        copy.refused = None;
    }
}

// This key protects, so no other of its set does.
fn protects(tx: &mut Change<'_>, id: &NodeId, key: KeyRef) {
    let of_set = super::table::keys_of(key.key_set);
    for other in tx.keys_in::<Copy>((*id, *of_set.start())..=(*id, *of_set.end())) {
        if let Ok(copy) = tx.edit::<Copy>(&other)
            && copy.progress == Progress::Activated
        {
            copy.progress = Progress::Accepting;
        }
    }
    reach(tx, id, key, Progress::Activated);
}

/// A node protects with a new key: people are told if that is before its time.
pub fn early(tx: &mut Change<'_>, id: &NodeId, key: &Key, receipt: &Receipt, now: u64) {
    let skew = tx.find::<Centre>(&()).map_or(0, |centre| centre.limits.skew_max_ms);
    let Some(from) = key.windows.originator_from else { return };
    if receipt.utc_ms.0.saturating_add(2 * skew) < from {
        let text = "protected with a new key before its time".to_owned();
        tx.alarm(AlarmKind::EarlySwitch, id, text, now);
    } else {
        tx.calm(AlarmKind::EarlySwitch, id, now);
    }
}

// A node that has taken its last manifest and never had what that takes away, has nothing to give up: its receipt
// for that manifest says so.
fn nothing_to_do(tx: &mut Change<'_>, id: &NodeId) -> Result<Vec<CampaignId>, Refusal> {
    let (marks, unborn) = (nothing_to_give_up(tx, id)?, never_installed(tx, id)?);
    // Only if the last manifest says all that is to be said now: the one before may have armed a switch. What that is
    // takes longer to work out than all else about a receipt, and most receipts take nothing away.
    if marks.is_empty() && unborn.is_empty() || tx.get::<Node>(id)?.ordered != target::of(tx, id)?.digest {
        return Ok(Vec::new());
    }
    let mut touched = Vec::new();
    for (campaign, mark) in marks {
        if set_mark(tx, campaign, id, mark) {
            touched.push(campaign);
        }
    }
    for copy in unborn {
        tx.edit::<Copy>(&copy)?.progress = Progress::Destroyed;
    }
    Ok(touched)
}

// What campaigns wait for a node to give up, and it never had.
fn nothing_to_give_up(tx: &Change<'_>, id: &NodeId) -> Result<Vec<(CampaignId, Mark)>, Refusal> {
    let mut marks = Vec::new();
    for zone in &tx.get::<Node>(id)?.zones {
        for set in &tx.get::<Zone>(zone)?.key_sets {
            let set = tx.get::<KeySet>(set)?;
            let campaign = set.live_campaign.filter(|_| set.holders == Holders::Members);
            let Some(campaign) = campaign else { continue };
            let record = tx.get::<Campaign>(&campaign)?;
            let of = |generation| KeyRef { key_set: record.plan.key_set, generation };
            let at = |generation| tx.find::<Copy>(&(*id, of(generation))).map(|copy| copy.progress);
            let never = |progress: Option<Progress>| progress.is_none_or(|p| p == Progress::Wrapped);
            let mark = match record.phase {
                Phase::Withdrawing if never(at(record.new_generation())) => Mark::Withdrawn,
                Phase::RollingBack if at(record.new_generation()) != Some(Progress::Activated) => {
                    Mark::Returned
                }
                Phase::Retiring if record.retiring.is_some_and(|old| never(at(old))) => Mark::Retired,
                _ => continue,
            };
            marks.push((campaign, mark));
        }
    }
    marks.retain(|(campaign, _)| tx.find::<Delivery>(&(*campaign, *id)).is_some());
    Ok(marks)
}

// Blocks of destroyed keys that never arrived: they need not be taken away.
fn never_installed(tx: &Change<'_>, id: &NodeId) -> Result<Vec<(NodeId, KeyRef)>, Refusal> {
    let mut unborn = Vec::new();
    for copy in tx.keys_in::<Copy>((*id, first())..=(*id, last())) {
        let wrapped = tx.get::<Copy>(&copy)?.progress == Progress::Wrapped;
        if wrapped && tx.get::<Key>(&copy.1)?.state() == KeyState::Destroyed {
            unborn.push(copy);
        }
    }
    Ok(unborn)
}

fn last() -> KeyRef {
    KeyRef { key_set: keylink::KeySetId([0xFF; 16]), generation: Generation(u32::MAX) }
}
