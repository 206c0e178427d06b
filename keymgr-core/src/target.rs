//! The target state of a node, as it follows from the records: nothing is remembered of what was sent but its
//! name. So a restart sends what is due, and a node that was away gets all it missed at once.

use super::action::KeyRef;
use super::approval::Action;
use super::campaign::{Campaign, Phase};
use super::centre::Centre;
use super::evidence::Shelf;
use super::ids::{ActionId, Digest, Generation, NodeId};
use super::key::{Holders, Key, KeySet};
use super::lifecycle::KeyState;
use super::node::{Copy, Member, Node, Progress, Zone};
use super::refusal::Refusal;
use super::table::{Change, keys_of};
use keylink::action::Grant;
use keylink::envelope::bytes_of;
use keylink::message::{Checkpoint, GenerationTarget, KeySetTarget, Manifest, Step};
use keylink::wire::{Hex, U64};
use std::collections::BTreeSet;

/// What a node shall hold, and what is missing to tell it.
pub struct Target {
    /// Key sets in the order of their ids.
    pub key_sets: Vec<KeySetTarget>,
    /// Do nothing with managed keys.
    pub suspended: bool,
    /// Keys that are not wrapped for this node yet.
    pub missing: Vec<KeyRef>,
    /// Actions by whose right all of this is so.
    pub rights: BTreeSet<ActionId>,
    /// What is ordered, without blocks and challenges.
    pub digest: Digest,
}

/// The target state of a node.
pub fn of(tx: &Change<'_>, id: &NodeId) -> Result<Target, Refusal> {
    let node = tx.get::<Node>(id)?;
    let mut target = Target {
        key_sets: Vec::new(),
        suspended: node.suspended,
        missing: Vec::new(),
        rights: node.rights.iter().copied().collect(),
        digest: Digest::default(),
    };
    for zone in &node.zones {
        target.rights.insert(tx.get::<Member>(&(*zone, *id))?.action);
        for set in &tx.get::<Zone>(zone)?.key_sets {
            let set = tx.get::<KeySet>(set)?;
            if set.holders == Holders::Members {
                add_set(tx, node, set, &mut target)?;
            }
        }
    }
    target.digest = digest(tx.get::<Centre>(&())?.root.hash(), &target);
    Ok(target)
}

fn digest(root: Digest, target: &Target) -> Digest {
    let mut bare = target.key_sets.clone();
    for generation in bare.iter_mut().flat_map(|set| &mut set.generations) {
        generation.block = None;
        generation.throw_away = None;
        generation.nonce = None;
        generation.throw_away = None;
    }
    Digest::of(&bytes_of(&(root, target.suspended, bare, &target.rights)))
}

fn add_set(tx: &Change<'_>, node: &Node, set: &KeySet, target: &mut Target) -> Result<(), Refusal> {
    let mut generations = Vec::new();
    let stays = stays_in_place(tx, node, set);
    for name in tx.keys_in::<Key>(keys_of(set.id())) {
        let key = tx.get::<Key>(&name)?;
        let copy = tx.find::<Copy>(&(node.id, name));
        let Some(step) = step_of(tx, node, set, key, copy)? else { continue };
        if step.is_none_needed(copy) {
            continue;
        }
        // One that is still on its way under another root KEK is made again, unless all that is left is to give it up;
        // a suspended node gets none meanwhile.
        let will_do = |copy: &&Copy| node.suspended || step.step >= Step::Retire || !copy.is_outdated(node);
        let Some(copy) = copy.filter(will_do) else {
            if !node.suspended {
                target.missing.push(name);
            }
            continue;
        };
        let step = match stays {
            Some(generation) if generation == name.generation => Wanted::now(Step::Protect),
            Some(_) if step.step == Step::Protect => Wanted::now(Step::Accept),
            Some(_) if step.step == Step::Accept && may_go(key, copy) => Wanted::now(Step::Retire),
            _ => step,
        };
        target.rights.extend(&key.rights);
        let mut one = generation(node, key, copy, step);
        if let Some(end) = protects_until(tx, set, name.generation)? {
            one.originator_until.get_or_insert(U64(end));
        }
        generations.push(one);
    }
    if !generations.is_empty() {
        target.rights.insert(set.approved_by);
        target.rights.extend(set.stilled_by);
        target.key_sets.push(KeySetTarget {
            definition: set.definition.clone(),
            suspended: set.suspended,
            generations,
        });
    }
    Ok(())
}

// What protects is followed before it goes.
fn may_go(key: &Key, copy: &Copy) -> bool {
    !key.is_live() && copy.progress != Progress::Activated
}

