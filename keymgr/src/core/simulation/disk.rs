//! The manager's store in memory: rows as the real store has them, and a log whose entries are chained and name
//! the image of every row they wrote. What is not committed is lost in a crash.

use crate::core::machine::Note;
use crate::core::table::Record;
use crate::store::{Change, Row, Table};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

struct Entry {
    text: String,
    images: Vec<(Table, Vec<u8>, [u8; 32])>,
    prev: [u8; 32],
}

impl Entry {
    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.prev);
        hash.update(self.text.as_bytes());
        for (table, key, image) in &self.images {
            hash.update(table.name().as_bytes());
            hash.update(key);
            hash.update(image);
        }
        hash.finalize().into()
    }
}

#[derive(Default)]
pub struct Disk {
    rows: BTreeMap<(Table, Vec<u8>), Row>,
    log: Vec<Entry>,
}

impl Disk {
    /// One transaction: all rows and the entry that explains them.
    pub fn commit(&mut self, records: &[Record], note: &Note) {
        let log_seq = self.log.len() as u64;
        let mut images = Vec::new();
        for record in records {
            let Change::Put { table, key, columns, body } = record.to_change() else { continue };
            let row = Row { table, key: key.clone(), columns, body, log_seq };
            images.push((table, key.clone(), row.image()));
            self.rows.insert((table, key), row);
        }
        let prev = self.log.last().map_or([0; 32], Entry::hash);
        self.log.push(Entry { text: format!("{log_seq} {note:?}"), images, prev });
    }

    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.rows.values().cloned()
    }

    pub fn row(&self, table: Table, key: &[u8]) -> Option<&Row> {
        self.rows.get(&(table, key.to_vec()))
    }

    /// The chain is whole, and the rows are what the log says they became.
    pub fn verify(&self) -> Result<(), String> {
        let mut prev = [0; 32];
        let mut fold = BTreeMap::new();
        for (seq, entry) in self.log.iter().enumerate() {
            if entry.prev != prev {
                return Err(format!("the chain breaks at entry {seq}"));
            }
            prev = entry.hash();
            for (table, key, image) in &entry.images {
                fold.insert((*table, key.clone()), *image);
            }
        }
        if fold.len() != self.rows.len() {
            return Err("rows that no entry explains".to_owned());
        }
        for (name, row) in &self.rows {
            if fold.get(name) != Some(&row.image()) {
                return Err(format!("row of {} is not what the log says", name.0.name()));
            }
        }
        Ok(())
    }
}
