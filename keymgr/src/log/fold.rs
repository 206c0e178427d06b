//! State = fold(log): which image every row must have, from the changes in the order of the log.

use super::{LineError, Parts, RowKey};
use crate::store::{Hash, Table};
use foldhash::HashMap;

/// The images that the log leaves behind.
pub(crate) struct Fold {
    tables: &'static [Table],
    /// Of each table of all, by the key of the row: the image, and the entry that left it.
    rows: Vec<HashMap<RowKey, (Hash, u64)>>,
}

/// Why a row is not what the log says: the kind of finding, and one line for people.
pub(crate) type Wrong = (&'static str, String);

impl Fold {
    /// Of these tables.
    pub fn of(tables: &'static [Table]) -> Self {
        Self { tables, rows: Table::ALL.iter().map(|_| HashMap::default()).collect() }
    }

    /// Takes the changes of one entry.
    pub fn take(&mut self, parts: &Parts<'_>) -> Result<(), LineError> {
        for change in parts.changes() {
            let (table, key, image) = change?;
            let table = Table::named(table).ok_or(LineError("a table that is not known"))?;
            if !self.tables.contains(&table) {
                continue;
            }
            let rows = &mut self.rows[table as usize];
            match (rows.get_mut(key.as_slice()), image) {
                (Some(row), Some(image)) => *row = (image, parts.seq),
                (None, Some(image)) => {
                    rows.insert(key, (image, parts.seq));
                }
                (_, None) => {
                    rows.remove(key.as_slice());
                }
            }
        }
        Ok(())
    }

    /// Judges a row by its image and the entry that it says wrote it, and forgets it.
    pub fn judge(&mut self, table: Table, key: &[u8], image: &Hash, log_seq: u64) -> Result<(), Wrong> {
        match self.rows[table as usize].remove(key) {
            Some((said, _)) if said == *image => Ok(()),
            Some((_, seq)) if log_seq == seq => {
                Err(("edited", format!("the row is not what entry {seq} wrote")))
            }
            Some((_, seq)) => {
                Err(("edited", format!("entry {seq} wrote the row last, the row says {log_seq}")))
            }
            None => Err(("inserted", "no entry of the log wrote the row".to_owned())),
        }
    }

    /// The rows that are not there.
    pub fn rest(self) -> impl Iterator<Item = (Table, Vec<u8>, Wrong)> {
        Table::ALL.iter().zip(self.rows).flat_map(|(table, rows)| {
            let mut missing: Vec<_> = rows.into_iter().collect();
            missing.sort_unstable();
            missing.into_iter().map(|(key, (_, seq))| {
                (*table, key.into_vec(), ("missing", format!("the row that entry {seq} wrote is gone")))
            })
        })
    }
}