// Which key a node protects with for now, although another is to follow.
//
// A suspended node gets no new keys; where the one that is to follow is not known to be there, the order to suspend
// must still get through, and a node does not take an order that leaves it without any. Where that one was revoked,
// none is to follow; where its period was over before it came to the node, the next one follows. And a node that was
// away gives up what it merely processes with before it switches: it holds no more keys at once than the others. One
// that is several keys behind goes through those between, one by one.
fn stays_in_place(tx: &Change<'_>, node: &Node, set: &KeySet) -> Option<Generation> {
    let held = |generation| {
        let key = KeyRef { key_set: set.id(), generation };
        Some((tx.find::<Key>(&key)?, tx.find::<Copy>(&(node.id, key))?.progress))
    };
    let keys: Vec<_> =
        tx.keys_in::<Key>(keys_of(set.id())).iter().filter_map(|key| held(key.generation)).collect();
    let (now, _) = keys.iter().find(|(key, progress)| *progress == Progress::Activated && usable(key))?;
    if set.protecting == Some(now.generation()) {
        return None;
    }
    let name = |generation| KeyRef { key_set: set.id(), generation };
    let revoked = |generation| tx.find::<Key>(&name(generation)).is_some_and(|key| !usable(key));
    let lost = set.protecting.map_or_else(|| now.is_live(), revoked);
    let follows = set.protecting.and_then(held).is_some_and(|(_, progress)| progress > Progress::Wrapped);
    let over = |generation| tx.find::<Key>(&name(generation)).is_some_and(|key| !key.is_live());
    let late = !follows && set.protecting.is_some_and(over);
    let surplus = keys.iter().any(|(key, progress)| *progress == Progress::Accepting && !key.is_live());
    if lost || late || surplus || (node.suspended && !follows) {
        return Some(now.generation());
    }
    let between: Vec<_> = keys
        .iter()
        .filter(|(key, _)| key.generation() > now.generation() && Some(key.generation()) < set.protecting)
        .filter(|(key, progress)| key.is_live() && usable(key) && *progress <= Progress::Accepting)
        .filter(|(_, progress)| *progress > Progress::Wrapped || !node.suspended)
        .collect();
    let held = between.len() + 1;
    between.first().filter(|_| held > set.definition.overlap.previous_max()).map(|(key, _)| key.generation())
}

/// A step, and when it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    step: Step,
    from: Option<u64>,
}

impl Wanted {
    const fn now(step: Step) -> Self {
        Self { step, from: None }
    }

    // What a node never had need not be taken from it; what it has erased need not be erased, and it does not take
    // it again: one that left a zone and is back gets the next generation.
    fn is_none_needed(self, copy: Option<&Copy>) -> bool {
        let erased = copy.is_some_and(|copy| copy.progress == Progress::Destroyed);
        erased || (self.step >= Step::Retire && copy.is_none())
    }
}

fn step_of(
    tx: &Change<'_>,
    node: &Node,
    set: &KeySet,
    key: &Key,
    copy: Option<&Copy>,
) -> Result<Option<Wanted>, Refusal> {
    let campaign = set.live_campaign.map(|id| tx.get::<Campaign>(&id)).transpose()?;
    let is_new = campaign.is_some_and(|c| c.new_generation() == key.generation());
    Ok(match key.state() {
        KeyState::PreActivation => {
            campaign.filter(|c| is_new && c.phase == Phase::Staging).map(|_| Wanted::now(Step::Stage))
        }
        KeyState::Active | KeyState::Suspended => Some(in_use(set, key, campaign, is_new)),
        // Its period is over and no key follows yet: nodes stop by themselves and keep it in its place.
        KeyState::Deactivated if set.protecting == Some(key.generation()) && key.suspect.is_none() => {
            copy.filter(|copy| copy.progress > Progress::Wrapped).map(|_| Wanted::now(Step::Protect))
        }
        KeyState::Deactivated | KeyState::Compromised => {
            let used = copy.is_some_and(|c| matches!(c.progress, Progress::Accepting | Progress::Activated));
            let in_flight = campaign.is_some_and(|c| c.in_flight().any(|g| g == key.generation()));
            let follow = used && key.suspect.is_none() && (in_flight || !protects_already(tx, node, set));
            Some(Wanted::now(if follow { Step::Accept } else { Step::Retire }))
        }
        KeyState::Destroyed => Some(Wanted::now(Step::Destroy)),
    })
}

// A node gives a key up only when it protects with the one that follows: two orders for a node that was away. One that
// was revoked is no such key: what else there is stays until the next one protects.
fn protects_already(tx: &Change<'_>, node: &Node, set: &KeySet) -> bool {
    set.protecting.is_none_or(|generation| {
        let key = KeyRef { key_set: set.id(), generation };
        tx.find::<Key>(&key).is_some_and(usable)
            && tx.find::<Copy>(&(node.id, key)).is_some_and(|copy| copy.progress == Progress::Activated)
    })
}

fn usable(key: &Key) -> bool {
    key.suspect.is_none() && key.state() != KeyState::Destroyed
}

