//! Nodes: what each is and how far it is behind.

use super::Fact;
use super::words::when;
use crate::api::NodeView;
use crate::core::Core;
use crate::core::node::Node;

/// Heads of the columns.
pub const COLUMNS: &[&str] =
    &["node", "class", "standing", "traffic", "zones", "seen", "skew ms", "root KEK", "id"];

/// A row for each of these nodes.
pub fn rows(core: &Core, nodes: &[NodeView]) -> Vec<Vec<String>> {
    let row = |node: &NodeView| {
        let zones = node.zones.iter().filter_map(|id| core.state().zone(id));
        let mut zones: Vec<&str> = zones.map(|zone| zone.alias.as_str()).collect();
        zones.sort_unstable();
        let kek = node.root_kek.as_ref();
        vec![
            node.name.clone(),
            format!("{:?}", node.class),
            match (node.stopped(), &node.quarantined) {
                (Some(stopped), Some(why)) => format!("{stopped}: {why}"),
                (Some(stopped), None) => stopped.to_owned(),
                (None, _) => "active".to_owned(),
            },
            format!("{:?}", node.traffic),
            zones.join(", "),
            if node.seen_utc_ms == 0 { "never".to_owned() } else { when(node.seen_utc_ms) },
            node.skew_ms.to_string(),
            kek.map_or_else(
                || "none".to_owned(),
                |kek| format!("{} since {}", kek.number, when(kek.since_utc_ms)),
            ),
            node.id.to_string(),
        ]
    };
    nodes.iter().map(row).collect()
}

/// How many there are, and how many hold no orders to be judged by, by why.
pub fn facts(core: &Core) -> Vec<Fact> {
    let nodes = || core.state().nodes();
    let stopped = |why| nodes().filter(|node| node.stopped() == Some(why)).count();
    let of = |why: &str, count: usize| (format!("{why}nodes"), count.to_string());
    let stops = Node::STOPS.map(|why| of(&format!("{why} "), stopped(why)));
    [of("", nodes().count())].into_iter().chain(stops).collect()
}
