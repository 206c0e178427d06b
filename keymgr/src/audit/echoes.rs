//! What nodes have seen of the log. Each receipt names, under its node's signature, the highest checkpoint that the node
//! had seen: whoever sets the log back or tells it anew has all of them against him, without a head from outside.

use super::finding::Report;
use crate::log::Tree;
use crate::store::{Hash, Row, Table, key_text};
use std::collections::BTreeMap;

/// A state of the log: its size, and its root.
pub type Seen = (u64, Hash);

/// The states that were named, each with the first row that does so, and the entries to compare them with: 32 bytes an
/// entry.
#[derive(Default)]
pub struct Echoes {
    named: BTreeMap<Seen, (Table, Vec<u8>)>,
    entries: Vec<Hash>,
}

impl Echoes {
    /// The next entry.
    pub fn entry(&mut self, hash: Hash) {
        self.entries.push(hash);
    }

    /// A row whose signature holds names a state.
    pub fn named(&mut self, seen: Seen, row: &Row) {
        self.named.entry(seen).or_insert_with(|| (row.table, row.key.clone()));
    }

    /// Finds the states that the log never was in.
    pub fn judge(self, report: &mut Report) {
        let mut tree = Tree::default();
        let mut entries = self.entries.into_iter();
        let mut full = Vec::new();
        for ((size, root), (table, key)) in self.named {
            for hash in entries.by_ref().take(usize::try_from(size - tree.size()).unwrap_or(usize::MAX)) {
                tree.push(hash, &mut full);
                full.clear();
            }
            if tree.size() < size {
                let what =
                    format!("its node had seen {size} entries, the log has {}: it was set back", tree.size());
                report.find("rolled_back", table.name(), key_text(&key), what);
            } else if tree.root() != root {
                let what = format!("its node had seen another log of {size} entries");
                report.find("forked", table.name(), key_text(&key), what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::leaf_hash;

    fn judged(log: &[&[u8]], seen: Seen) -> Vec<&'static str> {
        let mut echoes = Echoes::default();
        log.iter().for_each(|line| echoes.entry(leaf_hash(line)));
        let row =
            Row { table: Table::Receipts, key: vec![1], columns: Vec::new(), body: Vec::new(), log_seq: 0 };
        echoes.named(seen, &row);
        let mut report = Report::default();
        echoes.judge(&mut report);
        report.findings.into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn what_a_node_has_seen_was_so() {
        let log: [&[u8]; 3] = [b"a", b"b", b"c"];
        let mut tree = Tree::default();
        log[..2].iter().for_each(|line| tree.push(leaf_hash(line), &mut Vec::new()));
        let two = tree.root();
        assert_eq!(judged(&log, (2, two)), [""; 0]);
        assert_eq!(judged(&log[..1], (2, two)), ["rolled_back"]);
        assert_eq!(judged(&[b"a", b"x", b"c"], (2, two)), ["forked"]);
        assert_eq!(judged(&log, (0, Tree::default().root())), [""; 0]);
    }
}
