//! Whoever edits the store while no manager runs is not helped by the next manager: it does not lead on rows that
//! are not what the log says, names the first of them, and verification names the same one.

use crate::common::toy::{Counters, Input};
use crate::common::{BEGIN_MS, Place, key};
use keylink::Instant3;
use keymgr::log::{Entry, Ledger};
use keymgr::store::{Change, Error, Kind, Store, Table, Value, key_text};
use keymgr::writer::{Options, SubmitError, Writer};

fn filled(table: Table, n: u8, word: &str) -> Change {
    let value = |kind: Kind| match kind {
        Kind::Int => Value::Int(i64::from(n)),
        Kind::Text => word.into(),
        Kind::Bytes => [n].as_slice().into(),
    };
    let columns: Vec<(&str, Value)> =
        table.definition().columns.iter().map(|(name, kind)| (*name, value(*kind))).collect();
    Change::raw(table, vec![n, 0xaa], &columns, format!("{{\"state\":\"{word}\"}}").into_bytes())
}

fn entry(action: &str) -> Entry {
    Entry { actor: "anna".into(), action: action.into(), ..Entry::default() }
}

// Tables whose rows a manager decides by; the ledger's own have rows already.
fn decided_by() -> impl Iterator<Item = Table> {
    let own = [Table::Leader, Table::CheckpointKeys];
    Table::AT_HAND.iter().copied().filter(move |table| !own.contains(table))
}

fn fill(ledger: &mut Ledger) {
    for table in decided_by() {
        for word in ["pending", "withdrawn"] {
            let rows = (1..=3).map(|n| filled(table, n, word)).collect();
            ledger.commit(vec![(entry(word), rows)], BEGIN_MS, false).unwrap();
        }
    }
    ledger.checkpoint().unwrap();
}

// Nobody leads, the row is named, nothing is written, and verification names the same row.
fn refused(place: &Place, table: &str, row: &[u8], sql: &str) {
    let size = place.read().log_size().unwrap();
    match place.lead().map(|_| ()) {
        Err(error @ Error::Edited { .. }) => {
            let said = error.to_string();
            assert!(said.contains(&format!("{table}/{}: ", key_text(row))), "{sql}: {said}");
        }
        other => panic!("{} {sql}: {other:?}", place.name()),
    }
    assert_eq!(place.read().log_size().unwrap(), size);
    let report = place.verify();
    let named = report.findings.iter().any(|found| found.table == table && found.key == key_text(row));
    assert!(!report.holds && named, "{sql}: {:?}", report.findings);
}

#[test]
fn no_edited_row_is_led_on() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap());
        for table in decided_by() {
            let name = table.name();
            let row = place.bytes(&[2, 0xaa]);
            let (old, new) =
                (place.bytes(b"{\"state\":\"withdrawn\"}"), place.bytes(b"{\"state\":\"approved\"}"));
            let edit = format!("UPDATE {name} SET body = {new} WHERE key = {row}");
            place.run(&edit);
            refused(&place, name, &[2, 0xaa], &edit);
            place.run(&format!("UPDATE {name} SET body = {old} WHERE key = {row}"));
        }
        drop(place.lead().unwrap());
        assert!(place.verify().holds);
    }
}

#[test]
fn no_row_goes_comes_or_is_what_it_once_was() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap());
        let (row, other) = (place.bytes(&[2, 0xaa]), place.bytes(&[7, 0xaa]));
        let columns = "key, class, state, expires_ms, body, log_seq";
        let entries = place.read().log_size().unwrap();
        let once = (0..entries)
            .find(|seq| {
                let line = place.read().line(*seq).unwrap().unwrap();
                line.contains(" pending ") && line.contains("actions:02aa:")
            })
            .unwrap();
        let earlier = place.bytes(b"{\"state\":\"pending\"}");
        let cases: [(String, [u8; 2]); 5] = [
            (format!("DELETE FROM actions WHERE key = {row}"), [2, 0xaa]),
            (format!("UPDATE actions SET class = 'export' WHERE key = {row}"), [2, 0xaa]),
            (format!("UPDATE actions SET state = NULL WHERE key = {row}"), [2, 0xaa]),
            (
                format!(
                    "INSERT INTO actions ({columns}) SELECT {other}, class, state, expires_ms, body, log_seq FROM actions WHERE key = {row}"
                ),
                [7, 0xaa],
            ),
            // The whole row as an earlier entry wrote it.
            (
                format!(
                    "UPDATE actions SET class = 'pending', state = 'pending', body = {earlier}, log_seq = {once} WHERE key = {row}"
                ),
                [2, 0xaa],
            ),
        ];
        place.run("CREATE TABLE kept AS SELECT * FROM actions");
        for (sql, key) in cases {
            place.run(&sql);
            refused(&place, "actions", &key, &sql);
            place.run(&format!(
                "DELETE FROM actions; INSERT INTO actions ({columns}) SELECT {columns} FROM kept"
            ));
        }
        drop(place.lead().unwrap());
    }
}

