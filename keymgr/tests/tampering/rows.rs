//! Rows that go, come or change places.

use crate::common::Place;
use crate::{fill, named};

#[test]
fn rows_that_go_come_or_change_places_are_named() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap(), 1100);
        let key = |n: u8| place.bytes(&[n, 0xaa]);
        let (one, two, new) = (key(1), key(2), key(7));
        let columns = "key, alias, state, body, log_seq";
        // What is done, how it is undone, what must be named.
        type Case = (String, String, &'static [(&'static str, &'static str)]);
        let cases: [Case; 6] = [
            (
                format!("DELETE FROM outbox WHERE key = {one}"),
                format!("INSERT INTO outbox SELECT {one}, {}, due_ms - 1, {}, log_seq - 1 FROM outbox WHERE key = {two}", place.bytes(&[1, 1, 2]), place.bytes(b"{\"n\":1}")),
                &[("outbox", "01aa")],
            ),
            (
                format!("INSERT INTO zones ({columns}) SELECT {new}, alias, state, body, log_seq FROM zones WHERE key = {one}"),
                format!("DELETE FROM zones WHERE key = {new}"),
                &[("zones", "07aa")],
            ),
            (
                format!("UPDATE zones SET body = CASE WHEN key = {one} THEN {} ELSE {} END WHERE key IN ({one}, {two})", place.bytes(b"{\"n\":2}"), place.bytes(b"{\"n\":1}")),
                format!("UPDATE zones SET body = CASE WHEN key = {one} THEN {} ELSE {} END WHERE key IN ({one}, {two})", place.bytes(b"{\"n\":1}"), place.bytes(b"{\"n\":2}")),
                &[("zones", "01aa"), ("zones", "02aa")],
            ),
            (
                "UPDATE log SET seq = -seq - 1 WHERE seq IN (500, 501); UPDATE log SET seq = 1002 + seq WHERE seq < 0".to_owned(),
                "UPDATE log SET seq = -seq - 1 WHERE seq IN (500, 501); UPDATE log SET seq = 1002 + seq WHERE seq < 0".to_owned(),
                &[("log", "500"), ("log", "501")],
            ),
            (
                "UPDATE log SET seq = 1152921504606846976 WHERE seq = 700".to_owned(),
                "UPDATE log SET seq = 700 WHERE seq = 1152921504606846976".to_owned(),
                &[("log", "700"), ("log", "1152921504606846976")],
            ),
            ("DELETE FROM tiles WHERE level = 0 AND number = 1".to_owned(), String::new(), &[("tiles", "0/1")]),
        ];
        for (sql, back, expected) in cases {
            place.run(&sql);
            let report = place.verify();
            for (table, key) in expected {
                assert!(
                    named(&report).contains(&((*table).to_owned(), (*key).to_owned())),
                    "{sql}: {:?}",
                    report.findings
                );
            }
            assert!(!report.holds);
            place.run(&back);
        }
    }
}
