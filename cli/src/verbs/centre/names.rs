//! What the ids and numbers of an action are called. The names are the manager's word; what is signed are the ids.

use super::place::{block_on, visible};
use super::when;
use crate::exit::Failure;
use keylink::NodeId;
use keymgr::api::{ActionView, NodeView};
use keymgr::client::Client;
use keymgr::core::action::Act;
use keymgr::core::key::KeySet;
use keymgr::core::node::Zone;
use keymgr::core::people::Person;
use keymgr::core::policy::Policy;
use serde_json::Value;
use std::collections::BTreeMap;

/// Names by id.
pub struct Names(BTreeMap<String, String>);

// Between these, in the years 2001 to 2286, a number of milliseconds is a moment and no span.
const MOMENTS: std::ops::Range<u64> = 1_000_000_000_000..10_000_000_000_000;

impl Names {
    /// Of everything that is there, and of what these actions would make. Who may not read a list sees ids.
    pub fn fetch(client: &Client, views: &[ActionView]) -> Result<Self, Failure> {
        let (persons, nodes, zones, sets, policies) = block_on(async {
            Ok((
                client.all::<Person>("/persons").await.unwrap_or_default(),
                client.all::<NodeView>("/nodes").await.unwrap_or_default(),
                client.all::<Zone>("/zones").await.unwrap_or_default(),
                client.all::<KeySet>("/key-sets").await.unwrap_or_default(),
                client.all::<Policy>("/policies").await.unwrap_or_default(),
            ))
        })?;
        let mut names = Self(BTreeMap::new());
        persons.iter().for_each(|one| names.put(&one.id, "person", &one.name));
        nodes.iter().for_each(|one| names.put(&one.id, "node", &one.name));
        zones.iter().for_each(|one| names.put(&one.id, "zone", &one.alias));
        policies.iter().for_each(|one| names.put(&one.id, "policy", &one.name));
        sets.iter().for_each(|set| {
            let kind = format!("key set ({})", set.definition.kind.name());
            names.put(&set.id(), &kind, &set.definition.name);
        });
        views.iter().filter_map(|view| view.act.as_ref()).for_each(|act| names.new_ones(act));
        Ok(names)
    }

    fn put(&mut self, id: &dyn std::fmt::Display, what: &str, name: &str) {
        self.0.entry(id.to_string()).or_insert_with(|| format!("{what} {}", visible(name)));
    }

    fn new_ones(&mut self, act: &Act) {
        match act {
            Act::CreateZone { id, alias, .. } => self.put(id, "new zone", alias),
            Act::DefinePolicy(policy) => self.put(&policy.id, "new policy", &policy.name),
            Act::CreateKeySet { definition, .. } => {
                self.put(&definition.key_set, "new key set", &definition.name)
            }
            Act::EnrolNodes(nodes) => {
                nodes.iter().for_each(|new| self.put(&NodeId::of(&new.key), "new node", &new.name));
            }
            _ => {}
        }
    }

    /// The name of an id, or the id.
    pub fn of(&self, id: &dyn std::fmt::Display) -> String {
        let id = id.to_string();
        self.0.get(&id).map_or_else(|| id.clone(), |name| format!("{name} ({id})"))
    }

    /// One line for each id and number of a content that means something to people, in the order of the content.
    pub fn legend(&self, content: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        self.walk("", content, &mut lines);
        lines.dedup();
        lines
    }

    fn walk(&self, field: &str, value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| self.walk(name, value, lines)),
            Value::Array(items) => items.iter().for_each(|item| self.walk(field, item, lines)),
            Value::String(text) => {
                lines.extend(self.says(field, text).map(|says| format!("{field} {text}: {says}")))
            }
            Value::Number(number) => {
                let text = number.to_string();
                lines.extend(self.says(field, &text).map(|says| format!("{field} {text}: {says}")));
            }
            _ => {}
        }
    }

    fn says(&self, field: &str, text: &str) -> Option<String> {
        let (id, generation) = text.rsplit_once('/').unwrap_or((text, ""));
        if let Some(name) = self.0.get(id) {
            return Some(if generation.is_empty() {
                name.clone()
            } else {
                format!("{name}, generation {generation}")
            });
        }
        let number: u64 = text.parse().ok()?;
        if MOMENTS.contains(&number) {
            return Some(when(number));
        }
        (field.ends_with("_ms") && number > 0).then(|| super::span(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_and_times_are_told_and_nothing_else() {
        let mut names = Names(BTreeMap::new());
        names.put(&"0199", "zone", "east\u{1b}[1A");
        names.put(&"0200", "node", "n1");
        names.put(&"0300", "key set (ZPK)", "east ZPK");
        let content = json!({"rotate": [{
            "zone": "0199", "excepted": ["0200", "0201"], "overlap_ms": "3600000", "deadline": "1800000000000",
            "generation": 2, "key": "0300/2", "protect_not_before": "0",
        }]});
        assert_eq!(
            names.legend(&content),
            [
                "deadline 1800000000000: 2027-01-15T08:00:00Z",
                "excepted 0200: node n1",
                "key 0300/2: key set (ZPK) east ZPK, generation 2",
                "overlap_ms 3600000: 1h",
                "zone 0199: zone east\\u{1b}[1A",
            ]
        );
    }
}
