//! Reading all rows of the state: a start of a large centre is little else, so the database, the hashing and whoever
//! takes the rows work at the same time, and rows go from one to the next many at once.

use super::state::{Images, StateTree};
use crate::store::{Error, Packed, Store, Table};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Takes rows as they are read, many at a time.
pub type Each<'a> = &'a mut (dyn FnMut(Packed) -> Result<(), Error> + Send);

/// Pieces that wait to be hashed.
const AHEAD: usize = 16;

/// Reads the tables at hand. The database works on this thread; rows are hashed, then given, on another.
pub(super) fn read_state(store: &mut Store, each: Each<'_>) -> Result<StateTree, Error> {
    let (pieces, read) = sync_channel(AHEAD);
    thread::scope(|scope| {
        let hashing = scope.spawn(move || hash(&read, each));
        let read = Table::AT_HAND.iter().try_for_each(|&table| {
            store.each_in_no_order(table, &mut |piece| {
                pieces.send(piece).map_err(|_| Error::Log("the reading was stopped".to_owned()))
            })
        });
        drop(pieces);
        let images = hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // Whoever takes no more has stopped the reading, and says why.
        let images = images?;
        read.map(|()| StateTree::of(&images))
    })
}

fn hash(pieces: &Receiver<Packed>, each: Each<'_>) -> Result<Images, Error> {
    let mut images = Images::default();
    for piece in pieces {
        images.read(&piece);
        each(piece)?;
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{CheckpointKey, Entry, Ledger, Opening};
    use crate::store::{Change, Location};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const ROWS: u32 = 20_000;

    fn store(folder: &std::path::Path) -> Store {
        Store::lead(&Location::Sqlite(folder.join("kmc.db"))).unwrap()
    }

    fn key() -> CheckpointKey {
        CheckpointKey::new("test/log", ed25519_dalek::SigningKey::from_bytes(&[1; 32])).unwrap()
    }

    fn filled() -> (tempfile::TempDir, Opening) {
        let folder = tempfile::TempDir::new().unwrap();
        let mut ledger = Ledger::lead(store(folder.path()), key(), "m", 1).unwrap();
        let changes = (0..ROWS).map(|n| Change::raw(Table::Zones, n.to_be_bytes().to_vec(), &[], vec![7]));
        ledger.commit(vec![(Entry::default(), changes.collect())], 1, false).unwrap();
        drop(ledger);
        let opening = Opening::of(store(folder.path()), key()).unwrap();
        (folder, opening)
    }

    #[test]
    fn every_row_is_given_once() {
        let (_folder, opening) = filled();
        let mut given = Vec::new();
        opening
            .read(&mut |rows| {
                let zones = rows.rows().filter(|row| row.table == Table::Zones);
                given.extend(zones.map(|row| row.key.to_vec()));
                Ok(())
            })
            .unwrap();
        given.sort_unstable();
        assert_eq!(given, (0..ROWS).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn whoever_takes_no_more_stops_the_reading_and_says_why() {
        for last in [0, 3, 10] {
            let (_folder, opening) = filled();
            let mut pieces = 0;
            let read = opening.read(&mut |_| {
                pieces += 1;
                if pieces > last { Err(Error::Log("enough".to_owned())) } else { Ok(()) }
            });
            let why = read.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(why.contains("enough") && pieces == last + 1, "{why}, {pieces}");
        }
    }

    #[test]
    fn a_panic_of_who_takes_rows_is_not_lost() {
        let (_folder, opening) = filled();
        let panicked = catch_unwind(AssertUnwindSafe(|| opening.read(&mut |_| panic!("at a row")).is_ok()));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"at a row"));
    }
}