#[test]
fn the_root_of_the_state_is_no_way_around() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap());
        let state = place.bytes(b"state");
        place.run(&format!("UPDATE meta SET body = {} WHERE key = {state}", place.bytes(b"00")));
        refused(&place, "meta", b"state", "another root");
        place.run(&format!("DELETE FROM meta WHERE key = {state}"));
        refused(&place, "meta", b"state", "no root");
        let epoch = "UPDATE leader SET epoch = epoch + 5";
        place.run(epoch);
        assert!(matches!(place.lead().map(|_| ()), Err(Error::Edited { table: "leader", .. })));
    }
}

#[test]
fn a_line_that_was_edited_explains_nothing() {
    for place in Place::all() {
        let mut ledger = place.lead().unwrap();
        ledger.commit(vec![(entry("beat"), Vec::new()); 600], BEGIN_MS, true).unwrap();
        fill(&mut ledger);
        ledger.commit(vec![(entry("beat"), Vec::new()); 600], BEGIN_MS, true).unwrap();
        ledger.checkpoint().unwrap();
        drop(ledger);
        // The row, and the entry that wrote it, deep under full tiles.
        let row = place.bytes(&[2, 0xaa]);
        place.run(&format!("UPDATE actions SET class = 'export' WHERE key = {row}"));
        let mut store = place.read();
        let edited = store.get(Table::Actions, &[2, 0xaa]).unwrap().unwrap();
        let line = store.line(edited.log_seq).unwrap().unwrap();
        let at = line.find("actions:02aa:").unwrap() + "actions:02aa:".len();
        let line = format!("{}{}{}", &line[..at], hex::encode(edited.image()), &line[at + 64..]);
        drop(store);
        place.run(&format!("UPDATE log SET line = '{line}' WHERE seq = {}", edited.log_seq));
        assert!(matches!(place.lead().map(|_| ()), Err(Error::Log(_))));
    }
}

fn start(place: &Place) -> Result<Writer<Counters>, Error> {
    let location = place.location();
    let clock = || Instant3 { utc_ms: BEGIN_MS, ..Instant3::default() };
    Writer::start(Options::new(move || Store::lead(&location), key, clock, "manager"))
}

#[test]
fn a_writer_serves_nothing_of_an_edited_store() {
    for place in Place::all() {
        let writer = start(&place).unwrap();
        writer.submit_blocking(None, Input::Open { name: "a".into() }).unwrap();
        writer.submit_blocking(Some("k".into()), Input::Raise { name: "a".into(), by: 5 }).unwrap();
        drop(writer);
        let [old, new] = [5, 6].map(|value| {
            place.bytes(format!("{{\"name\":\"a\",\"value\":{value},\"changed_ms\":{BEGIN_MS}}}").as_bytes())
        });
        place.run(&format!("UPDATE key_sets SET body = {new}"));
        assert!(matches!(start(&place).map(|_| ()), Err(Error::Edited { table: "key_sets", .. })));
        // What no machine can read is named as edited too.
        place.run(&format!("UPDATE key_sets SET body = {}", place.bytes(b"{")));
        assert!(matches!(start(&place).map(|_| ()), Err(Error::Edited { table: "key_sets", .. })));
        place.run(&format!("UPDATE key_sets SET body = {old}"));

        // A kept answer is judged when it is asked for; other requests go on.
        place.run(&format!("UPDATE idempotency SET body = {}", place.bytes(b"9")));
        let writer = start(&place).unwrap();
        let again = || Input::Raise { name: "a".into(), by: 5 };
        assert!(matches!(writer.submit_blocking(Some("k".into()), again()), Err(SubmitError::NotLeading)));
        assert_eq!(writer.submit_blocking(None, again()).unwrap(), 10);
        drop(writer);
        assert!(!place.verify().holds);
    }
}
