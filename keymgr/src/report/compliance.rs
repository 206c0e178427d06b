//! Every node and key set that it should hold: what it protects with by its receipts, and whether that is what the
//! centre has ordered.

use super::Fact;
use super::words::days;
use crate::core::Core;
use crate::core::ids::{Generation, KeySetId, NodeId, ZoneId};
use crate::core::key::{Holders, KeySet};
use crate::core::node::{Copy, Node, Progress};
use crate::core::people::Standing;
use crate::core::table::{Table, keys_of};
use keylink::message::CERTIFICATE_WARN_MS;
use std::ops::Bound;

/// Heads of the columns.
pub const COLUMNS: &[&str] = &[
    "node",
    "class",
    "traffic",
    "zone",
    "key set",
    "ordered",
    "protects",
    "processes",
    "standing",
    "root KEK days",
    "certificate days left",
];

/// What names a row: a node, a zone of it, a key set of that.
pub type Place = (NodeId, ZoneId, KeySetId);

const BEHIND: &str = "behind";

/// Names of the rows behind one, in order, at most so many.
pub fn places(core: &Core, after: Option<&Place>, most: usize) -> Vec<Place> {
    let from = after.map_or(Bound::Unbounded, |(node, ..)| Bound::Included(*node));
    let nodes = Table::<Node>::rows(core.state()).range((from, Bound::Unbounded));
    let own = nodes.flat_map(|(_, node)| places_of(core, node));
    own.filter(|place| after.is_none_or(|after| place > after)).take(most).collect()
}

fn places_of<'a>(core: &'a Core, node: &'a Node) -> impl Iterator<Item = Place> + 'a {
    let zones = node.zones.iter().filter_map(|id| core.state().zone(id));
    zones.flat_map(move |zone| {
        let kept = |id: &&KeySetId| core.key_set(id).is_some_and(|set| set.holders == Holders::Members);
        zone.key_sets.iter().filter(kept).map(move |set| (node.id, zone.id, *set))
    })
}

// The generation that it protects with by its receipts, and those that it processes with.
fn used(core: &Core, node: NodeId, set: KeySetId) -> (Option<Generation>, Vec<Generation>) {
    let all = keys_of(set);
    let copies = Table::<Copy>::rows(core.state()).range((node, *all.start())..=(node, *all.end()));
    let working: Vec<&Copy> = copies
        .map(|(_, copy)| copy)
        .filter(|copy| matches!(copy.progress, Progress::Accepting | Progress::Activated))
        .collect();
    let protects = working.iter().filter(|copy| copy.progress == Progress::Activated);
    (protects.map(|copy| copy.generation).max(), working.iter().map(|copy| copy.generation).collect())
}

fn standing(node: &Node, set: &KeySet, used: Option<Generation>) -> &'static str {
    match node.stopped() {
        Some(stopped) => stopped,
        None if used == set.protecting => "as ordered",
        None => BEHIND,
    }
}

/// The row of this name, at this moment.
pub fn row(core: &Core, (node, zone, set): &Place, now_ms: u64) -> Option<Vec<String>> {
    let (node, zone, set) = (core.node(node)?, core.state().zone(zone)?, core.key_set(set)?);
    let (protects, processes) = used(core, node.id, set.id());
    let generation = |g: Option<Generation>| g.map_or_else(|| "none".to_owned(), |g| g.to_string());
    let kek = node.root_kek.as_ref().map(|kek| days(kek.since_utc_ms, now_ms));
    Some(vec![
        node.name.clone(),
        format!("{:?}", node.class),
        format!("{:?}", node.traffic),
        zone.alias.clone(),
        set.definition.name.clone(),
        generation(set.protecting),
        generation(protects),
        processes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        standing(node, set, protects).to_owned(),
        kek.map_or_else(|| "none".to_owned(), |days| days.to_string()),
        certificate_days(node, now_ms),
    ])
}

// Days for which a node's transport certificate is still valid.
fn certificate_days(node: &Node, now_ms: u64) -> String {
    match node.certificate_until_utc_ms {
        0 => "unknown".to_owned(),
        until => days(now_ms, until).to_string(),
    }
}

/// Counts over all nodes, made a few nodes at a time.
#[derive(Debug, Default)]
pub struct Tally {
    behind: usize,
    ending: usize,
    last: Option<NodeId>,
}

impl Tally {
    /// Counts the next `nodes` nodes; false when there are no more.
    pub fn count(&mut self, core: &Core, nodes: usize, now_ms: u64) -> bool {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = Table::<Node>::rows(core.state()).range((after, Bound::Unbounded));
        let before = self.last;
        for (id, node) in rows.take(nodes) {
            self.last = Some(*id);
            let until = node.certificate_until_utc_ms;
            let ends = until > 0 && until.saturating_sub(now_ms) <= CERTIFICATE_WARN_MS;
            self.ending += usize::from(ends && node.standing == Standing::Active);
            let is_behind = |(node_id, _, set): &Place| {
                core.key_set(set)
                    .is_some_and(|set| standing(node, set, used(core, *node_id, set.id()).0) == BEHIND)
            };
            self.behind += places_of(core, node).filter(is_behind).count();
        }
        self.last != before
    }

    /// What was counted.
    pub fn facts(&self) -> [Fact; 2] {
        [(BEHIND, self.behind), ("certificates that end within 60 days", self.ending)]
            .map(|(name, count)| (name.to_owned(), count.to_string()))
    }
}
