//! Whoever can write to the store cannot write unseen: every column of every table, rows that come, go and
//! change places, a cut tail, an older copy, a second history, flipped bits of the file.
#![allow(clippy::print_stdout, clippy::print_stderr)] // figures and skips are for people

mod common;

use common::{BEGIN_MS, Place, key};
use keylink::envelope::{Sign, SoftSigner};
use keymgr::audit::{Head, Options, Report, export, verify_export, verify_store};
use keymgr::log::{CheckpointKey, Entry, Ledger};
use keymgr::store::{Change, Kind, Location, Store, Table, Value, key_text};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn filled(table: Table, n: u8) -> Change {
    let columns: Vec<(&str, Value)> = table
        .definition()
        .columns
        .iter()
        .map(|(name, kind)| {
            let value = match kind {
                Kind::Int => Value::Int(1000 + i64::from(n)),
                Kind::Text => format!("{name} {n}").as_str().into(),
                Kind::Bytes => [n, 1, 2].as_slice().into(),
            };
            (*name, value)
        })
        .collect();
    Change::raw(table, vec![n, 0xaa], &columns, format!("{{\"n\":{n}}}").into_bytes())
}

/// A store with rows in every table, full tiles and several checkpoints. The last checkpoint covers all.
fn fill(ledger: &mut Ledger, beats: usize) {
    let entry = |action: &str| Entry { actor: "anna".into(), action: action.into(), ..Entry::default() };
    let open = Table::ALL
        .iter()
        .filter(|table| !matches!(table, Table::Meta | Table::Leader | Table::CheckpointKeys));
    for &table in open {
        let rows = (1..=3).map(|n| (entry("make"), vec![filled(table, n)]));
        ledger.commit(rows.collect(), BEGIN_MS, true).unwrap();
    }
    ledger.commit(vec![(entry("beat"), Vec::new()); beats], BEGIN_MS, true).unwrap();
    ledger.checkpoint().unwrap();
    ledger.commit(vec![(entry("change"), vec![filled(Table::Zones, 9)])], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
}

fn named(report: &Report) -> BTreeSet<(String, String)> {
    report.findings.iter().map(|finding| (finding.table.clone(), finding.key.clone())).collect()
}

struct Column {
    table: String,
    name: String,
    kind: Kind,
    /// The columns of the table's primary key.
    keys: Vec<String>,
}

/// What the database itself says that it has: a column that a later schema adds cannot be forgotten here.
fn every_column(place: &Place) -> Vec<Column> {
    let sql = match place {
        Place::Sqlite(_) => {
            "SELECT m.name, c.name, c.type, c.pk FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.cid"
        }
        Place::Postgres(..) => {
            "SELECT c.relname, a.attname, format_type(a.atttypid, NULL), \
             COALESCE(array_position(i.indkey::int2[], a.attnum) + 1, 0) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
             WHERE c.relkind IN ('r', 'p') ORDER BY c.relname, a.attnum"
        }
    };
    let rows: Vec<Vec<String>> =
        look(place, sql).into_iter().map(|row| row.into_iter().map(Option::unwrap).collect()).collect();
    let keys = |table: &str| {
        let mut keys: Vec<_> = rows.iter().filter(|row| row[0] == table && row[3] != "0").collect();
        keys.sort_by_key(|row| row[3].clone());
        keys.into_iter().map(|row| row[1].clone()).collect()
    };
    let kind = |word: &str| match word {
        "INTEGER" | "bigint" => Kind::Int,
        "TEXT" | "text" => Kind::Text,
        "BLOB" | "bytea" => Kind::Bytes,
        other => panic!("a column of type {other}"),
    };
    let column = |row: &Vec<String>| Column {
        table: row[0].clone(),
        name: row[1].clone(),
        kind: kind(&row[2]),
        keys: keys(&row[0]),
    };
    rows.iter().map(column).collect()
}

#[test]
fn both_databases_have_the_columns_of_the_schema_and_no_other() {
    for place in Place::all() {
        drop(place.lead().unwrap());
        let mut has: Vec<_> =
            every_column(&place).iter().map(|c| format!("{}.{} {:?}", c.table, c.name, c.kind)).collect();
        let mut wanted: Vec<String> = Vec::new();
        for table in Table::ALL {
            let mut want = |name: &str, kind| wanted.push(format!("{}.{name} {kind:?}", table.name()));
            want("key", Kind::Bytes);
            table.definition().columns.iter().for_each(|(name, kind)| want(name, *kind));
            want("body", Kind::Bytes);
            want("log_seq", Kind::Int);
        }
        let log = ["log.seq Int", "log.line Text", "checkpoints.size Int", "checkpoints.note Text"];
        let tiles = ["tiles.level Int", "tiles.number Int", "tiles.hashes Bytes"];
        wanted.extend(log.iter().chain(&tiles).map(|word| (*word).to_owned()));
        has.sort();
        wanted.sort();
        assert_eq!(has, wanted, "{}", place.name());
    }
}

/// Reads with SQL beside the store: rows of text, bytes as hex.
fn look(place: &Place, sql: &str) -> Vec<Vec<Option<String>>> {
    match place {
        Place::Postgres(cluster, database) => {
            let rows = cluster.try_run(database, sql).unwrap();
            let plain = |text: String| text.strip_prefix("\\x").map_or(text.clone(), str::to_owned);
            rows.into_iter().map(|row| row.into_iter().map(|text| text.map(plain)).collect()).collect()
        }
        Place::Sqlite(_) => {
            let connection = rusqlite::Connection::open(place.file()).unwrap();
            let mut query = connection.prepare(sql).unwrap();
            let width = query.column_count();
            let rows = query.query_map([], |row| {
                (0..width)
                    .map(|at| {
                        Ok(match row.get::<_, rusqlite::types::Value>(at)? {
                            rusqlite::types::Value::Null => None,
                            rusqlite::types::Value::Integer(number) => Some(number.to_string()),
                            rusqlite::types::Value::Text(text) => Some(text),
                            rusqlite::types::Value::Blob(bytes) => Some(hex::encode(bytes)),
                            rusqlite::types::Value::Real(_) => panic!("a float"),
                        })
                    })
                    .collect()
            });
            rows.unwrap().collect::<Result<_, _>>().unwrap()
        }
    }
}

/// SQL for a value as `look` gave it.
fn literal(place: &Place, kind: Kind, text: Option<&str>) -> String {
    match (text, kind) {
        (None, _) => "NULL".to_owned(),
        (Some(text), Kind::Int) => text.to_owned(),
        (Some(text), Kind::Text) => format!("'{}'", text.replace('\'', "''")),
        (Some(text), Kind::Bytes) => place.bytes(&hex::decode(text).unwrap()),
    }
}

fn changed(place: &Place, kind: Kind, name: &str, old: Option<&str>) -> String {
    let Some(old) = old else {
        return literal(place, kind, Some(if kind == Kind::Text { "new" } else { "11" }));
    };
    match kind {
        Kind::Int => (old.parse::<i64>().unwrap() + 100_000).to_string(),
        Kind::Text if name == "line" => {
            literal(place, kind, Some(&old.replacen("anna", "ANNA", 1).replacen("manager", "MANAGER", 1)))
        }
        Kind::Text if name == "note" => {
            // One character of the signature.
            let at = old.len() - 10;
            let other = if &old[at..=at] == "A" { "B" } else { "A" };
            literal(place, kind, Some(&format!("{}{other}{}", &old[..at], &old[at + 1..])))
        }
        Kind::Text => literal(place, kind, Some(&format!("{old}x"))),
        Kind::Bytes => literal(place, kind, Some(&format!("{old}00"))),
    }
}

fn nullable(column: &Column) -> bool {
    !column.keys.contains(&column.name)
        && !["body", "log_seq", "line", "note", "hashes"].contains(&column.name.as_str())
}

// The key as findings name it.
fn finding_key(column: &Column, row: &[Option<String>]) -> String {
    let keys: Vec<String> = row.iter().take(column.keys.len()).map(|key| key.clone().unwrap()).collect();
    if column.keys == ["key"] { key_text(&hex::decode(&keys[0]).unwrap()) } else { keys.join("/") }
}

fn attempts(place: &Place, column: &Column) -> usize {
    let Column { table, name, kind, keys } = column;
    let order = keys.join(", ");
    let rows = look(place, &format!("SELECT {order}, {name} FROM {table} ORDER BY {order}"));
    assert!(!rows.is_empty(), "{table} has no row to change");
    let last = rows.len() - 1;
    let mut picks: Vec<usize> = vec![0, last / 2, last];
    picks.dedup();
    let mut done = 0;
    for pick in picks {
        let row = &rows[pick];
        let old = row[keys.len()].as_deref();
        let mut values = vec![changed(place, *kind, name, old)];
        if nullable(column) && old.is_some() {
            values.push("NULL".to_owned());
        }
        for value in values {
            let key_kind = if *keys == ["key"] { Kind::Bytes } else { Kind::Int };
            let find = |name_is: Option<&str>| {
                let parts = keys.iter().zip(row).map(|(key, is)| {
                    let is = if Some(key.as_str()) == name_is {
                        value.clone()
                    } else {
                        literal(place, key_kind, is.as_deref())
                    };
                    format!("{key} = {is}")
                });
                parts.collect::<Vec<_>>().join(" AND ")
            };
            place.run(&format!("UPDATE {table} SET {name} = {value} WHERE {}", find(None)));
            let report = place.verify();
            let key = finding_key(column, row);
            let found = named(&report).contains(&(table.clone(), key.clone()));
            assert!(
                !report.holds && found,
                "{}: {table}.{name} of {key} = {value}: {:?}",
                place.name(),
                report.findings
            );
            let back = literal(place, *kind, old);
            place.run(&format!("UPDATE {table} SET {name} = {back} WHERE {}", find(Some(name))));
            done += 1;
        }
    }
    done
}

#[test]
fn every_column_of_every_table_changed_once_is_named() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap(), 300);
        assert!(place.verify().holds, "{:?}", place.verify().findings);
        let columns = every_column(&place);
        let done: usize = columns.iter().map(|column| attempts(&place, column)).sum();
        assert!(place.verify().holds, "after all was put back: {:?}", place.verify().findings);
        let tables: BTreeSet<_> = columns.iter().map(|column| &column.table).collect();
        println!(
            "{}: {} columns of {} tables, {done} changes, each named",
            place.name(),
            columns.len(),
            tables.len()
        );
    }
}

