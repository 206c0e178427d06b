//! Keys, and how many nodes hold each by their receipts.

use super::words::maybe;
use crate::api::KeyView;
use crate::core::Core;
use crate::core::action::KeyRef;
use crate::core::ids::{Generation, NodeId};
use crate::core::key::KeySet;
use crate::core::node::{Copy, Member};
use crate::core::table::{State, Table};
use keylink::message::Scope;
use std::collections::BTreeMap;

/// Heads of the columns.
pub const COLUMNS: &[&str] = &[
    "key set",
    "generation",
    "zone",
    "kind",
    "keys",
    "state",
    "KCV",
    "protects until",
    "processes until",
    "nodes by receipts",
];

/// A row for each of these keys of one key set.
pub fn rows(core: &Core, keys: &[KeyView]) -> Vec<Vec<String>> {
    let Some(first) = keys.first() else { return Vec::new() };
    let set = core.key_set(&first.key_set);
    let held = set.map(|set| held(core, set, keys)).unwrap_or_default();
    let row = |key: &KeyView| {
        let held = held.get(&key.generation).into_iter().flatten();
        let held: Vec<String> = held.map(|(progress, count)| format!("{progress} {count}")).collect();
        vec![
            set.map_or_else(|| key.key_set.to_string(), |set| set.definition.name.clone()),
            key.generation.to_string(),
            set.map(|set| zone(core, set)).unwrap_or_default(),
            set.map_or_else(String::new, |s| {
                format!("{} {:?}", s.definition.kind.name(), s.definition.shape)
            }),
            set.map_or("", |set| if set.live { "live" } else { "test" }).to_owned(),
            format!("{:?}", key.state),
            key.kcv.clone().unwrap_or_default(),
            maybe(key.windows.originator_until),
            maybe(key.windows.recipient_until),
            held.join(", "),
        ]
    };
    keys.iter().map(row).collect()
}

fn zone(core: &Core, set: &KeySet) -> String {
    match set.definition.scope {
        Scope::Zone(id) => core.state().zone(&id).map_or_else(|| id.to_string(), |zone| zone.alias.clone()),
        Scope::Node(id) => id.to_string(),
    }
}

type Counts = BTreeMap<Generation, BTreeMap<String, usize>>;

// By generation and progress. Nodes that have left the zone may hold a key still.
fn held(core: &Core, set: &KeySet, keys: &[KeyView]) -> Counts {
    let mut counts = Counts::new();
    let generations = || keys.iter().map(|key| key.generation);
    let (Some(first), Some(last)) = (generations().min(), generations().max()) else { return counts };
    let named = |generation| KeyRef { key_set: set.id(), generation };
    for node in nodes(core.state(), set) {
        let own = (node, named(first))..=(node, named(last));
        for copy in Table::<Copy>::rows(core.state()).range(own).map(|(_, copy)| copy) {
            let of = counts.entry(copy.generation).or_default();
            *of.entry(format!("{:?}", copy.progress)).or_default() += 1;
        }
    }
    counts
}

fn nodes(state: &State, set: &KeySet) -> Vec<NodeId> {
    match set.definition.scope {
        Scope::Node(node) => vec![node],
        Scope::Zone(zone) => {
            let ever = (zone, NodeId([0; 32]))..=(zone, NodeId([0xFF; 32]));
            Table::<Member>::rows(state).range(ever).map(|((_, node), _)| *node).collect()
        }
    }
}
