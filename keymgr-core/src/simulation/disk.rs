//! The manager's store in memory: rows as the real stores have them, and the real log's lines, each of which names
//! the image of every row it wrote. What is not committed is lost in a crash.

use crate::log::{Parts, hash_of, line};
use crate::machine::Note;
use crate::store::{Change, Hash, Packed, Row, Table};
use crate::stored;
use crate::table::Record;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Disk {
    rows: BTreeMap<(Table, Vec<u8>), Row>,
    lines: Vec<String>,
    prev: Hash,
    /// Lines that [`Disk::verify_new`] has seen, and the name of the last of them.
    seen: (usize, Hash),
}

impl Disk {
    /// One transaction: all rows and the entry that explains them.
    pub fn commit(&mut self, utc_ms: u64, records: &[Record], note: Note) {
        let log_seq = self.lines.len() as u64;
        let changes: Vec<_> = records.iter().map(Record::to_change).collect();
        let line = line(log_seq, utc_ms, &self.prev, &stored::entry(note), &changes);
        self.prev = hash_of(&line);
        self.lines.push(line);
        for change in changes {
            let Change::Put { table, key, columns, body } = change else { continue };
            self.rows.insert((table, key.clone()), Row { table, key, columns, body, log_seq });
        }
    }

    /// All rows, as a start reads them.
    pub fn packed(&self) -> impl Iterator<Item = Packed> {
        Table::AT_HAND.iter().map(|&table| Packed::of(table, self.rows_of(table)))
    }

    /// The rows of one table.
    pub fn rows_of(&self, table: Table) -> Vec<&Row> {
        self.rows
            .range((table, vec![])..)
            .take_while(|((of, _), _)| *of == table)
            .map(|(_, row)| row)
            .collect()
    }

    pub fn row(&self, table: Table, key: &[u8]) -> Option<&Row> {
        self.rows.get(&(table, key.to_vec()))
    }

    /// The chain goes on from where it was looked at last, and the rows that it names since are what it says. What no
    /// line names, [`Disk::verify`] finds.
    pub fn verify_new(&mut self) -> Result<(), String> {
        let (seen, mut prev) = self.seen;
        let mut fold = BTreeMap::new();
        for (seq, line) in self.lines.iter().enumerate().skip(seen) {
            prev = follow(seq, line, prev, &mut fold)?;
        }
        if prev != self.prev {
            return Err("the chain does not end where the log does".to_owned());
        }
        for ((table, key), image) in fold {
            let row = table.and_then(|table| self.row(table, &key));
            if row.map(Row::image) != image {
                return Err(format!("a row of {table:?} is not what the log says"));
            }
        }
        self.seen = (self.lines.len(), prev);
        Ok(())
    }

    /// The chain is whole, and the rows are what the log says they became.
    pub fn verify(&self) -> Result<(), String> {
        let mut prev = [0; 32];
        let mut fold = BTreeMap::new();
        for (seq, line) in self.lines.iter().enumerate() {
            prev = follow(seq, line, prev, &mut fold)?;
        }
        if fold.len() != self.rows.len() || prev != self.prev {
            return Err("rows that no entry explains".to_owned());
        }
        for ((table, key), row) in &self.rows {
            if fold.get(&(Some(*table), key.clone())) != Some(&Some(row.image())) {
                return Err(format!("row of {} is not what the log says", table.name()));
            }
        }
        Ok(())
    }
}

type Fold = BTreeMap<(Option<Table>, Vec<u8>), Option<Hash>>;

// The name of a line that follows the one of this name, and what it says of rows.
fn follow(seq: usize, line: &str, prev: Hash, fold: &mut Fold) -> Result<Hash, String> {
    let parts = Parts::of(line).map_err(|error| format!("entry {seq}: {error}"))?;
    if parts.prev != prev || parts.seq != seq as u64 {
        return Err(format!("the chain breaks at entry {seq}"));
    }
    for change in parts.changes() {
        let (table, key, image) = change.map_err(|error| format!("entry {seq}: {error}"))?;
        fold.insert((Table::named(table), key.into_vec()), image);
    }
    Ok(hash_of(line))
}
