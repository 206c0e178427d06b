//! What has to be done next at nodes: keys to wrap, manifests to sign. Only a memory of where to look; where
//! there is something is found by comparing records ([`super::target`]), so it can be thrown away.

use super::action::KeyRef;
use super::campaign::Campaign;
use super::centre::Centre;
use super::evidence::{Shelf, Trees};
use super::ids::{NodeId, ZoneId};
use super::key::{Key, KeySet};
use super::machine::Core;
use super::node::{Node, Traffic};
use super::people::Standing;
use super::table::{Change, Record, State};
use super::target::{self, Draft, Target};
use keylink::message::{Checkpoint, Scope};
use std::collections::BTreeSet;

/// Nodes to look at, and blocks that are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    nodes: BTreeSet<NodeId>,
    missing: BTreeSet<(NodeId, KeyRef)>,
    trees: Trees,
}

/// Work for the backend and the signer.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Keys to wrap under the root KEKs of nodes.
    pub wrap: Vec<(NodeId, KeyRef)>,
    /// Manifests to sign, then to be told as [`super::input::Input::Issue`].
    pub sign: Vec<Draft>,
}

impl Due {
    /// Everything has to be looked at.
    pub fn of(state: &State) -> Self {
        Self { nodes: state.nodes.keys().copied().collect(), ..Self::default() }
    }

    /// A record is about to be taken in over what is.
    pub(super) fn note(&mut self, state: &State, record: &Record) {
        match record {
            Record::Node(new) if state.nodes.get(&new.id).is_none_or(|old| concerns_orders(old, new)) => {
                self.nodes.insert(new.id);
            }
            Record::Node(_) => {}
            Record::Copy(copy) => {
                self.missing.remove(&(copy.node, copy.key()));
                self.nodes.insert(copy.node);
            }
            Record::Member(member) => {
                self.nodes.insert(member.node);
            }
            Record::Campaign(new) => {
                let phase = |campaign: &Campaign| (campaign.phase, campaign.protect_from);
                if state.campaigns.get(&new.id).map(phase) != Some(phase(new)) {
                    self.zone(state, new.zone);
                }
            }
            Record::KeySet(new) => {
                let known = |set: &KeySet| (set.suspended, set.stilled_by, set.approved_by, set.protecting);
                if state.key_sets.get(&new.id()).map(known) != Some(known(new))
                    && let Scope::Zone(zone) = new.definition.scope
                {
                    self.zone(state, zone);
                }
            }
            Record::Key(new) => {
                let known = |key: &Key| (key.state(), key.windows, key.rights.len());
                if state.keys.get(&new.name()).map(known) != Some(known(new))
                    && let Some(set) = state.key_sets.get(&new.set())
                    && let Scope::Zone(zone) = set.definition.scope
                {
                    self.zone(state, zone);
                }
            }
            Record::Centre(new) => {
                let root = |centre: &Centre| centre.root.hash();
                if state.centre.get(&()).map(root) != Some(root(new)) {
                    self.nodes.extend(state.nodes.keys());
                }
            }
            _ => {}
        }
    }

    fn zone(&mut self, state: &State, zone: ZoneId) {
        let range = (zone, NodeId([0; 32]))..=(zone, NodeId([0xFF; 32]));
        self.nodes.extend(state.members.range(range).map(|((_, node), _)| *node));
    }
}

// Nodes speak often, and most of what they say changes no order. One that was silent is looked at when it is back.
fn concerns_orders(old: &Node, new: &Node) -> bool {
    let known = |node: &Node| {
        let kek = node.kek_in_use().map(|kek| kek.number);
        let standing = (node.standing, node.traffic, node.quarantined.is_some(), node.suspended);
        (standing, kek, node.resync, node.ordered, node.kcv_only, node.rights.len())
    };
    let back = new.seen_utc_ms.saturating_sub(old.seen_utc_ms) > SHORT_SILENCE_MS;
    let visited = new.reach.carried_utc_ms != old.reach.carried_utc_ms;
    back || visited || known(old) != known(new) || old.zones != new.zones
}

/// A node that was silent for longer may have been given up by [`is_reachable`]; shorter than any limit in use.
const SHORT_SILENCE_MS: u64 = 5_000;

/// Whether a node gets another manifest: the order differs from the last, or it asks for its full state.
pub fn is_due(node: &Node, target: &Target) -> bool {
    let new = node.ordered != target.digest && !(target.key_sets.is_empty() && node.link.seq.0 == 0);
    node.standing == Standing::Active && node.quarantined.is_none() && (new || node.resync.is_some())
}

/// Whether there is a point in telling a node: one that is away gets a single manifest when it returns.
fn is_reachable(node: &Node, silent_after_ms: u64, now: u64) -> bool {
    let lately = |at: u64| at > 0 && now.saturating_sub(at) <= silent_after_ms;
    let seen = lately(node.seen_utc_ms) || lately(node.reach.carried_utc_ms);
    seen || (node.traffic == Traffic::InTraffic && node.seen_utc_ms > 0)
}

impl Core {
    /// Whether a node is still to be looked at, or waits for a key to be wrapped: what it is owed is not whole yet.
    pub fn owes(&self, id: &NodeId) -> bool {
        let first =
            KeyRef { key_set: super::ids::KeySetId::default(), generation: super::ids::Generation(0) };
        let missing = self.due.missing.range((*id, first)..).next().is_some_and(|(node, _)| node == id);
        missing || self.due.nodes.contains(id)
    }

    /// What is due now, at most `limit` of each. Asking again before it is done gives the same again.
    pub fn work(&mut self, now_utc_ms: u64, checkpoint: Option<&Checkpoint>, limit: usize) -> Work {
        let mut work = Work::default();
        let Some(silent) = self.state.centre.get(&()).map(|centre| centre.limits.silent_after_ms) else {
            return work;
        };
        let mut shelf = Shelf::with(std::mem::take(&mut self.due.trees));
        let mut done = Vec::new();
        let tx = Change::new(&self.state);
        for id in &self.due.nodes {
            if work.sign.len() >= limit {
                break;
            }
            let Ok(target) = target::of(&tx, id) else { continue };
            let Some(node) = tx.find::<Node>(id) else { continue };
            if node.kek_in_use().is_some() && node.is_served() {
                self.due.missing.extend(target.missing.iter().map(|key| (*id, *key)));
            }
            let due =
                is_due(node, &target) && is_reachable(node, silent, now_utc_ms) && target.missing.is_empty();
            match due.then(|| target::draft(&tx, node, target, checkpoint, &mut shelf, now_utc_ms)) {
                Some(Ok(draft)) => work.sign.push(draft),
                // Looked at again when something about it changes.
                _ => done.push(*id),
            }
        }
        self.due.trees = shelf.into_trees();
        for id in done {
            self.due.nodes.remove(&id);
        }
        let gone = |(node, key): &(NodeId, KeyRef)| {
            let live = self.state.keys.get(key).is_some_and(Key::is_live);
            let takes = |node: &Node| node.is_served() && node.kek_in_use().is_some();
            !live || !self.state.nodes.get(node).is_some_and(takes)
        };
        self.due.missing.retain(|wanted| !gone(wanted));
        work.wrap = self.due.missing.iter().take(limit).copied().collect();
        work
    }
}
