//! State = fold(log): which image every row must have, from the changes in the order of the log.

use super::{LineError, Parts, RowKey};
use crate::store::{Hash, Table};
use foldhash::HashMap;

/// The images that the log leaves behind.
pub(crate) struct Fold {
    /// Of each table of all that is asked for, by the key of the row: the image, and the entry that left it.
    rows: Vec<Option<Rows>>,
    /// The table of the last change: most entries change the same as the one before.
    last: Table,
}

type Rows = HashMap<RowKey, (Hash, u64)>;

/// Why a row is not what the log says: the kind of finding, and one line for people.
pub(crate) type Wrong = (&'static str, String);

impl Fold {
    /// Of these tables.
    pub fn of(tables: &[Table]) -> Self {
        let rows = |table| tables.contains(table).then(Rows::default);
        Self { rows: Table::ALL.iter().map(rows).collect(), last: Table::Meta }
    }

    /// Takes the changes of one entry.
    pub fn take(&mut self, parts: &Parts<'_>) -> Result<(), LineError> {
        for change in parts.changes() {
            let (table, key, image) = change?;
            if table != self.last.name() {
                self.last = Table::named(table).ok_or(LineError("a table that is not known"))?;
            }
            let Some(rows) = &mut self.rows[self.last as usize] else { continue };
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
        match self.rows[table as usize].as_mut().and_then(|rows| rows.remove(key)) {
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
            let mut missing: Vec<_> = rows.into_iter().flatten().collect();
            missing.sort_unstable();
            missing.into_iter().map(|(key, (_, seq))| {
                (*table, key.into_vec(), ("missing", format!("the row that entry {seq} wrote is gone")))
            })
        })
    }
}