#[test]
fn rows_that_go_come_or_change_places_are_named() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap(), 1100);
        let key = |n: u8| place.bytes(&[n, 0xaa]);
        let (one, two, new) = (key(1), key(2), key(7));
        let columns = "key, alias, state, body, log_seq";
        // What is done, how it is undone, what must be named.
        type Case = (String, String, &'static [(&'static str, &'static str)]);
        let cases: [Case; 5] = [
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

fn head(ledger: &Ledger) -> Head {
    Head::parse("node-1", ledger.newest_checkpoint().unwrap().1.as_bytes()).unwrap()
}

fn against(place: &Place, heads: Vec<Head>) -> Report {
    verify_store(&mut place.read(), Options { heads, ..Options::default() }).unwrap()
}

fn kinds(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

fn make(n: u8) -> (Entry, Vec<Change>) {
    (Entry { action: "make".into(), ..Entry::default() }, vec![filled(Table::Zones, n)])
}

#[test]
fn a_cut_tail_an_older_copy_and_a_second_history_need_a_head_and_are_found_with_it() {
    let (place, other) = (Place::sqlite(), Place::sqlite());
    let mut ledger = place.lead().unwrap();
    ledger.commit(vec![make(1)], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    let early = head(&ledger);
    drop(ledger);
    fs::copy(place.file(), other.file()).unwrap();

    let mut ledger = place.lead().unwrap();
    ledger.commit(vec![make(2), make(3)], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    let late = head(&ledger);
    drop(ledger);
    let report = against(&place, vec![early.clone(), late.clone()]);
    assert!(report.holds && report.anchored && report.heads == 2, "{report:?}");

    // The older copy alone looks well; it is the head that knows.
    let report = against(&other, Vec::new());
    assert!(report.holds && !report.anchored, "{report:?}");
    assert_eq!(kinds(&against(&other, vec![early.clone(), late.clone()])), ["rolled_back"]);

    // Two histories from the same beginning, both signed: one auditor saw this, the other that.
    let mut ledger = other.lead().unwrap();
    ledger.commit(vec![make(4), make(5), make(6)], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    assert!(against(&other, vec![early.clone()]).holds);
    let report = against(&other, vec![early.clone(), late]);
    assert_eq!(kinds(&report), ["forked"]);
    assert!(!report.holds && report.findings[0].key == "node-1");

    // A forger's own key cannot sign for a head that the true key signed.
    let third = Place::sqlite();
    let forger = CheckpointKey::new(common::ORIGIN, ed25519_dalek::SigningKey::from_bytes(&[1; 32])).unwrap();
    drop(Ledger::lead(Store::lead(&third.location()).unwrap(), forger, "m", BEGIN_MS).unwrap());
    assert_eq!(kinds(&against(&third, vec![early])), ["head"]);
    let pinned = Options { key: Some(key().public().clone()), ..Options::default() };
    assert_eq!(kinds(&verify_store(&mut third.read(), pinned).unwrap()), ["key"]);
}

#[test]
fn a_rewritten_log_is_held_against_its_checkpoints() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap(), 1100);
        // Whoever cuts the tail, but cannot sign, leaves a checkpoint over what is gone, or rows without one.
        place.run("DELETE FROM log WHERE seq >= 1100");
        assert!(kinds(&place.verify()).contains(&"rolled_back"), "{:?}", place.verify());
        place.run("DELETE FROM checkpoints WHERE size > 1100");
        assert!(kinds(&place.verify()).contains(&"uncovered"));
    }
}

fn exported(place: &Place) -> String {
    let mut out = Vec::new();
    export(&mut place.read(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn verified(export: &str) -> Report {
    verify_export(&mut export.as_bytes(), Options::default()).unwrap()
}

#[test]
fn an_export_is_the_same_from_both_databases_and_holds() {
    let mut texts = Vec::new();
    for place in Place::all() {
        fill(&mut place.lead().unwrap(), 1100);
        let text = exported(&place);
        let report = verified(&text);
        assert!(report.holds, "{:?}", report.findings);
        assert_eq!(report, place.verify());
        let head = Head::parse("export", text.as_bytes()).unwrap();
        let anchored = Options { heads: vec![head], ..Options::default() };
        assert!(verify_export(&mut text.as_bytes(), anchored).unwrap().anchored);
        texts.push(text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
}

#[test]
fn no_line_of_an_export_can_be_changed_doubled_moved_or_left_out() {
    let place = Place::sqlite();
    let mut ledger = place.lead().unwrap();
    ledger.commit((1..5).map(make).collect(), BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    let text = exported(&place);
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        assert!(!verified(&join(&without)).holds, "without {}", lines[at]);
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        assert!(!verified(&join(&twice)).holds, "twice {}", lines[at]);
        let mut edited = lines.clone();
        let middle = lines[at].len() / 2;
        let other = if lines[at].as_bytes()[middle] == b'0' { "1" } else { "0" };
        let changed = format!("{}{other}{}", &lines[at][..middle], &lines[at][middle + 1..]);
        edited[at] = &changed;
        assert!(!verified(&join(&edited)).holds, "edited {}", lines[at]);
        // Rows of state have no order among themselves: the log has.
        if at > 0 && !(lines[at].starts_with("row ") && lines[at - 1].starts_with("row ")) {
            let mut moved = lines.clone();
            moved.swap(at - 1, at);
            assert!(!verified(&join(&moved)).holds, "moved {}", lines[at]);
        }
        assert!(!verified(&join(&lines[..at])).holds, "cut before {}", lines[at]);
    }
    assert!(verified(&text).holds);
    assert!(!verified("").holds && !verified("x\n").holds);
}

#[test]
fn signatures_are_checked_and_what_is_wrong_is_named() {
    use keylink::envelope::Signed;
    let place = Place::sqlite();
    let mut ledger = place.lead().unwrap();
    let (officer, node) = (SoftSigner::new(&[1; 32]), SoftSigner::new(&[2; 32]));
    let holder = |table, key: &[u8], signer: &SoftSigner| {
        let columns = [("public_key", Value::from(signer.key().0.as_slice()))];
        Change::raw(table, key.to_vec(), &columns, Vec::new())
    };
    let approval = |key: &[u8], credential: &[u8], body: Vec<u8>| {
        Change::raw(Table::Approvals, key.to_vec(), &[("credential", credential.into())], body)
    };
    let receipt = |key: &[u8], node: &[u8], body: Vec<u8>| {
        Change::raw(Table::Receipts, key.to_vec(), &[("node", node.into())], body)
    };
    let signed = Signed::seal_bytes("approval", b"{}".to_vec(), &officer);
    let said = Signed::seal_bytes("receipt", b"{}".to_vec(), &node);
    let mut forged = said.clone();
    forged.payload.push(b' ');
    let entry = Entry { action: "x".into(), approvals: vec![signed.hash().0, [9; 32]], ..Entry::default() };
    let good = vec![
        holder(Table::Credentials, b"c1", &officer),
        holder(Table::Nodes, b"n1", &node),
        holder(Table::Nodes, b"n2", &SoftSigner::new(&[3; 32])),
        approval(b"a1", b"c1", signed.to_bytes()),
        receipt(b"r1", b"n1", said.to_bytes()),
    ];
    let bad = vec![
        approval(b"a2", b"c1", said.to_bytes()),
        approval(b"a3", b"c2", signed.to_bytes()),
        receipt(b"r2", b"n1", forged.to_bytes()),
        receipt(b"r3", b"n2", said.to_bytes()),
        receipt(b"r4", b"n1", b"{}".to_vec()),
    ];
    ledger.commit(vec![(entry, good), (Entry::default(), bad)], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    assert!(place.verify().holds && place.verify().signatures.is_none());
    let options = Options { signatures: true, ..Options::default() };
    let report = verify_store(&mut place.read(), options).unwrap();
    let counts = report.signatures.unwrap();
    assert_eq!((counts.approvals, counts.receipts), (1, 1));
    let wanted = hex::encode([9; 32]);
    let expected = [
        ("approvals", "a2"),
        ("approvals", "a3"),
        ("approvals", wanted.as_str()),
        ("receipts", "r2"),
        ("receipts", "r3"),
        ("receipts", "r4"),
    ];
    let expected: BTreeSet<_> =
        expected.iter().map(|(table, key)| ((*table).to_owned(), (*key).to_owned())).collect();
    assert_eq!(named(&report), expected);
}

#[test]
fn transcripts_of_ceremonies_are_checked_with_the_keys_of_the_root_documents() {
    use keylink::envelope::Signed;
    use keylink::root::{Officer, Recovery, RootDocument, SignedRoot};
    use keylink::wire::U64;
    use keylink::{ActionId, CredentialId, KmcId, PersonId};
    let [manager, newer, thief] = [4, 5, 6].map(|seed| SoftSigner::new(&[seed; 32]));
    let officers = [7, 8, 9].map(|seed| SoftSigner::new(&[seed; 32]));
    let mut document = RootDocument {
        number: 1,
        kmc: None,
        previous: None,
        created_ms: U64(0),
        name: "centre".into(),
        manifest_keys: vec![manager.key()],
        checkpoint_keys: vec![],
        transport_ca: None,
        officers: (1..)
            .zip(&officers)
            .map(|(number, officer)| Officer {
                person: PersonId([number; 16]),
                credential: CredentialId([number; 16]),
                key: officer.key(),
            })
            .collect(),
        quorums: vec![],
        recovery: Recovery::default(),
    };
    let by_all = |document: &RootDocument| {
        let mut root = SignedRoot::new(document);
        officers.iter().for_each(|officer| root.sign(officer));
        root
    };
    let genesis = by_all(&document);
    let kmc = KmcId(genesis.hash().0);
    (document.number, document.kmc, document.previous) = (2, Some(kmc), Some(genesis.hash()));
    document.manifest_keys = vec![newer.key()];
    let next = by_all(&document);
    document.manifest_keys = vec![thief.key()];
    let unsigned = SignedRoot::new(&document);
    let centre = |root: &SignedRoot| {
        let body = serde_json::json!({ "former": [genesis], "root": root });
        Change::raw(Table::Meta, b"centre".to_vec(), &[], body.to_string().into_bytes())
    };
    let ceremony = |place: u8, kmc: KmcId, named: u8, kind: &str, signer: &SoftSigner| {
        let payload = serde_json::json!({ "kmc": kmc, "ceremony": ActionId([named; 16]), "kcv": "A1B2C3" });
        let signed = Signed::seal_bytes(kind, payload.to_string().into_bytes(), signer);
        Change::raw(
            Table::Ceremonies,
            vec![place; 16],
            &[("state", "done".into()), ("created_ms", 0_u64.into())],
            signed.to_bytes(),
        )
    };
    let words = "ceremony-transcript";
    let judged = |changes: Vec<Change>| {
        let place = Place::sqlite();
        let mut ledger = place.lead().unwrap();
        // A root document comes into effect by an entry.
        let (action, objects) = ("root.install".into(), vec![next.hash().to_string()]);
        let entry = Entry { action, objects, ..Entry::default() };
        ledger.commit(vec![(entry, changes)], BEGIN_MS, false).unwrap();
        ledger.checkpoint().unwrap();
        drop(ledger);
        let options = Options { signatures: true, ..Options::default() };
        verify_store(&mut place.read(), options).unwrap()
    };
    // Under the key of then and the key of now.
    let report = judged(vec![
        centre(&next),
        ceremony(1, kmc, 1, words, &manager),
        ceremony(2, kmc, 2, words, &newer),
        ceremony(3, kmc, 3, words, &thief),
        ceremony(4, kmc, 1, words, &newer),
        ceremony(5, KmcId([1; 32]), 5, words, &newer),
        ceremony(6, kmc, 6, "receipt", &newer),
        Change::raw(
            Table::Ceremonies,
            vec![7; 16],
            &[("state", "done".into()), ("created_ms", 0_u64.into())],
            b"{}".to_vec(),
        ),
    ]);
    assert_eq!(report.signatures.unwrap().ceremonies, 2);
    let place = |number: u8| ("ceremonies".to_owned(), hex::encode([number; 16]));
    assert_eq!(named(&report), (3..=7).map(place).collect());
    // A root document that nobody signed brings no key.
    let report = judged(vec![centre(&unsigned), ceremony(1, kmc, 1, words, &thief)]);
    let expected = BTreeSet::from([("meta".to_owned(), "centre".to_owned()), place(1)]);
    assert_eq!((report.signatures.unwrap().ceremonies, named(&report)), (0, expected));
}

// Custodians' components: each under the key of its own custodian, and those that a transcript names are all there.
#[test]
fn components_are_judged_by_the_keys_of_their_custodians() {
    use keylink::envelope::{Sign, Signed, SoftSigner};
    use keylink::root::{Officer, Recovery, RootDocument, SignedRoot};
    use keylink::wire::U64;
    use keylink::{ActionId, CredentialId, Digest, PersonId};
    let [manager, one, two] = [4, 5, 6].map(|seed| SoftSigner::new(&[seed; 32]));
    let officers = [7, 8, 9].map(|seed| SoftSigner::new(&[seed; 32]));
    let mut root = SignedRoot::new(&RootDocument {
        number: 1,
        kmc: None,
        previous: None,
        created_ms: U64(0),
        name: "centre".into(),
        manifest_keys: vec![manager.key()],
        checkpoint_keys: vec![],
        transport_ca: None,
        officers: (1..)
            .zip(&officers)
            .map(|(number, officer)| Officer {
                person: PersonId([number; 16]),
                credential: CredentialId([number; 16]),
                key: officer.key(),
            })
            .collect(),
        quorums: vec![],
        recovery: Recovery::default(),
    });
    officers.iter().for_each(|officer| root.sign(officer));
    let kmc = root.hash();
    let centre = serde_json::json!({ "former": [], "root": root }).to_string().into_bytes();
    let credential = |number: u8, signer: &SoftSigner| {
        let columns = [
            ("person", [number; 16].as_slice().into()),
            ("state", "active".into()),
            ("public_key", signer.key().0.as_slice().into()),
        ];
        Change::raw(Table::Credentials, vec![number; 16], &columns, b"{}".to_vec())
    };
    let ceremony = ActionId([1; 16]);
    let say = |number: u8, signer: &SoftSigner, check: &str| {
        let payload = serde_json::json!({
            "kmc": kmc, "ceremony": ceremony, "number": number, "person": PersonId([number; 16]),
            "credential": CredentialId([number; 16]), "check": check,
        });
        Signed::seal_bytes("component", payload.to_string().into_bytes(), signer)
    };
    let row = |key: Vec<u8>, signed: &Signed| {
        Change::raw(Table::Ceremonies, key, &[("state", "component".into())], signed.to_bytes())
    };
    let kept = |signed: &Signed| row([&ceremony.0[..], &signed.hash().0].concat(), signed);
    let transcript = |parts: &[(u8, &str, Digest)]| {
        let part = |(number, check, message): &(u8, &str, Digest)| {
            let person = PersonId([*number; 16]);
            serde_json::json!({ "number": number, "person": person, "check": check, "message": message })
        };
        let parts: Vec<_> = parts.iter().map(part).collect();
        let payload = serde_json::json!({ "kmc": kmc, "ceremony": ceremony, "parts": parts });
        let signed = Signed::seal_bytes("ceremony-transcript", payload.to_string().into_bytes(), &manager);
        row(ceremony.0.to_vec(), &signed)
    };
    let judged = |changes: Vec<Change>| {
        let place = Place::sqlite();
        let mut ledger = place.lead().unwrap();
        let head = Change::raw(Table::Meta, b"centre".to_vec(), &[], centre.clone());
        let all = [vec![head, credential(1, &one), credential(2, &two)], changes].concat();
        ledger.commit(vec![(Entry::default(), all)], BEGIN_MS, false).unwrap();
        ledger.checkpoint().unwrap();
        drop(ledger);
        verify_store(&mut place.read(), Options { signatures: true, ..Options::default() }).unwrap()
    };
    let (first, second) = (say(1, &one, "AA"), say(2, &two, "BB"));
    let both = [(1, "AA", first.hash()), (2, "BB", second.hash())];
    let replaced = say(2, &two, "CC");
    let good = judged(vec![transcript(&both), kept(&first), kept(&second), kept(&replaced)]);
    assert!(good.holds, "{:?}", good.findings);
    assert_eq!(good.signatures.map(|counts| (counts.ceremonies, counts.components)), Some((1, 3)));
    let thief = say(2, &one, "BB");
    let stolen = [both[0], (2, "BB", thief.hash())];
    let other = say(2, &two, "DD");
    let lied = [both[0], (2, "BB", other.hash())];
    let wrong = [
        ("one is gone", vec![transcript(&both), kept(&first)]),
        ("signed by another custodian", vec![transcript(&stolen), kept(&first), kept(&thief)]),
        ("another check value", vec![transcript(&lied), kept(&first), kept(&other)]),
        ("under another ceremony", vec![transcript(&both), kept(&first), row(vec![9; 48], &second)]),
        ("a stranger", vec![kept(&say(1, &SoftSigner::new(&[3; 32]), "AA"))]),
    ];
    for (what, changes) in wrong {
        let report = judged(changes);
        assert!(!report.holds, "{what}");
        assert!(
            report.findings.iter().all(|found| found.table == "ceremonies"),
            "{what}: {:?}",
            report.findings
        );
    }
}

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
