//! State = fold(log): which image every row must have, from the changes in the order of the log.

use super::finding::Report;
use crate::log::{LineError, Parts};
use crate::store::{Hash, Row, Table, key_text};
use std::collections::hash_map::Entry;

/// The images that the log leaves behind.
#[derive(Default)]
pub(super) struct Fold {
    rows: foldhash::HashMap<(Table, Vec<u8>), (Hash, u64)>,
}

impl Fold {
    /// Takes the changes of one entry.
    pub fn take(&mut self, parts: &Parts<'_>) -> Result<(), LineError> {
        for change in parts.changes() {
            let (table, key, image) = change?;
            let table = Table::named(table).ok_or(LineError("a table that is not known"))?;
            match (self.rows.entry((table, key)), image) {
                (Entry::Occupied(mut row), Some(image)) => *row.get_mut() = (image, parts.seq),
                (Entry::Vacant(row), Some(image)) => {
                    row.insert((image, parts.seq));
                }
                (Entry::Occupied(row), None) => {
                    row.remove();
                }
                (Entry::Vacant(_), None) => {}
            }
        }
        Ok(())
    }

    /// Judges a row, and forgets it.
    pub fn judge(&mut self, row: &Row, report: &mut Report) {
        let key = key_text(&row.key);
        match self.rows.remove(&(row.table, row.key.clone())) {
            Some((image, _)) if image == row.image() => {}
            Some((_, seq)) => {
                let what = if row.log_seq == seq {
                    format!("the row is not what entry {seq} wrote")
                } else {
                    format!("entry {seq} wrote the row last, the row says {}", row.log_seq)
                };
                report.find("edited", row.table.name(), key, what);
            }
            None => report.find("inserted", row.table.name(), key, "no entry of the log wrote the row"),
        }
    }

    /// The rows that are not there.
    pub fn rest(self, report: &mut Report) {
        let mut missing: Vec<_> = self.rows.into_iter().collect();
        missing.sort_unstable();
        for ((table, key), (_, seq)) in missing {
            let what = format!("the row that entry {seq} wrote is gone");
            report.find("missing", table.name(), key_text(&key), what);
        }
    }
}
