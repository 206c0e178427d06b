//! What was appended to a log since it was last looked at, and the rows it speaks of: for tests that look very often
//! and at the whole log now and then.

use keymgr::log::{Parts, hash_of};
use keymgr::store::{Hash, Store, Table};
use std::collections::BTreeMap;

/// How far the log is known, and the hash of its last known entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    pub size: u64,
    last: Hash,
}

impl Tail {
    /// The entries since then follow one another, the first of them follows the last that is known, and every row
    /// that they speak of is as the last of them says. Gives the new end.
    pub fn verify(self, store: &mut Store) -> Self {
        store.snapshot(|store| Ok(self.follow(store))).unwrap()
    }

    fn follow(self, store: &mut Store) -> Self {
        let mut tail = self;
        let mut images: BTreeMap<(Table, Vec<u8>), Option<Hash>> = BTreeMap::new();
        if let Some(known) = self.size.checked_sub(1) {
            let line = store.line(known).unwrap().unwrap_or_else(|| panic!("entry {known} is gone"));
            assert_eq!(hash_of(&line), self.last, "entry {known} is another one");
        }
        store
            .each_line(self.size, &mut |seq, line| {
                let parts = Parts::of(&line).unwrap();
                assert_eq!((seq, parts.seq, parts.prev), (tail.size, tail.size, tail.last));
                for change in parts.changes() {
                    let (table, key, image) = change.unwrap();
                    images.insert((Table::named(table).unwrap(), key.into_vec()), image);
                }
                tail = Self { size: seq + 1, last: hash_of(&line) };
                Ok(())
            })
            .unwrap();
        for ((table, key), image) in images {
            let row = store.get(table, &key).unwrap();
            assert_eq!(row.map(|row| row.image()), image, "{} {}", table.name(), hex::encode(&key));
        }
        tail
    }
}
