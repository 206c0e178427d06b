//! State = fold(log): which image every row must have, from the changes in the order of the log.

use super::line::{LineError, Parts};
use crate::store::{Hash, Row, Table};
use std::collections::hash_map::Entry;

/// The images that the log leaves behind.
pub(crate) struct Fold {
    tables: &'static [Table],
    rows: foldhash::HashMap<(Table, Vec<u8>), (Hash, u64)>,
}

/// Why a row is not what the log says: the kind of finding, and one line for people.
pub(crate) type Wrong = (&'static str, String);

impl Fold {
    /// Of these tables.
    pub fn of(tables: &'static [Table]) -> Self {
        Self { tables, rows: foldhash::HashMap::default() }
    }

    /// Takes the changes of one entry.
    pub fn take(&mut self, parts: &Parts<'_>) -> Result<(), LineError> {
        for change in parts.changes() {
            let (table, key, image) = change?;
            let table = Table::named(table).ok_or(LineError("a table that is not known"))?;
            if !self.tables.contains(&table) {
                continue;
            }
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
    pub fn judge(&mut self, row: &Row) -> Result<(), Wrong> {
        match self.rows.remove(&(row.table, row.key.clone())) {
            Some((image, _)) if image == row.image() => Ok(()),
            Some((_, seq)) if row.log_seq == seq => {
                Err(("edited", format!("the row is not what entry {seq} wrote")))
            }
            Some((_, seq)) => {
                Err(("edited", format!("entry {seq} wrote the row last, the row says {}", row.log_seq)))
            }
            None => Err(("inserted", "no entry of the log wrote the row".to_owned())),
        }
    }

    /// The rows that are not there.
    pub fn rest(self) -> impl Iterator<Item = (Table, Vec<u8>, Wrong)> {
        let mut missing: Vec<_> = self.rows.into_iter().collect();
        missing.sort_unstable();
        missing.into_iter().map(|((table, key), (_, seq))| {
            (table, key, ("missing", format!("the row that entry {seq} wrote is gone")))
        })
    }
}