// A key that another follows by the clock protects until then, and for longer where clocks disagree. Its own period ends
// when it was to end before: nodes that have not heard of the other key keep to that, and process it no longer.
fn protects_until(tx: &Change<'_>, set: &KeySet, generation: Generation) -> Result<Option<u64>, Refusal> {
    let campaign = set.live_campaign.map(|id| tx.get::<Campaign>(&id)).transpose()?;
    let goes = campaign.filter(|c| c.phase == Phase::Protecting && c.old == Some(generation));
    Ok(goes.and_then(|campaign| campaign.old_until))
}

fn in_use(set: &KeySet, key: &Key, campaign: Option<&Campaign>, is_new: bool) -> Wanted {
    match campaign {
        Some(c) if is_new => match c.phase {
            Phase::Protecting | Phase::Overlap | Phase::Retiring => {
                Wanted { step: Step::Protect, from: c.protect_from }
            }
            _ => Wanted::now(Step::Accept),
        },
        _ if set.protecting == Some(key.generation()) => Wanted::now(Step::Protect),
        _ => Wanted::now(Step::Accept),
    }
}

fn generation(node: &Node, key: &Key, copy: &Copy, wanted: Wanted) -> GenerationTarget {
    let wanting = copy.progress == Progress::Wrapped || node.resync.is_some();
    // What a node holds and repeats to hold needs no block; one under an earlier root KEK would not open.
    let opens = node.kek_in_use().is_some_and(|kek| kek.number == copy.root_kek);
    let deliver = wanting && opens && wanted.step <= Step::Protect && !node.suspended;
    let protects = wanted.step == Step::Protect;
    // Of a key that is out of use the window says when it was retired, and its step what follows.
    let processes = matches!(key.state(), KeyState::Active | KeyState::Suspended) || protects;
    GenerationTarget {
        generation: key.generation(),
        campaign: key.campaign.unwrap_or_default(),
        step: wanted.step,
        kcv: copy.kcv.clone(),
        block: deliver.then(|| copy.block.clone()),
        nonce: deliver.then(|| challenge(key, node.id)),
        throw_away: copy.throw_away.clone().filter(|_| deliver),
        protect_from: wanted.from.map(U64),
        originator_until: key.windows.originator_until.filter(|_| protects).map(U64),
        recipient_until: key.windows.recipient_until.filter(|_| processes).map(U64),
    }
}

/// The challenge of a key at a node: the key's own, made different for every node.
pub fn challenge(key: &Key, node: NodeId) -> Hex<32> {
    let mut input = key.nonce.0.to_vec();
    input.extend_from_slice(&node.0);
    Hex(Digest::of(&input).0)
}

/// A manifest that is due, to be signed.
#[derive(Clone, Debug)]
pub struct Draft {
    /// To whom.
    pub node: NodeId,
    /// What.
    pub body: Manifest,
}

/// The manifest of a target.
pub fn draft(
    tx: &Change<'_>,
    node: &Node,
    target: Target,
    checkpoint: Option<&Checkpoint>,
    shelf: &mut Shelf,
    now: u64,
) -> Result<Draft, Refusal> {
    let centre = tx.get::<Centre>(&())?;
    let document = centre.root.document()?;
    let sets: BTreeSet<_> = target.key_sets.iter().map(|set| set.definition.key_set).collect();
    let concerns = |grant: &Grant| match grant {
        // What holds now: it may have come, gone and come back, by actions of which it is not shown every one.
        Grant::JoinZone { zone, node: n } => *n == node.id && node.zones.contains(zone),
        Grant::LeaveZone { zone, node: n } => *n == node.id && !node.zones.contains(zone),
        Grant::SuspendNode(n) | Grant::ResumeNode(n) | Grant::KcvOnly(n) => *n == node.id,
        Grant::KeySet(definition) => sets.contains(&definition.key_set),
        Grant::Generation { key_set, .. }
        | Grant::Rollback { key_set, .. }
        | Grant::Destroy { key_set, .. }
        | Grant::SuspendKeySet(key_set)
        | Grant::ResumeKeySet(key_set) => sets.contains(key_set),
        _ => false,
    };
    let actions = target.rights.iter().filter_map(|id| tx.find::<Action>(id));
    let evidence = actions.filter_map(|action| shelf.show(action, &document, now, concerns)).collect();
    let body = Manifest {
        head: node.link.clone().next_head(centre.epoch, now.saturating_add(centre.limits.manifest_life_ms)),
        previous: node.link.previous(),
        resync: node.resync,
        root: centre.root.hash(),
        suspended: target.suspended,
        key_sets: target.key_sets,
        evidence,
        checkpoint: checkpoint.cloned(),
    };
    Ok(Draft { node: node.id, body })
}

#[cfg(test)]
mod tests;
