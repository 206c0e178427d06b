//! Flipped bytes of the file: what passes is what was written.

use crate::common::Place;
use crate::fill;
use keymgr::audit::{Options, verify_store};
use keymgr::store::{Location, Store, Table};
use std::fs;
use std::path::Path;

// Everything the program can read of a store: all rows, and what it finds by indexed columns.
fn content(path: &Path) -> Result<String, String> {
    let mut store = Store::read(&Location::Sqlite(path.to_owned())).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut read = || -> Result<(), keymgr::store::Error> {
        for &table in Table::ALL {
            for row in store.page(table, None, 1000)? {
                text.push_str(&format!("{row:?}"));
                for column in table.definition().indexed {
                    let found = store.page_where(table, column, row.column(column).clone(), None, 10)?;
                    text.push_str(&format!("{:?}", found.iter().map(|row| &row.key).collect::<Vec<_>>()));
                }
            }
        }
        store.each_line(0, &mut |seq, line| {
            text.push_str(&format!("{seq}{line}"));
            Ok(())
        })?;
        store.each_checkpoint(&mut |size, note| {
            text.push_str(&format!("{size}{note}"));
            Ok(())
        })?;
        store.each_tile(&mut |tile| {
            text.push_str(&format!("{tile:?}"));
            Ok(())
        })
    };
    read().map_err(|error| error.to_string())?;
    Ok(text)
}

#[test]
fn a_flipped_byte_of_the_file_is_never_other_content_that_passes() {
    let flips: usize = std::env::var("PAYHSM_FLIPS").map_or(1000, |text| text.parse().unwrap());
    let place = Place::sqlite();
    fill(&mut place.lead().unwrap(), 300);
    rusqlite::Connection::open(place.file())
        .unwrap()
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let original = fs::read(place.file()).unwrap();
    let before = content(&place.file()).unwrap();
    let copy = Place::sqlite();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let [mut same, mut found, mut unreadable] = [0usize; 3];
    for _ in 0..flips {
        let (at, mask) = (draw(original.len()), u8::try_from(1 + draw(255)).unwrap());
        let mut bytes = original.clone();
        bytes[at] ^= mask;
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{ending}", copy.file().display()));
        }
        fs::write(copy.file(), &bytes).unwrap();
        let report =
            Store::read(&copy.location()).and_then(|mut store| verify_store(&mut store, Options::default()));
        match report {
            Ok(report) if report.holds => {
                assert_eq!(content(&copy.file()).as_ref(), Ok(&before), "byte {at} ^ {mask:02x} passes");
                same += 1;
            }
            Ok(report) if report.findings.iter().all(|finding| finding.kind == "unreadable") => {
                unreadable += 1
            }
            Ok(_) => found += 1,
            Err(_) => unreadable += 1,
        }
    }
    println!(
        "{flips} flips of {} bytes: {same} without effect, {found} named, {unreadable} unreadable",
        original.len()
    );
    assert!(found > 0 && same + found + unreadable == flips);
}
