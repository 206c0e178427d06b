//! What the seeds have met: edges of the life cycle, phases, faults, refusals.

use std::collections::BTreeMap;

#[derive(Default, Clone)]
pub struct Cover(BTreeMap<(&'static str, String), u64>);

impl Cover {
    pub fn hit(&mut self, kind: &'static str, what: impl std::fmt::Display) {
        *self.0.entry((kind, what.to_string())).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(key.clone()).or_default() += count;
        }
    }

    pub fn count(&self, kind: &str, what: &str) -> u64 {
        self.0.iter().filter(|((k, w), _)| *k == kind && w == what).map(|(_, count)| count).sum()
    }

    pub fn table(&self) -> String {
        self.0.iter().map(|((kind, what), count)| format!("{kind:<10} {what:<34} {count:>9}\n")).collect()
    }
}
